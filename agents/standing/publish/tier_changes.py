"""Tier changes and queue classes of many customers at once: columns to wire format, as `standings` does."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import fastavro
import numba as nb
import numpy as np

from agents.engine.record_batches import Packed, texts
from agents.standing.publish.standings import Buffer, References, filled
from policies.compiled.classes import ClassTable
from policies.compiled.pack import INT64_MAX, CompiledPack
from policies.compiled.program import Column
from policies.lifecycle.state import months_later
from policies.model.figures import PLAIN_PLACES, Key, figure_period
from policies.model.metrics import NOT_KNOWN, counted_months
from policies.model.terms import limits, rate_key
from schemas.codec.encoder import LONG_BYTES_MAX, Writer, encode_columns
from schemas.codec.records import plain
from schemas.registry import Registry
from streams.accounts.ledger import Ledger
from streams.accounts.store import REF_BITS, REF_MASK, Array
from streams.averages.metrics import Metrics
from streams.calendar import date_of, month_start
from streams.kernels.varints import write_long
from streams.money import NANO, half_even
from streams.vocabulary.metrics import INDEX, period

NANO_DIGITS, NUMBER_DIGITS_MAX = 9, 30
_NOT_KNOWN = np.frombuffer(NOT_KNOWN.encode(), np.uint8)


class MovedTiers(NamedTuple):
    """Tiers that a close has moved alike: `rows` of the columns that were looked at are those of the customers `slots`.

    before: places in `names`; after: tier indices of the table; reason: close, or policy where the pack changes with it.
    """

    table: ClassTable
    day: int
    cut: list[dict[str, Any]]
    columns: Mapping[Key, Column]
    rows: Array
    slots: Array
    names: tuple[str, ...]
    before: Array
    after: Array
    up: Array
    reason: str = "close"


class ChangeWriter:
    """Encodes the tier changes of a close with all that is needed to decide them again (docs/tiers.md#evidence)."""

    def __init__(self, registry: Registry, ledger: Ledger) -> None:
        self.writer, self.ledger = Writer("tier-changes", registry), ledger
        schema = registry.schema(self.writer.schema_id)
        assert schema is not None  # the writer has it from there
        fields = schema["fields"]
        self._parsed = {f["name"]: fastavro.parse_schema(plain(f["type"])) for f in fields if _is_list(f["type"])}
        [of_metric] = (
            [part["name"] for part in f["type"]["items"]["fields"]] for f in fields if f["name"] == "metrics"
        )
        self._nulls = len(of_metric) - of_metric.index("exact_denominator") - 1  # fields behind it, a byte each

    def changes(self, moved: MovedTiers, close: str) -> Packed:
        """Records of these customers; `close`: how ids name it."""
        program, day = moved.table.program, moved.day
        ids, refs = self.ledger.customers.ids(), self.ledger.customers.refs(moved.slots)
        raw = Buffer(ids)
        again = close.removeprefix(str(date_of(day)))
        named = close if moved.reason == "close" else f"{date_of(day + 1)}{again}/policy"
        suffix = f"/tier/{program.pack_id}/{named}"
        columns: dict[str, Array | int] = {
            "event_id": raw.spans(*appended(ids, refs, suffix.encode())),
            "customer_id": refs,
            "customer_class": raw.text(moved.table.policy.customer_class),
            "from_tier": raw.choice(moved.names, moved.before),
            "to_tier": raw.choice(program.tier_ids, moved.after),
            "direction": raw.choice(("down", "up"), moved.up.astype(np.int64)),
            "effective_date": day + 1,
            "reason": raw.text(moved.reason),
            "metrics": raw.spans(*self._evidence(day, moved.columns, moved.rows)),
            "thresholds": raw.raw(self._avro("thresholds", [*thresholds_of(moved.table, moved.columns)])),
            "pack_id": raw.text(program.pack_id),
            "pack_version": program.version,
            "business_day": day,
            "cut": raw.raw(self._avro("cut", moved.cut)),
        }
        data = filled(self.writer, len(refs), columns)
        return Packed(*texts(ids, refs), *encode_columns(self.writer, data, raw.bytes()))

    def _avro(self, field: str, value: list[dict[str, Any]]) -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._parsed[field], value)
        return out.getvalue()

    def _evidence(self, day: int, columns: Mapping[Key, Column], rows: Array) -> tuple[Array, Array]:
        """(buffer, ends): each customer's list of metric values, in Avro."""
        parts, ends = [], []
        for place, (key, column) in enumerate(columns.items()):
            first, last = place == 0, place == len(columns) - 1
            values = self._values if column.scale is None and column.texts is None else self._one_by_one
            part, end = values(key, column, rows, period_of(key[0], day), len(columns) if first else 0, last)
            parts.append(part)
            ends.append(end)
        if not parts:
            return np.zeros(len(rows), np.uint8), np.arange(1, len(rows) + 1)
        if len(parts) == 1:
            return parts[0], ends[0]
        sizes = np.stack([np.diff(end, prepend=0) for end in ends], 1)
        starts = np.stack(ends, 1) - sizes + np.cumsum([0, *map(len, parts[:-1])])
        buffer, stops = texts(np.concatenate(parts), (starts << REF_BITS | sizes).reshape(-1))
        return buffer, stops[len(parts) - 1 :: len(parts)]

    def _one_by_one(
        self, key: Key, column: Column, rows: Array, span: tuple[int, int], count: int, last: bool
    ) -> tuple[Array, Array]:  # fmt: skip
        """`_values` of texts, and of numbers that may be of any size."""
        out, ends = io.BytesIO(), []
        for row in rows.tolist():
            value = self._avro("metrics", [metric_value(key, column, row, span)])
            out.write((_long(count) if count else b"") + (value[1:] if last else value[1:-1]))
            ends.append(out.tell())
        return np.frombuffer(out.getvalue(), np.uint8), np.array(ends, np.int64)

    def _values(
        self, key: Key, column: Column, rows: Array, span: tuple[int, int], count: int, last: bool
    ) -> tuple[Array, Array]:  # fmt: skip
        """(buffer, ends) of one metric's values: behind the list's count if that is given, before its end if `last`."""
        denominator = str(column.divisor * NANO)
        one = {
            "name": key[0], "scope": key[1] or "", "period_from": span[0], "period_to": span[1], "value_minor": 0,
            "exact_numerator": "", "exact_denominator": denominator,
        }  # fmt: skip
        whole, text = self._avro("metrics", [one]), denominator.encode()
        tail = len(text) + 2 + self._nulls
        head = whole[1 : len(whole) - tail - 2]  # without the count, the value, the empty text and what is behind it
        foot = whole[len(whole) - tail : len(whole) if last else -1]
        units = np.ascontiguousarray(column.units[rows])
        nano = np.zeros_like(units) if column.nano is None else np.ascontiguousarray(column.nano[rows])
        unknown = (
            np.zeros(len(rows), np.bool_) if column.unknown is None else np.ascontiguousarray(column.unknown[rows])
        )
        found = Metrics(0, np.array([column.divisor]), units[:, None], nano[:, None], np.zeros((0, 1), np.bool_))
        room = LONG_BYTES_MAX + len(whole) + LONG_BYTES_MAX + 2 + NUMBER_DIGITS_MAX
        out, ends = np.empty(len(rows) * room, np.uint8), np.empty(len(rows), np.int64)
        before = _long(count) + head if count else head
        size = evidence(
            np.frombuffer(before, np.uint8), found.rounded()[:, 0].copy(), units, nano, unknown,
            np.frombuffer(foot, np.uint8), out, ends,
        )  # fmt: skip
        return out[:size], ends


