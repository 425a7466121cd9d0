"""Services with a condition or free months, of many customers at the close of a month: whose have changed goes one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.standing.model import Chosen, DayClose, Evidence
from policies.compiled.classes import ClassTable
from policies.lifecycle.services import bill
from policies.lifecycle.state import tier_of
from streams import tiers
from streams.accounts.store import Array

if TYPE_CHECKING:
    from agents.standing.decide.lifecycle.decider import LifecycleDecider


class ServiceDecider:
    """Decides what is due, free or not of the customers whom a month's close has decided."""

    def __init__(self, lifecycle: LifecycleDecider) -> None:
        self.lifecycle = lifecycle

    def close(self, table: ClassTable, at: DayClose, closes: frozenset[str], slots: Array, found: Chosen) -> None:
        """Looks at customers of a class; `found` are metrics known already."""
        policy, lifecycle = table.policy, self.lifecycle
        if not policy.charged or "month" not in closes:
            return
        held_tiers, since = tiers.in_force(lifecycle.keeper.held(), slots, at.day + 1)
        named = np.isin(table.index[held_tiers], [policy.rank(tier) for one in policy.charged for tier in one.tiers])
        rows = np.flatnonzero(named | lifecycle.columns.billed(slots))
        if not len(rows):
            return
        mine, chosen = slots[rows], found._replace(rows=found.rows[rows])
        columns = lifecycle.measures.of(table, mine, at.day, chosen, table.program.fees)
        met = {one.id: table.program.charges(one, columns, len(rows)) for one in policy.charged}
        for i, slot in enumerate(mine.tolist()):
            before = lifecycle.columns.state(slot, table)
            said_of = {name: bool(yes[i]) for name, (yes, held) in met.items() if not held[i]}
            after, said = bill(policy, before, at.day, tier_of(policy, before), int(since[rows[i]]), said_of)
            if said:
                lifecycle.put(slot, table, before, after, said, Evidence(columns, i), at)
