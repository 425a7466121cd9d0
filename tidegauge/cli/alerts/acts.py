"""`tidegauge alerts acknowledge`, `snooze` and the others: what people do about a case, as commands.

The worker applies them at their place in the log, or refuses them (docs/alerts.md#acts).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Final

import typer
from pydantic import ValidationError

from deploy.connections.caller import act_as
from deploy.settings import Settings
from policies.texts import REFUSALS
from services.access.decision import Action, DataKind
from services.commands.door import NotKnownError
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
from streams.calendar import date_of, day_of
from tidegauge.cli.actor import AS, asked
from tidegauge.cli.alerts.view import alerts_view
from tidegauge.cli.alerts.words import ALERT_WORDS
from tidegauge.cli.choices import Lang, OutcomeOfCase, iso_date
from tidegauge.cli.commands.sender import act_on_case
from tidegauge.cli.language import LANG, language, speaker
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, JSON, CommandError, console, emit

NOTE_CHARS_MAX: Final = 1000
_CASE = typer.Argument(..., help="The case's id in full, as `tidegauge alerts --json` has it.")
_STEP = typer.Option("", "--step", help="event_id of the step that is answered; the one told last, by the view.")
_STAFF = typer.Option("", "--staff", help="Staff id of whoever acts; the user of this machine.")
_REASON = typer.Option("", "--reason", help=f"Why, in at most {NOTE_CHARS_MAX} characters.")


def acknowledge(
    case: str = _CASE, reason: str = _REASON, step: str = _STEP, staff: str = _STAFF, actor: str = AS,
    lang: Lang | None = LANG, as_json: bool = JSON,
) -> None:  # fmt: skip
    """Say that somebody looks after a case: it is not escalated any more until it deepens."""
    _act(ACKNOWLEDGE, case, {"reason": reason}, step, staff, actor, lang, as_json=as_json)


def snooze(
    case: str = _CASE,
    until: dt.date = typer.Option(
        ..., "--until", parser=iso_date, help=f"The last day of rest, at most {SNOOZE_DAYS_MAX} days ahead."
    ),
    reason: str = _REASON, step: str = _STEP, staff: str = _STAFF, actor: str = AS, lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:  # fmt: skip
    """Let a case rest up to and with a day; the close of that day wakes it, and so does a deepening."""
    _act(SNOOZE, case, {"reason": reason}, step, staff, actor, lang, until=day_of(until), as_json=as_json)


def hand_over(
    case: str = _CASE,
    to: str = typer.Option(..., "--to", help="Staff id of the new owner."),
    reason: str = _REASON, step: str = _STEP, staff: str = _STAFF, actor: str = AS, lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:  # fmt: skip
    """Give a case to another manager, who is told from then on."""
    _act(HAND_OVER, case, {"reason": reason, "to": to}, step, staff, actor, lang, as_json=as_json)


def resolve(
    case: str = _CASE,
    outcome: OutcomeOfCase = typer.Option(..., "--outcome", help="How it ended."),
    reason: str = typer.Option(..., "--reason", help=f"Why, in at most {NOTE_CHARS_MAX} characters."),
    step: str = _STEP, staff: str = _STAFF, actor: str = AS, lang: Lang | None = LANG, as_json: bool = JSON,
) -> None:  # fmt: skip
    """End a case with its outcome; what leaves after this day is looked at anew."""
    _act(RESOLVE, case, {"reason": reason, "outcome": outcome.value}, step, staff, actor, lang, as_json=as_json)


def comment(
    case: str = _CASE,
    text: str = typer.Argument(..., help=f"What is to be kept, in at most {NOTE_CHARS_MAX} characters."),
    step: str = _STEP, staff: str = _STAFF, actor: str = AS, lang: Lang | None = LANG, as_json: bool = JSON,
) -> None:  # fmt: skip
    """Add a comment to a case."""
    _act(COMMENT, case, {"reason": text}, step, staff, actor, lang, as_json=as_json)


def escalate(
    case: str = _CASE,
    level: int = typer.Option(..., "--level", min=1, max=LEVEL_MAX, help="Above the present one."),
    step: str = _STEP, actor: str = AS, lang: Lang | None = LANG, as_json: bool = JSON,
) -> None:  # fmt: skip
    """Tell the next level of a case that nobody has answered; for the clock of notices, with role service."""
    _act(ESCALATE, case, {"level": str(level)}, step, "", actor, lang, as_json=as_json)


def wake(case: str = _CASE, step: str = _STEP, actor: str = AS, lang: Lang | None = LANG, as_json: bool = JSON) -> None:
    """End a snooze whose last day is over; for the clock of notices, with role service."""
    _act(WAKE, case, {}, step, "", actor, lang, as_json=as_json)


def _act(
    action: str, case: str, details: dict[str, str], step: str, staff: str, given: str, lang: Lang | None, *,
    until: int | None = None, as_json: bool,
) -> None:  # fmt: skip
    act_as("commands")
    settings = Settings()
    if staff and settings.token_issuer:
        raise CommandError("--staff counts only where no issuer of tokens is set", "the token says who acts", BAD_INPUT)
    say = speaker(ALERT_WORDS, language(lang, settings))
    about = f"{action} {case}"
    who = asked(settings, given, Action.ACKNOWLEDGE, DataKind.ALERTS, about=about, first=True)
    if len(details.get("reason", "")) > NOTE_CHARS_MAX:
        raise CommandError(f"the text has more than {NOTE_CHARS_MAX} characters", "make it shorter", BAD_INPUT)
    alerts_view(settings)
    if staff:
        who = replace(who, actor_id=staff)
    fields = {"case": case, "step": step, "until": None if until is None else date_of(until), **details}
    try:
        sent = act_on_case(settings, who, action, fields)
    except NotKnownError:
        unit = "/".join(who.unit)
        hint = "`tidegauge alerts --json` has ids in full; --as names another actor"
        raise CommandError(f"no case {case} is known to {who.role} of {unit}", hint, BAD_INPUT) from None
    except ValidationError as problem:
        wrong = ", ".join(sorted({".".join(map(str, one["loc"])) for one in problem.errors()}))
        hint = "texts are not empty, and have at most 512 bytes"
        raise CommandError(f"no worker would take it: {wrong}", hint, BAD_INPUT) from problem
    if as_json:
        told = {"command_id": sent.command_id, "action": action, "case": case}
        emit(told | {"state": sent.state, "reason": sent.why or None})
    else:
        named = REFUSALS.get(sent.why)
        why = sent.why if named is None else named.zh if language(lang, settings) == "zh-CN" else named.en
        words = say(f"act_{sent.state}", action=action, case=case, command=sent.command_id, why=why)
        console.print(words, soft_wrap=True, markup=False)
    if sent.state == "refused":
        raise typer.Exit(FAILED_CHECK)
