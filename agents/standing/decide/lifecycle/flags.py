"""What is true of customers beside their tiers, in columns for the standings: policies.lifecycle.state.flags is the slow twin."""

from __future__ import annotations

import numpy as np

from agents.standing.decide.lifecycle.decider import LifecycleDecider
from agents.standing.model import Chosen
from policies.compiled.classes import ClassTable
from policies.compiled.program import Plain, plain_flags
from policies.lifecycle.state import bits
from streams.accounts.store import Array
from streams.averages.metrics import Metrics

POTENTIAL_FLAG = bits(["potential_customer"])


def customer_flags(lifecycle: LifecycleDecider, scope: frozenset[str], slots: Array, found: Metrics) -> Array:
    """int64[n]: bit i for FLAGS[i], as of a close that has decided; `found` are metrics over a scope of asset classes."""
    columns = lifecycle.columns
    columns.reserve()
    out = np.zeros(len(slots), np.int64)
    for table, rows in lifecycle.rules.parts(lifecycle.ledger.customers, slots):
        mine = slots[rows]
        own = columns.own_state(mine)
        out[rows] = np.where(own, columns.flags(mine, found.as_of), _plain(lifecycle, table, mine))
        if table.program.looks:
            looks = lifecycle.measures.of(table, mine, found.as_of, Chosen(scope, found, rows), table.program.looks)
            known = np.ones(len(rows), np.bool_)
            for column in looks.values():
                known &= True if column.held is None else ~column.held
            out[rows[table.program.potential(looks) & known]] |= POTENTIAL_FLAG
    return out


def _plain(lifecycle: LifecycleDecider, table: ClassTable, slots: Array) -> Array:
    """Flags that follow from the columns of customers without a State of their own."""
    official, known = lifecycle.columns.tiers(table, slots)
    at = Plain(official.astype(np.int64), lifecycle.columns.below(slots).astype(np.int64), official >= 0)
    return plain_flags(table.policy, at, known)
