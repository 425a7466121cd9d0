"""`tidegauge database`: bring the tables of PostgreSQL to the form that this version needs."""

from typing import Any

import typer

from deploy.connections.database import shown_database
from deploy.settings import Settings
from tidegauge.cli.guard import DRY_RUN
from tidegauge.cli.output import JSON, console, emit

app = typer.Typer(no_args_is_help=True)


@app.callback()
def root() -> None:
    """The PostgreSQL database."""


@app.command("migrate")
def migrate_(dry_run: bool = DRY_RUN, as_json: bool = JSON) -> None:
    """Take the migrations that the database lacks, each in a transaction of its own. Again is harmless, and so are two at once.

    The user of the settings owns the tables.
    """
    from deploy.connections.database import connected
    from services.database.migrations import pending
    from services.database.setup import make_ready

    settings = Settings()
    if dry_run:
        with connected(settings.database_of_owner) as connection:
            steps = pending(connection)
    else:
        steps = make_ready(settings)
    said: dict[str, Any] = {
        "database": shown_database(settings.database_of_owner),
        "migrations": [{"number": step.number, "name": step.name, "sha256": step.sha256} for step in steps],
    }
    if as_json:
        emit(({"dry_run": True} if dry_run else {}) | said)
        return
    for step in steps:
        console.print(f"{'would take' if dry_run else 'took'} migration {step.number}, {step.name}")
    if not steps:
        console.print(f"{said['database']} has every migration")
