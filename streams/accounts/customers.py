"""The customers of a ledger by slot: what others ask of their columns, without a copy of a column."""

from __future__ import annotations

import numpy as np

from streams.accounts.owners import last_rows, owners
from streams.accounts.store import Array, Index, StoreColumns, find, id_of
from streams.averages.metrics import first_days


class Customers:
    """Answers for some slots are arrays of their length; `rows` and `index` are views for kernels.

    A view is good until the next customer is made: room for him may move the columns.
    """

    def __init__(self, columns: StoreColumns) -> None:
        self._columns = columns

    @property
    def count(self) -> int:
        """Customers known; their slots are 0 … count - 1."""
        return self._columns.customer_count

    @property
    def rows(self) -> Array:
        """CUSTOMER[slots]: the columns themselves, with room behind the last customer."""
        return self._columns.store.customers

    @property
    def index(self) -> Index:
        """From ids to slots."""
        return self._columns.store.customer_ids

    def reserve(self, customers: int, id_bytes: int) -> None:
        """Room for so many more customers with `id_bytes` of ids."""
        self._columns.reserve(customers, id_bytes, 0)

    # -- ids

    def id(self, slot: int) -> str:
        """The id of a customer."""
        return id_of(self.index, slot)

    def find(self, customer_id: str) -> int | None:
        """The slot of a customer; None if nobody knows him."""
        raw = np.frombuffer(customer_id.encode(), np.uint8)
        slot = int(find(self.index, raw, 0, len(raw)))
        return None if slot < 0 else slot

    def owners(self, raw: Array, refs: Array) -> Array:
        """int64[n]: the slots behind references into `raw`, -1 for an id that is not known."""
        return owners(self.index, raw, refs)

    def last_rows(self, raw: Array, refs: Array, good: Array, slots: Array, found: Array) -> None:
        """Sets `found`, int64[slots], to the last good row whose reference into `raw` is each customer's, where it is -1."""
        last_rows(raw, refs, good, self.index.arena, self.refs(slots), found)

    def ids(self) -> Array:
        """uint8: all ids, one behind the other."""
        return self.index.arena[: int(self.index.meta[1])]

    def refs(self, slots: Array | slice) -> Array:
        """int64[n]: references into `ids`."""
        return self._column("ref", slots)

    # -- profile and tiers

    def class_and_branch(self, slot: int) -> tuple[int, int]:
        """The class of one customer and the code of his branch."""
        row = self.rows[slot]
        return int(row["customer_class"]), int(row["branch"])

    def classes(self, slots: Array) -> Array:
        """int8[n]: classes of customers, as places in CUSTOMER_CLASSES."""
        return self._column("customer_class", slots)

    def branches(self, slots: Array) -> Array:
        """int32[n]: codes of branches, -1 for none."""
        return self._column("branch", slots)

    def cards(self, slots: Array) -> Array:
        """int32[n]: codes of cards, -1 for none."""
        return self._column("card", slots)

    def queue_classes(self, slots: Array) -> Array:
        """int8[n]: codes of the queue classes last published, -1 for none."""
        return self._column("published", slots)

    def tiers(self, slots: Array) -> Array:
        """int8[n]: codes of the tiers last decided."""
        column: Array = self.rows["tier"][slots, 0]
        return column

    def tier_days(self, slots: Array) -> Array:
        """int32[n]: the first days on which these tiers are in force; NO_DAY for a customer not decided yet."""
        column: Array = self.rows["tier_day"][slots, 0]
        return column

    def _column(self, name: str, slots: Array | slice) -> Array:
        column: Array = self.rows[name][slots]
        return column

    # -- accounts

    def first_days(self, slots: Array) -> Array:
        """int64[n]: the first value date of each customer; far in the future for one without accounts."""
        return first_days(self._columns.store, slots)

    def touched(self, closed: int) -> Array:
        """int64: slots of customers with an event since the close of `closed`, the last closed day."""
        accounts = self._columns.store.accounts[: self._columns.account_count]
        found = np.zeros(self.count, np.bool_)
        found[accounts["customer"][accounts["touched"] == closed]] = True
        return np.flatnonzero(found)
