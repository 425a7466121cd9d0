"""`tidegauge standings` and `replay`: every customer as of a day, from the live system or from files."""

from __future__ import annotations

import asyncio
import csv
import sys
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from deploy.printable import spreadsheet_row
from deploy.settings import Settings
from services.access.decision import Action, DataKind
from streams.calendar import date_of, day_of
from tidegauge.cli.actor import AS, asked, sees
from tidegauge.cli.choices import BERKA_CURRENCY, SILENCE, SourceFormat, iso_date
from tidegauge.cli.data.refused import PUBLISHED, Refused, arrivals
from tidegauge.cli.output import BAD_INPUT, JSON, CommandError, check_folder, document, notes
from tidegauge.cli.servers import need_world
from tidegauge.world.found import USES_ALL

if TYPE_CHECKING:
    from agents.standing.job import StandingJob

app = typer.Typer()
_Rows = list[list[str | int | None]]


@app.command("standings")
def standings(
    as_of: date = typer.Option(
        ..., "--as-of", parser=iso_date, help="A day from the first of the last closed month on."
    ),
    out: Path | None = typer.Option(None, "--out", help="A file; standard output without it."),
    as_json: bool = JSON,
    actor: str = AS,
) -> None:
    """Read every customer's standing as of a day out of the live system, as CSV or JSON, without touching it.

    An export: an actor of a unit gets the customers of that unit and of those below it.
    """
    from agents.offline.standings import all_standings, branches

    settings = Settings()
    who = asked(settings, actor, Action.EXPORT, DataKind.BALANCES, about="all customers")
    check_folder(out)
    settings = need_world(settings, USES_ALL)
    jobs = live_jobs(settings)
    known = {name: branch for job in jobs for name, branch in branches(job).items()}
    rows = all_standings(jobs, day_of(as_of))
    write([row for row in rows if sees(who, Action.EXPORT, DataKind.BALANCES, known[str(row[0])])], out, as_json)


def live_jobs(settings: Settings) -> list[StandingJob]:
    """The committed state of every partition, read beside the workers."""
    from agents.engine.recovery import read_state
    from tidegauge.bootstrap import STANDING, standing_jobs

    factory = standing_jobs(settings)

    async def read() -> list[StandingJob]:
        return [await read_state(settings, factory, p, name=STANDING) for p in range(settings.partitions)]

    return asyncio.run(read())


@app.command("replay")
def replay(
    path: Path = typer.Argument(..., help="A file, or a folder of files."),
    form: SourceFormat = typer.Option(..., "--format", help="Of the files (docs/formats.md)."),
    as_of: date = typer.Option(..., "--as-of", parser=iso_date, help="The day of the metrics."),
    out: Path | None = typer.Option(None, "--out", help="A file; standard output without it."),
    pack: str | None = typer.Option(None, "--pack", help="A policy pack other than the setting's."),
    known_by: date | None = typer.Option(
        None, "--known-by", parser=iso_date, help="Leave out what was booked after this day."
    ),
    silence_days: int = SILENCE,
    as_json: bool = JSON,
) -> None:
    """Compute standings from files alone: the worker's own kernels, events in booking order, a close after each day.

    Bad lines, and postings that conflict with others, are named on stderr and left out; the exit code is 2. Acts that the pack
    refuses are named too, and change nothing.
    """
    from agents.offline.standings import all_standings

    check_folder(out)
    day, refused = day_of(as_of), Refused(Settings())
    known = None if known_by is None else day_of(known_by)
    job = replayed(path, form, day, pack, known, silence_days, refused)
    write(all_standings([job], day), out, as_json)
    refused.end("what is printed is computed from the good ones")


def replayed(
    path: Path, form: str, as_of: int, pack: str | None, known_by: int | None, silence_days: int, refused: Refused
) -> StandingJob:
    """The job after a replay of files, every day up to `as_of` closed."""
    from agents.offline.replay import replay_arrivals
    from schemas.codec.records import encode
    from tidegauge.bootstrap import standing_conf

    settings = Settings()
    conf = standing_conf(settings, pack, BERKA_CURRENCY if form == "berka" else None, keyless=True)
    found = arrivals(settings, path, form, refused, as_of, silence_days)
    first, last = min(arrival.day for arrival in found), as_of if known_by is None else min(as_of, known_by)
    if last < first:
        hint = "choose a later --as-of, and a later --known-by if one is given"
        raise CommandError(
            f"nothing is known on {date_of(last)}: the first event is of {date_of(first)}", hint, BAD_INPUT
        )
    with notes.status("replaying"):
        return replay_arrivals(
            conf, found, lambda topic, record: encode(topic, record, conf.registry), as_of, known_by,
            refused.letter, PUBLISHED,
        )  # fmt: skip


def write(rows: _Rows, out: Path | None, as_json: bool) -> None:
    """Rows of agents.offline.standings as CSV or JSON."""
    from agents.offline.standings import columns_of

    names = columns_of(rows)
    with nullcontext(sys.stdout) if out is None else out.open("w", encoding="utf-8", newline="") as stream:
        if as_json:
            found = [dict(zip(names, row, strict=True)) for row in rows]
            stream.write(document(found, stream.encoding) + "\n")
        else:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(names)
            table.writerows(map(spreadsheet_row, rows))
    if out is not None:
        notes.print(f"{len(rows)} customers in {out}", markup=False, soft_wrap=True)
