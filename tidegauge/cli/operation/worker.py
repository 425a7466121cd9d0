"""`tidegauge worker`: a Faust worker that keeps standings and publishes tiers, alerts and queue priorities."""

import typer

from deploy import topics
from deploy.errors import StackError
from deploy.settings import Settings
from tidegauge.cli.output import FAILED_CHECK, CommandError, listening_at

LOOK_S = 3.0
FLUSH_ROWS = 8192  # changelog rows a transaction: alerts wait for a part of a flush, not for all of it

app = typer.Typer()


@app.command("worker")
def worker(
    metrics_port: int | None = typer.Option(
        None, "--metrics-port", min=0, max=65535, help="Port of metrics and health; 0: none."
    ),
    loglevel: str = typer.Option("WARNING", "--loglevel", help="Of Faust's and our own log."),
) -> None:
    """Run a worker until SIGTERM or Ctrl-C. Start more of them to share the partitions: Kafka does the rest."""
    settings = Settings()
    _check_partitions(settings)

    from agents.engine.app import build_app, run_worker
    from agents.engine.job import RecoveryError
    from agents.offline.warmup import warm_up
    from tidegauge.bootstrap import STANDING, standing_conf, standing_jobs

    warm_up(standing_conf(settings))
    port = settings.metrics_port if metrics_port is None else metrics_port
    try:
        built = build_app(settings, standing_jobs(settings), name=STANDING, rows_max=FLUSH_ROWS)
    except RecoveryError as problem:
        raise CommandError(str(problem), "start it with `tidegauge up`", FAILED_CHECK) from problem
    with listening_at(settings.metrics_host, port, "--metrics-port"):
        run_worker(built, metrics_port=port, metrics_host=settings.metrics_host, loglevel=loglevel)


def _check_partitions(settings: Settings) -> None:
    """By another number every record would seem to lie wrong. Without Kafka nothing is known yet: the worker waits for it."""
    try:
        found = topics.inspect(settings, LOOK_S)
    except StackError:
        return
    try:
        topics.require_partitions(settings, found)
    except StackError as problem:
        raise CommandError(problem.message, problem.hint, FAILED_CHECK) from problem
