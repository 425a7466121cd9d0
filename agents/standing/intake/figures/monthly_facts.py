"""Facts by calendar month of their `as_of`, where a pack asks for them so: of a month the highest (as_of, event id) counts.

Held for as long as a criterion can look back. Rows go out in the transaction of the event, so a replay leaves them alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np

from agents.engine.job import Pair
from agents.standing.model import RowKey
from policies.model.figures import FACT_MONTHS_MAX, Key, Series, months_of_year, series
from streams.accounts.ledger import Ledger
from streams.accounts.store import Array
from streams.calendar import NO_DAY, last_ended_month, month_of

_MONTHS_HELD = FACT_MONTHS_MAX + 2  # the month being lived, and one that closes behind its end
_Month = tuple[int, str, int]  # as_of, event id, value


class MonthlyFacts:
    """By name, slot and month."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.held: dict[str, dict[int, dict[int, _Month]]] = {}  # of the names that are asked for by month
        self._changed: set[tuple[str, int]] = set()

    def know(self, asked: Iterable[Key], facts: Iterable[str]) -> None:
        """Facts that one of these metrics asks for by month are kept so from now on."""
        wanted = {found.of for name, _ in asked if (found := series(name)) is not None}
        for name in wanted & {*facts}:
            self.held.setdefault(name, {})

    def take(self, name: str, slot: int, value: int, as_of: int, event_id: str) -> bool:
        """Takes a fact; whether its month has another value now, or the same from another event."""
        if name not in self.held:
            return False
        month, new = int(month_of(as_of)), (as_of, event_id, value)
        if self.ledger.closed != NO_DAY and month <= self.ledger.open_month - _MONTHS_HELD:
            return False
        months = self.held[name].setdefault(slot, {})
        if months.get(month, (NO_DAY, "", 0))[:2] >= new[:2]:
            return False
        months[month] = new
        self._changed.add((name, slot))
        return True

    def column(self, wanted: Series, slots: Array, day: int, absent: int) -> Array:
        """int64[n]: of a month, or the year so far, as of a day; `absent` for each month of which none was sent."""
        newest = int(last_ended_month(day))
        months = range(months_of_year(day)) if wanted.year else (wanted.month or 0,)
        held = self.held.get(wanted.of, {})
        out = np.full(len(slots), absent * len(months), np.int64)
        for i, slot in enumerate(slots.tolist()):
            known = held.get(slot)
            if known:
                out[i] += sum(known[newest - k][2] - absent for k in months if newest - k in known)
        return out

    # -- rows

    def take_rows(self) -> list[Pair]:
        """Rows changed since the last call, without months that nothing can look at any more."""
        out: list[Pair] = []
        for name, slot in sorted(self._changed):
            months = self.held[name][slot]
            oldest = self.ledger.open_month - _MONTHS_HELD if self.ledger.closed != NO_DAY else NO_DAY
            for month in [month for month in months if month <= oldest]:
                del months[month]
            key = RowKey.FACT_MONTHS + f"{name}/{self.ledger.customer_id(slot)}".encode()
            out.append((key, json.dumps(sorted(months.items()), ensure_ascii=False, separators=(",", ":")).encode()))
        self._changed.clear()
        return out

    def load(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Rows back, one a key; of names that no pack asks for by month any more they are left."""
        for key, value in rows:
            name, customer_id = key[1:].decode().split("/", 1)
            if name in self.held:
                months = {
                    month: (as_of, event_id, number) for month, (as_of, event_id, number) in json.loads(value or b"[]")
                }
                self.held[name][self.ledger.customer(customer_id)] = months
