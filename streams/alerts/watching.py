"""Whose cases want a look: customers from whom enough may have left, and those who have, or had, a case."""

from __future__ import annotations

import numpy as np

from streams.accounts.entries import LEAST
from streams.accounts.store import HAS_CASE, Array, Store
from streams.alerts.cases import CaseRules
from streams.alerts.flow_days import case_bounds
from streams.alerts.outflow import Fx


class CaseWatch:
    """What a close and the postings after it tell of each customer, by slot.

    A customer of whom a close can make nothing new is not looked at by it: neither his postings nor his bound, which then
    is at least what it would be.
    """

    def __init__(self) -> None:
        self._kept = np.zeros(0, np.bool_)  # who have, or had, a case
        self._rules: CaseRules | None = None  # those that the columns below are by
        self.forget()

    @property
    def nbytes(self) -> int:
        """Of the columns."""
        columns = self._watched, self._kept, self._foreign, self._bounds, self._oldest
        return sum(column.nbytes for column in columns)

    def keep(self, store: Store, slot: int) -> None:
        """From now on every posting of the customer is looked at."""
        self._kept = _longer(self._kept, slot + 1)
        if not self._kept[slot]:
            self._kept[slot] = True
            store.customers["outflow_bound"][slot] += HAS_CASE

    def forget(self) -> None:
        """No close tells anything any more: should cases be wanted again, everybody has to be looked at."""
        self._watched = np.zeros(0, np.bool_)  # with a debit that may be flow on a day that is not settled yet
        self._foreign = np.zeros(0, np.bool_)  # whose bound depends on rates
        self._bounds = np.zeros(0, np.int64)  # what may have left them as of the last refresh
        self._oldest = np.zeros(0, np.int64)  # the first booking that a close has to settle, as of the last refresh
        self._stale = np.zeros(0, np.int64)  # slots of whom there may be something new since

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
        self._stale = np.flatnonzero(found)
        return self._stale

    def refresh(
        self, store: Store, count: int, starts: Array, offsets: Array, fx: Fx, rules: CaseRules, clock: Array
    ) -> None:
        """After a close or a recovery, and after `leaving`."""
        before, self._kept = len(self._bounds), _longer(self._kept, count)
        if rules is not self._rules:
            before, self._rules = 0, rules
        self._watched, self._foreign = _grown(self._watched, count), _grown(self._foreign, count)
        self._oldest = _grown(self._oldest, count)
        found = store.customers["outflow_bound"][:count] >= clock[LEAST]
        found |= self._watched
        found |= self._foreign
        found[before:] = True
        found[self._stale] = True
        case_bounds(
            store, starts, offsets, fx, rules, clock, np.flatnonzero(found), self._watched, self._kept, self._oldest,
            self._foreign,
        )  # fmt: skip
        self._bounds = store.customers["outflow_bound"][:count].copy()


def _longer(column: Array, count: int) -> Array:
    return column if count <= len(column) else _grown(column, max(count, 2 * len(column)))


def _grown(column: Array, count: int) -> Array:
    """The column with `count` rows."""
    out = np.zeros(count, column.dtype)
    out[: len(column)] = column
    return out
