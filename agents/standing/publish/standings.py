"""Standings of many customers at once: columns to wire format, without a Python object per customer."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import fastavro
import numpy as np

from agents.engine.record_batches import Packed
from agents.standing.model import customer_keys
from agents.standing.publish.held import HELD_CHUNK, HELD_FIELD, HeldField, HeldReason, no_rate, null_where
from agents.standing.publish.versions import versioned
from policies.compiled.classes import CompiledClasses
from policies.lifecycle.state import FLAGS
from schemas.codec.encoder import Writer, encode_columns
from schemas.nulls import HELD_TEXT_CHARS_MAX
from schemas.registry import Registry
from streams.accounts.ledger import Ledger
from streams.accounts.store import NULL, REF_BITS, REF_MASK, Array
from streams.averages.metrics import Metrics
from streams.calendar import NO_DAY
from streams.reference import REFERENCE_CHARS, customer_ref
from streams.vocabulary.metrics import COLUMNS, FAMILIES, INDEX, METRICS
from streams.vocabulary.terms import CUSTOMER_CLASSES

NO_TIER = "none"  # a class of customers without a scheme
_NO_DATE = 0  # 1970-01-01, before every day that is taken: in versions of the contract that have no null there
SEQ_BITS = 20  # of the order within a day in source_seq, below its epoch
_TEXTS = fastavro.parse_schema({"type": "array", "items": "string"})
BLOCK_BYTES = 64  # of SHA-256
_LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz234567", np.uint8)
# The contract's fields of the metrics: those in lists, with how many, and each of the others with its metric's column.
STANDING_LISTS = {f"{family.name}s_minor": len(family.numbers) for family in FAMILIES if family.is_list}
STANDING_FIELDS = {
    f"{metric.family.name}s_minor" if metric.family.is_list else f"{metric.column}_minor": INDEX[metric.name]
    for metric in reversed(METRICS)
}  # of a list, its first
COLUMN_FIELDS = tuple(
    f"{metric.family.name}s_minor[{metric.family.numbers.index(metric.number)}]"
    if metric.family.is_list
    else f"{metric.column}_minor"
    for metric in METRICS
)
"""The contract's field of each column, as `held` names it."""


def standing_figures(record: Mapping[str, Any]) -> dict[str, int | None]:
    """The metrics of a standing by their columns in files, None while held; of a list that its writer did not know, none."""
    values = [(at, record[name] if name in STANDING_LISTS else [record[name]]) for name, at in STANDING_FIELDS.items()]
    return {COLUMNS[at + k]: value for at, several in values for k, value in enumerate(several)}


class References:
    """The customers' opaque references, by slot: an HMAC each (streams.reference), made once."""

    def __init__(self, key: bytes, ledger: Ledger) -> None:
        customer_ref(key, "")  # refuses an empty key
        key = key if len(key) <= BLOCK_BYTES else sha256(key).digest()
        padded = np.frombuffer(key.ljust(BLOCK_BYTES, b"\0"), np.uint8)
        self._inner, self._outer = (sha256((padded ^ pad).tobytes()) for pad in (0x36, 0x5C))
        self._customers, self._known = ledger.customers, 0
        self._table = np.zeros((0, REFERENCE_CHARS), np.uint8)

    def of(self, slots: Array) -> Array:
        """uint8[n, 26]: references as text."""
        count = self._customers.count
        if count > len(self._table):
            grown = np.zeros((max(count, 2 * len(self._table)), REFERENCE_CHARS), np.uint8)
            grown[: self._known] = self._table[: self._known]
            self._table = grown
        if count > self._known:
            self._table[self._known : count] = base32(self._digests(self._known, count))[:, :REFERENCE_CHARS]
            self._known = count
        return self._table[slots]

    def _digests(self, first: int, stop: int) -> Array:
        """uint8[n, 32]: HMAC-SHA256 of the ids of slots [first, stop)."""
        out, arena = [], self._customers.ids().tobytes()
        for ref in self._customers.refs(slice(first, stop)).tolist():
            inner, outer = self._inner.copy(), self._outer.copy()
            at = ref >> REF_BITS
            inner.update(arena[at : at + (ref & REF_MASK)])
            outer.update(inner.digest())
            out.append(outer.digest())
        return np.frombuffer(b"".join(out), np.uint8).reshape(-1, self._outer.digest_size)


