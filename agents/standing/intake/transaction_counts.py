"""How often customers have acted: customer-initiated postings by booking day, held for 13 months (txn_count, C-40).

Kept only where the pack in force asks for it. A posting counts once, as the ledger takes it; rows of changed customers go
out in the same transaction, so a replay leaves them alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import numba as nb
import numpy as np

from agents.engine.job import Pair, Rows
from agents.standing.model import RowKey
from policies.lifecycle.state import months_later
from policies.model.metrics import counted_months
from schemas.codec.blocks import Columns
from streams.accounts.ledger import Ledger
from streams.accounts.store import REF_BITS, REF_MASK, Array, Index, find
from streams.calendar import business_day
from streams.fields import OK, P_BOOKED, P_CUSTOMER, P_INITIATED

_DAYS_HELD = 13 * 31


@nb.njit(cache=True, nogil=True)
def places(ids: Index, raw: Array, data: Array, rows: Array, starts: Array, offsets: Array, out: Array) -> None:
    """Customer's slot and booking day of each of the rows into out[:, 0] and out[:, 1]."""
    for k in range(len(rows)):
        row = data[rows[k]]
        out[k, 0] = find(ids, raw, row[P_CUSTOMER] >> REF_BITS, row[P_CUSTOMER] & REF_MASK)
        out[k, 1] = business_day(row[P_BOOKED], starts, offsets)


class TransactionCounts:
    """Postings that customers have initiated."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.wanted = False
        self.held: dict[int, dict[int, int]] = {}  # slot -> booking day -> postings
        self._changed: set[int] = set()

    def know(self, metrics: Iterable[str]) -> None:
        """Postings are counted from now on if one of these metrics asks for it."""
        self.wanted |= any(counted_months(metric) for metric in metrics)

    def take(self, columns: Columns, first: int, last: int) -> None:
        """Counts the postings of rows [first, last) that the ledger has taken; called after it."""
        if not self.wanted:
            return
        taken = (columns.status[first:last] == OK) & (columns.data[first:last, P_INITIATED] == 1)
        rows = np.flatnonzero(taken) + first
        found, zone = np.empty((len(rows), 2), np.int64), self.ledger.zone
        places(self.ledger.customers.index, columns.raw, columns.data, rows, zone.starts, zone.offsets, found)
        pairs, counts = np.unique(found, axis=0, return_counts=True)
        for (slot, day), count in zip(pairs.tolist(), counts.tolist(), strict=True):
            days = self.held.setdefault(slot, {})
            days[day] = days.get(day, 0) + count
            self._changed.add(slot)

    def column(self, metric: str, slots: Array, day: int) -> Array:
        """int64[n]: postings from the same day so many months earlier up to the day, both included."""
        months = counted_months(metric)
        assert months is not None
        since, none = months_later(day, -months), dict[int, int]()
        return np.array(
            [sum(n for on, n in self.held.get(slot, none).items() if since <= on <= day) for slot in slots.tolist()],
            np.int64,
        )

    # -- rows

    def take_rows(self) -> list[Pair]:
        """Rows changed since the last call, without days that no count reaches any more."""
        out: list[Pair] = []
        for slot in sorted(self._changed):
            days = self.held[slot]
            for day in [day for day in days if day < self.ledger.closed - _DAYS_HELD]:
                del days[day]
            key = RowKey.TRANSACTION_COUNTS + self.ledger.customer_id(slot).encode()
            out.append((key, json.dumps(sorted(days.items())).encode()))
        self._changed.clear()
        return out

    def load(self, rows: Rows) -> None:
        """Rows back; later ones count."""
        for key, value in rows:
            self.held[self.ledger.customer(key[1:].decode())] = dict(json.loads(value or b"[]"))
