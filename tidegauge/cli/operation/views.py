"""The commands of the Redis view: `views` keeps it, `rebuild` makes it anew."""

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from redis import RedisError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agents.engine.reader import LogReader
from agents.engine.watch.quiet import set_up_log
from deploy.errors import StackError
from deploy.settings import Settings
from services.access.decision import DataKind
from services.assembly import FAILURES, redis_client, tell_lookups, view_sweeper, view_writer
from services.views.keys import Keys
from services.views.metrics import serve_view_metrics
from services.views.store import LeaseLostError
from services.views.sweep.completeness import completeness
from services.views.sweep.sweeper import keep_sweeping
from services.views.writer import ViewWriter, keep, rebuild
from tidegauge.cli.actor import permitted
from tidegauge.cli.guard import DRY_RUN, FORCE, FORCE_REASON, Intent, goes_on, reason_given
from tidegauge.cli.output import FAILED_CHECK, JSON, CommandError, console, emit, listening_at, notes
from tidegauge.cli.servers import need_redis, need_world
from tidegauge.cli.shutdown import one_last_line, until_told
from tidegauge.world.check import World, WorldError, check_world
from tidegauge.world.found import USES_PLACE
from tidegauge.world.watch import Watch

if TYPE_CHECKING:
    from redis import Redis

app = typer.Typer()
LEFT: Final = (
    "stopped: the view has what was applied; look-ups say degraded in a while, until `tidegauge views` runs again"
)


def open_writer(settings: Settings) -> ViewWriter:
    """A writer; one line where a server does not answer."""
    settings = need_world(settings)
    need_redis(settings)
    return view_writer(settings, LogReader)


@app.command("views")
def views(
    metrics_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of Prometheus metrics; 0: none.")] = 0,
) -> None:
    """Keep the Redis view in step with Kafka, until told to stop. A second one stands by."""
    told = until_told()
    set_up_log("WARNING")
    world = check_world(Settings())
    settings, anew, over = world.settings, threading.Event(), threading.Event()
    writer = open_writer(settings)
    sweeper = view_sweeper(settings, writer, LogReader)
    client, keys = redis_client(settings), Keys.of(settings.topic_prefix)
    told_lookups = partial(tell_identity, client, keys)
    told_lookups(world)

    def changed(problem: WorldError) -> None:
        notes.print(f"{problem.message}: the view is built again", soft_wrap=True, markup=False)
        anew.set()

    def stopped(wait_s: float) -> bool:
        return anew.is_set() or over.is_set() or told.wait(wait_s)

    Watch(world, USES_PLACE, tell=told_lookups).start(changed)
    if metrics_port:
        with listening_at(settings.metrics_host, metrics_port, "--metrics-port"):
            serve_view_metrics(writer, sweeper.counts, metrics_port, settings.metrics_host)
    notes.print("keeping the view; stop with Ctrl-C")
    with one_last_line(), ThreadPoolExecutor(1, "sweep") as hand:
        sweeps = hand.submit(keep_sweeping, sweeper, over, FAILURES)
        try:
            keep(writer, stopped, FAILURES)
        finally:
            over.set()
        sweeps.result()  # what ended it, ends the process
    if not told.is_set():
        _begin_again(told)
    notes.print(LEFT, soft_wrap=True)


def _begin_again(told: threading.Event) -> None:
    """Once the other log is good, run this program anew in this process: no client of the old one is gone on with."""
    while not told.wait(1.0):
        with suppress(StackError, *FAILURES):
            check_world(Settings())
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this program itself


def tell_identity(client: "Redis", keys: Keys, world: World) -> None:
    """Tell look-ups whose references the view holds. A store that is away is told at the next look."""
    if world.entry is not None:
        with suppress(RedisError):
            identity = world.entry.identity
            tell_lookups(client, keys, identity.reference_key, identity.zone, world.entry.epoch)


@app.command("rebuild")
def rebuild_view(
    dry_run: bool = DRY_RUN, force: bool = FORCE, reason: str = FORCE_REASON, as_json: bool = JSON
) -> None:
    """Wipe the Redis view and build it again from Kafka; a running `tidegauge views` stands by meanwhile.

    A view that is kept and lacks no row needs force.
    """
    settings, why = Settings(), reason_given(reason, force=force)
    permitted(settings, DataKind.VIEWS, "rebuild")
    writer = open_writer(settings)
    if not goes_on(_wiping(settings), why, dry_run=dry_run, as_json=as_json):
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    began = time.monotonic()
    with Progress(*columns, console=notes) as bar:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total or None)
            bar.update(tasks[stage], completed=done)

        try:
            records = rebuild(writer, progress)
        except (LeaseLostError, *FAILURES) as problem:
            hint = "run it again: the view is incomplete until then, and lookups say `degraded`"
            raise CommandError(f"the rebuild stopped: {problem}", hint, FAILED_CHECK) from problem
    seconds = time.monotonic() - began
    rate = round(records / seconds) if seconds else 0
    if as_json:
        figures = {
            "records": records,
            "seconds": round(seconds, 3),
            "per_second": rate,
            "rejected": writer.counts.rejected,
        }
        emit(figures)
    else:
        console.print(f"{records:,} records in {seconds:.1f} s ({rate:,}/s), {writer.counts.rejected} unreadable")


def _wiping(settings: Settings) -> Intent:
    """What a rebuild does; beyond the ordinary where the view is whole."""
    view = settings.redis_shown
    line = f"wipe the view at {view} and build it from {settings.kafka}; look-ups say degraded until then"
    whole = completeness(redis_client(settings), Keys.of(settings.topic_prefix))
    unusual = [f"nothing is wrong with the view ({whole.found}); every look-up would be degraded meanwhile"]
    return Intent("rebuild", [line], {"view": view}, unusual if whole.good else ())