def _long(value: int) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", value)
    return out.getvalue()


def metric_value(key: Key, column: Column, row: int, span: tuple[int, int]) -> dict[str, Any]:
    """A customer's value as records have it: exact, and rounded half-even."""
    told: dict[str, Any] = {"name": key[0], "scope": key[1] or "", "period_from": span[0], "period_to": span[1]}
    unknown = column.unknown is not None and bool(column.unknown[row])
    if column.texts is not None:
        number = NOT_KNOWN if unknown else ""
        text = None if unknown else column.texts[int(column.units[row])]
        return told | {"value_minor": 0, "exact_numerator": number, "exact_denominator": "1", "text": text}
    units, nano = int(column.units[row]), 0 if column.nano is None else int(column.nano[row])
    if column.units.dtype == object:
        exact = Fraction(units, column.divisor)
        number, denominator = str(exact.numerator), str(exact.denominator)
        rounded_ = max(-INT64_MAX, min(round(exact), INT64_MAX))
    else:
        number, denominator = str(units * NANO + nano), str(column.divisor * NANO)
        rounded_ = int(half_even(units, nano, column.divisor))
    unit = {} if column.scale is None else {"scale": column.scale}
    return told | unit | {
        "value_minor": 0 if unknown else rounded_, "exact_numerator": NOT_KNOWN if unknown else number,
        "exact_denominator": denominator,
    }  # fmt: skip


def thresholds_of(table: ClassTable, columns: Mapping[Key, Column]) -> Iterator[dict[str, Any]]:
    """Every limit of every tier, lowest first, with amounts in minor units; of a text each that meets it."""
    for tier in table.policy.tiers:
        for leaf in limits(tier.when):
            told: dict[str, Any] = {
                "tier": tier.id, "metric": leaf.metric, "minimum_minor": table.program.minor[leaf],
                "scope": leaf.scope or "", "operator": leaf.operator,
            }  # fmt: skip
            if leaf.currency is not None:
                rate = columns[rate_key(leaf.currency)].units
                bound = round(table.program.bound(leaf, columns))
                told |= {"currency": leaf.currency, "rate_micro": int(rate[0]), "minimum_minor": bound}
            if (leaf.metric, leaf.scope) in table.program.told:
                told["scale"] = PLAIN_PLACES
            yield from [told | {"text": text} for text in leaf.texts] or [told]


