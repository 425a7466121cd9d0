"""`tidegauge policy activate`: puts a pack into force for the running workers, from a day on."""

import datetime as dt
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import typer

from deploy.settings import Settings
from tidegauge.cli.choices import Lang, iso_date
from tidegauge.cli.language import LANG, language, speaker
from tidegauge.cli.output import FAILED_CHECK, JSON, console, emit, error
from tidegauge.cli.policy.words import POLICY_WORDS
from tidegauge.cli.servers import need_world
from tidegauge.world.found import USES_PACKS

if TYPE_CHECKING:
    from policies import Pack

FROM_LINE = re.compile(r"^effective_from:[^\n#]*", re.MULTILINE)
NOTICE_DAYS = 2  # the close of the next day may be under way


def activate(
    pack: str = typer.Argument(..., help="A pack that ships, or a YAML file."),
    since: dt.date | None = typer.Option(
        None, "--from", parser=iso_date, help="First day it decides for; the pack's own effective_from."
    ),
    lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:
    """Put a pack or a new version into force from a day on, while the workers run; the one before decides up to it.

    A template or a broken pack is refused with the exit code 1, and the running one stays.
    """
    from connectors.loading import packs
    from connectors.loading.closer import closes
    from schemas.codec.records import encode
    from schemas.registry import registry_for

    settings = Settings()
    say, new = speaker(POLICY_WORDS, language(lang, settings)), wanted(pack, since)
    registry = registry_for(settings)
    settings = need_world(settings, USES_PACKS)
    last = max((closed.day for closed in closes(settings)), default=None)
    problems = refusals(settings, new, packs.sent(settings), last)
    if problems:
        for problem in problems:
            error(problem)
        error(say("not_in_force", pack=new.id, version=new.version), say("stays"))
        raise typer.Exit(FAILED_CHECK)
    packs.send(settings, lambda topic, record: encode(topic, record, registry), _record_of(new))
    if as_json:
        emit({"pack": new.id, "version": new.version, "effective_from": new.effective_from.isoformat()})
        return
    line = say("in_force", pack=new.id, version=new.version, since=new.effective_from)
    console.print(line, soft_wrap=True)


def wanted(pack: str, day: dt.date | None) -> "Pack":
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


def refusals(settings: Settings, new: "Pack", sent: list[bytes], last: int | None) -> list[str]:
    """What the workers would say against the pack, in words; `last` is the last closed day."""
    from agents.standing.decide.packs import Packs
    from policies.lifecycle.state import day_number
    from schemas.codec.records import RecordError, decode_one
    from schemas.registry import registry_for
    from streams.calendar import NO_DAY, date_of
    from streams.money import exponent
    from tidegauge.bootstrap import standing_conf

    conf, registry = standing_conf(settings, keyless=True), registry_for(settings)
    known = Packs((conf.pack, *conf.others), conf.layers, exponent(conf.base_currency), conf.follow)
    for value in sent:
        with suppress(RecordError):  # the workers leave it out too
            known.take(decode_one(value, registry, name="policies"), NO_DAY)
    taken = known.take(_record_of(new), NO_DAY)
    found = taken if isinstance(taken, list) else []
    if last is not None and day_number(new.effective_from) < last + NOTICE_DAYS:
        found.append(
            f"effective from {new.effective_from}: the last closed day is {date_of(last)}, so that --from "
            f"{date_of(last + NOTICE_DAYS)} is the first that is possible"
        )
    return found
