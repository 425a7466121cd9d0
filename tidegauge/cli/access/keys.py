"""`tidegauge keys`: keys of kiosks, counters and the card system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from deploy.settings import Settings
from services.access.decision import Action, DataKind, Role, unit_of
from services.access.keys import KEY_DAYS_MAX, ApiKey, KeyRefusedError, issue_key, known_keys, revoke_key
from tidegauge.cli.actor import AS, permitted
from tidegauge.cli.output import BAD_INPUT, JSON, CommandError, console, emit

if TYPE_CHECKING:
    from psycopg import Connection

app = typer.Typer(no_args_is_help=True)


@app.callback()
def root() -> None:
    """Keys of machines."""


@app.command("issue")
def issue(
    role: Role = typer.Argument(..., help="What comes with the key: kiosk, counter or service."),
    unit: str = typer.Argument(..., help="Its unit, such as hq/east/0102."),
    days: int = typer.Option(365, "--days", min=1, max=KEY_DAYS_MAX, help="How long it lasts."),
    actor: str = AS,
    as_json: bool = JSON,
) -> None:
    """Make a key, and show it once: what is kept cannot show it again.

    A role and unit have two at most, to change from one to the other.
    """
    settings = Settings()
    who = permitted(settings, DataKind.KEYS, f"{role} of {unit}", actor)
    if not unit_of(unit) or not all(unit_of(unit)):
        raise CommandError(f"{unit!r} is no unit", "write it as hq/east/0102", BAD_INPUT)
    with _database(settings) as connection:
        made, text = issue_key(connection, role, unit_of(unit), who.actor_id, datetime.now(UTC), days)
    if as_json:
        emit({**_fields(made), "key": text})
    else:
        console.print(
            f"key {made.key_id} of {role}, {made.unit}, until {made.expires_at:%Y-%m-%d}; it is not shown again:"
        )
        console.print(text, soft_wrap=True)


@app.command("revoke")
def revoke(
    key_id: str = typer.Argument(..., help="The key's name, as `list` has it: not the key."),
    actor: str = AS,
    as_json: bool = JSON,
) -> None:
    """End a key at once."""
    settings = Settings()
    permitted(settings, DataKind.KEYS, f"revoke {key_id}", actor)
    with _database(settings) as connection:
        revoke_key(connection, key_id, datetime.now(UTC))
    if as_json:
        emit({"revoked": key_id})
    else:
        console.print(f"revoked: {key_id}")


@app.command("list")
def list_keys(actor: str = AS, as_json: bool = JSON) -> None:
    """List the keys that count: of whom, made by whom, until when."""
    settings = Settings()
    permitted(settings, DataKind.KEYS, "list", actor, Action.READ)
    with _database(settings) as connection:
        found = known_keys(connection, datetime.now(UTC))
    if as_json:
        emit([_fields(key) for key in found])
        return
    table = Table("key", "role", "unit", "made by", "until", box=None, header_style="bold")
    for key in found:
        table.add_row(key.key_id, key.role, key.unit, key.made_by, f"{key.expires_at:%Y-%m-%d}")
    console.print(table)


@contextmanager
def _database(settings: Settings) -> Iterator[Connection[Any]]:
    """A transaction on the tables, which have to be there."""
    from deploy.connections.database import connected
    from services.database.migrations import check_migrated

    try:
        with connected(settings.database, autocommit=True) as connection:
            check_migrated(connection)
            with connection.transaction():
                yield connection
    except KeyRefusedError as problem:
        raise CommandError(str(problem), "`tidegauge keys list` has those that count", BAD_INPUT) from problem


def _fields(key: ApiKey) -> dict[str, str]:
    return {name: value if isinstance(value, str) else value.isoformat() for name, value in key._asdict().items()}
