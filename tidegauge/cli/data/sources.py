"""`tidegauge complete` and `tidegauge holidays`: what the freshness of sources is measured by."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Final

import typer

from connectors.formats.events import Fact
from deploy.settings import Settings
from services.access.decision import DataKind
from streams.calendar import day_of, shown_day
from streams.closing import MARK_FORCED, MARK_ORDINARY, MARK_RETRACTS
from tidegauge.cli.actor import permitted
from tidegauge.cli.choices import Lang, closable_date
from tidegauge.cli.guard import DRY_RUN, FORCE, FORCE_REASON, Intent, goes_on, reason_given
from tidegauge.cli.language import LANG, language, speaker
from tidegauge.cli.output import BAD_INPUT, JSON, CommandError, console, emit
from tidegauge.cli.servers import need_world
from tidegauge.world.found import USES_GROUP, USES_PACKS

app = typer.Typer()
SOURCES_SHOWN: Final = 8
CLOSED_MAX: Final = 10  # business days in a row that a bank is closed, and nobody wonders
_WORDS = {
    "en": {
        "complete": "{source} is complete up to {day}",
        "retracted": "taken back: the mark of {source} up to {day}",
        "holidays": "{count} days told",
    },
    "zh-CN": {
        "complete": "来源 {source} 的数据已全部送达，截至 {day}",
        "retracted": "已撤回：来源 {source} 截至 {day} 的完成标记",
        "holidays": "已告知 {count} 天",
    },
}


@app.command("complete")
def complete(
    source: str = typer.Argument(..., help="The source, as its events name it."),
    day: date = typer.Argument(
        ..., parser=closable_date, help="The day up to which it has sent everything, such as 2026-01-31."
    ),
    retract: bool = typer.Option(
        False, "--retract", help="Mark nothing: take back the mark of this day that the workers have set aside."
    ),
    dry_run: bool = DRY_RUN,
    force: bool = FORCE,
    reason: str = FORCE_REASON,
    lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:
    """Say for a source that it has sent everything up to a day: its end-of-day mark, in every partition."""
    from connectors.loading import broadcast

    if not source.strip() or source != source.strip():
        reads = "has no name" if not source.strip() else f"reads {source!r}, with blanks around it"
        raise CommandError(f"the source {reads}", "give the name that its events carry as `source`", BAD_INPUT)
    settings, why = Settings(), reason_given(reason, force=force)
    say = speaker(_WORDS, language(lang))
    permitted(settings, DataKind.MARKS, f"{source} up to {day}{', taken back' * retract}")
    settings = need_world(settings, USES_GROUP | USES_PACKS)
    kind = MARK_RETRACTS if retract else MARK_FORCED if why else MARK_ORDINARY
    intent = _taking_back if retract else _completeness
    if not goes_on(intent(settings, source, day_of(day)), why, dry_run=dry_run, as_json=as_json):
        return
    _send(settings, [broadcast.complete(source, day_of(day), kind)], why)
    if as_json:
        emit({"source": source, "day": day.isoformat(), "retracted": retract})
    else:
        console.print(say("retracted" if retract else "complete", source=source, day=day), soft_wrap=True, markup=False)


def _taking_back(settings: Settings, source: str, day: int) -> Intent:
    """Take back a mark that is set aside. CommandError where there is none."""
    from tidegauge.knowledge import known_by_workers

    aside = known_by_workers(settings).aside
    if aside.get(source) != day:
        waiting = ", ".join(f"{name} {shown_day(on)}" for name, on in sorted(aside.items())[:SOURCES_SHOWN]) or "none"
        raise CommandError(
            f"no mark of {source} up to {shown_day(day)} is set aside", f"set aside are: {waiting}", BAD_INPUT
        )
    line = f"take back the mark of {source} up to {shown_day(day)}, which was set aside"
    return Intent("complete --retract", [line], {"source": source, "day": shown_day(day)})


def _completeness(settings: Settings, source: str, day: int) -> Intent:
    """The mark of a source: of a day too far ahead, or of a source that nobody knows, beyond the ordinary."""
    from connectors.loading.closing_run import plan_run
    from tidegauge.knowledge import closes_of, known_by_workers, sources_named

    known, last = known_by_workers(settings), closes_of(settings).last
    unusual = list(plan_run(day, last, known).unusual)
    named = sources_named(settings)
    if known.booked is not None and source not in known.sources | named:
        unusual.append(
            f"no event came from a source {source}, and no pack names it; known are: {_some(known.sources | named)}"
        )
    line = f"mark {source} as complete up to {shown_day(day)}"
    fields = {
        "source": source, "day": shown_day(day), "last_closed": None if last is None else shown_day(last),
        "newest_booked": None if known.booked is None else shown_day(known.booked),
    }  # fmt: skip
    return Intent("complete", [line], fields, unusual)


def _some(names: AbstractSet[str]) -> str:
    shown = sorted(names)[:SOURCES_SHOWN]
    return ", ".join(shown) + " …" * (len(names) > len(shown))


@app.command("holidays")
def holidays(
    path: Path = typer.Argument(..., help="A CSV file: date,bank with open or closed."),
    dry_run: bool = DRY_RUN,
    force: bool = FORCE,
    reason: str = FORCE_REASON,
    lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:
    """Tell the workers which days the bank is closed, and which weekend days it is open: the last word on a day counts."""
    from connectors.loading import broadcast

    records, settings, why = list(broadcast.read_calendar(path)), Settings(), reason_given(reason, force=force)
    say = speaker(_WORDS, language(lang))
    permitted(settings, DataKind.MARKS, f"calendar {path.name}")
    settings = need_world(settings, USES_GROUP)
    days = {record["as_of"]: record["value"] == 1 for record in records}
    if not goes_on(_calendar(settings, days), why, dry_run=dry_run, as_json=as_json):
        return
    _send(settings, records, why)
    if as_json:
        emit({"days": len(records)})
    else:
        console.print(say("holidays", count=len(records)))


def _calendar(settings: Settings, days: Mapping[int, bool]) -> Intent:
    """Days of the calendar: a long closure is beyond the ordinary."""
    from streams.workdays import weekday
    from tidegauge.knowledge import closes_of

    shut = [day for day in range(min(days), max(days) + 1) if weekday(day) or day in days]
    longest = max(
        (len(list(run)) for closed, run in groupby(shut, lambda day: days.get(day) is False) if closed), default=0
    )
    last, unusual = closes_of(settings).last, []
    if longest > CLOSED_MAX:
        unusual.append(
            f"the bank would be closed for {longest} business days in a row; up to {CLOSED_MAX} are ordinary"
        )
    past = sum(1 for day in days if last is not None and day <= last)
    line = f"tell {len(days)} days, {shown_day(min(days))} to {shown_day(max(days))}"
    line += f"; {past} of them are closed already, and nothing decided then changes" * bool(past)
    fields = {"days": len(days), "first": shown_day(min(days)), "last": shown_day(max(days)), "closed_already": past}
    return Intent("holidays", [line], fields, unusual)


def _send(settings: Settings, records: Iterable[Fact], reason: str) -> None:
    from connectors.loading.broadcast import FACTS, broadcast
    from schemas.codec.records import encode
    from schemas.registry import registry_for

    registry = registry_for(settings)
    facts = [{**record} for record in records]
    broadcast(settings, lambda topic, record: encode(topic, record, registry), FACTS, facts, reason)
