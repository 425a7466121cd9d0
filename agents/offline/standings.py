"""Standings as of a day out of a job's state: the same columns for a replay of files and for the live system."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from agents.standing.job import StandingJob
from agents.standing.publish.standings import NO_TIER
from policies.compiled.classes import ClassTable
from streams import tiers
from streams.accounts.entries import OPEN, OPEN_END
from streams.calendar import date_of, last_ended_month, month_of, month_start
from streams.vocabulary.metrics import METRICS

_SHOWN = [(place, metric.column) for place, metric in enumerate(METRICS) if metric.family.in_files]
STANDING_COLUMNS = ("customer_id", *(column for _, column in _SHOWN), "tier")
LAYER = "layer"  # a column behind them, where a layer scheme runs
CHUNK = 1 << 16


class AsOfError(ValueError):
    """The day cannot be answered; the message says which can."""


def columns_of(rows: list[list[str | int | None]]) -> tuple[str, ...]:
    """The columns of rows."""
    return (*STANDING_COLUMNS, LAYER) if rows and len(rows[0]) > len(STANDING_COLUMNS) else STANDING_COLUMNS


def check_day(job: StandingJob, as_of: int) -> None:
    """Raises AsOfError where the state no longer holds what `as_of` needs, or not yet."""
    if job.ledger.closed < 0:
        raise AsOfError("no business day has been closed yet: close one first")
    first = int(month_start(int(last_ended_month(job.ledger.closed))))
    if as_of < first:
        raise AsOfError(
            f"{date_of(as_of)} is too early: the first day that can be read is {date_of(first)}, "
            "the first of the last closed month"
        )
    last = int(job.ledger.clock[OPEN_END])
    if as_of > last:
        raise AsOfError(f"{date_of(as_of)} is too late: the open month ends on {date_of(last)}")
    assert month_of(as_of) <= job.ledger.clock[OPEN]


def standings_at(job: StandingJob, as_of: int) -> Iterator[list[str | int | None]]:
    """Rows of STANDING_COLUMNS (and LAYER), by customer id: one partition's customers who have a standing as of the day.

    Money in base minor units, rounded half-even; None where a rate is missing.
    """
    check_day(job, as_of)
    ledger, rows = job.ledger, []
    for at in range(0, ledger.customers.count, CHUNK):
        slots = np.arange(at, min(at + CHUNK, ledger.customers.count))
        found = ledger.metrics(job.decider.scope, as_of, slots)
        rounded, since = found.rounded(), job.decider.known.since(slots).tolist()
        given, _ = tiers.in_force(job.profiles.held(), slots, as_of)
        layers = job.decider.layers.named(slots, as_of)
        for i, slot in enumerate(slots.tolist()):
            if since[i] > as_of:
                continue
            mine, held = rounded[i].tolist(), found.held[i].tolist()
            values = [None if held[place] else mine[place] for place, _ in _SHOWN]
            table = job.decider.lifecycle.table(slot)
            tier = NO_TIER if table is None else _tier(job, table, int(given[i]))
            rows.append([ledger.customer_id(slot), *values, tier, *([] if layers is None else [layers[i]])])
    return iter(sorted(rows, key=lambda row: str(row[0])))


def _tier(job: StandingJob, table: ClassTable, code: int) -> str:
    """The tier of a code; one behind the pack's own is of a pack that was in force before."""
    own = table.program.tier_ids
    return own[int(table.index[code])] if code < len(table.index) else job.profiles.tiers.text(code)


def branches(job: StandingJob) -> dict[str, str | None]:
    """The branch of every customer of a partition, by his profile; None: not known."""
    return {job.ledger.customer_id(slot): job.profiles.branch(slot) for slot in range(job.ledger.customers.count)}


class KeptCustomer(NamedTuple):
    """A customer with what says who looks after him: branch and manager of his profile, and the role that a pack names."""

    customer_id: str
    branch: str | None
    manager: str | None
    role: str | None


def kept_customers(job: StandingJob, day: int) -> Iterator[KeptCustomer]:
    """Every customer of a partition as of a day; the layer's role counts before that of the tier."""
    slots = np.arange(job.ledger.customers.count)
    given, _ = tiers.in_force(job.profiles.held(), slots, day)
    layers, tables = job.decider.layers.named(slots, day), job.decider.layers.rules.classes
    kinds = job.ledger.customers.classes(slots).tolist()
    for slot in slots.tolist():
        table, layered = job.decider.lifecycle.table(slot), None if tables is None else tables.tables[kinds[slot]]
        role = None if layers is None else _accountable(layered, layers[slot])
        if role is None and table is not None:
            role = _accountable(table, _tier(job, table, int(given[slot])))
        yield KeptCustomer(job.ledger.customer_id(slot), job.profiles.branch(slot), job.profiles.rm(slot), role)


def _accountable(table: ClassTable | None, tier: str | None) -> str | None:
    """The role that the rules of a class make accountable for a tier or a layer."""
    duties = () if table is None else table.policy.responsibility
    return next((duty.accountable for duty in duties if tier in duty.tiers), None)


def all_standings(jobs: Iterable[StandingJob], as_of: int) -> list[list[str | int | None]]:
    """Rows of all partitions, by customer id."""
    return sorted((row for job in jobs for row in standings_at(job, as_of)), key=lambda row: str(row[0]))
