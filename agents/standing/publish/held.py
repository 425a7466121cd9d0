"""Why figures of standings and outlooks are null: their field `held`, made once for all customers of whom the same is held."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import fastavro
import numpy as np

from schemas.codec.encoder import Writer
from streams.accounts.store import NULL, Array
from streams.money import CURRENCIES

HELD_FIELD: Final = "held"
_NO_RATE: Final = "no_rate"
BARRED: Final = "unreachable"  # no amount is enough
HELD_CHUNK: Final = 1 << 12  # customers at a time


class HeldReason(NamedTuple):
    """A field that is null, and why."""

    field: str
    reason: str


Keep = Callable[[bytes], int]
"""Puts bytes into the buffer of a block of records: their reference."""


def no_rate(missing: Array) -> str:
    """The reason of a figure that lacks the rates of these currencies, bool[currencies]."""
    return f"{_NO_RATE}:{','.join(CURRENCIES[code] for code in np.flatnonzero(missing).tolist())}"


class HeldField:
    """The field `held` of a writer's contract; `known` is false for a version that has none."""

    def __init__(self, writer: Writer) -> None:
        self.known = HELD_FIELD in writer.index
        if self.known:
            [field] = (f for f in writer.type.fields if f.name == HELD_FIELD)
            self._type = fastavro.parse_schema(field.type.source)

    def lists(self, keep: Keep, rows: Array, reasons: Callable[[Array], Iterable[HeldReason]]) -> Array:
        """int64[n]: a reference for each of `rows`, [n, …], to the list that `reasons` gives of it; the same for equal rows."""
        if not len(rows):
            return np.zeros(0, np.int64)
        flat = np.ascontiguousarray(rows).reshape(len(rows), -1)
        _, first, which = np.unique(flat, axis=0, return_index=True, return_inverse=True)
        refs = np.array([keep(self.encoded(reasons(rows[i]))) for i in first.tolist()], np.int64)
        return np.asarray(refs[which.reshape(-1)])

    def encoded(self, reasons: Iterable[HeldReason]) -> bytes:
        """A list in Avro."""
        out, found = io.BytesIO(), [one._asdict() for one in reasons]
        fastavro.schemaless_writer(out, self._type, found)
        return out.getvalue()


def null_where(held: Array, values: Array) -> Array:
    """The values, null where they are held."""
    return np.where(held, NULL, values)
