"""`tidegauge up` and `down`: the embedded Kafka and Redis server."""

import time
from pathlib import Path
from typing import Any

import typer

from deploy.settings import Settings
from tidegauge.cli.guard import DRY_RUN, Intent, goes_on
from tidegauge.cli.output import JSON, console, emit, notes

app = typer.Typer()

DATA = typer.Option(None, "--data", help="Folder of its data (TIDEGAUGE_DATA_DIR; .data).")


@app.command("up")
def up(
    data: Path | None = DATA,
    kafka_port: int | None = typer.Option(None, "--kafka-port", min=1, max=65535, help="First port of Kafka (9092)."),
    redis_port: int | None = typer.Option(
        None, "--redis-port", min=1, max=65535, help="Port of the Redis server (6379)."
    ),
    brokers: int | None = typer.Option(None, "--brokers", min=1, max=5, help="Number of Kafka brokers (1)."),
    as_json: bool = JSON,
) -> None:
    """Start Kafka and a Redis server in the background, wait until they answer, and create the topics.

    Where TIDEGAUGE_BOOTSTRAP_SERVERS or TIDEGAUGE_REDIS_URL is set, that server is used instead. Again is harmless.
    """
    from deploy.embedded.stack import Stack  # here and below, as it needs tidegauge[embedded]

    given: dict[str, Any] = {"data_dir": data, "kafka_port": kafka_port, "redis_port": redis_port, "brokers": brokers}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    since = time.monotonic()
    stack = Stack(settings.data_dir, settings, say=notes.print)
    stack.start()
    seconds = time.monotonic() - since
    if as_json:
        emit({
            "seconds": round(seconds, 1), "bootstrap_servers": stack.bootstrap_servers, "redis_url": stack.settings.redis_shown,
        })  # fmt: skip
    else:
        console.print(f"up after {seconds:.1f} s: Kafka {stack.bootstrap_servers}, {stack.settings.redis_shown}")


@app.command("down")
def down(
    data: Path | None = DATA,
    dry_run: bool = DRY_RUN,
    as_json: bool = JSON,
) -> None:
    """Stop what `up` started in this data folder. The data stays."""
    from deploy.embedded.stack import Stack

    settings = Settings() if data is None else Settings(data_dir=data)
    if dry_run and not goes_on(_stopping(settings), "", dry_run=True, as_json=as_json):
        return
    stopped = Stack(settings.data_dir, settings).stop()
    if as_json:
        emit({"stopped": stopped})
        return
    console.print(f"stopped: {', '.join(stopped)}" if stopped else f"nothing runs in {settings.data_dir}")


def _stopping(settings: Settings) -> Intent:
    """What would be stopped."""
    from deploy import record

    names = [entry.name for entry in record.processes(settings.data_dir) if entry.alive()]
    line = f"stop {', '.join(names) or 'nothing'} in {settings.data_dir}"
    return Intent("down", [line], {"stopped": names})