def base32(digests: Array) -> Array:
    """uint8[n, 32] to uint8[n, 48]: the RFC 4648 letters, in lower case, of the first 30 bytes."""
    groups = digests[:, :30].reshape(len(digests), 6, 5).astype(np.int64)
    numbers = sum(groups[:, :, i] << (8 * (4 - i)) for i in range(5))
    letters = [_LETTERS[numbers >> (5 * (7 - k)) & 31] for k in range(8)]
    return np.stack(letters, 2).reshape(len(digests), 48)


class ShownLayers(NamedTuple):
    """Layers as standings show them: codes of `names`, -1 for a class of customers without layers."""

    names: tuple[str, ...]
    codes: Array
    since: Array  # NO_DAY: not decided yet
    pack_id: str
    version: int

    def some(self, rows: Array) -> ShownLayers:
        """Those of some customers."""
        return self._replace(codes=self.codes[rows], since=self.since[rows])


class StandingWriter:
    """Encodes standings. Texts lie in one buffer: customer ids, their references, and what all share."""

    def __init__(
        self, registry: Registry, key: bytes, classes: CompiledClasses, ledger: Ledger, epoch: int = 0
    ) -> None:
        self.writer, self.epoch = Writer("standings", registry, STANDING_LISTS), epoch
        self.held = HeldField(self.writer)
        self.ledger, self.references = ledger, References(key, ledger)
        self.use(classes)

    def use(self, classes: CompiledClasses) -> None:
        """Other packs from now on."""
        self.tables, self.pack = classes.tables, classes.shown

    def standings(
        self,
        found: Metrics,
        slots: Array,
        kept: Array,
        metric: Sequence[int],
        flags: Array,
        layers: ShownLayers | None,
        scope: int,
    ) -> Packed:
        """Records of the customers slots[kept]; `found`, `flags` and `layers` have a row for each of `slots`.

        metric: the columns that the tier follows from; scope: the asset classes of `found`, as bits.
        """
        mine, rounded, held = slots[kept], found.rounded()[kept], found.held[kept]
        if self.held.known:
            rounded = null_where(held, rounded)
        customers, index = self.ledger.customers, self.writer.index
        raw = Buffer(customers.ids())
        data = np.full((len(mine), self.writer.width), NULL, np.int64)
        kinds, since = customers.classes(mine), customers.tier_days(mine).astype(np.int64)  # null needs the width
        data[:, index["customer_id"]] = customers.refs(mine)
        data[:, index["customer_ref"]] = raw.block(self.references.of(mine))
        data[:, index["as_of"]] = found.as_of
        data[:, index["customer_class"]] = raw.choice(CUSTOMER_CLASSES, kinds)
        packs = [
            (self.pack.pack_id, self.pack.version) if t is None else (t.pack.id, t.pack.version) for t in self.tables
        ]
        data[:, index["pack_id"]] = raw.choice(tuple(name for name, _ in packs), kinds)
        data[:, index["pack_version"]] = np.array([version for _, version in packs], np.int64)[kinds]
        names = (*self.pack.tier_ids, NO_TIER)
        data[:, index["tier"]] = raw.choice(names, self.tiers(mine))
        none = NULL if self.held.known else _NO_DATE
        data[:, index["tier_effective"]] = np.where(since == NO_DAY, none, since)
        for name, column in STANDING_FIELDS.items():
            at, width = index[name], STANDING_LISTS.get(name, 1)
            data[:, at : at + width] = rounded[:, column : column + width]
        data[:, index["currency"]] = raw.text(self.ledger.base_currency)
        first = customers.first_days(mine)
        data[:, index["first_day"]] = np.where(first <= found.as_of, first, none)
        data[:, index["source_seq"]] = self.sequence(found.as_of)
        if layers is not None:
            layers = layers.some(kept)
            known = layers.codes >= 0
            data[:, index["layer"]] = np.where(known, raw.choice(layers.names, layers.codes), NULL)
            decided = known & (layers.since != NO_DAY)
            data[:, index["layer_effective"]] = np.where(decided, layers.since, NULL)
            data[:, index["layer_pack_id"]] = np.where(known, raw.text(layers.pack_id), NULL)
            data[:, index["layer_pack_version"]] = np.where(known, layers.version, NULL)
        data[:, index["flags"]] = _lists(raw, flags[kept])
        for i in np.flatnonzero(held.any(axis=1)).tolist():
            data[i, index["held_reason"]] = raw.text(_held(found, int(kept[i]), metric))
        if self.held.known:
            data[:, index[HELD_FIELD]] = self._held_fields(raw, held, scope, found.as_of, mine)
        return Packed(*customer_keys(self.ledger, mine), *encode_columns(self.writer, data, raw.bytes()))

    def sequence(self, as_of: int) -> int:
        """`source_seq` of what is published as of a day."""
        return versioned(self.epoch, as_of << SEQ_BITS)

    def _held_fields(self, raw: Buffer, held: Array, scope: int, as_of: int, slots: Array) -> Array:
        """References to each customer's list of what is held, and of the currencies that lack a rate."""
        refs = np.full(len(slots), raw.raw(self.held.encoded(())), np.int64)
        some = np.flatnonzero(held.any(axis=1))
        for at in range(0, len(some), HELD_CHUNK):
            rows = some[at : at + HELD_CHUNK]
            missing = self.ledger.missing_of_metrics(scope, as_of, slots[rows])
            refs[rows] = self.held.lists(raw.raw, missing, _reasons)
        return refs

    def tiers(self, slots: Array) -> Array:
        """int64[n]: codes of the tiers last decided; one behind them all for a class that the pack knows not."""
        codes: Array = self.ledger.customers.tiers(slots).astype(np.int64)
        kinds = self.ledger.customers.classes(slots)
        for kind, table in enumerate(self.tables):
            mine = kinds == kind
            codes[mine] = len(self.pack.tier_ids) if table is None else table.codes[table.index[codes[mine]]]
        return codes


