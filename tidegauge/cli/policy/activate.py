"""`tidegauge policy activate` and `retract`: put a pack into force for the running workers from a day on, or take it back."""

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

import typer

from deploy.settings import Settings
from services.access.decision import DataKind
from tidegauge.cli.actor import permitted
from tidegauge.cli.choices import Lang, iso_date
from tidegauge.cli.guard import DRY_RUN, FORCE, FORCE_REASON, Intent, goes_on, reason_given
from tidegauge.cli.language import LANG, language, speaker
from tidegauge.cli.output import FAILED_CHECK, JSON, CommandError, console, emit, error
from tidegauge.cli.policy.words import POLICY_WORDS
from tidegauge.cli.servers import need_world
from tidegauge.world.found import USES_PACKS

if TYPE_CHECKING:
    from agents.standing.decide.packs import Packs
    from policies import Pack

FROM_LINE = re.compile(r"^effective_from:[^\n#]*", re.MULTILINE)
NOTICE_DAYS = 2  # the close of the next day may be under way


def activate(
    pack: str = typer.Argument(..., help="A pack that ships, or a YAML file."),
    since: dt.date | None = typer.Option(
        None, "--from", parser=iso_date, help="First day it decides for; the pack's own effective_from."
    ),
    dry_run: bool = DRY_RUN,
    force: bool = FORCE,
    reason: str = FORCE_REASON,
    lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:
    """Put a pack or a new version into force from a day on, while the workers run; the one before decides up to it.

    A template or a broken pack is refused with the exit code 1, and the running one stays.
    """
    from connectors.loading import packs
    from schemas.codec.records import encode
    from schemas.registry import registry_for
    from tidegauge.knowledge import closes_of, packs_of

    settings, why = Settings(), reason_given(reason, force=force)
    say, new = speaker(POLICY_WORDS, language(lang, settings)), pack_from(pack, since)
    permitted(settings, DataKind.PACKS, f"activate {new.id} {new.version} from {new.effective_from}")
    registry = registry_for(settings)
    settings = need_world(settings, USES_PACKS)
    known, last = packs_of(settings), closes_of(settings).last
    if problems := refusals(new, known, last):
        for problem in problems:
            error(problem)
        error(say("not_in_force", pack=new.id, version=new.version), say("stays"))
        raise typer.Exit(FAILED_CHECK)
    line = say("in_force", pack=new.id, version=new.version, since=new.effective_from)
    later = known.book.taking_over(new)
    unusual = [say("takes_over", since=one.effective_from, pack=one.id, version=one.version) for one in later]
    fields = {**_fields(new), "taking_over": [_fields(one) for one in later]}
    if not goes_on(Intent("policy activate", [line], fields, unusual), why, dry_run=dry_run, as_json=as_json):
        return
    packs.send(settings, lambda topic, record: encode(topic, record, registry), _record_of(new), why)
    if as_json:
        emit(fields)
        return
    for told in (line, *unusual):
        console.print(told, soft_wrap=True)


def retract(
    pack: str = typer.Argument(..., help="The pack's id."),
    version: int = typer.Argument(..., min=1, help="The version that is taken back."),
    dry_run: bool = DRY_RUN,
    lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:
    """Take back a version that was put into force, before its first day has begun; what decides then is said.

    Exit code 1 for one that is not there, or whose day has begun.
    """
    from connectors.loading.closer import CloseBook, Closer
    from connectors.loading.closing_run import Known
    from schemas.codec.records import encode
    from schemas.registry import registry_for
    from streams.calendar import NO_DAY
    from tidegauge.knowledge import left_out, packs_of

    settings = Settings()
    permitted(settings, DataKind.PACKS, f"retract {pack} {version}")
    say, registry = speaker(POLICY_WORDS, language(lang, settings)), registry_for(settings)
    settings = need_world(settings, USES_PACKS)
    # Holds the closer's place: a close in between could find the version in some partitions and not in others.
    counted = Known(left_out=left_out(settings))
    closer = None if dry_run else Closer(settings, lambda topic, record: encode(topic, record, registry), known=counted)
    book = closer or CloseBook(settings, counted)
    known = packs_of(settings)
    taken = known.book.retract(pack, version, NO_DAY if book.last is None else book.last)
    if isinstance(taken, list):
        raise CommandError("; ".join(taken), say("stays"), FAILED_CHECK)
    line, fields = say("retracted", pack=pack, version=version, since=taken.effective_from), _fields(taken)
    if not goes_on(Intent("policy retract", [line], fields), "", dry_run=dry_run, as_json=as_json) or closer is None:
        return
    closer.tell("policies", {**_record_of(taken), "body": "", "retracted": True})
    closer.shut()
    if as_json:
        emit(fields)
    else:
        console.print(line, soft_wrap=True)


def _fields(pack: "Pack") -> dict[str, Any]:
    return {"pack": pack.id, "version": pack.version, "effective_from": pack.effective_from.isoformat()}


def pack_from(pack: str, day: dt.date | None) -> "Pack":
    """The pack with its first day, in the body too. Exit code 1 for a broken one."""
    from policies import PackError, load_pack, parse_pack

    try:
        found = load_pack(pack)
        if day is None or day == found.effective_from:
            return found
        return parse_pack(FROM_LINE.sub(f"effective_from: {day}", found.body, count=1), pack)
    except PackError as problem:
        for one in problem.problems:
            error(str(one))
        raise typer.Exit(FAILED_CHECK) from problem


def _record_of(pack: "Pack") -> dict[str, Any]:
    """The record of `policies`."""
    from policies.lifecycle.state import day_number

    return {
        "pack_id": pack.id, "version": pack.version, "effective_from": day_number(pack.effective_from),
        "body": pack.body, "customer_class": next(iter(pack.classes)),
    }  # fmt: skip


def refusals(new: "Pack", known: "Packs", last: int | None) -> list[str]:
    """What the workers would say against the pack, in words, which `known` takes; `last` is the last closed day."""
    from policies.lifecycle.state import day_number
    from streams.calendar import NO_DAY, date_of

    taken = known.take(_record_of(new), NO_DAY)
    found = taken if isinstance(taken, list) else []
    if last is not None and day_number(new.effective_from) < last + NOTICE_DAYS:
        found.append(
            f"effective from {new.effective_from}: the last closed day is {date_of(last)}, so that --from "
            f"{date_of(last + NOTICE_DAYS)} is the first that is possible"
        )
    return found
