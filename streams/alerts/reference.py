"""The highest AUM close of the days before a day: what an outflow is a share of (docs/alerts.md#firing).

By what was booked or cut off up to the day, so that what comes in later changes no case that is settled.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from streams.accounts.entries import entry_amount, entry_day
from streams.accounts.store import DELTA, POSTING, SNAPSHOT, Array, Store
from streams.alerts.outflow import Fx, in_base, weight
from streams.calendar import business_day
from streams.money import NANO


@nb.njit(cache=True, nogil=True)
def closes_before(s: Store, starts: Array, offsets: Array, account: int, day: int, balance: Array) -> bool:
    """balance[k]: close of the account on the day k + 1 days before `day`, by what was booked up to it; any but zero?"""
    n, a = len(balance), s.accounts[account]
    low = day - n
    balance[:] = 0
    total = a.base
    for at in range(a.head, a.head + a.count):
        e = s.entries[at]
        amount, on = e.amount, np.int64(e.day)
        if e.kind == SNAPSHOT:
            if business_day(e.booked, starts, offsets) <= day:
                continue
            amount, on = -entry_amount(s, account, at), entry_day(s, account, at)
        elif e.kind == POSTING:
            if business_day(e.booked, starts, offsets) > day:
                continue
        elif e.kind != DELTA:
            continue
        if on <= low:
            total += amount
        elif on < day:
            balance[day - 1 - on] += amount
    held = total != 0
    for k in range(n - 1, -1, -1):
        total += balance[k]
        balance[k] = total
        held |= total != 0
    return held


@nb.njit(cache=True, nogil=True)
def highest_closes(
    s: Store, starts: Array, offsets: Array, fx: Fx, base: int, scope: int, customer: int, day: int, highs: Array
) -> None:
    """highs[k] becomes the highest AUM close of the k days before `day`; highs[0] is 0. A day without a rate counts 0."""
    n = len(highs) - 1
    units, nano, missing = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.bool_)
    balance = np.empty(n, np.int64)
    account = s.customers[customer].head
    while account >= 0:
        a = s.accounts[account]
        if scope >> a.asset_class & 1 and closes_before(s, starts, offsets, account, day, balance):
            for k in range(n):
                u, b = in_base(fx, base, a.currency, day - 1 - k, balance[k])
                units[k], nano[k] = units[k] + u, nano[k] + b
                if a.currency != base and balance[k] != 0 and weight(fx, a.currency, day - 1 - k, day - 1 - k) == 0:
                    missing[k] = True
        account = a.following
    highs[0] = 0
    for k in range(n):
        highs[k + 1] = max(highs[k], np.int64(0) if missing[k] else units[k] + nano[k] // NANO)
