"""Tiers between closes, where a pack decides continuously: of the customers that a transaction's events have touched.

They are decided as of the day being lived, the one after the last closed day. Idle customers are looked at by the closes.
The rows of what is decided go out in the same transaction, so a replay decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from agents.standing.decide.lifecycle.decider import LifecycleDecider
from agents.standing.decide.lifecycle.lived_day import decide_lived_day
from agents.standing.intake.touched import TouchedCustomers
from agents.standing.model import DayClose
from schemas.codec.blocks import Columns
from streams.accounts.store import Array
from streams.fields import OK

_EVENT_ID = 0  # column of postings and snapshots


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
        self.watch(wanted=self.lifecycle.is_continuous())

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

        decide_lived_day(self.lifecycle, np.unique(slots), cause, None)

    def after(self, close: DayClose, touched: Array, named: str) -> None:
        """A day is being lived from now on: what came before it may count from it on. `named`: the close, by ids."""
        if self.touched.wanted:
            decide_lived_day(self.lifecycle, touched, lambda _: f"close/{named}", close)


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
