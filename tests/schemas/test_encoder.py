"""The bulk encoder against fastavro, and against the decoder."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec.blocks import Reader, decode
from schemas.codec.encoder import EncodeError, Writer, encode_columns, values
from schemas.codec.primitives import NULL
from schemas.codec.records import decode_one, encode
from schemas.registry import contract
from tests.schemas.helpers import ALWAYS, LONGS, Registry, batch, framed, posting_value
from tests.schemas.helpers import types as avro_types
from tests.schemas.helpers import values as avro_values


class Columnar:
    """Puts records into columns as a caller of encode_columns would."""

    def __init__(self, writer: Writer) -> None:
        self.writer, self.raw = writer, bytearray(b"\xaa\xaa")

    def ref(self, data: bytes) -> int:
        at = len(self.raw)
        self.raw += data
        return at << 20 | len(data)

    def cell(self, kind: Any, value: Any) -> int:
        if value is None and kind.nullable:  # in a union of more types null is a nested value like any other
            return NULL
        inner = kind.nullable or kind
        if inner.kind in ("boolean", "int", "long"):
            return int(value)
        if inner.kind == "enum":
            return inner.symbols.index(value)
        if inner.kind in ("string", "bytes", "fixed"):
            return self.ref(value.encode() if inner.kind == "string" else value)
        out = io.BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(inner.source), value)
        return self.ref(out.getvalue())

    def row(self, record: dict[str, Any]) -> list[int]:
        out: list[int] = []
        for f in self.writer.type.fields:
            longs = f.name == "longs"
            out += [NULL if x is None else x for x in record[f.name]] if longs else [self.cell(f.type, record[f.name])]
        return out

    def encode(self, records: list[dict[str, Any]]) -> list[bytes]:
        data = np.array([self.row(r) for r in records], np.int64).reshape(len(records), self.writer.width)
        return values(*encode_columns(self.writer, data, np.frombuffer(bytes(self.raw), np.uint8)))


@st.composite
def contracts(draw: st.DrawFn) -> Any:
    kinds = avro_types("T").filter(lambda t: t not in ("float", "double") and not _has_float(t))
    fields = [{"name": f"f{i}", "type": _renamed(draw(kinds), f"T{i}")} for i in range(draw(st.integers(0, 5)))]
    item = draw(st.sampled_from(["long", ["null", "long"], ["long", "null"]]))
    fields.append({"name": "longs", "type": {"type": "array", "items": item}})
    return {"type": "record", "name": "Event", "namespace": "t", "fields": draw(st.permutations(fields))}


def _has_float(t: Any) -> bool:
    return isinstance(t, list) and ("float" in t or "double" in t)


def _renamed(t: Any, name: str) -> Any:
    if isinstance(t, list):
        return [_renamed(b, f"{name}{i}") for i, b in enumerate(t)]
    if isinstance(t, dict):
        return {
            key: (
                name + value if key == "name" and "type" in t else _renamed(value, name) if key != "symbols" else value
            )
            for key, value in t.items()
        }
    return t


@pytest.mark.slow
@settings(max_examples=100)
@given(st.data())
def test_bulk_encoding_equals_fastavro(data: st.DataObject) -> None:
    """For every schema and every records the bytes are those that fastavro writes one by one."""
    schema = data.draw(contracts())
    items = data.draw(st.integers(0, 14))
    writer = Writer("Event", Registry(schema), {"longs": items})
    [longs] = (f["type"]["items"] for f in schema["fields"] if f["name"] == "longs")
    item = LONGS if longs == "long" else LONGS | st.none()
    one = avro_values(schema).flatmap(
        lambda r: st.lists(item, min_size=items, max_size=items).map(lambda longs: {**r, "longs": longs})
    )
    records = data.draw(st.lists(one, max_size=5))
    parsed = fastavro.parse_schema(schema)
    wanted = []
    for record in records:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, parsed, record)
        wanted.append(framed(1, out.getvalue()))
    assert Columnar(writer).encode(records) == wanted


def test_what_was_decoded_encodes_to_the_same_bytes() -> None:
    """decode and encode_columns are each other's inverse."""
    sent = [posting_value(i, channel=None if i % 2 else "网银") for i in range(200)]
    columns = decode([batch(sent)], Reader("transactions"), 0, ALWAYS)
    assert values(*encode_columns(Writer("transactions"), columns.data, columns.raw)) == sent


