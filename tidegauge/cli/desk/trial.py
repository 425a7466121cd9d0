"""`tidegauge desk try`: the desk with everything behind it, on servers of this machine, for who wants to see it."""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from deploy.settings import Settings
from tidegauge.cli.desk.pages import serve
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, CommandError, notes
from tidegauge.cli.servers import need_world

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg import Connection

BEHIND_IT: Final = ("worker", "readmodel follow")
_READ_S_MAX: Final = 120.0
_LOOK_S: Final = 0.5
_UNITS: Final = ["unit,name,change"]
_STAFF: Final = ["staff_id,login,name,role,unit,change"]


def try_desk(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; TIDEGAUGE_DESK_PORT if not given.")] = None,
) -> None:
    """Run the desk with a worker and all else that it needs, on servers of this machine, until told to stop.

    Where the list of staff is empty, it has the managers whom customers have, a head of each branch, and a president.
    """
    from tidegauge.demo.processes import Programs

    settings = Settings()
    hint = "`tidegauge worker`, `readmodel follow` and `desk serve` are the parts"
    if not settings.own_machine:
        raise CommandError("this is for servers of this machine, without an issuer of logins", hint, BAD_INPUT)
    if settings.secured:
        raise CommandError("on a secured stack each part has a user of its own, and starts by itself", hint, BAD_INPUT)
    settings = need_world(settings)
    programs = Programs(settings, tether=True)
    try:
        for name in BEHIND_IT:
            programs.start(name)
        notes.print("reading the topics …")
        _wait_read(settings, programs)
        _fill_staff(settings)
        serve(port=port)
    finally:
        programs.stop()


def _wait_read(settings: Settings, programs: Any) -> None:
    """Until the desk's tables have been read to the end. CommandError, StackError where a program has ended."""
    import psycopg

    from deploy.connections.database import connected

    until = time.monotonic() + _READ_S_MAX
    while time.monotonic() < until:
        programs.check()
        with suppress(psycopg.errors.UndefinedTable), connected(settings.database) as connection:
            asked = "SELECT count(*), coalesce(sum(behind), 0) FROM readmodel.freshness WHERE current_at IS NOT NULL"
            topics, behind = connection.execute(asked).fetchone() or (0, 0)
            if topics and not behind:
                return
        time.sleep(_LOOK_S)
    raise CommandError(f"the topics can't be read within {_READ_S_MAX:.0f} s", "is Kafka busy?", FAILED_CHECK)


def _fill_staff(settings: Settings) -> None:
    """People to choose from, where there are none."""
    from deploy.connections.database import connected
    from services.database.migrations import migrate
    from services.staff.directory import take
    from services.staff.lists import read_list

    with connected(settings.database) as connection:
        migrate(connection)
        if connection.execute("SELECT 1 FROM access.staff LIMIT 1").fetchone():
            return
        with tempfile.TemporaryDirectory() as folder:
            for lines in trial_staff(_known(connection)):
                path = Path(folder) / "list.csv"
                path.write_text("\n".join(lines) + "\n")
                take(connection, read_list(path), "desk try")


def _known(connection: Connection[Any]) -> list[tuple[str, str | None]]:
    """(unit, manager) of customers."""
    return connection.execute("SELECT DISTINCT unit, rm_id FROM readmodel.customers ORDER BY 1, 2").fetchall()


def trial_staff(known: Iterable[tuple[str, str | None]]) -> tuple[list[str], list[str]]:
    """Lists of units and of staff, as changes: each unit with those above it, its managers and a head; a president."""
    units, staff = {"hq"}, {"P-hq": "president,hq"}
    for unit, rm_id in known:
        parts = unit.split("/")
        units |= {"/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
        if rm_id is not None:
            staff[rm_id] = f"rm,{unit}"
        if len(parts) > 1:
            staff[f"BM-{'-'.join(parts[1:])}"] = f"branch_manager,{unit}"
    return (
        _UNITS + [f"{unit},{unit},set" for unit in sorted(units)],
        _STAFF + [f"{name},{name},{name},{place},set" for name, place in sorted(staff.items())],
    )
