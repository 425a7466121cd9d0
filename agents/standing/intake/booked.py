"""The newest day on which a posting is booked: what the closer measures by whether a day is far ahead (docs/operators.md).

A typing error in a date must not move it: what is booked later than the day after it was appended does not count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agents.standing.intake.lanes import DecodedBlock
from agents.standing.model import ForCloser
from schemas.codec.batches import Batch, appended_ms, base_offset
from schemas.codec.status import Status
from streams.accounts.ledger import Ledger
from streams.accounts.store import Array
from streams.calendar import DAY_MS, NO_DAY, day_start_ms, zone_table
from streams.fields import P_BOOKED


class BookedDays:
    """Sees every block of postings that is fed, once a block; `newest` is the day, NO_DAY before there is one.

    The ledger keeps the newest of each source as it takes postings, of those booked no later than that day.
    """

    def __init__(self, zone: str, ledger: Ledger) -> None:
        self._zone, self._ledger = zone, ledger
        self.newest, self._behind_ms = NO_DAY, -(1 << 62)  # the first instant behind that day

    def restore(self, told: ForCloser) -> None:
        """As a fence had it; the accounts are there."""
        self._move(told.booked)
        known = self._ledger.posting_sources() if told.booked != NO_DAY else ()
        for source in {*known, *told.behind}:
            self._ledger.restore_booked(source, day_start_ms(told.behind.get(source, told.booked), self._zone))

    def of_sources(self) -> dict[str, int]:
        """By source, the newest day on which a posting of it is booked."""
        found = self._ledger.newest_booked()
        return dict(zip(found, self._days(np.array([*found.values()], np.int64)).tolist(), strict=True))

    def _move(self, newest: int) -> None:
        if newest > self.newest:
            self.newest, self._behind_ms = newest, day_start_ms(newest + 1, self._zone)
            self._ledger.booked_until(self._behind_ms)

    def see(self, block: DecodedBlock, batches: Sequence[Batch]) -> None:
        """The rows of a block, and the batches that they came in."""
        columns, last = block.columns, block.latest
        booked = columns.data[:, P_BOOKED]
        if last < 0 or booked[last] < self._behind_ms:  # nearly always: a day begins once
            return
        begins = np.array([base_offset(batch) for batch in batches], np.int64)
        times = np.array([appended_ms(batch) for batch in batches], np.int64)

        def newest(rows: Array) -> int:
            appended = times[np.searchsorted(begins, columns.offset[rows], "right") - 1]
            days = self._days(booked[rows])
            return int(
                days[(columns.status[rows] == Status.OK) & (days <= self._days(appended) + 1)].max(initial=NO_DAY)
            )

        day = newest(np.array([last]))
        self._move(day if day != NO_DAY else newest(np.flatnonzero(booked >= self._behind_ms)))

    def _days(self, instants: Array) -> Array:
        starts, offsets = zone_table(self._zone)
        found: Array = (instants + offsets[np.searchsorted(starts, instants, "right") - 1]) // DAY_MS
        return found
