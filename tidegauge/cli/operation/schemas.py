"""`tidegauge schemas`: what the schema registry has of the contracts, and their registration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from deploy.settings import Settings
from schemas.registry import UnregisteredError, names, registry_for
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, CommandError, console, error

if TYPE_CHECKING:
    from schemas.confluent import ConfluentRegistry

app = typer.Typer(no_args_is_help=True, help="Look at the schema registry, or register the contracts in it.")
_MISSING, _INCOMPATIBLE = "missing", "incompatible"
JSON = typer.Option(False, "--json", help="For machines.")


@app.command("check")
def check(as_json: bool = JSON) -> None:
    """Say of every contract under which id the registry has it. Exit code 1 if one is missing, or if it gives no answer."""
    registry = _registry()
    found: dict[str, int | str] = {}
    for name in names():
        try:
            found[name] = registry.id_of(name)
        except UnregisteredError:
            found[name] = _MISSING if registry.fits(name) else _INCOMPATIBLE
    _show(found, as_json=as_json)
    wanting = [name for name, known in found.items() if not isinstance(known, int)]
    if wanting:
        refused = [name for name in wanting if found[name] == _INCOMPATIBLE]
        hint = f"it would refuse {', '.join(refused)}" if refused else "run `tidegauge schemas register`"
        error(f"the registry lacks {len(wanting)} of {len(found)} contracts", hint)
        raise typer.Exit(FAILED_CHECK)


@app.command("register")
def register(as_json: bool = JSON) -> None:
    """Register the contracts that the registry lacks. Nothing else registers anything; again is harmless."""
    registry = _registry()
    _show({name: registry.register(name) for name in names()}, as_json=as_json)


def _registry() -> ConfluentRegistry:
    from schemas.confluent import ConfluentRegistry

    registry = registry_for(Settings())
    if not isinstance(registry, ConfluentRegistry):
        raise CommandError(
            "no registry is set: ids come from the files", "set TIDEGAUGE_SCHEMA_REGISTRY_URL", BAD_INPUT
        )
    return registry


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    from schemas.confluent import subject_of

    if as_json:
        typer.echo(json.dumps({subject_of(name): known for name, known in found.items()}))
        return
    table = Table("subject", "id", box=None)
    for name, known in found.items():
        table.add_row(subject_of(name), str(known))
    console.print(table)
