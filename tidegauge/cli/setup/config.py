"""`tidegauge config`: every setting with where it came from; secrets are never shown."""

import os
from typing import Any, Final
from urllib.parse import urlsplit

import typer
from pydantic import SecretStr
from rich.table import Table

from deploy.settings import Settings, kind_of
from deploy.sources import WITH_PASSWORDS, ways
from tidegauge.cli.output import JSON, console, emit

MASKED: Final = "(set, not shown)"

app = typer.Typer(no_args_is_help=True)


@app.callback()
def root() -> None:
    """Look at the settings."""


@app.command("show")
def show(as_json: bool = JSON) -> None:
    """Every setting: its value, its kind, and the variable, file or command that it came from. Secrets are masked."""
    settings = Settings()
    rows = [
        {"name": f"TIDEGAUGE_{name.upper()}", "value": shown(name, getattr(settings, name)), "kind": kind_of(name).value,
         "from": ", ".join(ways(name, os.environ)) or "default"}
        for name in Settings.model_fields
    ]  # fmt: skip
    if as_json:
        emit(rows)
        return
    table = Table("setting", "value", "kind", "from", box=None, header_style="bold")
    for row in rows:
        table.add_row(*row.values())
    console.print(table)


def shown(name: str, value: Any) -> str:
    """A value as people may see it."""
    if value is None or value == "":
        return ""
    if isinstance(value, SecretStr):
        return MASKED
    if name in WITH_PASSWORDS:
        parts = urlsplit(str(value))
        place = parts.netloc.rpartition("@")
        return parts._replace(
            netloc="…@" + place[2] if place[1] else place[2], query="…" if parts.query else ""
        ).geturl()
    return str(value)
