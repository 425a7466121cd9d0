"""`tidegauge import`: a bank's files into the topics, with a close after each business day."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from functools import partial
from pathlib import Path

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from connectors.formats.events import DayEnd, Event, InputError, Record
from connectors.loading.loader import Loaded
from deploy.settings import Settings
from schemas.registry import Registry
from services.access.decision import DataKind
from streams.calendar import date_of, day_of, shown_day
from tidegauge.cli.actor import permitted
from tidegauge.cli.choices import BERKA_CURRENCY, SILENCE, SourceFormat, closable_date
from tidegauge.cli.data.fact_names import known_facts_only
from tidegauge.cli.data.refused import Refused, nothing_in
from tidegauge.cli.guard import DRY_RUN, FORCE, FORCE_REASON, Intent, goes_on, reason_given
from tidegauge.cli.output import BAD_INPUT, JSON, CommandError, console, emit, notes
from tidegauge.cli.servers import need_world
from tidegauge.world.found import USES_GROUP, USES_ZONE

app = typer.Typer()


@app.command("import")
def import_(
    path: Path = typer.Argument(..., help="A file, or a folder of files."),
    form: SourceFormat = typer.Option(..., "--format", help="Of the files (docs/formats.md)."),
    close_days: bool = typer.Option(
        True, "--close-days/--no-close-days", help="Close each business day behind its events."
    ),
    complete: bool = typer.Option(
        False, "--complete", help="Before each close, mark the file's sources as complete up to that day."
    ),
    shuffle: int | None = typer.Option(
        None, "--shuffle", help="For tests: a seed that shuffles the events of each day."
    ),
    duplicate: int = typer.Option(0, "--duplicate", min=0, max=100, help="For tests: per cent of events sent twice."),
    late_days: int = typer.Option(
        0, "--late-days", min=0, max=30, help="For tests: let events be late by up to so many days."
    ),
    until: date | None = typer.Option(
        None, "--until", parser=closable_date, help="Close the days up to this one, beyond the last event's."
    ),
    silence_days: int = SILENCE,
    dry_run: bool = DRY_RUN,
    force: bool = FORCE,
    reason: str = FORCE_REASON,
    as_json: bool = JSON,
) -> None:
    """Load a bank's files into the topics. Interrupted or done, it can be run again: twice changes nothing.

    Bad lines are named by file, line and field and go to dead letters; the good ones are loaded; the exit code is 2.
    """
    from connectors.formats.sources import import_fingerprint, read_source
    from connectors.loading.arrival import days, disturb

    settings, why = Settings(), reason_given(reason, force=force)
    bad = Refused(settings)
    if until is not None and not close_days:
        raise CommandError("--until closes days, --no-close-days closes none", "leave one of them out", BAD_INPUT)
    permitted(settings, DataKind.INPUTS, f"import {path.name}")
    with notes.status(f"reading {path}"):
        events = read_source(form, path, settings.zone, bad)
        mark = import_fingerprint(form, path, settings.zone, shuffle, duplicate, late_days)
    if not events and not bad.count:
        raise nothing_in(path)
    events = known_facts_only(settings, path, events, bad)
    if shuffle is not None or duplicate or late_days:
        events = disturb(
            events, shuffle or 0, shuffle=shuffle is not None, duplicate_percent=duplicate, late_days_max=late_days
        )
    _check_currency(form, settings)
    last = None if until is None else last_day(path, until, events)
    stream = list(days(events, str(path), until=last, silence_days=silence_days))
    if dry_run:
        planned = _intent(settings, path, stream, mark, bad.count, close_days=close_days)
        goes_on(planned, why, dry_run=True, as_json=as_json)
        bad.end("nothing was sent; an import puts them into the topic dead-letters")
        return
    loaded = into_kafka(
        settings, iter(stream), len(stream), mark, bad.kept, close_days=close_days, marks=complete, reason=why
    )
    report(loaded, as_json, bad.count)
    bad.end("the good ones are loaded; the others are in the topic dead-letters")


def _check_currency(form: str, settings: Settings) -> None:
    if form == "berka" and settings.base_currency != BERKA_CURRENCY:
        notes.print(f"note: the accounts are in {BERKA_CURRENCY}, the base currency is {settings.base_currency}")
        notes.print(f"  set TIDEGAUGE_BASE_CURRENCY={BERKA_CURRENCY} for import and worker")


def _intent(
    settings: Settings, path: Path, stream: list[Event | DayEnd], mark: str, refused: int, *, close_days: bool
) -> Intent:
    """What an import would send and close; beyond the ordinary where its first day lies far behind the last close."""
    from connectors.loading.closer import CloseBook
    from connectors.loading.loader import done_through
    from tidegauge.knowledge import known_by_workers

    settings, unusual, through = need_world(settings, USES_ZONE | USES_GROUP), list[str](), None
    if close_days:
        book = CloseBook(settings, known_by_workers(settings))
        through = done_through(book, mark)
        if (first := next((item.day for item in stream), 0)) > 0:
            unusual += book.plan(first, own=True).unusual
    left = [item for item in stream if through is None or item.day > through]
    sent = Counter(item.topic for item in left if isinstance(item, Event))
    closes = [item.day for item in left if isinstance(item, DayEnd)] if close_days else []
    listed = ", ".join(f"{count:,} {topic}" for topic, count in sorted(sent.items())) or "nothing"
    line = f"send {listed} of {path}"
    if closes:
        line += f", and close {len(closes)} days, {shown_day(closes[0])} to {shown_day(closes[-1])}"
    lines = [line]
    if refused and through is None:
        lines.append(f"put {refused:,} bad lines into dead-letters")
    fields = {
        "send": dict(sorted(sent.items())), "close": len(closes), "first_day": shown_day(closes[0]) if closes else None,
        "last_day": shown_day(closes[-1]) if closes else None, "refused": refused,
        "there_already": sum(isinstance(item, Event) for item in stream) - sum(sent.values()),
    }  # fmt: skip
    return Intent("import", lines, fields, unusual)


def last_day(path: Path, until: date, events: list[Event]) -> int:
    """The day number up to which days are closed; CommandError where an event arrives later."""
    last = max((event.day for event in events), default=0)
    if day_of(until) < last:
        raise CommandError(f"{path}: the last event is of {date_of(last)}", "give that day or a later one as --until")
    return day_of(until)


def into_kafka(
    settings: Settings,
    stream: Iterator[Event | DayEnd],
    total: int | None,
    mark: str,
    bad: list[InputError],
    *,
    close_days: bool,
    marks: bool = False,
    reason: str = "",
) -> Loaded:
    """Load a stream with a progress line; StackError or PublishError when Kafka fails.

    UnusualError where the first day lies too far behind the last close, and no reason says why.
    """
    from connectors.loading.closer import Closer
    from connectors.loading.loader import load_events
    from connectors.loading.publisher import EventPublisher
    from schemas.registry import registry_for
    from tidegauge.knowledge import known_by_workers

    settings = need_world(settings, USES_ZONE | USES_GROUP)
    with ExitStack() as stack:
        encoded = partial(_encode, registry_for(settings))
        publisher = EventPublisher(settings, encoded)
        stack.callback(publisher.close)
        closer = Closer(settings, encoded, known=known_by_workers(settings)) if close_days else None
        if closer is not None:
            stack.callback(closer.shut)
        bar, task = stack.enter_context(_progress(total))
        step = partial(_step, bar, task)
        return load_events(stream, publisher, closer, mark, bad=bad, step=step, marks=marks, reason=reason)


def _encode(registry: Registry, contract: str, record: Record) -> bytes:
    from schemas.codec.records import encode

    return encode(contract, record, registry)


def _step(bar: Progress, task: TaskID, item: Event | DayEnd) -> None:
    if isinstance(item, DayEnd):
        bar.update(task, day=date_of(item.day).isoformat())
    bar.advance(task)


@contextmanager
def _progress(total: int | None) -> Iterator[tuple[Progress, TaskID]]:
    shape = (TextColumn("{task.fields[day]:10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*shape, console=notes, transient=True, disable=not notes.is_terminal) as bar:
        yield bar, bar.add_task("load", total=total, day="")


def report(loaded: Loaded, as_json: bool = False, refused: int = 0) -> None:
    """Say what was done."""
    if as_json:
        last = None if loaded.last_day is None else date_of(loaded.last_day).isoformat()
        emit({
            "sent": loaded.sent, "skipped": loaded.skipped, "refused": refused, "closed": loaded.closed, "last_day": last,
        })  # fmt: skip
        return
    sent = ", ".join(f"{count:,} {topic}" for topic, count in sorted(loaded.sent.items())) or "nothing"
    upto = f" up to {date_of(loaded.last_day)}" if loaded.last_day else ""
    console.print(f"sent {sent}; closed {loaded.closed} days{upto}", soft_wrap=True)
    if loaded.skipped:
        console.print(f"{loaded.skipped:,} events were there from an earlier run")
