"""Sums of AUM over spans of days up to a day, for many customers at once: closed months from the ring, the rest from entries.

What a daily average needs of the past when the days to come are assumed (streams/averages/outlook.py).
"""

from __future__ import annotations

import numba as nb
import numpy as np

from streams.accounts.entries import BASE
from streams.accounts.store import DELTA, POSTING, RING, Array, Store
from streams.alerts.outflow import Fx
from streams.averages.metrics import range_sum
from streams.calendar import last_ended_month, month_of, month_start
from streams.kernels.refcounts import borrowed
from streams.money import NANO

FIRST, LAST, RING_FIRST, RING_LAST, TAIL = 0, 1, 2, 3, 4  # columns of a laid-out span


def laid_out(spans: list[tuple[int, int]], as_of: int) -> Array:
    """int64[K, 5]: first and last day; the months that the ring has of it; the first day that entries must give.

    A span ends by `as_of`; it is empty when it ends before it begins. One that begins in a closed month, but not on its
    first day, comes from entries alone: they reach back KEEP_DAYS.
    """
    out, closed = np.empty((len(spans), 5), np.int64), int(last_ended_month(as_of))
    for k, (first, last) in enumerate(spans):
        month, tail = int(month_of(first)), first
        ring = (0, -1)
        if month <= closed and int(month_start(month)) == first and last >= first:
            ring = month, min(int(last_ended_month(last)), closed)
            tail = int(month_start(ring[1] + 1))
        out[k] = first, last, *ring, tail
    return out


@nb.njit(cache=True, nogil=True)
def _base_account(s: Store, account: int, spans: Array, units: Array) -> None:
    a = s.accounts[account]
    for k in range(len(spans)):
        for month in range(spans[k, RING_FIRST], spans[k, RING_LAST] + 1):
            units[k] += a.sums[month % RING]
        units[k] += a.base * max(spans[k, LAST] - spans[k, TAIL] + 1, 0)
    for at in range(a.head, a.head + a.count):
        e = s.entries[at]
        if e.kind == POSTING or e.kind == DELTA:
            for k in range(len(spans)):
                units[k] += e.amount * max(spans[k, LAST] - max(np.int64(e.day), spans[k, TAIL]) + 1, 0)


@nb.njit(cache=True, nogil=True)
def _customers(
    store: Store, rates: Fx, base: int, scope: int, spans: Array, slots: Array, units: Array, nano: Array, held: Array
) -> None:
    s, fx = borrowed(store), borrowed(rates)
    for i in range(len(slots)):
        account = s.customers[slots[i]].head
        while account >= 0:
            a = s.accounts[account]
            if scope >> a.asset_class & 1:
                if a.currency == base:
                    _base_account(s, account, spans, units[i])
                else:
                    for k in range(len(spans)):
                        if spans[k, LAST] >= spans[k, FIRST]:
                            u, n, missing = range_sum(s, fx, account, spans[k, FIRST], spans[k, LAST])
                            units[i, k] += u
                            nano[i, k] += n
                            held[i, k] |= missing
            account = a.following
        for k in range(len(spans)):
            units[i, k] += nano[i, k] // NANO
            nano[i, k] %= NANO


def span_sums(
    s: Store, fx: Fx, clock: Array, scope: int, as_of: int, spans: list[tuple[int, int]], slots: Array
) -> tuple[Array, Array, Array]:
    """(units, nano, held), each [n, K]: sums over spans that end by `as_of`, of the customers in `slots` (int64).

    Base minor units + nano / 10**9, exact; held: a rate is missing on a day with a balance. `scope` is a bit mask of
    asset classes. The ledger's clock must have the month before the one that follows `as_of` closed.
    """
    shape = len(slots), len(spans)
    units, nano, held = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(shape, np.bool_)
    _customers(s, fx, int(clock[BASE]), scope, laid_out(spans, as_of), slots, units, nano, held)
    return units, nano, held
