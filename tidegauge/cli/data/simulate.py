"""`tidegauge simulate`: a simulated bank, into files or into the topics."""

import json
from dataclasses import asdict
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from deploy.settings import Settings
from services.access.decision import DataKind
from streams.calendar import day_of
from tidegauge.cli.actor import permitted
from tidegauge.cli.choices import FileFormat, iso_date
from tidegauge.cli.guard import DRY_RUN, FORCE, FORCE_REASON, Intent, goes_on, reason_given
from tidegauge.cli.output import BAD_INPUT, JSON, CommandError, console, emit, notes
from tidegauge.cli.servers import need_world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.formats.events import DayEnd, Event
    from connectors.labelled import LabelledBank
    from connectors.simulate import Story

app = typer.Typer()

STORIES_FILE = "stories.json"


@app.command("simulate")
def simulate(
    seed: int = typer.Option(1, "--seed", help="The same seed gives the same bank."),
    customers: int = typer.Option(500, "--customers", min=1, help="Customers beside the seven of the stories."),
    months: int = typer.Option(5, "--months", min=1, max=60, help="Months; the stories take five."),
    start: date = typer.Option("2026-01-01", "--start", parser=iso_date, help="First day: the first of a month."),
    out: Path | None = typer.Option(None, "--out", help="Folder for canonical files."),
    form: FileFormat = typer.Option(FileFormat.NDJSON, "--format", help="Of the files."),
    labelled: bool = typer.Option(
        False,
        "--labelled",
        help="Customers whose way to behave is known, with labels.csv: a world for `alerts evaluate`.",
    ),
    into_kafka: bool = typer.Option(False, "--into-kafka", help="Send the events to the topics and close each day."),
    dry_run: bool = DRY_RUN,
    force: bool = FORCE,
    reason: str = FORCE_REASON,
    as_json: bool = JSON,
) -> None:
    """Run a simulated bank: salaries, spending, products, currencies, nightly balances, late and repeated postings.

    Seven stories are planted in it; their outcome is known beforehand (stories.json beside the files). With --labelled it is
    another bank, of six months at least, whose customers leave in many ways or only look like it (docs/alerts.md).
    """
    from connectors import simulate as bank
    from connectors.labelled import LabelledBank
    from tidegauge.cli.data import file_import

    if (out is None) == (not into_kafka):
        raise CommandError("where to?", "give either --out FOLDER or --into-kafka")
    if labelled and into_kafka:
        raise CommandError("a labelled bank goes to files only", "give --out FOLDER")
    settings, why = Settings(), reason_given(reason, force=force)
    first = day_of(start)
    world = None
    try:
        if labelled:
            world = LabelledBank(seed, customers, months, first, settings.zone)
        events = bank.simulate(seed, customers, months, first, settings.zone) if world is None else world.days()
        told = bank.stories(seed, first)
    except ValueError as problem:
        raise CommandError(str(problem), "correct --start, --customers or --months", BAD_INPUT) from problem
    if out is not None:
        plan = f"write a bank of {customers} customers, {months} months from {start}, to {out}"
        if not goes_on(Intent("simulate", [plan], {"folder": str(out)}), why, dry_run=dry_run, as_json=as_json):
            return
        _into_files(events, out, form, list(told.values()), world, as_json=as_json)
        return
    permitted(settings, DataKind.INPUTS, "simulate")
    mark = sha256(repr((seed, customers, months, first, settings.zone)).encode()).hexdigest()
    if not goes_on(_intent(settings, customers, months, start, mark), why, dry_run=dry_run, as_json=as_json):
        return
    loaded = file_import.into_kafka(settings, events, None, mark, [], close_days=True, reason=why)
    file_import.report(loaded, as_json)
    if as_json:
        return
    for story in told.values():
        console.print(f"{story.customer_id}: {story.tells}", soft_wrap=True)


def _into_files(
    events: "Iterator[Event | DayEnd]",
    out: Path,
    form: str,
    told: "list[Story]",
    world: "LabelledBank | None",
    *,
    as_json: bool,
) -> None:
    """Writes a bank to files: with its stories, or with the labels of its customers."""
    from connectors.formats import files_out
    from connectors.formats.canonical import LABELS_FILE
    from connectors.formats.events import events_only
    from connectors.labelled import write_labels

    with notes.status(f"writing {out}"):
        counts = files_out.write_files(events_only(events), out, form)
    if world is None:
        (out / STORIES_FILE).write_text(json.dumps([asdict(story) for story in told], indent=1) + "\n")
    else:
        labels = world.labels()
        write_labels(out / LABELS_FILE, labels)
        counts["labels"] = len(labels)
    listed = ", ".join(f"{count:,} {topic}" for topic, count in sorted(counts.items()))
    if as_json:
        emit({"wrote": counts, "folder": str(out)})
    else:
        console.print(f"wrote {listed} to {out}", soft_wrap=True, markup=False)


def _intent(settings: Settings, customers: int, months: int, start: date, mark: str) -> Intent:
    """What goes into the topics; beyond the ordinary where they hold another bank already."""
    from connectors.loading.offsets import ever_written
    from tidegauge.knowledge import closes_of

    settings = need_world(settings)
    line = (
        f"send a bank of {customers} customers, {months} months from {start}, to {settings.kafka}, and close its days"
    )
    found = ever_written(settings, ("customers", "transactions", "balances"))
    same = any(closed.source == mark for closed in closes_of(settings).applied)
    unusual = []
    if found and not same:
        unusual.append(
            f"the topics hold a bank already ({found:,} records): its customers and closes would mix with these"
        )
    fields = {"customers": customers, "months": months, "start": start.isoformat(), "records_before": found}
    return Intent("simulate", [line], fields, unusual)
