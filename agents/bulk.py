"""Standings of many customers at once: columns to wire format, without a Python object per customer."""

from __future__ import annotations

import numpy as np

from agents.packing import Packed, texts
from policies.compiled import CompiledPack
from schemas.encoder import Writer, encode_columns
from schemas.registry import Registry
from streams.ledger import Ledger
from streams.metrics import AUM, MONTH, MONTHS, NAMES, QUARTER, YEAR, Metrics, first_days
from streams.reference import REFERENCE_CHARS, customer_ref
from streams.store import NULL, REF_BITS, Array

CLASSES = ("personal", "corporate")
NO_TIER = "none"  # a class of customers without a scheme
SEQ_BITS = 20  # of the order within a day in source_seq
HELD_CHARS_MAX = 200
COLUMNS = {
    "aum_minor": AUM, "quarter_avg_minor": QUARTER, "year_avg_minor": YEAR, "trailing_avg_7_minor": 16,
    "trailing_avg_30_minor": 17, "trailing_avg_90_minor": 18, "month_to_date_avg_minor": 19,
}  # fmt: skip


class StandingWriter:
    """Encodes standings. Texts lie in one buffer: customer ids, their references, and what all share."""

    def __init__(self, registry: Registry, key: bytes, pack: CompiledPack, ledger: Ledger) -> None:
        self.writer = Writer("standings", registry, {"month_avgs_minor": MONTHS})
        self.key, self.pack, self.ledger = key, pack, ledger
        self._references = np.zeros((0, REFERENCE_CHARS), np.uint8)  # by slot, made once
        self._known = 0

    def standings(self, found: Metrics, slots: Array, kept: Array, metric: int) -> Packed:
        """Records of the customers slots[kept]; `found` has a row for each of `slots`."""
        mine, rounded = slots[kept], found.rounded()[kept]
        customers, index = self.ledger.store.customers, self.writer.index
        raw = _Buffer(self.ledger.store.customer_ids.arena[: int(self.ledger.store.customer_ids.meta[1])])
        data = np.full((len(mine), self.writer.width), NULL, np.int64)
        kinds = customers["customer_class"][mine]
        data[:, index["customer_id"]] = customers["ref"][mine]
        data[:, index["customer_ref"]] = raw.block(self._reference_bytes(mine))
        data[:, index["as_of"]] = found.as_of
        data[:, index["customer_class"]] = raw.choice(CLASSES, kinds)
        data[:, index["pack_id"]] = raw.text(self.pack.pack_id)
        data[:, index["pack_version"]] = self.pack.version
        names = (*self.pack.tier_ids, NO_TIER)
        data[:, index["tier"]] = raw.choice(names, np.where(kinds == 0, customers["tier"][mine, 0], len(names) - 1))
        data[:, index["tier_effective"]] = np.maximum(customers["tier_day"][mine, 0], 0)
        months = index["month_avgs_minor"]
        data[:, months : months + MONTHS] = rounded[:, MONTH : MONTH + MONTHS]
        for name, column in COLUMNS.items():
            data[:, index[name]] = rounded[:, column]
        data[:, index["currency"]] = raw.text(self.ledger.base_currency)
        data[:, index["first_day"]] = first_days(self.ledger.store, mine)
        data[:, index["source_seq"]] = found.as_of << SEQ_BITS
        for i in np.flatnonzero(found.held[kept].any(axis=1)).tolist():
            data[i, index["held_reason"]] = raw.text(_held(found, int(kept[i]), metric))
        keys = texts(self.ledger.store.customer_ids.arena, customers["ref"][mine])
        return Packed(*keys, *encode_columns(self.writer, data, raw.bytes()))

    def _reference_bytes(self, slots: Array) -> Array:
        """uint8[n, 26]: opaque references; an HMAC each, once a customer."""
        count = self.ledger.columns.customer_count
        if count > len(self._references):
            grown = np.zeros((max(count, 2 * len(self._references)), REFERENCE_CHARS), np.uint8)
            grown[: self._known] = self._references[: self._known]
            self._references = grown
        for slot in range(self._known, count):
            reference = customer_ref(self.key, self.ledger.customer_id(slot))
            self._references[slot] = np.frombuffer(reference.encode(), np.uint8)
        self._known = count
        return self._references[slots]


class _Buffer:
    """Texts behind the customer ids, and packed references to them."""

    def __init__(self, ids: Array) -> None:
        self._parts, self._size = [ids], len(ids)

    def block(self, table: Array) -> Array:
        """References to the rows of a table of bytes."""
        width, start = table.shape[1], self._size
        self._add(table.reshape(-1))
        return (start + np.arange(len(table)) * width) << REF_BITS | width

    def text(self, text: str) -> int:
        """The reference of one text."""
        raw, start = np.frombuffer(text.encode(), np.uint8), self._size
        self._add(raw)
        return start << REF_BITS | len(raw)

    def choice(self, names: tuple[str, ...], which: Array) -> Array:
        """References to one of some texts a row."""
        return np.array([self.text(name) for name in names], np.int64)[which]

    def _add(self, raw: Array) -> None:
        self._parts.append(raw)
        self._size += len(raw)

    def bytes(self) -> Array:
        """Everything so far."""
        return np.concatenate(self._parts)


def _held(found: Metrics, i: int, metric: int) -> str:
    held = [name for name, bad in zip(NAMES, found.held[i].tolist(), strict=True) if bad]
    what = "tier held; " if found.held[i, metric] else ""
    return f"{what}no exchange rate for {', '.join(held)}"[:HELD_CHARS_MAX]
