"""`tidegauge up` and `down`: the embedded Kafka, Redis servers and PostgreSQL."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from deploy.connections.database import shown_database
from deploy.settings import Settings
from tidegauge.cli.guard import DRY_RUN, FORCE, FORCE_REASON, Intent, goes_on, reason_given
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
    tickets_port: int | None = typer.Option(
        None, "--tickets-port", min=1, max=65535, help="Port of the server for tickets (6380)."
    ),
    postgres_port: int | None = typer.Option(
        None, "--postgres-port", min=1, max=65535, help="Port of PostgreSQL (5432)."
    ),
    brokers: int | None = typer.Option(None, "--brokers", min=1, max=5, help="Number of Kafka brokers (1)."),
    secure: bool = typer.Option(
        False, "--secure", help="With TLS, and a user with the least rights for each kind of process."
    ),
    as_json: bool = JSON,
) -> None:
    """Start Kafka, two Redis servers and PostgreSQL in the background, wait until they answer, and create topics and tables.

    Where TIDEGAUGE_BOOTSTRAP_SERVERS, TIDEGAUGE_REDIS_URL, TIDEGAUGE_TICKETS_URL or TIDEGAUGE_DATABASE_URL is set, that
    server is used instead. Again is harmless.
    """
    from deploy.embedded.stack import Stack  # here and below, as it needs tidegauge[embedded]
    from services.database.setup import make_ready

    given: dict[str, Any] = {
        "data_dir": data, "kafka_port": kafka_port, "redis_port": redis_port, "tickets_port": tickets_port,
        "postgres_port": postgres_port, "brokers": brokers,
    }  # fmt: skip
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    since = time.monotonic()
    stack = Stack(settings.data_dir, settings, with_tickets=True, with_postgres=True, secure=secure, say=notes.print)
    stack.start()
    if stack.with_postgres:  # a database of the bank's own is migrated by its own command
        make_ready(stack.settings)
    seconds = time.monotonic() - since
    if as_json:
        emit({
            "seconds": round(seconds, 1), "bootstrap_servers": stack.bootstrap_servers, "redis_url": stack.settings.redis_shown,
            "tickets_url": stack.settings.tickets_shown, "database_url": shown_database(stack.settings.database),
        })  # fmt: skip
    else:
        shown = stack.settings.redis_shown, stack.settings.tickets_shown, shown_database(stack.settings.database)
        console.print(f"up after {seconds:.1f} s: Kafka {stack.bootstrap_servers}, {', '.join(shown)}")


@app.command("down")
def down(
    data: Path | None = DATA,
    dry_run: bool = DRY_RUN,
    force: bool = FORCE,
    reason: str = FORCE_REASON,
    as_json: bool = JSON,
) -> None:
    """Stop what `up` started in this data folder. The data stays. Under workers that are at work it needs force."""
    from deploy.embedded.stack import Stack

    settings, why = Settings() if data is None else Settings(data_dir=data), reason_given(reason, force=force)
    if not goes_on(_stopping(settings), why, dry_run=dry_run, as_json=as_json):
        return
    stopped = Stack(settings.data_dir, settings).stop()
    if as_json:
        emit({"stopped": stopped})
        return
    console.print(f"stopped: {', '.join(stopped)}" if stopped else f"nothing runs in {settings.data_dir}")


def _stopping(settings: Settings) -> Intent:
    """What would be stopped; beyond the ordinary while somebody is in the middle of something."""
    from deploy import record

    names = [entry.name for entry in record.processes(settings.data_dir) if entry.alive()]
    line = f"stop {', '.join(names) or 'nothing'} in {settings.data_dir}"
    ours = not settings.bootstrap_servers and any(name.startswith("kafka") for name in names)
    return Intent("down", [line], {"stopped": names}, at_work(settings) if ours else ())


def at_work(settings: Settings) -> list[str]:
    """What is half done on the brokers, a line each; nothing where they can't say."""
    from confluent_kafka import KafkaException

    from tidegauge.checks import flow

    with suppress(KafkaException):
        return [
            *_writing(sorted(flow.standing_at(settings))),
            *_behind(flow.members(settings), flow.uncounted(settings)),
        ]
    return []


def _writing(places: list[tuple[str, int]]) -> Iterator[str]:
    if places:
        yield f"a transaction is open on {places[0][0]}/{places[0][1]}: an import or a close is under way; let it end"


def _behind(members: int, waiting: dict[tuple[str, int], int]) -> Iterator[str]:
    if members and waiting:
        count, who = sum(waiting.values()), f"{members} worker{'s are' if members > 1 else ' is'} at work"
        yield f"{who}, and {count:,} offsets of the inputs are not counted yet; `tidegauge drain` ends a worker"
