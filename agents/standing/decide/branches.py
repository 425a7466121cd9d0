"""Whose rules a customer goes by: his class's, or those of his branch where a supplement adds to them (R-131, R-161)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from policies.compiled.classes import ClassTable, CompiledClasses
from streams.accounts.customers import Customers
from streams.accounts.store import Array
from streams.vocabulary.terms import CUSTOMER_CLASSES

Tables = tuple[ClassTable | None, ...]
ANY = -2  # in place of a branch's code: the others, and those without one


class RulesInForce:
    """The tables in force by class of customers and branch; `code` gives a branch's code in the customers' rows."""

    def __init__(self, classes: CompiledClasses | None, code: Callable[[str], int]) -> None:
        self.classes = classes
        self._tables: Tables = (None,) * len(CUSTOMER_CLASSES) if classes is None else classes.tables
        branches = {} if classes is None else classes.branches
        self._own: dict[int, Tables] = {code(branch): tables for branch, tables in branches.items()}

    def of(self, kind: int, branch: int) -> ClassTable | None:
        """The table of a class of customers in a branch."""
        own = self._own.get(branch)
        return self._tables[kind] if own is None or own[kind] is None else own[kind]

    def every(self) -> Iterator[ClassTable]:
        """All of them."""
        for tables in (self._tables, *self._own.values()):
            yield from (table for table in tables if table is not None)

    def first(self) -> ClassTable:
        """The table of the first class that has a scheme."""
        return next(table for table in self._tables if table is not None)

    def branches(self) -> list[int]:
        """Codes of the branches with rules of their own, ascending."""
        return sorted(self._own)

    def parts(self, customers: Customers, slots: Array) -> Iterator[tuple[ClassTable, Array]]:
        """(table, places in `slots`) of the customers who have one."""
        for kind, branch, rows in parted(customers, slots, self.branches()):
            if (table := self.of(kind, branch)) is not None:
                yield table, rows


def parted(customers: Customers, slots: Array, branches: Iterable[int]) -> Iterator[tuple[int, int, Array]]:
    """(class, branch or ANY, places in `slots`) of customers who go by the same rules."""
    kinds, apart = customers.classes(slots), sorted(branches)
    for kind in range(len(CUSTOMER_CLASSES)):
        rows = np.flatnonzero(kinds == kind)
        for branch in apart:
            mine = customers.branches(slots[rows]) == branch
            if mine.any():
                yield kind, branch, rows[mine]
                rows = rows[~mine]
        if len(rows):
            yield kind, ANY, rows
