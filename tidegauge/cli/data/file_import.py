"""`tidegauge import`: a bank's files into the topics, with a close after each business day."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from connectors.formats.events import DayEnd, Event, InputError, Record
from connectors.loading.loader import Loaded
from deploy.settings import Settings
from schemas.registry import Registry
from streams.calendar import date_of
from tidegauge.cli.output import BAD_INPUT, CommandError, console, error, notes

app = typer.Typer()

BAD_SHOWN_MAX = 20
BAD_KEPT_MAX = 10_000
BERKA_CURRENCY = "CZK"


class Bad:
    """Collects bad lines: prints the first ones at once, keeps some for dead letters, counts all of them."""

    def __init__(self) -> None:
        self.kept: list[InputError] = []
        self.count = 0

    def __call__(self, problem: InputError) -> None:
        """Take one bad line."""
        self.count += 1
        if self.count <= BAD_SHOWN_MAX:
            error(str(problem))
        if len(self.kept) < BAD_KEPT_MAX:
            self.kept.append(problem)


@app.command("import")
def import_(
    path: Path = typer.Argument(..., help="A file, or a folder of files."),
    form: str = typer.Option(..., "--format", help="berka, ndjson, csv or parquet (docs/formats.md)."),
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
) -> None:
    """Load a bank's files into the topics. Interrupted or done, it can be run again: twice changes nothing.

    Bad lines are named by file, line and field and go to dead letters; the good ones are loaded; the exit code is 2.
    """
    from connectors.formats.sources import import_fingerprint, read_source
    from connectors.loading.arrival import days, disturb

    settings = Settings()
    bad = Bad()
    try:
        with notes.status(f"reading {path}"):
            events = read_source(form, path, settings.zone, bad)
            mark = import_fingerprint(form, path, settings.zone, shuffle, duplicate, late_days)
        if shuffle is not None or duplicate or late_days:
            seed = shuffle or 0
            events = disturb(
                events, seed, shuffle=shuffle is not None, duplicate_percent=duplicate, late_days_max=late_days
            )
        if form == "berka" and settings.base_currency != BERKA_CURRENCY:
            notes.print(f"note: the accounts are in {BERKA_CURRENCY}, the base currency is {settings.base_currency}")
            notes.print(f"  set TIDEGAUGE_BASE_CURRENCY={BERKA_CURRENCY} for import and worker")
        stream = list(days(events, str(path)))
    except InputError as problem:
        raise CommandError(str(problem), code=BAD_INPUT) from problem
    loaded = into_kafka(settings, iter(stream), len(stream), mark, bad.kept, close_days=close_days, marks=complete)
    report(loaded)
    if bad.count:
        error(f"{bad.count} lines were refused", "the good ones are loaded; see the topic dead-letters")
        raise typer.Exit(BAD_INPUT)


def into_kafka(
    settings: Settings,
    stream: Iterator[Event | DayEnd],
    total: int | None,
    mark: str,
    bad: list[InputError],
    *,
    close_days: bool,
    marks: bool = False,
) -> Loaded:
    """Load a stream with a progress line; CommandError when Kafka fails."""
    from connectors.loading.closer import Closer
    from connectors.loading.loader import load_events
    from connectors.loading.publisher import EventPublisher, PublishError
    from schemas.registry import registry_for

    with ExitStack() as stack:
        try:
            encoded = partial(_encode, registry_for(settings))
            publisher = EventPublisher(settings, encoded)
            stack.callback(publisher.close)
            closer = Closer(settings, encoded) if close_days else None
            if closer is not None:
                stack.callback(closer.shut)
            bar, task = stack.enter_context(_progress(total))
            return load_events(stream, publisher, closer, mark, bad=bad, step=partial(_step, bar, task), marks=marks)
        except PublishError as problem:
            raise CommandError(str(problem), problem.hint, code=1) from problem


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
    with Progress(*shape, console=notes, transient=True) as bar:
        yield bar, bar.add_task("load", total=total, day="")


def report(loaded: Loaded) -> None:
    """Say what was done."""
    sent = ", ".join(f"{count:,} {topic}" for topic, count in sorted(loaded.sent.items())) or "nothing"
    upto = f" up to {date_of(loaded.last_day)}" if loaded.last_day else ""
    console.print(f"sent {sent}; closed {loaded.closed} days{upto}", soft_wrap=True)
    if loaded.skipped:
        console.print(f"{loaded.skipped:,} events were there from an earlier run")
