"""`tidegauge worker`: a Faust worker that keeps standings and publishes tiers, alerts and queue priorities."""

from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

import typer

from deploy.settings import Settings
from deploy.topics import WRITTEN_BY_WORKERS
from streams.calendar import day_of
from tidegauge.cli.choices import LogLevel, closable_date
from tidegauge.cli.output import BAD_INPUT, CommandError, listening_at, notes
from tidegauge.cli.servers import need_port
from tidegauge.cli.shutdown import ends_early, one_last_line

if TYPE_CHECKING:
    from agents.engine.app import BlockApp
    from agents.engine.unit import Outlet
    from agents.owners.agent import AccountAgent
    from streams.closing import Run
    from tidegauge.world.check import World

FLUSH_ROWS = 8192  # changelog rows a transaction: alerts wait for a part of a flush, not for all of it

app = typer.Typer()


@app.command("worker")
def worker(
    metrics_port: int | None = typer.Option(
        None, "--metrics-port", min=0, max=65535, help="Port of metrics and health; 0: none."
    ),
    loglevel: LogLevel = typer.Option(
        LogLevel.WARNING, "--loglevel", case_sensitive=False, help="Of Faust's and our own log."
    ),
    shadow: str = typer.Option(
        "",
        "--shadow",
        metavar="GROUP",
        help="Read beside the owning workers, as this group; publish to topics of its own.",
    ),
    without_close: list[date] | None = typer.Option(
        None,
        "--without-close",
        parser=closable_date,
        metavar="DATE",
        help="The shadow leaves out the closes that were asked for on this day. Repeatable.",
    ),
) -> None:
    """Run a worker until SIGTERM or Ctrl-C. Start more of them to share the partitions: Kafka does the rest."""
    ends_early("stopped before any partition was taken; it is safe to go on")
    from agents.engine.app import build_app, run_worker
    from agents.engine.unit import Outlet
    from agents.offline.warmup import warm_up
    from agents.standing.job import StandingJob
    from tidegauge.bootstrap import STANDING, standing_conf, standing_jobs
    from tidegauge.world.found import USES_SHADOW
    from tidegauge.world.shadow import may_publish, shadow_prefix
    from tidegauge.world.watch import Watch, end_process

    settings, beside = Settings(), bool(shadow)
    if without_close and not beside:
        raise CommandError("--without-close is for a shadow", "name its group: --shadow GROUP", BAD_INPUT)
    port = settings.metrics_port if metrics_port is None else metrics_port
    need_port(settings.metrics_host, port, "--metrics-port")
    StandingJob(standing_conf(settings, keyless=True))  # asks the registry for every id
    world, left_out = _begun(settings, shadow, without_close or [])
    settings = world.settings
    jobs = standing_jobs(settings, epoch=world.epoch, shadow=beside, left_out=left_out)
    warm_up(standing_conf(settings))
    outlet = Outlet(shadow_prefix(settings) if beside else None, partial(may_publish, world, shadow=beside))
    built = build_app(settings, jobs, name=STANDING, rows_max=FLUSH_ROWS, outputs=WRITTEN_BY_WORKERS, outlet=outlet)
    with listening_at(settings.metrics_host, port, "--metrics-port"), one_last_line():
        watch = Watch(world, USES_SHADOW, shadow=beside)
        watch.start(end_process)
        agent = None if beside else _account_agent(settings, built, outlet)
        try:
            said = run_worker(built, metrics_port=port, metrics_host=settings.metrics_host, loglevel=loglevel.value)
        except Exception as problem:  # another world shows itself in many ways; this says what it is
            if (other := watch.look()) is not None:
                raise other from problem
            raise
        finally:
            if agent is not None:
                agent.stop()
    notes.print(said, soft_wrap=True)


def _account_agent(settings: Settings, built: "BlockApp", outlet: "Outlet") -> "AccountAgent":
    """The agent that compares the owners of accounts, begun. A shadow has none: what it would tell is the owner's to tell."""
    from agents.owners.agent import AccountAgent
    from schemas.registry import registry_for
    from tidegauge.bootstrap import STANDING

    def held() -> set[int]:
        return {partition for partition, (unit, _) in list(built.units.units.items()) if unit.live and not unit.dead}

    agent = AccountAgent(
        settings, STANDING, registry_for(settings), settings.alert_secret(), held, built.metrics, outlet.may
    )  # fmt: skip
    agent.start()
    return agent


def _begun(settings: Settings, shadow: str, without: Sequence[date]) -> "tuple[World, frozenset[Run]]":
    """The log, found good for a worker or for a shadow of a group, and the closes that don't count."""
    from tidegauge.world.check import begin_world
    from tidegauge.world.shadow import begin_shadow, named_runs

    if not shadow:
        world = begin_world(settings)
        return world, world.left_out
    world = begin_shadow(settings.model_copy(update={"group": shadow}))
    named = named_runs(world.settings, map(day_of, without)) if without else frozenset()
    return world, world.left_out | named
