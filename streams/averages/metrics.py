"""Metrics of customers as of a day: exact sums over days as (units, nano), and divisors (docs/aum.md#metrics)."""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

from streams.accounts.entries import BASE, OPEN
from streams.accounts.store import DELTA, LATE, POSTING, RING, Array, Store
from streams.alerts.outflow import Fx, weight
from streams.calendar import last_ended_month, month_start
from streams.kernels.refcounts import borrowed
from streams.money import NANO, half_even, scaled
from streams.vocabulary.metrics import INDEX, METRICS, MONTHS

COLUMN_COUNT = len(METRICS)
AUM, MONTH, QUARTER, YEAR = (INDEX[name] for name in ("aum", "month_avg[0]", "quarter_avg", "year_avg"))
DAILY = YEAR + 1  # from here on days are added up one by one, not months
assert [k for k in range(COLUMN_COUNT) if METRICS[k].family.monthly] == list(range(MONTH, DAILY))


class Metrics(NamedTuple):
    """Sums over the days of each period for n customers; divide column k by days[k] for the average."""

    as_of: int
    days: Array  # int64[COLUMNS]
    units: Array  # int64[n, COLUMNS], base minor units
    nano: Array  # int64[n, COLUMNS], 0 <= nano < 10**9
    held: Array  # bool[n, COLUMNS]: a rate is missing on a day with a balance

    def rounded(self) -> Array:
        """int64[n, COLUMNS]: half-even averages in base minor units (docs/aum.md#money)."""
        out = np.empty_like(self.units)
        _round(self.units, self.nano, self.days, out)
        return out


def periods(as_of: int) -> Array:
    """int64[COLUMNS, 2]: first and last day of every metric's period; aum is the day itself."""
    return np.array([metric.period(as_of) for metric in METRICS], np.int64)


@nb.njit(cache=True, nogil=True)
def _round(units: Array, nano: Array, days: Array, out: Array) -> None:
    for i in range(units.shape[0]):
        for k in range(units.shape[1]):
            out[i, k] = half_even(units[i, k], nano[i, k], days[k])


@nb.njit(cache=True, nogil=True)
def _counted_days(as_of: int, span: Array) -> Array:
    """int64[days up to as_of, COLUMNS - DAILY]: on how many days of a period that entries give what comes on a day counts.

    The first row is of the first day of all those periods.
    """
    oldest = span[DAILY:, 0].min()
    out = np.empty((as_of - oldest + 1, COLUMN_COUNT - DAILY), np.int64)
    for at in range(len(out)):
        for k in range(COLUMN_COUNT - DAILY):
            out[at, k] = max(span[DAILY + k, 1] - max(oldest + at, span[DAILY + k, 0]) + 1, 0)
    return out


@nb.njit(cache=True, nogil=True)
def _base_account(s: Store, account: int, as_of: int, last: int, counted: Array, units: Array) -> None:
    """An account in base currency: closed months from the ring, the rest from the entries.

    `counted` as of `_counted_days`: what came by its first day was there on every day of each period.
    """
    a, oldest = s.accounts[account], as_of - len(counted) + 1
    for k in range(MONTHS):
        units[MONTH + k] += a.sums[(last - k) % RING]
    settled = a.base
    for at in range(a.head, a.head + a.count):
        e = s.entries[at]
        if (e.kind == POSTING or e.kind == DELTA) and e.day <= as_of:
            if e.day <= oldest:
                settled += e.amount
                continue
            units[AUM] += e.amount
            days = counted[e.day - oldest]
            for k in range(DAILY, COLUMN_COUNT):
                units[k] += e.amount * days[k - DAILY]
    units[AUM] += settled
    for k in range(DAILY, COLUMN_COUNT):
        units[k] += settled * counted[0, k - DAILY]


@nb.njit(cache=True, nogil=True)
def range_sum(s: Store, fx: Fx, account: int, first: int, last: int) -> tuple[int, int, bool]:
    """Sum over [first, last] of close * rate of a foreign account; True if a rate is missing under a balance."""
    a = s.accounts[account]
    units, nano, opening, moved = 0, 0, a.base, False
    bare = min(fx.since[a.currency] - 1, last)  # the last day of the range without a rate
    for at in range(a.head, a.head + a.count):
        e = s.entries[at]
        if (e.kind == POSTING or e.kind == DELTA) and e.day <= last:
            if e.day <= first:
                opening += e.amount
                continue
            u, n = scaled(e.amount, weight(fx, a.currency, e.day, last))
            units, nano = units + u, nano + n
            moved |= e.day <= bare
    u, n = scaled(opening, weight(fx, a.currency, first, last))
    units, nano = units + u, nano + n
    return units + nano // NANO, nano % NANO, bare >= first and (opening != 0 or moved)


@nb.njit(cache=True, nogil=True)
def _foreign_account(s: Store, fx: Fx, account: int, span: Array, units: Array, nano: Array, held: Array) -> None:
    for k in range(COLUMN_COUNT):
        if k == QUARTER or k == YEAR:
            continue
        u, n, missing = range_sum(s, fx, account, span[k, 0], span[k, 1])
        units[k] += u
        nano[k] += n
        held[k] |= missing


