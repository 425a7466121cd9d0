"""`tidegauge worker`: a Faust worker that keeps standings and publishes tiers, alerts and queue priorities."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from deploy import topics
from deploy.settings import Settings
from tidegauge.cli.choices import LogLevel
from tidegauge.cli.failures import DEBUG, last_line
from tidegauge.cli.output import listening_at, notes
from tidegauge.cli.servers import need_kafka, need_port

FLUSH_ROWS = 8192  # changelog rows a transaction: alerts wait for a part of a flush, not for all of it

app = typer.Typer()


@contextmanager
def one_last_line() -> Iterator[None]:
    """Whatever ends a process that was to run on is said in one line."""
    try:
        yield
    except Exception as problem:
        if os.environ.get(DEBUG):
            raise
        raise last_line(problem) from problem


def _stopped_early(*_: object) -> None:
    """Faust takes the signal once it runs."""
    notes.print("stopped before any partition was taken; it is safe to go on")
    raise SystemExit(0)


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
    signal.signal(signal.SIGTERM, _stopped_early)
    from agents.engine.app import build_app, run_worker
    from agents.offline.warmup import warm_up
    from tidegauge.bootstrap import STANDING, standing_conf, standing_jobs

    settings = Settings()
    port = settings.metrics_port if metrics_port is None else metrics_port
    need_port(settings.metrics_host, port, "--metrics-port")
    conf = standing_conf(settings)
    jobs = standing_jobs(settings)
    jobs()  # asks the registry for every id
    # By another number of partitions every record would seem to lie wrong.
    topics.require_partitions(settings, need_kafka(settings))
    warm_up(conf)
    built = build_app(settings, jobs, name=STANDING, rows_max=FLUSH_ROWS, outputs=topics.WRITTEN_BY_WORKERS)
    with listening_at(settings.metrics_host, port, "--metrics-port"), one_last_line():
        said = run_worker(built, metrics_port=port, metrics_host=settings.metrics_host, loglevel=loglevel.value)
    notes.print(said, soft_wrap=True)
