"""Claims: under which customer an account has come, once each, for whoever compares the owners of accounts (agents.owners).

A claim leaves in the transaction that writes the account's row for the first time: an account whose row is there has been
claimed. Fences say that this has been kept since their state began; under one that does not, all accounts are claimed again.
Claims of an account lie in one partition, whoever its customers are and wherever those lie.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from agents.engine.job import TP
from agents.engine.record_batches import Packed, texts
from schemas.codec.encoder import Writer, encode_columns
from schemas.codec.murmur import partitions_of_texts
from schemas.registry import Registry
from schemas.topics import OWNERS
from streams.accounts.ledger import Ledger
from streams.accounts.store import ID_BYTES_MAX, REF_BITS, REF_MASK, Array
from streams.calendar import DAY_MAX

_CLAIMED: Final = "claims"  # of a fence: all accounts whose rows it stands for have been claimed
_BETWEEN: Final = b"\0"  # account and customer in a key; no id has it


class Claims:
    """Of one partition of customers; `partitions`: of every topic. Not `kept`: nothing is claimed."""

    def __init__(self, registry: Registry, ledger: Ledger, partitions: int, *, kept: bool) -> None:
        self._kept, self._loaded = kept, kept  # _loaded: the rows that are loaded have been claimed
        self._writer, self._ledger, self._partitions = Writer(OWNERS, registry), ledger, partitions
        self._made = np.zeros(0, np.bool_)  # by the account's slot
        self._waiting = np.zeros(0, np.int64)  # slots of accounts with rows, that are to be claimed again
        self._taken: list[tuple[TP, list[Packed]]] = []

    def entry(self) -> dict[str, bool]:
        """As an entry of a fence's meta."""
        return {_CLAIMED: True} if self._kept else {}

    def load(self, meta: Mapping[str, Any]) -> None:
        """A fence's meta back."""
        self._loaded = bool(meta.get(_CLAIMED))

    def begin(self, *, anew: bool) -> None:
        """All rows are loaded. anew: what they stand for is to be claimed again."""
        anew = self._kept and (anew or not self._loaded)
        count = self._ledger.columns.account_count
        self._made = np.full(count, not anew)
        self._waiting = np.arange(count if anew else 0)

    @property
    def waiting(self) -> int:
        """Accounts that are to be claimed again, though nothing about them changes."""
        return len(self._waiting)

    def take(self, slots: Array, rows_max: int | None) -> bool:
        """The rows of these accounts are about to leave; whether no other account waits for its claim any more."""
        if not self._kept:
            return True
        count = self._ledger.columns.account_count
        if count > len(self._made):
            grown = np.zeros(max(count, 2 * len(self._made)), np.bool_)
            grown[: len(self._made)] = self._made
            self._made = grown
        new = slots[~self._made[slots]]
        if len(self._waiting):
            now, self._waiting = (
                self._waiting[:rows_max],
                self._waiting[len(self._waiting) if rows_max is None else rows_max :],
            )
            new = np.union1d(new, now[~self._made[now]])
        self._made[new] = True
        if len(new):
            self._taken += self._claims(new)
        return not len(self._waiting)

    def taken(self) -> list[tuple[TP, list[Packed]]]:
        """The claims of the accounts that were taken, by the partition of the account."""
        taken, self._taken = self._taken, []
        return taken

    def _claims(self, slots: Array) -> list[tuple[TP, list[Packed]]]:
        customers, (mine, since) = self._ledger.customers, self._ledger.claims_of(slots)
        names, ends = texts(self._ledger.account_ids(), self._own_ids(slots))
        owners, owner_ends = texts(customers.ids(), customers.refs(mine))
        raw = np.concatenate([names, owners, np.frombuffer(_BETWEEN, np.uint8)])
        account, customer = _refs(ends, 0), _refs(owner_ends, len(names))
        data = np.empty((len(slots), self._writer.width), np.int64)
        data[:, self._writer.index["account_id"]] = account
        data[:, self._writer.index["customer_id"]] = customer
        data[:, self._writer.index["first_day"]] = np.minimum(since, DAY_MAX - 1)
        between = np.full(len(slots), ((len(raw) - 1) << REF_BITS) | 1)
        keys = np.stack([account, between, customer], 1)
        home = partitions_of_texts(raw, account, self._partitions)
        found = []
        for partition in np.unique(home).tolist():
            here = home == partition
            key, key_ends = texts(raw, keys[here].ravel())
            packed = Packed(key, key_ends[2::3].copy(), *encode_columns(self._writer, data[here], raw))
            found.append((TP(OWNERS, partition), [packed]))
        return found

    def _own_ids(self, slots: Array) -> Array:
        """References to the accounts' ids as their sources have them: a second owner's account is kept under a longer one."""
        refs, arena = self._ledger.account_refs(slots), self._ledger.account_ids()
        shared = (refs & REF_MASK) > ID_BYTES_MAX  # streams.accounts.store.shared_id
        at = refs[shared] >> REF_BITS
        refs = refs.copy()
        refs[shared] = (at << REF_BITS) | arena[at + ID_BYTES_MAX]
        return refs


def _refs(ends: Array, base: int) -> Array:
    starts = np.concatenate([[0], ends[:-1]])
    found: Array = ((starts + base) << REF_BITS) | (ends - starts)
    return found
