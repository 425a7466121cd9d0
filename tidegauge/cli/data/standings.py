"""`tidegauge standings` and `replay`: every customer as of a day, from the live system or from files."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import IO, TYPE_CHECKING

import typer

from deploy.printable import spreadsheet_row
from deploy.settings import Settings
from services.access.decision import Action, DataKind
from streams.calendar import day_of
from tidegauge.cli.actor import AS, asked, sees
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, CommandError, error, notes

if TYPE_CHECKING:
    from agents.standing.job import StandingJob

app = typer.Typer()
BERKA_CURRENCY = "CZK"
_Rows = list[list[str | int | None]]


@app.command("standings")
def standings(
    as_of: str = typer.Option(..., "--as-of", help="A day from the first of the last closed month on."),
    form: str = typer.Option("csv", "--format", help="csv or json."),
    out: Path | None = typer.Option(None, "--out", help="A file; standard output without it."),
    actor: str = AS,
) -> None:
    """Read every customer's standing as of a day out of the live system, without touching it.

    An export: an actor of a unit gets the customers of that unit and of those below it.
    """
    from agents.offline.standings import AsOfError, all_standings, branches

    day, settings = parse_date("--as-of", as_of), Settings()
    who = asked(settings, actor, Action.EXPORT, DataKind.BALANCES)
    jobs = live_jobs(settings)
    known = {name: branch for job in jobs for name, branch in branches(job).items()}
    try:
        rows = all_standings(jobs, day)
        _write([row for row in rows if sees(who, Action.EXPORT, DataKind.BALANCES, known[str(row[0])])], form, out)
    except AsOfError as problem:
        raise CommandError(str(problem), code=BAD_INPUT) from problem


def live_jobs(settings: Settings) -> list[StandingJob]:
    """The committed state of every partition, read beside the workers."""
    from agents.engine.job import RecoveryError
    from agents.engine.recovery import read_state
    from tidegauge.bootstrap import STANDING, standing_jobs

    factory = standing_jobs(settings)

    async def read() -> list[StandingJob]:
        return [await read_state(settings, factory, p, name=STANDING) for p in range(settings.partitions)]

    try:
        return asyncio.run(read())
    except RecoveryError as problem:
        raise CommandError(
            str(problem), "is a worker running? `tidegauge doctor` looks", code=FAILED_CHECK
        ) from problem


@app.command("replay")
def replay(
    path: Path = typer.Argument(..., help="A file, or a folder of files."),
    form: str = typer.Option(..., "--format", help="berka, ndjson, csv or parquet (docs/formats.md)."),
    as_of: str = typer.Option(..., "--as-of", help="The day of the metrics."),
    out: Path | None = typer.Option(None, "--out", help="A CSV file; standard output without it."),
    pack: str | None = typer.Option(None, "--pack", help="A policy pack other than the setting's."),
    known_by: str | None = typer.Option(None, "--known-by", help="Leave out what was booked after this day."),
) -> None:
    """Compute standings from files alone: the worker's own kernels, events in booking order, a close after each day."""
    from agents.offline.standings import all_standings

    job = replayed(
        path, form, parse_date("--as-of", as_of), pack, parse_date("--known-by", known_by) if known_by else None
    )
    _write(all_standings([job], parse_date("--as-of", as_of)), "csv", out)


def replayed(path: Path, form: str, as_of: int, pack: str | None, known_by: int | None) -> StandingJob:
    """The job after a replay of files; bad lines are named on stderr and left out."""
    from agents.offline.replay import Arrival, replay_arrivals
    from connectors.formats.events import DayEnd, InputError
    from connectors.formats.sources import read_source
    from connectors.loading.arrival import days
    from policies import PackError
    from schemas.codec.records import encode
    from tidegauge.bootstrap import standing_conf

    settings = Settings()
    try:
        conf = standing_conf(settings, pack, BERKA_CURRENCY if form == "berka" else None)
        events = read_source(form, path, settings.zone, lambda problem: error(str(problem)))
        arrivals = [Arrival(e.day, "", None) if isinstance(e, DayEnd) else Arrival(*e) for e in days(events, str(path))]
    except (InputError, PackError) as problem:
        raise CommandError(str(problem), code=BAD_INPUT) from problem
    with notes.status("replaying"):
        return replay_arrivals(
            conf, arrivals, lambda topic, record: encode(topic, record, conf.registry), as_of, known_by
        )


def _write(rows: _Rows, form: str, out: Path | None) -> None:
    """Rows of agents.offline.standings as CSV or JSON."""
    from agents.offline.standings import columns_of

    if form not in ("csv", "json"):
        raise CommandError(f"{form!r} is neither csv nor json", code=BAD_INPUT)
    with nullcontext(sys.stdout) if out is None else out.open("w", newline="") as stream:
        if form == "csv":
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(columns_of(rows))
            table.writerows(map(spreadsheet_row, rows))
        else:
            _json(rows, columns_of(rows), stream)
    if out is not None:
        notes.print(f"{len(rows)} customers in {out}")


def _json(rows: _Rows, columns: tuple[str, ...], stream: IO[str]) -> None:
    json.dump([dict(zip(columns, row, strict=True)) for row in rows], stream, indent=1)
    stream.write("\n")


def parse_date(option: str, text: str) -> int:
    """The day number of an option's date."""
    try:
        return day_of(date.fromisoformat(text))
    except ValueError as problem:
        raise CommandError(f"{option} {text!r} is no date such as 2026-01-31", code=BAD_INPUT) from problem
