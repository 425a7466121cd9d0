"""`tidegauge world`: shows the log's identity, and the ways to change it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import typer
from rich.table import Table

from deploy.settings import Settings
from tidegauge.cli.actor import AS, actor_of
from tidegauge.cli.guard import DRY_RUN, FORCE, REASON_CHARS_MAX
from tidegauge.cli.output import FAILED_CHECK, JSON, CommandError, console, emit, notes

if TYPE_CHECKING:
    from tidegauge.world.identity import Difference, WorldEntry

app = typer.Typer(no_args_is_help=True, help="Show the identity of the log, or change it.")

REASON: Final = typer.Option(..., "--reason", help="Why: it stays in the record.")


@app.command("show")
def show(as_json: bool = JSON) -> None:
    """Show what the log says of itself, beside what this machine's settings and servers are. Exit code 1 if they differ."""
    from tidegauge.world.changes import compared

    entry, problems = compared(Settings())
    if as_json:
        emit({"identity": None if entry is None else entry.record(), "differences": [_plain(one) for one in problems]})
    elif entry is None:
        console.print("the log has no identity yet: the first worker gives it one")
    else:
        console.print(_table(entry))
        for one in problems:
            console.print(f"{one}\n  {one.remedy}", soft_wrap=True)
    if problems:
        raise typer.Exit(FAILED_CHECK)


@app.command("adopt")
def adopt(
    reason: str = REASON, force: bool = FORCE, dry_run: bool = DRY_RUN, actor: str = AS, as_json: bool = JSON
) -> None:
    """Take this machine's settings and servers for the log's identity: of a mirrored or restored log, after a key was rotated.

    Where the log itself is another one, its workers need a new group (TIDEGAUGE_GROUP): they build their state from it, and
    publish everything again with the same ids.
    """
    from tidegauge.world.changes import adopted

    settings, who = Settings(), actor_of(Settings(), actor)
    written = adopted(settings, _reason(reason), f"{who.role}:{'/'.join(who.unit)}", force=force, dry_run=dry_run)
    _said(written, as_json, dry_run)


@app.command("rebuild")
def rebuild(
    reason: str = REASON, force: bool = FORCE, dry_run: bool = DRY_RUN, actor: str = AS, as_json: bool = JSON
) -> None:
    """Throw the workers' state away, so that they build it from the log when they start: no worker may run.

    Everything that the log still gives is published again, with the same ids.
    """
    from tidegauge.world.changes import rebuilt

    settings, who = Settings(), actor_of(Settings(), actor)
    written = rebuilt(settings, _reason(reason), f"{who.role}:{'/'.join(who.unit)}", force=force, dry_run=dry_run)
    _said(written, as_json, dry_run)


def _reason(text: str) -> str:
    if not text.strip() or len(text) > REASON_CHARS_MAX:
        raise CommandError("why?", f"--reason has 1 to {REASON_CHARS_MAX} characters")
    return text.strip()


def _said(changed: list[str], as_json: bool, dry_run: bool) -> None:
    if as_json:
        emit({"done": not dry_run, "steps": changed})
        return
    for line in changed:
        console.print(line, soft_wrap=True)
    if dry_run:
        notes.print("nothing was changed (--dry-run)")


def _plain(one: Difference) -> dict[str, Any]:
    return one._asdict()


def _table(entry: WorldEntry) -> Table:
    table = Table(box=None, show_header=False)
    record = entry.record()
    for name, value in record.items():
        if name == "topics":
            counts = {topic["partitions"] for topic in value}
            without = sum(topic["topic_id"] is None for topic in value)
            shown = f"{len(value)}, {'/'.join(map(str, sorted(counts)))} partitions, {len(value) - without} with ids"
        elif name == "limits":
            shown = ", ".join(f"{limit['name']} {limit['value']}" for limit in value)
        elif name == "packs":
            shown = ", ".join(f"{pack['pack_id']} version {pack['version']} ({pack['digest']})" for pack in value)
        else:
            shown = "-" if value in (None, "") else str(value)
        table.add_row(name, shown)
    return table
