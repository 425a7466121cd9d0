"""`tidegauge readmodel`: `follow` fills the tables that the desk shows, `rebuild` makes them anew beside a running desk."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from agents.engine.reader import LogReader
from agents.engine.watch.quiet import set_up_log
from deploy.connections.database import connected, shown_database
from deploy.settings import Settings
from services.access.decision import DataKind
from tidegauge.cli.actor import permitted
from tidegauge.cli.guard import DRY_RUN
from tidegauge.cli.output import FAILED_CHECK, JSON, CommandError, console, emit, notes
from tidegauge.cli.servers import found_world, need_world
from tidegauge.cli.shutdown import one_last_line, until_told
from tidegauge.world.found import USES_PLACE
from tidegauge.world.watch import Watch, end_process

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(no_args_is_help=True, help="Fill the tables that the desk shows, or build them anew.")
_ENDED: Final = "stopped: the desk shows what was taken until `tidegauge readmodel follow` runs again"


@app.command()
def follow() -> None:
    """Fill the desk's tables from the topics, until told to stop. Tables of another log are built anew by themselves.

    A second one does no harm: who has been overtaken goes on where the other stands.
    """
    import psycopg
    from confluent_kafka import KafkaException

    from schemas.registry import RegistryError
    from services.readmodel.projector import keep_projecting
    from services.readmodel.setup import projecting, rebuild_beside

    told = until_told()
    set_up_log("WARNING")
    world = found_world(Settings(), USES_PLACE)
    settings = world.settings
    Watch(world, USES_PLACE).start(end_process)
    connected(settings.database).close()  # a wrong one is told at once; one that goes away is waited for
    failures = (psycopg.Error, KafkaException, RegistryError, OSError)
    with one_last_line(), projecting(settings, LogReader) as projector:
        notes.print("filling the desk's tables; stop with Ctrl-C")
        keep_projecting(projector, lambda: rebuild_beside(settings, LogReader), _waiter(told), failures)
    notes.print(_ENDED, soft_wrap=True)


def _waiter(told: threading.Event) -> Callable[[float], bool]:
    return lambda wait_s: told.wait(wait_s) if wait_s else told.is_set()


@app.command("rebuild")
def rebuild_tables(dry_run: bool = DRY_RUN, as_json: bool = JSON) -> None:
    """Build the desk's tables anew from the topics beside those that are shown, and put them in their place."""
    from services.readmodel.projector import OvertakenError
    from services.readmodel.setup import rebuild_beside

    settings = Settings()
    permitted(settings, DataKind.VIEWS, "rebuild of the read model")
    settings = need_world(settings)
    shown = shown_database(settings.database)
    if dry_run:
        if as_json:
            emit({"dry_run": True, "database": shown})
        else:
            console.print(f"would build the desk's tables anew in {shown}; the desk shows the old ones meanwhile")
        return
    began = time.monotonic()
    with Progress(TextColumn("building"), BarColumn(), TimeElapsedColumn(), console=notes) as bar:
        task = bar.add_task("building", total=None)
        try:
            records = rebuild_beside(
                settings, LogReader, lambda done, total: bar.update(task, completed=done, total=total)
            )
        except OvertakenError as problem:
            raise CommandError(f"the rebuild stopped: {problem}", "run it again", FAILED_CHECK) from problem
    seconds = time.monotonic() - began
    if as_json:
        emit({"records": records, "seconds": round(seconds, 3), "database": shown})
    else:
        console.print(f"{records:,} records in {seconds:.1f} s")