@nb.njit(cache=True, nogil=True)
def _customers(
    store: Store,
    rates: Fx,
    base: int,
    scope: int,
    as_of: int,
    last: int,
    span: Array,
    slots: Array,
    units: Array,
    nano: Array,
    held: Array,
) -> None:
    s, fx, counted = borrowed(store), borrowed(rates), _counted_days(as_of, span)
    for i in range(len(slots)):
        account = s.customers[slots[i]].head
        while account >= 0:
            a = s.accounts[account]
            if scope >> a.asset_class & 1:
                if a.currency == base:
                    _base_account(s, account, as_of, last, counted, units[i])
                else:
                    _foreign_account(s, fx, account, span, units[i], nano[i], held[i])
            account = a.following
        for k in range(3):
            units[i, QUARTER] += units[i, MONTH + k]
            nano[i, QUARTER] += nano[i, MONTH + k]
            held[i, QUARTER] |= held[i, MONTH + k]
        for k in range(12):
            units[i, YEAR] += units[i, MONTH + k]
            nano[i, YEAR] += nano[i, MONTH + k]
            held[i, YEAR] |= held[i, MONTH + k]
        for k in range(COLUMN_COUNT):
            if nano[i, k] != 0:  # only where there is foreign currency
                units[i, k] += nano[i, k] // NANO
                nano[i, k] %= NANO


def metrics(s: Store, fx: Fx, clock: Array, scope: int, as_of: int, slots: Array) -> Metrics:
    """Metrics of the customers in `slots` (int64) over the asset classes in the bit mask `scope`."""
    span, n = periods(as_of), len(slots)
    units, nano, held = (
        np.zeros((n, COLUMN_COUNT), np.int64),
        np.zeros((n, COLUMN_COUNT), np.int64),
        np.zeros((n, COLUMN_COUNT), np.bool_),
    )
    _customers(s, fx, int(clock[BASE]), scope, as_of, int(last_ended_month(as_of)), span, slots, units, nano, held)
    return Metrics(as_of, span[:, 1] - span[:, 0] + 1, units, nano, held)


@nb.njit(cache=True, nogil=True)
def late_customers(s: Store, first: Array) -> None:
    """first[slot] becomes the first day of a change in a closed month since the last close, where there is one."""
    for account in range(s.account_ids.meta[0]):
        a = s.accounts[account]
        for at in range(a.head, a.head + a.count):
            e = s.entries[at]
            if e.kind == LATE and e.amount != 0:
                first[a.customer] = min(first[a.customer], np.int64(e.day))


@nb.njit(cache=True, nogil=True)
def _month_now_and_before(s: Store, fx: Fx, base: int, scope: int, customer: int, month: int, out: Array) -> None:
    """out[0:2] = the month's sum now, out[2:4] = as of the last close; out[4] = 1 if a rate is missing."""
    first, last = month_start(month), month_start(month + 1) - 1
    account = s.customers[customer].head
    while account >= 0:
        a = s.accounts[account]
        if scope >> a.asset_class & 1:
            if a.currency == base:
                out[0] += a.sums[month % RING]
                out[2] += a.sums[month % RING]
            else:
                u, n, missing = range_sum(s, fx, account, first, last)
                out[0] += u
                out[1] += n
                out[2] += u
                out[3] += n
                out[4] |= missing
            for at in range(a.head, a.head + a.count):
                e = s.entries[at]
                if e.kind == LATE and e.day <= last:
                    begin = max(np.int64(e.day), first)
                    if a.currency == base:
                        out[2] -= e.amount * (last - begin + 1)
                    else:
                        u, n = scaled(e.amount, weight(fx, a.currency, begin, last))
                        out[2] -= u
                        out[3] -= n
        account = a.following


@nb.njit(cache=True, nogil=True)
def _months_now_and_before(
    store: Store, rates: Fx, base: int, scope: int, customers: Array, first: int, last: int, out: Array
) -> None:
    s, fx = borrowed(store), borrowed(rates)
    for i in range(len(customers)):
        for month in range(first, last + 1):
            _month_now_and_before(s, fx, base, scope, customers[i], month, out[i])


def months_now_and_before(s: Store, fx: Fx, clock: Array, scope: int, customers: Array, first: int, last: int) -> Array:
    """int64[n, 5]: exact sums of the months together (units, nano), now and as of the last close; 1 if a rate is missing."""
    out = np.zeros((len(customers), 5), np.int64)
    _months_now_and_before(s, fx, int(clock[BASE]), scope, customers, first, last, out)
    for units, nano in ((0, 1), (2, 3)):
        out[:, units] += out[:, nano] // NANO
        out[:, nano] %= NANO
    return out


def month_held(clock: Array, month: int) -> bool:
    """Whether a month's sum is still held."""
    return int(clock[OPEN]) - RING < month <= int(clock[OPEN])


@nb.njit(cache=True, nogil=True)
def _first_days(s: Store, slots: Array, out: Array) -> None:
    for i in range(len(slots)):
        account, first = s.customers[slots[i]].head, 1 << 30
        while account >= 0:
            first = min(first, s.accounts[account].first_day)
            account = s.accounts[account].following
        out[i] = first


def first_days(s: Store, slots: Array) -> Array:
    """int64[n]: the first value date of each customer; far in the future for one without accounts."""
    out = np.empty(len(slots), np.int64)
    _first_days(s, slots, out)
    return out
