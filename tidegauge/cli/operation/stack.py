"""`tidegauge up` and `down`: the embedded Kafka and Redis server."""

import time
from pathlib import Path
from typing import Any

import typer

from deploy.errors import StackError
from deploy.settings import Settings
from tidegauge.cli.output import CommandError, console, notes

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
) -> None:
    """Start Kafka and a Redis server in the background, wait until they answer, and create the topics.

    Where TIDEGAUGE_BOOTSTRAP_SERVERS or TIDEGAUGE_REDIS_URL is set, that server is used instead. Again is harmless.
    """
    from deploy.embedded.stack import Stack  # here and below, as it needs tidegauge[embedded]

    given: dict[str, Any] = {"data_dir": data, "kafka_port": kafka_port, "redis_port": redis_port, "brokers": brokers}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    since = time.monotonic()
    try:
        stack = Stack(settings.data_dir, settings, say=notes.print)
        stack.start()
    except StackError as problem:
        raise CommandError(problem.message, problem.hint, code=1) from problem
    console.print(
        f"up after {time.monotonic() - since:.1f} s: Kafka {stack.bootstrap_servers}, {stack.settings.redis_shown}"
    )


@app.command("down")
def down(data: Path | None = DATA) -> None:
    """Stop what `up` started in this data folder. The data stays."""
    from deploy.embedded.stack import Stack

    settings = Settings() if data is None else Settings(data_dir=data)
    stopped = Stack(settings.data_dir, settings).stop()
    console.print(f"stopped: {', '.join(stopped)}" if stopped else f"nothing runs in {settings.data_dir}")
