"""Tiers between closes, where a pack decides continuously: whom the events of a transaction have touched, as of now.

Now is the day being lived, the one after the last closed day. Who is idle is looked at by the closes. The rows of what is
decided go out in the same transaction, so a replay leaves it alone.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from agents.standing.decide.branches import parted
from agents.standing.decide.lifecycle import Chosen, Evidence, Lifecycle, continuous
from agents.standing.intake.facts import Facts
from agents.standing.intake.lanes import Close
from agents.standing.intake.profiles import Profiles
from policies.compiled.classes import ClassTable
from policies.compiled.program import Plain, look_plain
from schemas.codec.blocks import Columns
from streams.accounts.owners import owners
from streams.accounts.store import Array
from streams.calendar import NO_DAY, date_of
from streams.fields import OK

EVENT_ID = 0  # column of postings and snapshots
CHUNK = 1 << 14  # customers looked at together
Cause = Callable[[int], str]


class _Rows(NamedTuple):
    """Rows of a block that have changed something, and whose they are."""

    columns: Columns
    rows: Array
    slots: Array


class Continuous:
    """Remembers whom events touch, and decides them. Where no class is decided continuously it does neither."""

    def __init__(self, life: Lifecycle, facts: Facts, profiles: Profiles) -> None:
        self.life, self.facts, self.profiles, self.ledger = life, facts, profiles, life.ledger
        self.wanted = False
        self._blocks: list[_Rows] = []
        self._told: dict[int, str] = {}  # slot -> event id, of facts, profiles and acts: they come behind the postings
        self.use()

    def use(self) -> None:
        """By the pack that is in force now."""
        self.wanted = any(continuous(table) for table in self.life.rules.every())
        told = self._told if self.wanted else None
        self.facts.touched = self.profiles.touched = self.life.touched = told
        self._blocks.clear()
        self._told.clear()

    def rows(self, columns: Columns, first: int, last: int, customer: int) -> None:
        """Rows [first, last) of postings or snapshots have been taken; `customer` is the column of their customers."""
        if not self.wanted:
            return
        rows = np.flatnonzero(columns.status[first:last] == OK) + first
        slots = owners(self.ledger.store.customer_ids, columns.raw, columns.data[rows, customer])
        self._blocks.append(_Rows(columns, rows, slots))

    def look(self) -> None:
        """Decides whom events have touched since the last look."""
        if not self.wanted or not (self._blocks or self._told):
            return
        told, blocks = dict(self._told), list(self._blocks)
        self._told.clear()
        self._blocks.clear()
        slots = np.concatenate([*(block.slots for block in blocks), np.fromiter(told, np.int64, len(told))])
        last = _last_rows(blocks)

        def cause(slot: int) -> str:
            if slot in told:
                return told[slot]
            block, at = last(slot)
            return block.columns.text_at(int(block.columns.data[block.rows[at], EVENT_ID])) or ""

        self._decide(np.unique(slots), cause, None)

    def after(self, close: Close, touched: Array) -> None:
        """A day is being lived from now on: what came before it may count from it on."""
        if self.wanted:
            self._decide(touched, lambda _: f"close/{date_of(close.day)}", close)

    def _decide(self, slots: Array, cause: Cause, close: Close | None) -> None:
        day = self.ledger.closed + 1
        if self.ledger.closed == NO_DAY:
            return
        self.life.reserve()
        rules = self.life.rules
        for kind, branch, rows in parted(self.ledger.store.customers, slots, rules.own):
            table, mine = rules.of(kind, branch), slots[rows]
            # While a source is stale, what it puts off waits for a close.
            if table is not None and continuous(table) and not self.life.stale(table.pack, day - 1):
                for at in range(0, len(mine), CHUNK):
                    self._class(table, mine[at : at + CHUNK], day, cause, close)

    def _class(self, table: ClassTable, slots: Array, day: int, cause: Cause, close: Close | None) -> None:
        life, policy = self.life, table.policy
        official, known = life.known(table, slots)
        scopes = table.pack.scopes
        scope = next((scopes[name] for _, name in table.program.needs if name is not None), next(iter(scopes.values())))
        mask = self.ledger.scope_of(sorted(scope))
        found = Chosen(scope, self.ledger.metrics(mask, day, slots), np.arange(len(slots)))
        columns = life.columns(table, slots, found, day)
        measured, held = table.program.evaluate(columns) if columns else (known, np.ones(len(slots), np.bool_))
        special = life.special[slots]
        due = (measured != known) | (special & life.restless[slots])
        if policy.status.basis == "metric":
            ready = np.full(len(slots), not policy.status.requires)
            now = look_plain(policy, Plain(official, life.below[slots].astype(np.int64), ready), measured)
            due |= ~special & (now.official != official)
        for i in np.flatnonzero(due & ~held).tolist():
            slot = int(slots[i])
            life.look(table, day, slot, int(measured[i]), cause(slot), Evidence(columns, i, day), close)


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
