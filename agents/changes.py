"""Tier changes and queue classes of many customers at once: columns to wire format, as agents.bulk does for standings."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import fastavro
import numba as nb
import numpy as np

from agents.bulk import Buffer, References
from agents.packing import Packed, texts
from policies.compiled import CompiledPack
from schemas.encoder import LONG_BYTES_MAX, Writer, encode_columns, write_long
from schemas.records import plain
from schemas.registry import Registry
from streams.calendar import date_of
from streams.ledger import Ledger
from streams.metrics import Metrics, periods
from streams.money import NANO
from streams.store import NULL, REF_BITS, REF_MASK, Array

NANO_DIGITS, NUMBER_DIGITS_MAX = 9, 30


class Switched(NamedTuple):
    """A change of packs: the names of the codes before, and whether a customer of a code before goes up, by rank."""

    names: Sequence[str]
    up: Array


class ChangeWriter:
    """Encodes the tier changes of a close with all that is needed to decide them again (design §5)."""

    def __init__(self, registry: Registry, pack: CompiledPack, ledger: Ledger) -> None:
        self.writer, self.pack, self.ledger = Writer("tier-changes", registry), pack, ledger
        fields = registry.schema(self.writer.schema_id)["fields"]
        self._parsed = {f["name"]: fastavro.parse_schema(plain(f["type"])) for f in fields if _is_list(f["type"])}

    def changes(
        self, day: int, cut: list[dict[str, Any]], found: Metrics, metric: int, rows: Array, slots: Array, old: Array,
        given: Array, switched: Switched | None = None,
    ) -> Packed:  # fmt: skip
        """Records of the customers slots[rows], whose tiers at the close of `day` go from old[rows] to given[rows].

        switched: the pack changes with the close; old[rows] are codes of its names, up has a place for each of `slots`.
        """
        mine, store, pack, index = slots[rows], self.ledger.store, self.pack, self.writer.index
        ids = store.customer_ids.arena[: int(store.customer_ids.meta[1])]
        raw, refs = Buffer(ids), store.customers["ref"][mine]
        thresholds = [
            {
                "tier": tier,
                "metric": pack.metric,
                "minimum_minor": int(minimum),
                "scope": pack.scope_name,
                "operator": "minimum",
            }
            for tier, minimum in zip(pack.tier_ids[1:], pack.thresholds_minor.tolist(), strict=True)
        ]
        suffix = date_of(day) if switched is None else f"{date_of(day + 1)}/policy"
        suffix, up = f"/tier/{pack.pack_id}/{suffix}", given > old if switched is None else switched.up
        data = np.full((len(mine), self.writer.width), NULL, np.int64)
        columns = {
            "event_id": raw.spans(*appended(ids, refs, suffix.encode())),
            "customer_id": refs,
            "customer_class": raw.text(pack.customer_class),
            "from_tier": raw.choice(pack.tier_ids if switched is None else tuple(switched.names), old[rows]),
            "to_tier": raw.choice(pack.tier_ids, given[rows]),
            "direction": raw.choice(("down", "up"), up[rows].astype(np.int64)),
            "effective_date": day + 1,
            "reason": raw.text("close" if switched is None else "policy"),
            "metrics": raw.spans(*self._evidence(day, found, metric, rows)),
            "thresholds": raw.raw(self._avro("thresholds", thresholds)),
            "pack_id": raw.text(pack.pack_id),
            "pack_version": pack.version,
            "business_day": day,
            "cut": raw.raw(self._avro("cut", cut)),
        }
        for name, column in columns.items():
            data[:, index[name]] = column
        return Packed(*texts(ids, refs), *encode_columns(self.writer, data, raw.bytes()))

    def _avro(self, field: str, value: list[dict[str, Any]]) -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._parsed[field], value)
        return out.getvalue()

    def _evidence(self, day: int, found: Metrics, metric: int, rows: Array) -> tuple[Array, Array]:
        """(buffer, ends): each customer's list of one metric value, in Avro."""
        days, span = int(found.days[metric]), periods(day)[metric].tolist()
        units, nano = found.units[rows, metric], found.nano[rows, metric]
        one = {
            "name": self.pack.metric, "scope": self.pack.scope_name, "period_from": span[0], "period_to": span[1],
            "value_minor": 0, "exact_numerator": "", "exact_denominator": str(days * NANO),
        }  # fmt: skip
        whole, text = self._avro("metrics", [one]), one["exact_denominator"].encode()
        tail = len(text) + 2  # the text with its length, and the end of the list
        head = np.frombuffer(whole[: len(whole) - tail - 2], np.uint8)  # without the value and the empty text
        rounded = Metrics(found.as_of, found.days[[metric]], units[:, None], nano[:, None], found.held[:0]).rounded()
        room = len(whole) + LONG_BYTES_MAX + 2 + NUMBER_DIGITS_MAX
        out, ends = np.empty(len(rows) * room, np.uint8), np.empty(len(rows), np.int64)
        foot = np.frombuffer(whole[len(whole) - tail :], np.uint8)
        size = evidence(head, rounded[:, 0].copy(), units, nano, foot, out, ends)
        return out[:size], ends


