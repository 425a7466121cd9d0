"""Whose cases want a look: customers from whom enough may have left, and those who have, or had, a case."""

from __future__ import annotations

import numpy as np

from streams.accounts.store import HAS_CASE, Array, Store
from streams.alerts.cases import CaseRules
from streams.alerts.flow_days import case_bounds
from streams.alerts.outflow import Fx


class CaseWatch:
    """What a close and the postings after it tell of each customer, by slot."""

    def __init__(self) -> None:
        self._watched = np.zeros(0, np.bool_)  # with a debit that may be flow on a day that is not settled yet
        self._kept = np.zeros(0, np.bool_)  # who have, or had, a case
        self._bounds = np.zeros(0, np.int64)  # what may have left them as of the last refresh
        self._oldest = np.zeros(
            0, np.int64
        )  # the first booking that a close will have to settle, as of the last refresh

    @property
    def nbytes(self) -> int:
        """Of the columns."""
        return sum(column.nbytes for column in (self._watched, self._kept, self._bounds, self._oldest))

    def keep(self, store: Store, slot: int) -> None:
        """From now on every posting of the customer is looked at."""
        self._kept = _longer(self._kept, slot + 1)
        if not self._kept[slot]:
            self._kept[slot] = True
            store.customers["outflow_bound"][slot] += HAS_CASE

    def forget(self) -> None:
        """No close tells anything any more: should cases be wanted again, everybody has to be looked at."""
        self._watched, self._bounds, self._oldest = np.zeros(0, np.bool_), np.zeros(0, np.int64), np.zeros(0, np.int64)

    def may_fire(self, store: Store, count: int, least: int) -> Array:
        """int64: slots of customers from whom `least` may have left, with a debit since the days that were settled last."""
        bounds, before = store.customers["outflow_bound"][:count], len(self._bounds)
        found = bounds >= least
        found[:before] &= self._watched | (bounds[:before] != self._bounds)
        slots: Array = np.flatnonzero(found)
        return slots

    def leaving(self, count: int, horizon_ms: int, touched: Array) -> Array:
        """int64: slots of customers of whom a close with that horizon may forget a posting. `touched`: since the last refresh."""
        found = np.ones(count, np.bool_)
        found[: len(self._oldest)] = self._oldest < horizon_ms
        found[touched] = True
        slots: Array = np.flatnonzero(found)
        return slots

    def refresh(
        self, store: Store, count: int, starts: Array, offsets: Array, fx: Fx, rules: CaseRules, clock: Array
    ) -> None:
        """After a close or a recovery."""
        self._watched, self._kept, self._oldest = (
            np.zeros(count, np.bool_),
            _longer(self._kept, count),
            np.zeros(count, np.int64),
        )
        case_bounds(store, starts, offsets, fx, rules, clock, self._watched, self._kept, self._oldest)
        self._bounds = store.customers["outflow_bound"][:count].copy()


def _longer(column: Array, count: int) -> Array:
    if count <= len(column):
        return column
    out = np.zeros(max(count, 2 * len(column)), column.dtype)
    out[: len(column)] = column
    return out
