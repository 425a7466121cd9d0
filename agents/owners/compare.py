"""Which claims of a partition are of an account that has come under somebody else before. Pure: no I/O.

An account and a customer are known by 64-bit hashes, 16 bytes an account in a table that is half empty at most: two accounts
of the same hash in a partition of ten million would be met once in 400,000 banks, and told as one.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from agents.engine.job import Block
from schemas.codec.blocks import Columns, Reader, decode
from schemas.codec.status import Status
from schemas.registry import Registry
from schemas.topics import OWNERS
from streams.accounts.owners import more_cells, note_owners

CELLS: Final = 1 << 10  # of the table, at the beginning
_OK: Final = int(Status.OK)


class Claim(NamedTuple):
    """That an account has come under a customer; the day is a day number."""

    account_id: str
    customer_id: str
    first_day: int


class Further(NamedTuple):
    """The first claim of a further owner, and its offset."""

    offset: int
    claim: Claim


class Shared(NamedTuple):
    """An account that has come under two customers, and the first day under the second of them."""

    account_id: str
    first: str
    second: str
    day: int


class OwnersSeen:
    """The owners of a partition's accounts, as its claims come in the order of the log."""

    def __init__(self, registry: Registry) -> None:
        self._reader = Reader(OWNERS, registry)
        self._table, self._used = np.zeros((CELLS, 2), np.uint64), 0
        self._more = set[tuple[str, str]]()  # accounts and their further owners
        self.shared = set[str]()  # accounts that have several owners

    def take(self, block: Block, told: int = 0) -> list[Further]:
        """The claims of a block that are the first of a further owner; those below offset `told` are known from then on.

        What is no claim is passed over.
        """
        columns = decode(block.batches, self._reader, block.start, block.end, block.lost)
        if not columns.n:
            return []
        index = self._reader.index
        if 2 * (self._used + columns.n) > len(self._table):
            table = np.zeros((1 << (2 * (self._used + columns.n)).bit_length(), 2), np.uint64)
            more_cells(self._table, table)
            self._table = table
        out = np.empty(columns.n, np.int64)
        accounts, customers = (
            np.ascontiguousarray(columns.data[:, index[name]]) for name in ("account_id", "customer_id")
        )
        self._used, found = note_owners(
            self._table, self._used, columns.raw, accounts, customers, columns.status == _OK, out
        )
        new = [(i, claim) for i in out[:found].tolist() if (claim := self._further(columns, i)) is not None]
        return [Further(int(columns.offset[i]), claim) for i, claim in new if columns.offset[i] >= told]

    def _further(self, columns: Columns, i: int) -> Claim | None:
        claim = _claim(columns, i, self._reader)
        one = claim.account_id, claim.customer_id
        if one in self._more:
            return None
        self._more.add(one)
        self.shared.add(claim.account_id)
        return claim


def claims_of(block: Block, reader: Reader, accounts: set[bytes]) -> list[Claim]:
    """The claims of some accounts in a block."""
    columns = decode(block.batches, reader, block.start, block.end, block.lost)
    refs = columns.data[:, reader.index["account_id"]]
    good = np.flatnonzero(columns.status == _OK).tolist()
    return [_claim(columns, i, reader) for i in good if columns.bytes_at(int(refs[i])) in accounts]


def _claim(columns: Columns, i: int, reader: Reader) -> Claim:
    row, index = columns.data[i], reader.index
    account, customer = (columns.text_at(int(row[index[name]])) or "" for name in ("account_id", "customer_id"))
    return Claim(account, customer, int(row[index["first_day"]]))


def paired(further: list[Claim], claims: list[Claim]) -> list[Shared]:
    """What is to be told of further owners, each beside the account's first. `claims`: all of theirs, in order of the log."""
    first: dict[str, str] = {}
    for claim in claims:
        first.setdefault(claim.account_id, claim.customer_id)
    out = []
    for claim in further:
        one = first.get(claim.account_id, claim.customer_id)
        if one == claim.customer_id:  # its older claims were compacted away: whoever came behind it is another one
            others = [c.customer_id for c in claims if c.account_id == claim.account_id and c.customer_id != one]
            one = others[0] if others else one
        if one != claim.customer_id:
            out.append(Shared(claim.account_id, one, claim.customer_id, claim.first_day))
    return out
