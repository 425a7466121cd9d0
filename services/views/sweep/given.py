"""What the log gave of one partition: the row that each key should have now, in columns, some 60 bytes a row.

It is read from the log itself, beside the writer, so it knows nothing of the store.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.views.store import Put

ROW_DIGEST_CHARS: Final = 16  # of a row's SHA-1, which is what Redis' scripts can compute
ROW_GONE: Final = b"-"
"""Digest of a row that is not to be there: its key has a tombstone."""

ROW_UNKNOWN: Final = b"?"
"""Digest of a row of which nothing can be said: its last record can't be read, or the store does not keep it."""

PENDING_MAX: Final = 50_000
"""Entries that wait to be sorted in."""

PART: Final = 10**9
"""Of a version, which is never negative, the last nine digits are summed, as the store does it."""

VERSION_NONE: Final = -(1 << 63)
"""Of a key that has no row: whatever comes later counts."""


class GivenRow(NamedTuple):
    """What a record makes of a row: `digest` of its version and fields, or ROW_GONE, or ROW_UNKNOWN."""

    key: bytes  # without the topic's prefix
    version: int
    offset: int
    digest: bytes


def digest_of(put: Put) -> bytes:
    """Of a row's version and fields in their order, as the store computes it of what it holds."""
    fields = (field.encode() if isinstance(field, str) else field for field in put.fields.values())
    parts = b"\0".join((b"%d" % put.version, *fields))
    return hashlib.sha1(parts, usedforsecurity=False).hexdigest()[:ROW_DIGEST_CHARS].encode()


class _Columns(NamedTuple):
    """Entries as columns, all of one length."""

    hash: npt.NDArray[np.int64]
    version: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    digest: npt.NDArray[np.bytes_]
    key: Any  # pyarrow array of bytes

    def take(self, at: npt.NDArray[Any]) -> "_Columns":
        """Some of the rows, in this order."""
        return _Columns(self.hash[at], self.version[at], self.offset[at], self.digest[at], self.key.take(pa.array(at)))


class RowsGiven:
    """The rows that a partition gave, by the hash of their keys.

    The log is known up to the offset `upto`; `end` is the place behind its last record, as transactions leave marks too.
    """

    def __init__(self) -> None:
        self.upto = self.end = 0
        self.pending: list[GivenRow] = []
        self.names: tuple[str, ...] = ()  # of the fields of a row
        self.known = _columns([])

    def __len__(self) -> int:
        self.settle()
        return len(self.known.hash)

    def add(self, entries: Sequence[GivenRow], upto: int) -> None:
        """What the next records gave; those below `upto` are known now."""
        self.pending += entries
        self.upto = max(self.upto, upto)
        self.end = max([self.end, *(entry.offset + 1 for entry in entries[-1:])])
        if len(self.pending) > PENDING_MAX:
            self.settle()

    def settle(self) -> None:
        """Sort in what waits. The store's rule: the highest version counts, of those behind the last tombstone."""
        if not self.pending:
            return
        new, self.pending = _columns(self.pending), []
        old = self.known
        both = _Columns(
            np.concatenate((old.hash, new.hash)),
            np.concatenate((old.version, new.version)),
            np.concatenate((old.offset, new.offset)),
            np.concatenate((old.digest, new.digest)),
            pa.concat_arrays([old.key, new.key]),
        )
        order = np.lexsort((both.offset, both.hash))
        starts = np.flatnonzero(np.r_[True, np.diff(both.hash[order]) != 0])
        ends = np.where(np.isin(both.digest[order], (ROW_GONE, ROW_UNKNOWN)), both.offset[order], -1)
        last = np.repeat(np.maximum.reduceat(ends, starts), np.diff(np.r_[starts, len(order)]))
        order = order[both.offset[order] >= last]
        order = order[np.lexsort((both.offset[order], both.version[order], both.hash[order]))]
        self.known = both.take(order[np.r_[np.diff(both.hash[order]) != 0, True]])

    def rows(self, after: int, count: int) -> tuple[list[GivenRow], int]:
        """Up to `count` rows whose hash is above `after`, and the last hash looked at; the greatest int64 at the end.

        What waits to be sorted in is left out: it is not settled what its rows should be.
        """
        first = int(np.searchsorted(self.known.hash, after, side="right"))
        part = self.known.take(np.arange(first, min(first + count, len(self.known.hash))))
        last = int(part.hash[-1]) if first + count < len(self.known.hash) else HASH_LAST
        waiting = self.waiting()
        columns = (part.key.to_pylist(), part.version.tolist(), part.offset.tolist(), part.digest.tolist())
        found = (GivenRow(*values) for values in zip(*columns, strict=True))
        return [entry for entry in found if entry.digest != ROW_UNKNOWN and entry.key not in waiting], last

    def waiting(self) -> set[bytes]:
        """Keys of what waits to be sorted in."""
        return {entry.key for entry in self.pending}

    def totals(self) -> tuple[int, int] | None:
        """Rows, and the sum of their versions, of all that is known; None where of some rows nothing can be said."""
        self.settle()
        if (self.known.digest == ROW_UNKNOWN).any():
            return None
        there = self.known.version[self.known.digest != ROW_GONE]
        return len(there), int((there % PART).sum())


HASH_FIRST: Final = -(1 << 63)
HASH_LAST: Final = (1 << 63) - 1


def _columns(entries: Sequence[GivenRow]) -> _Columns:
    keys = [entry.key for entry in entries]
    return _Columns(
        np.fromiter(map(hash, keys), np.int64, len(keys)),
        np.fromiter((entry.version for entry in entries), np.int64, len(keys)),
        np.fromiter((entry.offset for entry in entries), np.int64, len(keys)),
        np.array([entry.digest for entry in entries], f"S{ROW_DIGEST_CHARS}"),
        pa.array(keys, pa.binary()),
    )
