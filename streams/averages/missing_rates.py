"""Which currencies have no rate on a day with a balance: why figures are held, for the few customers who have any held."""

from __future__ import annotations

import numba as nb
import numpy as np

from streams.accounts.entries import BASE
from streams.accounts.store import Array, Store
from streams.alerts.outflow import Fx
from streams.averages.metrics import MONTH, QUARTER, YEAR, periods, range_sum
from streams.kernels.refcounts import borrowed


@nb.njit(cache=True, nogil=True)
def _customers(store: Store, rates: Fx, base: int, scope: int, spans: Array, slots: Array, missing: Array) -> None:
    s, fx = borrowed(store), borrowed(rates)
    for i in range(len(slots)):
        account = s.customers[slots[i]].head
        while account >= 0:
            a = s.accounts[account]
            if scope >> a.asset_class & 1 and a.currency != base:
                for k in range(len(spans)):
                    if spans[k, 1] >= spans[k, 0] and range_sum(s, fx, account, spans[k, 0], spans[k, 1])[2]:
                        missing[i, k, a.currency] = True
            account = a.following


def missing_rates(s: Store, fx: Fx, clock: Array, scope: int, spans: Array, slots: Array) -> Array:
    """bool[n, K, currencies]: the currencies, by their codes, that lack a rate within each of the spans int64[K, 2].

    `scope` is a bit mask of asset classes. A customer takes K times some forty bytes: ask for few at a time.
    """
    missing = np.zeros((len(slots), len(spans), len(fx.since)), np.bool_)
    _customers(s, fx, int(clock[BASE]), scope, spans, slots, missing)
    return missing


def missing_of_metrics(s: Store, fx: Fx, clock: Array, scope: int, as_of: int, slots: Array) -> Array:
    """bool[n, COLUMNS, currencies]: the same of the periods of the metrics; some currency exactly where one is held."""
    missing = missing_rates(s, fx, clock, scope, periods(as_of), slots)
    for column, months in ((QUARTER, 3), (YEAR, 12)):  # as in streams.averages.metrics: what their months lack
        missing[:, column] = missing[:, MONTH : MONTH + months].any(axis=1)
    return missing
