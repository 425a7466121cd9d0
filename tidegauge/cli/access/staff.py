"""`tidegauge staff`: the bank's own lists of units, staff and absences, from which roles, units and owners come."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from deploy.settings import Settings
from services.access.decision import DataKind
from tidegauge.cli.actor import AS, permitted
from tidegauge.cli.guard import DRY_RUN, FORCE, FORCE_REASON, Intent, goes_on, reason_given
from tidegauge.cli.output import BAD_INPUT, JSON, console, emit, error

if TYPE_CHECKING:
    from services.staff.directory import Taken
    from services.staff.lists import RefusedLine, StaffList

app = typer.Typer(no_args_is_help=True)
SHOWN_MAX: Final = 20
ENDED_SHARE_MAX: Final = 10  # of a hundred that are active: what a list may end and be ordinary
ENDED_MIN: Final = 5  # as many may end in any case


@app.callback()
def root() -> None:
    """Who works at the bank."""


@app.command("import")
def import_list(
    path: Path = typer.Argument(..., help="A CSV file of units, of staff or of absences; its header says which."),
    dry_run: bool = DRY_RUN,
    force: bool = FORCE,
    reason: str = FORCE_REASON,
    actor: str = AS,
    as_json: bool = JSON,
) -> None:
    """Take a list of the bank's directory: a full one with its manifest, or changes. All of it or nothing; again is harmless."""
    from deploy.connections.database import connected
    from services.database.migrations import check_migrated
    from services.staff.directory import take
    from services.staff.lists import RefusedListError, read_list

    settings, why = Settings(), reason_given(reason, force=force)
    who = permitted(settings, DataKind.STAFF, path.name, actor)
    try:
        found = read_list(path)
        with connected(settings.database, autocommit=True) as connection:
            check_migrated(connection)
            with connection.transaction() as transaction:
                taken = take(connection, found, who.actor_id)
                if not goes_on(_intent(found, taken), why, dry_run=dry_run, as_json=as_json):
                    from psycopg import Rollback

                    raise Rollback(transaction)
    except RefusedListError as problem:
        _refused(problem.problems)
    if not dry_run:
        _say(found, taken, as_json=as_json)


def _intent(found: "StaffList", taken: "Taken") -> Intent:
    """What a list would do; that it ends many is beyond the ordinary: it may have been cut off where it was made."""
    unusual = []
    if taken.ended > ENDED_MIN and 100 * taken.ended > ENDED_SHARE_MAX * taken.active_before:
        unusual.append(f"{taken.ended} of {taken.active_before} {found.kind.name} would end")
    line = f"add {taken.added}, change {taken.changed}, end {taken.ended} {found.kind.name}; {taken.unchanged} stay"
    return Intent("staff import", [line], _fields(found, taken), unusual)


def _fields(found: "StaffList", taken: "Taken") -> dict[str, Any]:
    return {
        "list": found.kind.name, "full_list": found.full, "sha256": found.sha256, "added": taken.added, "changed": taken.changed,
        "ended": taken.ended, "unchanged": taken.unchanged,
    }  # fmt: skip


def _say(found: "StaffList", taken: "Taken", *, as_json: bool) -> None:
    if as_json:
        emit(_fields(found, taken))
        return
    console.print(
        f"{found.kind.name}: {taken.added} added, {taken.changed} changed, {taken.ended} ended, {taken.unchanged} unchanged"
    )


def _refused(problems: list["RefusedLine"]) -> None:
    """Say the first lines that were refused, and leave."""
    for problem in problems[:SHOWN_MAX]:
        error(str(problem))
    count = f"{len(problems)} line{'s were' if len(problems) > 1 else ' was'} refused"
    error(f"{count}, and nothing was imported", "see docs/formats.md, staff")
    raise typer.Exit(BAD_INPUT)
