"""The block decoder against fastavro, record by record."""

from __future__ import annotations

import io

import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.avro_types import parse
from schemas.codec.blocks import UNKNOWN_S, Reader, decode
from schemas.codec.records import decode_one, encode
from schemas.codec.status import Status
from tests.schemas.helpers import (
    ALWAYS,
    Registry,
    batch,
    cell,
    datum,
    evolved,
    framed,
    posting,
    posting_value,
    row,
    values,
    writers,
)

NESTED = ("array", "map", "record", "union")


@pytest.mark.slow
@settings(max_examples=100)
@given(st.data())
def test_columns_equal_fastavro_for_any_schema_and_its_evolution(data: st.DataObject) -> None:
    """For every schema, record and resolvable reader the columns hold what fastavro reads."""
    writer = data.draw(writers())
    schema = data.draw(evolved(writer))
    records = data.draw(st.lists(values(writer), min_size=1, max_size=5))
    datums = [datum(writer, record) for record in records]
    reader = Reader("t", Registry(writer), schema)
    columns = decode([batch([framed(1, d) for d in datums])], reader, 0, ALWAYS)
    assert columns.n == len(records)
    for i, d in enumerate(datums):
        found = row(columns, reader, i)
        wanted = fastavro.schemaless_reader(io.BytesIO(d), fastavro.parse_schema(writer), fastavro.parse_schema(schema))
        for name, value in found.items():
            f = next(f for f in reader.type.fields if f.name == name)
            if (f.type.nullable or f.type).kind not in NESTED:
                assert value == wanted[name], (name, f.type.source)
            elif value is not None:
                source = next(w["type"] for w in writer["fields"] if w["name"] == name)
                inner = parse(source).nullable
                assert _read(value, inner.source if inner and f.type.nullable else source) == records_value(
                    datums[i], writer, name
                )


def _read(data: bytes, schema: object) -> object:
    stream = io.BytesIO(data)
    value = fastavro.schemaless_reader(stream, fastavro.parse_schema(schema))
    assert not stream.read()
    return value


def records_value(data: bytes, writer: object, name: str) -> object:
    return fastavro.schemaless_reader(io.BytesIO(data), fastavro.parse_schema(writer))[name]


def test_a_posting_comes_as_it_was_sent() -> None:
    """Keys, values, offsets and every field of the committed contract survive the way through a block."""
    reader = Reader("transactions")
    sent = [posting(i) for i in range(1, 40)]
    columns = decode([batch([encode("transactions", p) for p in sent], 1000)], reader, 0, ALWAYS)
    assert columns.offset.tolist() == list(range(1000, 1039))
    assert [row(columns, reader, i) for i in range(columns.n)] == sent
    assert [decode_one(columns.value_bytes(i) or b"") for i in range(columns.n)] == sent
    assert columns.key_bytes(0) == b"k"


def test_several_writers_in_one_block() -> None:
    """Each record is read with the schema its own id names."""
    old = {"type": "record", "name": "E", "fields": [{"name": "a", "type": "int"}]}
    new = {"type": "record", "name": "E", "fields": [{"name": "b", "type": "string"}, {"name": "a", "type": "long"}]}
    want = {
        "type": "record",
        "name": "E",
        "fields": [{"name": "a", "type": "long"}, {"name": "b", "type": "string", "default": "old"}],
    }
    reader = Reader("t", Registry(old, new), want)
    values_ = [
        framed(1, datum(old, {"a": 5})),
        framed(2, datum(new, {"a": 6, "b": "x"})),
        framed(1, datum(old, {"a": 7})),
    ]
    columns = decode([batch(values_)], reader, 0, ALWAYS)
    assert [row(columns, reader, i) for i in range(3)] == [
        {"a": 5, "b": "old"},
        {"a": 6, "b": "x"},
        {"a": 7, "b": "old"},
    ]