class QueueWriter:
    """Encodes queue classes; the key is the opaque reference."""

    def __init__(self, registry: Registry, pack: CompiledPack, references: References) -> None:
        self.writer, self.pack, self.references = Writer("queue-priority", registry), pack, references

    def classes(self, slots: Array, queue_class: Array, vip_area: Array, as_of: int, version: int) -> Packed:
        """Records of customers."""
        mine, raw, index = self.references.of(slots), Buffer(np.empty(0, np.uint8)), self.writer.index
        data = np.full((len(slots), self.writer.width), NULL, np.int64)
        data[:, index["customer_ref"]] = raw.block(mine)
        data[:, index["queue_class"]] = raw.choice(self.pack.queue_class_ids, queue_class)
        data[:, index["vip_area"]], data[:, index["as_of"]], data[:, index["version"]] = vip_area, as_of, version
        ends = np.arange(1, len(slots) + 1) * mine.shape[1]
        return Packed(mine.reshape(-1), ends, *encode_columns(self.writer, data, raw.bytes()))


def _is_list(kind: Any) -> bool:
    return isinstance(kind, dict) and kind.get("type") == "array"


@nb.njit(cache=True, nogil=True)
def _appended(arena: Array, refs: Array, suffix: Array, out: Array, ends: Array) -> None:
    at = 0
    for i in range(len(refs)):
        first, size = refs[i] >> REF_BITS, refs[i] & REF_MASK
        for j in range(size):
            out[at + j] = arena[first + j]
        at += size
        for j in range(len(suffix)):
            out[at + j] = suffix[j]
        at += len(suffix)
        ends[i] = at


def appended(arena: Array, refs: Array, suffix: bytes) -> tuple[Array, Array]:
    """(buffer, ends) of the texts of packed references, each with `suffix` behind it."""
    out = np.empty(int((refs & REF_MASK).sum()) + len(suffix) * len(refs), np.uint8)
    ends = np.empty(len(refs), np.int64)
    _appended(arena, refs, np.frombuffer(suffix, np.uint8), out, ends)
    return out, ends


@nb.njit(cache=True, nogil=True)
def _decimal(units: int, nano: int, out: Array, at: int) -> int:
    """units * 10**9 + nano (0 <= nano < 10**9) as an Avro string of decimal digits; the next place."""
    negative = units < 0
    if negative:
        units, nano = (-units, 0) if nano == 0 else (-units - 1, NANO - nano)
    size, rest = 1, units if units > 0 else nano
    while rest >= 10:
        size, rest = size + 1, rest // 10
    size += NANO_DIGITS if units > 0 else 0
    at = write_long(out, at, size + negative)
    if negative:
        out[at] = 45
        at += 1
    for i in range(size - 1, -1, -1):
        if units > 0 and i == size - NANO_DIGITS - 1:
            nano = units
        out[at + i], nano = 48 + nano % 10, nano // 10
    return at + size


@nb.njit(cache=True, nogil=True)
def evidence(head: Array, value: Array, units: Array, nano: Array, foot: Array, out: Array, ends: Array) -> int:
    """Into `out` for each row: head, value as a long, units * 10**9 + nano as a string, foot; bytes written."""
    at = 0
    for i in range(len(value)):
        for j in range(len(head)):
            out[at + j] = head[j]
        at = _decimal(units[i], nano[i], out, write_long(out, at + len(head), value[i]))
        for j in range(len(foot)):
            out[at + j] = foot[j]
        at += len(foot)
        ends[i] = at
    return at


def exact(units: Sequence[int], nano: Sequence[int]) -> list[str]:
    """The slow twin of the digits in `evidence`."""
    return [str(u * NANO + n) for u, n in zip(units, nano, strict=True)]
