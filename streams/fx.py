"""Rates: the highest version of the last date on or before a day counts (docs/aum.md#rates)."""

from __future__ import annotations

import json
from bisect import insort

import numpy as np

from streams.accounts.store import EVENT_ID_BYTES_MAX
from streams.alerts.outflow import Fx
from streams.calendar import DAY_MAX, DAY_MIN
from streams.fields import BAD_DATE, BAD_ID, BAD_RATE, BAD_VERSION, TOO_MANY
from streams.money import CURRENCIES, EXPONENTS, NANO

VERSIONS_MAX = 16  # of a day's rate, the highest: what is withdrawn gives way to the one below it
RATE_MICRO_MAX = 10**12  # a million units of base currency per unit
# Minor units of base currency per minor unit, in billionths: AMOUNT_MAX held for a year of 366 days is within int64 then.
RATE_NANO_MAX = 250 * NANO
RATES_BYTES_MAX = 2 << 20  # of all rates as JSON: they go into one record of the state, a fence


_Version = tuple[int, str, int]  # version, event id, micro


def rate_micro_max(base: str, currency: str) -> int:
    """The highest rate of a currency that is taken, in millionths of the base per unit."""
    return int(min(RATE_MICRO_MAX, RATE_NANO_MAX // 10 ** _shift(base, currency)))


def _shift(base: str, currency: str) -> int:
    """Decimal places between millionths of a unit per unit and billionths of a minor unit per minor unit."""
    return 3 + EXPONENTS[base] - EXPONENTS[currency]


class Rates:
    """Rates to a base currency by currency and day; `table()` gives the kernels' prefix sums."""

    def __init__(self, base: str) -> None:
        self.base = base
        # By currency and day; of a day the last one counts, the others are there for when it is withdrawn.
        self._rates: dict[int, dict[int, list[_Version]]] = {}
        self._bytes = 0
        self._table: Fx | None = None

    def put(self, currency: int, day: int, micro: int, version: int, event_id: str) -> int:
        """Takes a rate (base units per unit of the currency * 10**6), in any order; 0, or the reason why not."""
        if not 0 < micro <= self.micro_max(currency):
            return BAD_RATE
        if version < 0:
            return BAD_VERSION
        if not DAY_MIN <= day < DAY_MAX:
            return BAD_DATE
        if len(event_id.encode()) > EVENT_ID_BYTES_MAX:
            return BAD_ID
        if self._bytes + _size(currency, day, (version, event_id, micro)) > RATES_BYTES_MAX:
            return TOO_MANY
        self.keep(currency, day, micro, version, event_id)
        return 0

    def keep(self, currency: int, day: int, micro: int, version: int, event_id: str) -> None:
        """Takes a rate that `put` has taken before."""
        held, new = self._rates.setdefault(currency, {}).setdefault(day, []), (version, event_id, micro)
        if new not in held:
            insort(held, new)
            self._bytes += _size(currency, day, new)
            for one in held[:-VERSIONS_MAX]:
                held.remove(one)
                self._bytes -= _size(currency, day, one)
            self._table = None

    def withdraw(self, currency: int, day: int, version: int) -> None:
        """As if the version of a day had not been sent."""
        days = self._rates.get(currency, {})
        for one in [one for one in days.get(day, ()) if one[0] == version]:
            days[day].remove(one)
            self._bytes -= _size(currency, day, one)
            self._table = None
        if not days.get(day, [None]):
            del days[day]

    def micro_max(self, currency: int) -> int:
        """The highest rate that is taken, in millionths."""
        return rate_micro_max(self.base, CURRENCIES[currency])

    def micro_on(self, currency: int, day: int) -> int | None:
        """The rate of a day, in millionths of the base per unit; None where none is known."""
        if CURRENCIES[currency] == self.base:
            return 10**6
        known = [on for on, held in self._rates.get(currency, {}).items() if on <= day and held]
        return self._rates[currency][max(known)][-1][2] if known else None

    def prune(self, before: int) -> None:
        """Forgets what no day from `before` on needs."""
        for currency, days in self._rates.items():
            old = sorted(day for day in days if day <= before)[:-1]
            for day in old:
                self._bytes -= sum(_size(currency, day, one) for one in days.pop(day))
            if old:
                self._table = None

    def items(self) -> list[tuple[int, int, int, int, str]]:
        """(currency, day, micro, version, event id) of every rate held: the arguments of `put`."""
        return [
            (c, day, micro, v, e)
            for c, days in sorted(self._rates.items())
            for day, held in sorted(days.items())
            for v, e, micro in held
        ]

    def table(self) -> Fx:
        """Prefix sums of the nano rates; cached until a rate comes."""
        if self._table is None:
            self._table = self._build()
        return self._table

    def _build(self) -> Fx:
        known = [day for days in self._rates.values() for day in days]
        first, last = (min(known), max(known)) if known else (0, 0)
        prefix = np.zeros((len(CURRENCIES), last - first + 2), np.int64)
        since = np.full(len(CURRENCIES), 1 << 30, np.int64)
        for currency, days in self._rates.items():
            if not days:
                continue
            shift = _shift(self.base, CURRENCIES[currency])
            ordered, daily = sorted(days), np.zeros(prefix.shape[1] - 1, np.int64)
            for day in ordered:
                daily[day - first :] = days[day][-1][2] * 10**shift
            prefix[currency, 1:] = np.cumsum(daily)
            since[currency] = ordered[0]
        return Fx(np.array([first], np.int64), prefix, since)


def _size(currency: int, day: int, held: tuple[int, str, int]) -> int:
    """Bytes of a rate in `items` as JSON."""
    return len(json.dumps([currency, day, *held])) + 2