def test_defaults_of_every_kind() -> None:
    """A field that the writer lacks has the reader's default, in Avro's JSON form."""
    writer = {"type": "record", "name": "E", "fields": [{"name": "a", "type": "int"}]}
    added = [
        {"name": "b", "type": "bytes", "default": "\u00ff\u0000"},
        {"name": "f", "type": {"type": "fixed", "name": "F", "size": 2}, "default": "\u0001\u00fe"},
        {"name": "s", "type": "string", "default": "缺省"},
        {"name": "u", "type": ["null", "string"], "default": None},
        {"name": "l", "type": {"type": "array", "items": "long"}, "default": [1, -1]},
    ]
    reader = Reader("t", Registry(writer), {**writer, "fields": [*writer["fields"], *added]})
    columns = decode([batch([framed(1, b"\2")])], reader, 0, ALWAYS)
    assert row(columns, reader, 0) == {"a": 1, "b": b"\xff\0", "f": b"\1\xfe", "s": "缺省", "u": None, "l": b"\4\2\1\0"}


def test_a_union_branch_the_reader_cannot_take_is_bad_only_where_it_occurs() -> None:
    """A general union resolves record by record."""
    writer = {"type": "record", "name": "E", "fields": [{"name": "a", "type": ["null", "string", "boolean", "int"]}]}
    want = {"type": "record", "name": "E", "fields": [{"name": "a", "type": ["string", "null"]}]}
    reader = Reader("t", Registry(writer), want)
    columns = decode([batch([framed(1, datum(writer, {"a": a})) for a in ("x", True, None, 3)])], reader, 0, ALWAYS)
    assert columns.status.tolist() == [Status.OK, Status.BAD_UNION, Status.OK, Status.BAD_UNION]
    assert columns.field.tolist() == [-1, 0, -1, 0]
    assert cell(columns, reader.type.fields[0].type, int(columns.data[2, 0])) is None


def test_a_close_mark_is_recognised_in_every_input_topic() -> None:
    """A record of the close-mark contract has status MARK and its business day in the first column."""
    mark = encode("close-mark", {"business_day": 20543})
    for topic in ("transactions", "balances", "customers", "facts", "fx-rates", "crm-actions", "policies"):
        columns = decode([batch([mark], keys=[b"@close"])], Reader(topic), 0, ALWAYS)
        assert (columns.status[0], columns.data[0, 0]) == (Status.MARK, 20543)
        assert (columns.data[0, 1:] == -(2**63)).all()


def test_tombstones_and_records_without_key_are_rows() -> None:
    """A null value is a tombstone, a null key is NULL."""
    columns = decode([batch([None, posting_value()], keys=[b"x", None])], Reader("transactions"), 0, ALWAYS)
    assert columns.status.tolist() == [Status.TOMBSTONE, Status.OK]
    assert columns.value_bytes(0) is None
    assert (columns.key_bytes(0), columns.key_bytes(1)) == (b"x", None)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 10)), min_size=1, max_size=6),
    st.integers(-5, 45),
    st.integers(0, 60),
)
def test_every_offset_counts_once(spans: list[tuple[int, int]], start: int, stop: int) -> None:
    """However batches overlap and in whatever order they come, offsets in [start, stop) come once, in order."""
    batches = [batch([posting_value(o + 1) for o in range(base, base + n)], base) for base, n in spans]
    columns = decode(batches, Reader("transactions"), start, stop)
    wanted = sorted({o for base, n in spans for o in range(base, base + n) if start <= o < stop})
    assert columns.offset.tolist() == wanted
    assert columns.data[:, 2].tolist() == [o + 1 for o in wanted]


def test_compacted_gaps_and_empty_blocks() -> None:
    """Offsets come from the records, not from counting; no batch at all is no row."""
    columns = decode([batch([posting_value()] * 3, 70, deltas=[2, 5, 900])], Reader("transactions"), 0, ALWAYS)
    assert columns.offset.tolist() == [72, 75, 970]
    assert decode([], Reader("transactions"), 0, ALWAYS).n == 0


