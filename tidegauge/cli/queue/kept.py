"""`tidegauge queue compare` and `restore`: tickets as the store keeps them, against what `queue-tickets` has of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import typer

from deploy.settings import Settings
from services.access.decision import DataKind
from tidegauge.cli.actor import AS, permitted
from tidegauge.cli.guard import DRY_RUN, Intent, goes_on
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, JSON, CommandError, console, emit

if TYPE_CHECKING:
    from services.queue.tickets.store import TicketStore

_BRANCH = typer.Argument("", help="The branch; all that have tickets otherwise.")


def compare_branches(branch: str = _BRANCH, as_json: bool = JSON) -> None:
    """Say what the store of tickets and queue-tickets have otherwise, such as after a restore. Exit code 1 if anything.

    Nothing is guessed and nothing is changed. Steps that wait in the outbox count as differences.
    """
    from services.queue.behind.replay import queue_differences
    from tidegauge.branch.log import read_branch

    settings = _with_store()
    found: dict[str, list[str]] = {}
    for name in [branch] if branch else _asked(settings, _branches):
        state = _asked(settings, lambda store, name=name: store.run("live", name))  # type: ignore[misc]
        tickets = {one["place"]: one for one in state["tickets"] or ()}
        found[name] = queue_differences(read_branch(settings, name), state, tickets)
    if as_json:
        emit(found)
    else:
        for name, lines in found.items():
            console.print(f"{name}: {'the same' if not lines else ''}", soft_wrap=True)
            for line in lines:
                console.print(f"  {line}", soft_wrap=True)
    if any(found.values()):
        raise typer.Exit(FAILED_CHECK)


def restore_branch(
    branch: str = typer.Argument(..., help="The branch."),
    dry_run: bool = DRY_RUN,
    actor: str = AS,
    as_json: bool = JSON,
) -> None:
    """Put a branch of which the store has nothing back to what queue-tickets has of it.

    A store that has anything of the branch is left as it is: `compare` says what differs.
    """
    from policies import load_pack
    from policies.compiled.queue import compile_queue
    from services.queue.behind.replay import restored
    from services.queue.tickets.store import StepRefusedError, full_round
    from tidegauge.branch.log import read_branch

    permitted(Settings(), DataKind.WORLD, f"tickets of {branch}", actor)
    settings = _with_store()
    logged = read_branch(settings, branch)
    if not logged.steps:
        raise CommandError(f"queue-tickets has nothing of {branch}", "is its name right?", BAD_INPUT)
    packs = [load_pack(name.strip()) for name in settings.pack.split(",")]
    given = restored(logged, full_round(compile_queue(packs[0])))
    line = (
        f"restore {len(given['tickets'])} tickets and {len(given['cash'])} cash requests of {branch},"
        f" up to step {logged.sequence}"
    )
    fields = {
        "branch": branch,
        "tickets": len(given["tickets"]),
        "cash_requests": len(given["cash"]),
        "sequence": logged.sequence,
        "missing_steps": logged.holes,
    }
    if not goes_on(Intent("queue restore", [line], fields), "", dry_run=dry_run, as_json=as_json):
        return
    try:
        _asked(settings, lambda store: store.run("restore", branch, **given))
    except StepRefusedError as refused:
        hint = "`tidegauge queue compare` says what differs"
        raise CommandError(f"the store has tickets of {branch} already", hint, FAILED_CHECK) from refused
    if as_json:
        emit(fields)
    else:
        console.print(line.replace("restore", "restored"), soft_wrap=True)


def _with_store() -> Settings:
    """The settings, if there is a store of tickets, and the log that they are meant for."""
    from deploy import ping
    from tidegauge.cli.servers import need_world

    settings = need_world(Settings())
    if not ping.answers(settings.tickets):
        hint = "start the embedded one with `tidegauge up`, or correct TIDEGAUGE_TICKETS_URL"
        raise CommandError(f"no server for tickets answers at {settings.tickets_shown}", hint)
    return settings


def _asked(settings: Settings, ask: Callable[[TicketStore], Awaitable[Any]]) -> Any:
    """What the store says."""
    from services.assembly import new_lookup
    from services.queue.tickets.setup import ticketing_of

    async def run() -> Any:
        store = ticketing_of(settings, new_lookup(settings)).store
        store.budget_s = 5.0
        try:
            return await ask(store)
        finally:
            await store.client.aclose()

    return asyncio.run(run())


async def _branches(store: TicketStore) -> list[str]:
    """All that have tickets."""
    found: Any = await store.client.smembers(store.keys.branches)
    return sorted(name.decode() for name in found)
