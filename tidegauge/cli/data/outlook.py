"""`tidegauge outlook`: what the closes ahead will give a customer if today's balances stay."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from connectors.formats.events import Record
from deploy.settings import Settings
from services.access.decision import Action, DataKind, Resource, owner_of
from streams.calendar import date_of
from streams.money import exponent, format_minor
from tidegauge.cli.actor import AS, asked, decided, unknown
from tidegauge.cli.output import BAD_INPUT, JSON, CommandError, console, emit
from tidegauge.cli.servers import found_world
from tidegauge.world.found import USES_ALL

if TYPE_CHECKING:
    from agents.standing.job import StandingJob

app = typer.Typer()
DAYS = ("as_of", "next_close", "lost_close", "lost_from")


@app.command("outlook")
def outlook(
    customer: str = typer.Argument(..., help="Customer number."),
    actor: str = AS,
    as_json: bool = JSON,
) -> None:
    """Show the projected tier, the amounts to hold from tomorrow, and the day on which the tier will be lost.

    Computed from the live state as of the last close, beside the workers and without touching them.
    """
    from agents.offline.standings import branches

    settings = Settings()
    who = asked(settings, actor, Action.READ, DataKind.BALANCES, about=customer, first=True)
    world = found_world(settings, USES_ALL)
    settings = world.settings
    job = live_job(settings, customer, world.epoch)
    known = branches(job)
    wanted = Resource(DataKind.BALANCES, owner_of(known[customer]) if customer in known else None)
    if not decided(settings, who, Action.READ, wanted, customer):
        raise unknown(customer, who)
    record = _record_of(job, customer)
    if as_json:
        days = {name: None if record[name] is None else date_of(record[name]).isoformat() for name in DAYS}
        emit(record | days)
    else:
        for line in _lines(record):
            console.print(line, soft_wrap=True, markup=False)


def live_job(settings: Settings, customer: str, epoch: int) -> StandingJob:
    """The committed state of the customer's partition."""
    from agents.engine.recovery import read_state
    from schemas.partitioner import partition_of
    from tidegauge.bootstrap import STANDING, standing_jobs

    partition = partition_of(customer.encode(), settings.partitions)
    return asyncio.run(read_state(settings, standing_jobs(settings, epoch=epoch), partition, name=STANDING))


def _record_of(job: StandingJob, customer: str) -> Record:
    """The outlook of a customer as it would be published, as of the last close; CommandError where there is none."""
    slot = job.ledger.customers.find(customer)
    if slot is None:
        raise CommandError(f"no customer {customer} is known here", "are number and servers right?", BAD_INPUT)
    if job.ledger.closed < 0:
        raise CommandError("no business day has been closed yet", "close one first: `tidegauge close`", BAD_INPUT)
    if job.decider.classes.foreseen is None:
        raise CommandError(
            f"pack {job.decider.pack.pack_id} asks for more than one metric's minimums: no outlook", code=BAD_INPUT
        )
    if job.ledger.customers.class_and_branch(slot)[0] != 0:
        raise CommandError(f"the pack has no tiers for customers such as {customer}", code=BAD_INPUT)
    return job.decider.outlooks.record(job.ledger.closed, slot, job.decider.scope)


def _lines(record: Record) -> Iterator[str]:
    """An outlook in words."""

    def money(minor: int) -> str:
        return f"{format_minor(minor, exponent(record['currency']))} {record['currency']}"

    yield f"Customer {record['customer_id']}, as of the close of {date_of(record['as_of'])}: tier {record['tier']}"
    if record["held_reason"] is not None:
        yield f"  held: {record['held_reason']}"
        return
    yield f"  if the {money(record['aum_minor'])} of today stay:"
    yield (
        f"    the close of {date_of(record['next_close'])} gives {record['projected_tier']} ({record['direction']}), "
        f"{record['metric']} over scope {record['scope']}: {money(record['projected_minor'])}"
    )
    if record["lost_close"] is None:
        yield f"    {record['tier']} will not be lost"
    else:
        close, first = date_of(record["lost_close"]), date_of(record["lost_from"])
        yield f"    {record['tier']} will be lost at the close of {close}, from {first} on"
    yield f"  to hold besides from tomorrow until {date_of(record['next_close'])}:"
    for tier, minimum, more in zip(record["tiers"], record["thresholds_minor"], record["to_hold_minor"], strict=True):
        what = "no amount is enough" if more is None else "nothing" if more == 0 else money(more)
        yield f"    {tier:10} from {money(minimum)}: {what}"
