"""What came in net from outside within some days (docs/alerts.md#kinds): the flow of cases, with its other sign."""

from __future__ import annotations

import numba as nb
import numpy as np

from streams.accounts.store import Array, Index, Long, Store
from streams.alerts.flow import NOT_COMPLETE, is_flow, moves
from streams.alerts.outflow import Fx
from streams.kernels.refcounts import borrowed
from streams.money import NANO


@nb.njit(cache=True, nogil=True)
def net_in(
    store: Store, names: Index, starts: Array, offsets: Array, fx: Fx, base: int, scope: int, banks: Array, settle_ms: Long,
    slots: Array, first: int, last: int, found: Array, ahead: Array,
) -> None:  # fmt: skip
    """found[i]: credits less debits of customer slots[i] on the days [first, last], base minor units rounded down, at least 0.

    ahead[i]: whether a posting of his counts on a day after `last`. A pair takes itself back, on whatever day it is
    complete; the days are among the 35 that postings are held one by one.
    """
    s = borrowed(store)
    for i in range(len(slots)):
        m = moves(s, names, starts, offsets, fx, base, scope, banks, settle_ms, slots[i])
        units, nano = np.int64(0), np.int64(0)
        for k in range(len(m.day)):
            ahead[i] |= m.day[k] > last
            if m.complete[k] == NOT_COMPLETE and first <= m.day[k] <= last and is_flow(m, k):
                sign = 1 if m.amount[k] > 0 else -1
                units, nano = units + sign * m.units[k], nano + sign * m.nano[k]
        found[i] = max(np.int64(0), units + nano // NANO)
