"""`tidegauge alerts acknowledge`, `snooze` and the others: what people do about a case, as a record of crm-actions.

The worker applies it at its place in the log, or refuses it (docs/alerts.md#acts).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from typing import TYPE_CHECKING, Any, Final

import typer

from deploy.settings import Settings
from services.access.decision import Action, DataKind, Resource, owner_of
from services.views.queries import case_record
from streams.alerts.acts import (
    ACKNOWLEDGE,
    COMMENT,
    ESCALATE,
    HAND_OVER,
    LEVEL_MAX,
    RESOLVE,
    SNOOZE,
    SNOOZE_DAYS_MAX,
    WAKE,
)
from streams.calendar import day_of
from tidegauge.cli.actor import AS, asked, decided
from tidegauge.cli.alerts.view import alerts_view
from tidegauge.cli.alerts.words import ALERT_WORDS
from tidegauge.cli.choices import CaseOutcome, Lang, iso_date
from tidegauge.cli.language import LANG, language, speaker
from tidegauge.cli.output import BAD_INPUT, JSON, CommandError, console, emit
from tidegauge.cli.servers import need_world

if TYPE_CHECKING:
    from services.access.decision import Actor

ID_CHARS: Final = 32
REASON_CHARS_MAX: Final = 1000
CASE = typer.Argument(..., help="The case's id in full, as `tidegauge alerts --json` has it.")
STEP = typer.Option("", "--step", help="event_id of the step that is answered; the one told last, by the view.")
STAFF = typer.Option("", "--staff", help="Staff id of whoever acts; the user of this machine.")
REASON = typer.Option("", "--reason", help=f"Why, in at most {REASON_CHARS_MAX} characters.")


def acknowledge(
    case: str = CASE, reason: str = REASON, step: str = STEP, staff: str = STAFF, actor: str = AS,
    lang: Lang | None = LANG, as_json: bool = JSON,
) -> None:  # fmt: skip
    """Say that somebody looks after a case: it is not escalated any more until it deepens."""
    _act(ACKNOWLEDGE, case, {"reason": reason}, step, staff, actor, lang, as_json=as_json)


def snooze(
    case: str = CASE,
    until: dt.date = typer.Option(
        ..., "--until", parser=iso_date, help=f"The last day of rest, at most {SNOOZE_DAYS_MAX} days ahead."
    ),
    reason: str = REASON, step: str = STEP, staff: str = STAFF, actor: str = AS, lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:  # fmt: skip
    """Let a case rest up to and with a day; the close of that day wakes it, and so does a deepening."""
    _act(SNOOZE, case, {"reason": reason}, step, staff, actor, lang, until=day_of(until), as_json=as_json)


def hand_over(
    case: str = CASE,
    to: str = typer.Option(..., "--to", help="Staff id of the new owner."),
    reason: str = REASON, step: str = STEP, staff: str = STAFF, actor: str = AS, lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:  # fmt: skip
    """Give a case to another manager, who is told from then on."""
    _act(HAND_OVER, case, {"reason": reason, "to": to}, step, staff, actor, lang, as_json=as_json)


def resolve(
    case: str = CASE,
    outcome: CaseOutcome = typer.Option(..., "--outcome", help="How it ended."),
    reason: str = typer.Option(..., "--reason", help=f"Why, in at most {REASON_CHARS_MAX} characters."),
    step: str = STEP, staff: str = STAFF, actor: str = AS, lang: Lang | None = LANG, as_json: bool = JSON,
) -> None:  # fmt: skip
    """End a case with its outcome; what leaves after this day is looked at anew."""
    _act(RESOLVE, case, {"reason": reason, "outcome": outcome.value}, step, staff, actor, lang, as_json=as_json)


def comment(
    case: str = CASE,
    text: str = typer.Argument(..., help=f"What is to be kept, in at most {REASON_CHARS_MAX} characters."),
    step: str = STEP, staff: str = STAFF, actor: str = AS, lang: Lang | None = LANG, as_json: bool = JSON,
) -> None:  # fmt: skip
    """Add a comment to a case."""
    _act(COMMENT, case, {"reason": text}, step, staff, actor, lang, as_json=as_json)


def escalate(
    case: str = CASE,
    level: int = typer.Option(..., "--level", min=1, max=LEVEL_MAX, help="Above the present one."),
    step: str = STEP, actor: str = AS, lang: Lang | None = LANG, as_json: bool = JSON,
) -> None:  # fmt: skip
    """Tell the next level of a case that nobody has answered; for the clock of notices, with role service."""
    _act(ESCALATE, case, {"level": str(level)}, step, "", actor, lang, as_json=as_json)


def wake(case: str = CASE, step: str = STEP, actor: str = AS, lang: Lang | None = LANG, as_json: bool = JSON) -> None:
    """End a snooze whose last day is over; for the clock of notices, with role service."""
    _act(WAKE, case, {}, step, "", actor, lang, as_json=as_json)


def _act(
    action: str, case: str, details: dict[str, str], step: str, staff: str, given: str, lang: Lang | None, *,
    until: int | None = None, as_json: bool,
) -> None:  # fmt: skip
    settings = Settings()
    say = speaker(ALERT_WORDS, language(lang, settings))
    about = f"{action} {case}"
    who = asked(settings, given, Action.ACKNOWLEDGE, DataKind.ALERTS, about=about, first=True)
    if len(details.get("reason", "")) > REASON_CHARS_MAX:
        raise CommandError(f"the text has more than {REASON_CHARS_MAX} characters", "make it shorter", BAD_INPUT)
    found = _case(settings, who, case, about)
    act = _record(action, found, {**details, "step": step or found["told_step"], "role": str(who.role)}, until)
    act["requested_by"] = staff or who.actor_id
    act["event_id"] = _event_id(act)
    _send(settings, act)
    if as_json:
        emit({"event_id": act["event_id"], "action": action, "case": case, "customer_id": act["customer_id"]})
    else:
        console.print(say("act_sent", action=action, case=case, event=act["event_id"]), soft_wrap=True, markup=False)


def _case(settings: Settings, who: Actor, case: str, about: str) -> dict[str, Any]:
    """The newest step of a case; one of another unit is as unknown as one that does not exist."""
    from schemas.registry import registry_for

    client, keys = alerts_view(settings)
    found = case_record(client, keys, registry_for(settings), case)
    branch = None if found is None else owner_of(found["branch"])
    if not decided(settings, who, Action.ACKNOWLEDGE, Resource(DataKind.ALERTS, branch), about) or found is None:
        unit = "/".join(who.unit)
        hint = "`tidegauge alerts --json` has ids in full; --as names another actor"
        raise CommandError(f"no case {case} is known to {who.role} of {unit}", hint, BAD_INPUT)
    if found["told_step"] is None:
        raise CommandError(f"{case} is an alert without a case", "nothing can be done about it", BAD_INPUT)
    return found


def _record(action: str, found: dict[str, Any], details: dict[str, str], until: int | None) -> dict[str, Any]:
    given = {name: value for name, value in details.items() if value}
    return {
        "customer_id": found["customer_id"], "action": action, "approved_by": None, "at": time.time_ns() // 1_000_000,
        "expires_on": until, "details": {"case": found["alert_id"], **given},
    }  # fmt: skip


def _event_id(act: dict[str, Any]) -> str:
    """The same for the same act on the same step, so that one that is sent twice counts once."""
    parts = (act["customer_id"], act["action"], act["requested_by"], act["expires_on"], *sorted(act["details"].items()))
    return f"case-act/{hashlib.sha256(repr(parts).encode()).hexdigest()[:ID_CHARS]}"


def _send(settings: Settings, act: dict[str, Any]) -> None:
    from connectors.formats.events import Event
    from connectors.loading.publisher import EventPublisher
    from schemas.codec.records import encode
    from schemas.registry import registry_for

    registry = registry_for(settings)
    publisher = EventPublisher(need_world(settings), lambda topic, record: encode(topic, record, registry))
    try:
        publisher.send(Event(act["at"] // 86_400_000, "crm-actions", act))
        publisher.flush()
    finally:
        publisher.close()