def test_a_standing_has_its_month_averages_in_columns() -> None:
    """An array of fixed length takes that many columns, from `index` on."""
    writer = Writer("standings", arrays={"month_avgs_minor": 13, "week_avgs_minor": 5})
    assert writer.width == len(writer.fields) + 12 + 4
    first = writer.index["month_avgs_minor"]
    assert writer.index["quarter_avg_minor"] == first + 13
    data = np.zeros((1, writer.width), np.int64)
    data[0, first : first + 13] = range(13)
    data[0, writer.index["flags"]] = 1  # of the raw bytes the first: no flags
    (value,) = values(*encode_columns(writer, data, np.zeros(1, np.uint8)))
    record = decode_one(value)
    assert record["month_avgs_minor"] == list(range(13))
    assert value == encode("standings", record)


def test_no_records_are_no_bytes() -> None:
    """An empty block encodes to nothing."""
    writer = Writer("queue-priority")
    assert values(*encode_columns(writer, np.zeros((0, writer.width), np.int64), np.zeros(0, np.uint8))) == []


RAW = np.frombuffer("中文".encode() + b"\xff", np.uint8)
BAD = {
    "null": ("event_id", NULL, "null is not allowed"),
    "reference beyond the end": ("event_id", 5 << 20 | 3, "impossible length"),
    "negative reference": ("event_id", -5, "impossible length"),
    "no UTF-8": ("channel", 6 << 20 | 1, "invalid UTF-8"),
    "half a character": ("channel", 0 << 20 | 4, "invalid UTF-8"),
    "date": ("value_date", 2**31, "number out of range"),
    "symbol": ("nature", 8, "unknown symbol"),
    "boolean": ("customer_initiated", 2, "neither true nor false"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_column_that_does_not_fit_is_refused(name: str) -> None:
    """encode_columns names the record, the field and the reason, and writes no half record."""
    field, number, reason = BAD[name]
    writer = Writer("transactions")
    data = np.zeros((4, writer.width), np.int64)
    data[2, writer.index[field]] = number
    with pytest.raises(EncodeError, match=f"transactions: record 2, {field}: {reason}"):
        encode_columns(writer, data, RAW)


def test_shapes_and_contracts_that_do_not_fit_are_refused() -> None:
    """Columns of another width or type, and arrays that aren't, are errors before anything is written."""
    writer = Writer("facts")
    with pytest.raises(EncodeError):
        encode_columns(writer, np.zeros((1, writer.width + 1), np.int64), RAW)
    with pytest.raises(EncodeError):
        encode_columns(writer, np.zeros((1, writer.width), np.int32), RAW)  # type: ignore[arg-type]
    for arrays in ({"event_id": 3}, {"nobody": 3}):
        with pytest.raises(ValueError, match=r"event_id|nobody"):
            Writer("facts", arrays=arrays)
    floats = {"type": "record", "name": "E", "fields": [{"name": "a", "type": "double"}]}
    with pytest.raises(ValueError, match="no column for double"):
        Writer("E", Registry(floats))


def test_nested_bytes_are_checked_before_they_are_copied() -> None:
    """A reference to a nested value must be exactly one such value."""
    writer = Writer("business-days")
    good = encode(
        "business-days", {"business_day": 1, "closed_at": 2, "cut": [{"topic": "t", "partition": 0, "offset": 9}]}
    )
    # behind it: four fields that are null, a byte each
    for cut, fits in ((good[7:-4], True), (good[7:-5], False), (good[7:-3], False)):
        data, raw = np.full((1, writer.width), NULL, np.int64), np.frombuffer(cut, np.uint8)
        data[0, :3] = 1, 2, len(cut)
        if fits:
            assert values(*encode_columns(writer, data, raw)) == [good]
        else:
            with pytest.raises(EncodeError, match="cut"):
                encode_columns(writer, data, raw)
    assert contract("business-days")["fields"][2]["name"] == "cut"