class Buffer:
    """Texts behind the customer ids, and packed references to them."""

    def __init__(self, ids: Array) -> None:
        self._parts, self._size = [ids], len(ids)

    def block(self, table: Array) -> Array:
        """References to the rows of a table of bytes."""
        width, start = table.shape[1], self._size
        self._add(table.reshape(-1))
        references: Array = (start + np.arange(len(table)) * width) << REF_BITS | width
        return references

    def text(self, text: str) -> int:
        """The reference of one text."""
        return self.raw(text.encode())

    def raw(self, part: bytes) -> int:
        """The reference of some bytes."""
        start = self._size
        self._add(np.frombuffer(part, np.uint8))
        return start << REF_BITS | len(part)

    def spans(self, buffer: Array, ends: Array) -> Array:
        """References to the parts of a buffer, part i being buffer[ends[i-1]:ends[i]]."""
        start, sizes = self._size, np.diff(ends, prepend=0)
        self._add(buffer)
        return (start + ends - sizes) << REF_BITS | sizes

    def choice(self, names: tuple[str, ...], which: Array) -> Array:
        """References to one of some texts a row."""
        return np.array([self.text(name) for name in names], np.int64)[which]

    def _add(self, raw: Array) -> None:
        self._parts.append(raw)
        self._size += len(raw)

    def bytes(self) -> Array:
        """Everything so far."""
        return np.concatenate(self._parts)


def filled(writer: Writer, count: int, columns: Mapping[str, Array | int]) -> Array:
    """int64[count, width]: records as `writer` takes them; a field that has no column is null."""
    data = np.full((count, writer.width), NULL, np.int64)
    for name, column in columns.items():
        data[:, writer.index[name]] = column
    return data


def _lists(raw: Buffer, flags: Array) -> Array:
    """References to each customer's flags as an array of texts; few combinations are there at a time."""
    refs = np.zeros(1 << len(FLAGS), np.int64)
    for held in np.flatnonzero(np.bincount(flags, minlength=len(refs))).tolist():
        out = io.BytesIO()
        fastavro.schemaless_writer(out, _TEXTS, [name for i, name in enumerate(FLAGS) if held >> i & 1])
        refs[held] = raw.raw(out.getvalue())
    return refs[flags]


def _reasons(missing: Array) -> list[HeldReason]:
    """What is held of a customer, bool[COLUMNS, currencies]."""
    places = np.flatnonzero(missing.any(axis=1)).tolist()
    return [HeldReason(COLUMN_FIELDS[place], no_rate(missing[place])) for place in places]


def _held(found: Metrics, i: int, metric: Sequence[int]) -> str:
    held = [name for name, bad in zip(COLUMNS, found.held[i].tolist(), strict=True) if bad]
    what = "tier held; " if found.held[i, metric].any() else ""
    return f"{what}no exchange rate for {', '.join(held)}"[:HELD_TEXT_CHARS_MAX]
