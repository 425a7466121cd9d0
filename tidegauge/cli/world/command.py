"""`tidegauge world`: shows the log's identity, and the ways to change it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import typer
from rich.table import Table

from deploy.settings import Settings
from services.access.decision import DataKind
from streams.calendar import shown_day
from tidegauge.cli.actor import AS, permitted
from tidegauge.cli.guard import DRY_RUN, FORCE, REASON_CHARS_MAX, Intent, goes_on
from tidegauge.cli.output import FAILED_CHECK, JSON, CommandError, console, emit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tidegauge.world.changes import WorldChange
    from tidegauge.world.identity import Difference, WorldEntry

app = typer.Typer(no_args_is_help=True, help="Show the identity of the log, or change it.")

REASON: Final = typer.Option(..., "--reason", help="Why: it stays in the record.")


@app.command("show")
def show(as_json: bool = JSON) -> None:
    """Show what the log says of itself, beside what this machine's settings and servers are. Exit code 1 if they differ."""
    from tidegauge.cli.servers import need_world
    from tidegauge.world.changes import compared

    settings = Settings()
    entry, problems = compared(settings)
    if entry is None:
        need_world(settings)  # without topics it is no log at all
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
    from tidegauge.world.changes import adoption, make_change

    settings, who, why = Settings(), _who(actor, "adopt"), _reason(reason)
    change = adoption(settings)
    if change is None:
        _said(["nothing differs: the identity stays as it is"], None, as_json)
    elif _agreed("world adopt", change, why if force else "", dry_run, as_json):
        make_change(change, why, who)
        _said(change.lines, change.epoch, as_json)


@app.command("rebuild")
def rebuild(
    reason: str = REASON, force: bool = FORCE, dry_run: bool = DRY_RUN, actor: str = AS, as_json: bool = JSON
) -> None:
    """Throw the workers' state away, so that they build it from the log when they start: no worker may run.

    Everything that the log still gives is published again, with the same ids.
    """
    from tidegauge.world.changes import make_change, rebuilding

    settings, who, why = Settings(), _who(actor, "rebuild"), _reason(reason)
    change = rebuilding(settings)
    if _agreed("world rebuild", change, why if force else "", dry_run, as_json):
        make_change(change, why, who)
        _said(change.lines, change.epoch, as_json)


@app.command("takeover")
def take(
    group: str = typer.Argument(..., help="The shadow's group."),
    reason: str = REASON,
    force: bool = FORCE,
    dry_run: bool = DRY_RUN,
    actor: str = AS,
    as_json: bool = JSON,
) -> None:
    """Let the group of a shadow own the outputs, once it has caught up and was stopped; the owners end.

    Its workers then start without --shadow, with TIDEGAUGE_GROUP set to it for all processes, and publish standing, outlook and
    queue class of every customer under a new epoch.
    """
    from tidegauge.world.takeover import take_over, takeover

    settings, who, why = Settings(), _who(actor, f"takeover by {group}"), _reason(reason)
    found = takeover(settings, group)
    told = {"withdrawn": found.withdrawn.entry()}
    if _agreed("world takeover", found.change, why if force else "", dry_run, as_json, told):
        done = take_over(found, why, who)
        next_step = f"set TIDEGAUGE_GROUP={group} for all processes, and start the workers"
        _said([*done, next_step], found.change.epoch, as_json, told)


def _who(actor: str, about: str) -> str:
    who = permitted(Settings(), DataKind.WORLD, about, actor)
    return f"{who.role}:{'/'.join(who.unit)}"


def _reason(text: str) -> str:
    if not text.strip() or len(text) > REASON_CHARS_MAX:
        raise CommandError("why?", f"--reason has 1 to {REASON_CHARS_MAX} characters")
    return text.strip()


def _agreed(
    command: str, change: WorldChange, forced: str, dry_run: bool, as_json: bool, told: Mapping[str, Any] | None = None
) -> bool:
    """Whether to make it. The reason stays in the record whether it is forced or not. `told`: more for machines."""
    intent = Intent(
        command, change.lines, {"steps": [*change.lines], "epoch": change.epoch, **(told or {})}, change.unusual
    )
    return goes_on(intent, forced, dry_run=dry_run, as_json=as_json)


def _said(steps: Sequence[str], epoch: int | None, as_json: bool, told: Mapping[str, Any] | None = None) -> None:
    if as_json:
        emit({"done": epoch is not None, "steps": [*steps], "epoch": epoch, **(told or {})})
        return
    for line in steps:
        console.print(line, soft_wrap=True)


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
        elif name == "closes_left_out":
            shown = ", ".join(f"asked for on {shown_day(run['asked'])}" for run in value) or "-"
        elif name == "limits":
            shown = ", ".join(f"{limit['name']} {limit['value']}" for limit in value)
        elif name == "packs":
            shown = ", ".join(f"{pack['pack_id']} version {pack['version']} ({pack['digest']})" for pack in value)
        else:
            shown = "-" if value in (None, "") else str(value)
        table.add_row(name, shown)
    return table