def test_control_batches_are_passed_over() -> None:
    """A transaction's marker is no event."""
    control = bytearray(batch([b"\0\0\0\1"], 5))
    control[22] |= 0x30
    columns = decode([bytes(control), memoryview(batch([posting_value()], 6))], Reader("transactions"), 0, ALWAYS)
    assert columns.offset.tolist() == [6]


def test_compressed_batches_are_decoded_alike() -> None:
    """gzip, snappy, lz4 and zstd change nothing."""
    postings = [posting_value(i) for i in range(50)]
    plain = decode([batch(postings)], Reader("transactions"), 0, ALWAYS)
    for codec in (1, 2, 3, 4):
        columns = decode([batch(postings, codec=codec)], Reader("transactions"), 0, ALWAYS)
        assert np.array_equal(columns.data, plain.data)


def test_an_unknown_id_is_asked_once_and_a_new_one_at_once() -> None:
    """The registry is asked for an id when it first occurs, and again only for another one."""
    schema = {"type": "record", "name": "E", "fields": [{"name": "a", "type": "int"}]}
    registry = Registry(schema)
    reader = Reader("t", registry, schema)
    block = [batch([framed(9, b"\2"), framed(1, b"\4"), framed(9, b"\2")])]
    for _ in range(3):
        columns = decode(block, reader, 0, ALWAYS)
        assert columns.status.tolist() == [Status.UNKNOWN_SCHEMA, Status.OK, Status.UNKNOWN_SCHEMA]
        assert columns.data[0, 0] == 9
    assert sorted(registry.asked) == [1, 9]


def test_a_flood_of_unknown_ids_does_not_flood_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up ids are letters, however many; after a while a few more are asked for, and a good one counts all along."""
    schema = {"type": "record", "name": "E", "fields": [{"name": "a", "type": "int"}]}
    registry, now = Registry(schema), [1000.0]
    monkeypatch.setattr("schemas.codec.blocks.time.monotonic", lambda: now[0])
    reader = Reader("t", registry, schema)
    flood = [batch([framed(1, b"\4"), *(framed(number, b"\2") for number in range(2, 20_002))])]
    for asked in (64, 64, 128):
        found = decode(flood, reader, 0, ALWAYS).status
        assert found[0] == Status.OK and set(found[1:].tolist()) == {Status.UNKNOWN_SCHEMA}
        assert len(registry.asked) <= 1 + asked
        now[0] += UNKNOWN_S / 2 + 1
    registry.schemas[77] = schema
    now[0] += UNKNOWN_S
    assert decode([batch([framed(77, b"\4")])], reader, 0, ALWAYS).status.tolist() == [Status.OK]


def test_more_writers_than_are_kept_still_decode() -> None:
    """The bound on kept programs never turns a good record into a bad one."""
    schema = {"type": "record", "name": "E", "fields": [{"name": "a", "type": "int"}]}
    registry = Registry(*[schema] * 600)
    reader = Reader("t", registry, schema)
    for first in (1, 301):
        columns = decode([batch([framed(i, b"\2") for i in range(first, first + 300)])], reader, 0, ALWAYS)
        assert (columns.status == Status.OK).all()
    assert len(registry.asked) == 600


def test_a_schema_that_does_not_fit_the_topic_is_bad_input() -> None:
    """Another contract's record, or no Avro at all, is a bad record and no failure of the reader."""
    registry = Registry(
        {"type": "record", "name": "Other", "fields": []}, "string", {"type": "nonsense"}, {"no": "schema"}
    )
    reader = Reader("transactions", registry)
    columns = decode([batch([framed(i, b"\0") for i in (1, 2, 3, 4)])], reader, 0, ALWAYS)
    assert columns.status.tolist() == [Status.INCOMPATIBLE] * 4
    assert columns.data[:, 0].tolist() == [1, 2, 3, 4]


def test_symbols_name_the_numbers_of_an_enum() -> None:
    """A nature is the index of its symbol in the reader's contract."""
    reader = Reader("transactions")
    columns = decode([batch([posting_value(nature="interest")])], reader, 0, ALWAYS)
    assert reader.symbols("nature")[columns.data[0, reader.index["nature"]]] == "interest"
