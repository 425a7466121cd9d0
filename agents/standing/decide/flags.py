"""What is true of customers beside their tiers, in columns for the standings: policies.lifecycle.state.flags is the slow twin."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from agents.standing.decide.branches import parted
from agents.standing.decide.lifecycle import Chosen, Lifecycle
from policies.compiled.classes import ClassTable
from policies.compiled.program import Plain, plain_flags
from policies.lifecycle.state import FLAGS, bits
from streams.accounts.store import Array
from streams.averages.metrics import Metrics

POTENTIAL = bits(["potential_customer"])


def flags(life: Lifecycle, scope: frozenset[str], slots: Array, found: Metrics) -> Array:
    """int64[n]: bit i for FLAGS[i], as of a close that has decided; `found` are metrics over a scope of asset classes."""
    life.reserve()
    out = np.zeros(len(slots), np.int64)
    for table, rows in _classes(life, slots):
        mine = slots[rows]
        out[rows] = np.where(life.special[mine], _own(life, found.as_of, mine), _plain(life, table, mine))
        if table.program.looks:
            columns = life.columns(table, mine, Chosen(scope, found, rows), found.as_of, table.program.looks)
            known = np.ones(len(rows), np.bool_)
            for column in columns.values():
                known &= True if column.held is None else ~column.held
            out[rows[table.program.potential(columns) & known]] |= POTENTIAL
    return out


def _classes(life: Lifecycle, slots: Array) -> Iterator[tuple[ClassTable, Array]]:
    for kind, branch, rows in parted(life.ledger.store.customers, slots, life.rules.own):
        if (table := life.rules.of(kind, branch)) is not None:
            yield table, rows


def _plain(life: Lifecycle, table: ClassTable, slots: Array) -> Array:
    """Flags that follow from the columns of customers without anything of their own."""
    official, known = life.known(table, slots)
    at = Plain(official.astype(np.int64), life.below[slots].astype(np.int64), official >= 0)
    return plain_flags(table.policy, at, known)


def _own(life: Lifecycle, day: int, slots: Array) -> Array:
    """Flags of customers with a state of their own, kept when it last changed; what is due goes by the day."""
    marks = life.marks[slots]
    out: Array = marks["flags"].astype(np.int64)
    for name in ("renewal", "review"):
        out |= (marks[name] <= day).astype(np.int64) << FLAGS.index(f"{name}-due")
    return out
