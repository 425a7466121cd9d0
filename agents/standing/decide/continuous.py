"""Tiers between closes, where a pack decides continuously: of the customers that a transaction's events have touched.

They are decided as of the day being lived, the one after the last closed day. Idle customers are looked at by the closes.
The rows of what is decided go out in the same transaction, so a replay decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from agents.standing.decide.lifecycle.decider import LifecycleDecider, continuous
from agents.standing.intake.touched import TouchedCustomers
from agents.standing.model import Chosen, DayClose, Evidence
from policies.compiled.classes import ClassTable
from policies.compiled.program import Plain, look_plain
from schemas.codec.blocks import Columns
from streams.accounts.store import Array
from streams.calendar import NO_DAY
from streams.fields import OK

_EVENT_ID = 0  # column of postings and snapshots
_CHUNK = 1 << 14  # customers looked at together
_Cause = Callable[[int], str]


class _Rows(NamedTuple):
    """Rows of a block that have changed something, and whose they are."""

    columns: Columns
    rows: Array
    slots: Array


class ContinuousDecider:
    """Notes whom postings and snapshots touch, and decides touched customers. Without such a class it does neither."""

    def __init__(self, lifecycle: LifecycleDecider, touched: TouchedCustomers) -> None:
        self.lifecycle, self.touched, self.ledger = lifecycle, touched, lifecycle.ledger
        self._blocks: list[_Rows] = []
        self.use()

    def use(self) -> None:
        """The rules of the lifecycle are other ones from now on."""
        self.watch(wanted=any(continuous(table) for table in self.lifecycle.rules.every()))

    def watch(self, *, wanted: bool) -> None:
        """Whether customers are noted from now on; what was noted is forgotten."""
        self.touched.use(wanted=wanted)
        self._blocks.clear()

    def rows(self, columns: Columns, first: int, last: int, customer: int) -> None:
        """Rows [first, last) of postings or snapshots have been taken; `customer` is the column of their customers."""
        if not self.touched.wanted:
            return
        rows = np.flatnonzero(columns.status[first:last] == OK) + first
        slots = self.ledger.customers.owners(columns.raw, columns.data[rows, customer])
        self._blocks.append(_Rows(columns, rows, slots))

    def look(self) -> None:
        """Decides the customers whom events have touched since the last look."""
        if not self.touched.wanted or not (self._blocks or len(self.touched)):
            return
        noted, blocks = self.touched.take(), list(self._blocks)
        self._blocks.clear()
        slots = np.concatenate([*(block.slots for block in blocks), np.fromiter(noted, np.int64, len(noted))])
        last = _last_rows(blocks)

        def cause(slot: int) -> str:
            if slot in noted:
                return noted[slot]
            block, at = last(slot)
            return block.columns.text_at(int(block.columns.data[block.rows[at], _EVENT_ID])) or ""

        self._decide(np.unique(slots), cause, None)

    def after(self, close: DayClose, touched: Array, named: str) -> None:
        """A day is being lived from now on: what came before it may count from it on. `named`: the close, by ids."""
        if self.touched.wanted:
            self._decide(touched, lambda _: f"close/{named}", close)

    def _decide(self, slots: Array, cause: _Cause, close: DayClose | None) -> None:
        day = self.ledger.closed + 1
        if self.ledger.closed == NO_DAY:
            return
        self.lifecycle.columns.reserve()
        for table, rows in self.lifecycle.rules.parts(self.ledger.customers, slots):
            mine = slots[rows]
            # While a source is stale, what it puts off waits for a close.
            if continuous(table) and not self.lifecycle.measures.stale(table.pack, day - 1):
                for at in range(0, len(mine), _CHUNK):
                    self._class(table, mine[at : at + _CHUNK], day, cause, close)

    def _class(self, table: ClassTable, slots: Array, day: int, cause: _Cause, close: DayClose | None) -> None:
        lifecycle, policy = self.lifecycle, table.policy
        official, known = lifecycle.columns.tiers(table, slots)
        scopes = table.pack.scopes
        scope = next((scopes[name] for _, name in table.program.needs if name is not None), next(iter(scopes.values())))
        mask = self.ledger.scope_of(sorted(scope))
        found = Chosen(scope, self.ledger.metrics(mask, day, slots), np.arange(len(slots)))
        columns = lifecycle.measures.of(table, slots, day, found)
        measured, held = table.program.evaluate(columns) if columns else (known, np.ones(len(slots), np.bool_))
        own = lifecycle.columns.own_state(slots)
        due = (measured != known) | (own & lifecycle.columns.awaits_close(slots))
        if policy.status.basis == "metric":
            ready = np.full(len(slots), not policy.status.requires)
            now = look_plain(policy, Plain(official, lifecycle.columns.below(slots).astype(np.int64), ready), measured)
            due |= ~own & (now.official != official)
        for i in np.flatnonzero(due & ~held).tolist():
            slot = int(slots[i])
            lifecycle.look(table, day, slot, int(measured[i]), cause(slot), Evidence(columns, i, day), close)


def _last_rows(blocks: list[_Rows]) -> Callable[[int], tuple[_Rows, int]]:
    """Where the last row of a customer stands: its block, and the place in it."""
    ends = list(accumulate(len(block.slots) for block in blocks))
    every = np.concatenate([np.empty(0, np.int64), *(block.slots for block in blocks)])
    order = np.argsort(every, kind="stable")
    sorted_slots = every[order]

    def last(slot: int) -> tuple[_Rows, int]:
        place = int(order[np.searchsorted(sorted_slots, slot, side="right") - 1])
        block = int(np.searchsorted(ends, place, side="right"))
        return blocks[block], place - (ends[block] - len(blocks[block].slots))

    return last