def parts_told(registry: Registry) -> dict[str, frozenset[str]]:
    """Of the lists of a tier change, the fields of a part in the version that is written (TIDEGAUGE_CONTRACTS)."""
    schema = registry.schema(registry.id_of("tier-changes"))
    assert schema is not None  # the registry has named it
    lists = {f["name"]: f["type"]["items"] for f in schema["fields"] if _is_list(f["type"])}
    return {name: frozenset(part["name"] for part in lists[name]["fields"]) for name in ("metrics", "thresholds")}


def period_of(metric: str, day: int) -> tuple[int, int]:
    """First and last day that a metric looks at; the day itself for what knows no period."""
    if (months := counted_months(metric)) is not None:
        return months_later(day, -months), day
    if (found := figure_period(metric, day)) is not None:
        return found
    return period(metric, day) if metric in INDEX else (day, day)


class RestatementWriter:
    """Encodes what closes of the past would give now."""

    def __init__(self, registry: Registry, ledger: Ledger) -> None:
        self.writer, self.ledger = Writer("restatements", registry), ledger

    def late(
        self, slots: Array, day: int, close: str, month: int, metric: str, amounts: Sequence[Array], tier_ids: tuple[str, ...],
        tiers: tuple[Array, Array],
    ) -> Packed:  # fmt: skip
        """Records of customers whose close of `month` changed: amounts and tiers, before and now, a row a customer.

        day: of the close that found it, which ids name by `close`.
        """
        end = int(month_start(month + 1)) - 1
        ids, refs = self.ledger.customers.ids(), self.ledger.customers.refs(slots)
        raw = Buffer(ids)
        columns: dict[str, Array | int] = {
            "event_id": raw.spans(*appended(ids, refs, f"/late/{date_of(end)}/{close}".encode())),
            "kind": raw.text("late_posting"),
            "customer_id": refs,
            "restated_day": end,
            "business_day": day,
            "metric": raw.text(metric),
            "previous_minor": amounts[0],
            "current_minor": amounts[1],
            "previous_tier": raw.choice(tier_ids, tiers[0]),
            "current_tier": raw.choice(tier_ids, tiers[1]),
            "currency": raw.text(self.ledger.base_currency),
        }
        data = filled(self.writer, len(slots), columns)
        return Packed(*texts(ids, refs), *encode_columns(self.writer, data, raw.bytes()))


def rounded(column: Column, rows: Array) -> Array:
    """int64[n]: some values of a column, half-even."""
    nano = np.zeros_like(column.units) if column.nano is None else column.nano
    one = Metrics(0, np.array([column.divisor]), column.units[rows, None], nano[rows, None], np.zeros((0, 1), np.bool_))
    return one.rounded()[:, 0]


class QueueWriter:
    """Encodes queue classes; the key is the opaque reference."""

    def __init__(self, registry: Registry, pack: CompiledPack, references: References) -> None:
        self.writer, self.pack, self.references = Writer("queue-priority", registry), pack, references

    def use(self, pack: CompiledPack) -> None:
        """Queue classes of another pack from now on."""
        self.pack = pack

    def classes(
        self, slots: Array, queue_class: Array, vip_area: Array, as_of: int, version: int,
        references: References | None = None,
    ) -> Packed:  # fmt: skip
        """Records of customers, under other `references` than its own where they are given."""
        mine, raw = (references or self.references).of(slots), Buffer(np.empty(0, np.uint8))
        columns: dict[str, Array | int] = {
            "customer_ref": raw.block(mine),
            "queue_class": raw.choice(self.pack.queue_class_ids, queue_class),
            "vip_area": vip_area,
            "as_of": as_of,
            "version": version,
        }
        data = filled(self.writer, len(slots), columns)
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
def evidence(
    head: Array, value: Array, units: Array, nano: Array, unknown: Array, foot: Array, out: Array, ends: Array
) -> int:
    """Into `out` for each row: head, value as a long, units * 10**9 + nano as a string, foot; bytes written.

    The string of a value that is not known says so.
    """
    at = 0
    for i in range(len(value)):
        for j in range(len(head)):
            out[at + j] = head[j]
        at = write_long(out, at + len(head), value[i])
        if unknown[i]:
            at = write_long(out, at, len(_NOT_KNOWN))
            for j in range(len(_NOT_KNOWN)):
                out[at + j] = _NOT_KNOWN[j]
            at += len(_NOT_KNOWN)
        else:
            at = _decimal(units[i], nano[i], out, at)
        for j in range(len(foot)):
            out[at + j] = foot[j]
        at += len(foot)
        ends[i] = at
    return at


def exact_digits(units: Sequence[int], nano: Sequence[int]) -> list[str]:
    """The slow twin of the digits in `evidence`."""
    return [str(u * NANO + n) for u, n in zip(units, nano, strict=True)]
