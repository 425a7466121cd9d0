"""`tidegauge worker`: a Faust worker that keeps standings and publishes tiers, alerts and queue priorities."""

import typer

from deploy.settings import Settings
from deploy.topics import WRITTEN_BY_WORKERS
from tidegauge.cli.choices import LogLevel
from tidegauge.cli.output import listening_at, notes
from tidegauge.cli.running import ends_early, one_last_line
from tidegauge.cli.servers import need_port

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
) -> None:
    """Run a worker until SIGTERM or Ctrl-C. Start more of them to share the partitions: Kafka does the rest."""
    ends_early("stopped before any partition was taken; it is safe to go on")
    from agents.engine.app import build_app, run_worker
    from agents.offline.warmup import warm_up
    from agents.standing.job import StandingJob
    from tidegauge.bootstrap import STANDING, standing_conf, standing_jobs
    from tidegauge.world.check import begin_world
    from tidegauge.world.found import USES_ALL
    from tidegauge.world.watch import Watch, end_process

    settings = Settings()
    port = settings.metrics_port if metrics_port is None else metrics_port
    need_port(settings.metrics_host, port, "--metrics-port")
    StandingJob(standing_conf(settings, keyless=True))  # asks the registry for every id
    world = begin_world(settings)
    settings = world.settings
    conf = standing_conf(settings)
    jobs = standing_jobs(settings)
    warm_up(conf)
    built = build_app(settings, jobs, name=STANDING, rows_max=FLUSH_ROWS, outputs=WRITTEN_BY_WORKERS)
    with listening_at(settings.metrics_host, port, "--metrics-port"), one_last_line():
        watch = Watch(world, USES_ALL)
        watch.start(end_process)
        try:
            said = run_worker(built, metrics_port=port, metrics_host=settings.metrics_host, loglevel=loglevel.value)
        except Exception as problem:  # another world shows itself in many ways; this says what it is
            if (other := watch.look()) is not None:
                raise other from problem
            raise
    notes.print(said, soft_wrap=True)
