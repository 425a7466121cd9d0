"""Schemas that anybody may register, and records by them: bad records at worst, whoever reads them, and at once."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import bounds
from schemas.avro_types import SchemaError
from schemas.codec.blocks import Reader, decode
from schemas.codec.records import RecordError, decode_one, encode
from schemas.codec.status import REASONS, Status
from schemas.letters import Original, dead_letter
from schemas.registry import contract, file_registry
from schemas.writers.limits import UnreadableSchema, weighed
from tests.schemas.helpers import batch, framed, posting, posting_value

ALWAYS = 1 << 62
GOOD = posting_value(1)[5:]
THEIRS = 7777  # an id


class Registry:
    """The files' registry, where somebody has registered a schema of his own."""

    def __init__(self, schema: Any) -> None:
        self.known = schema

    def schema(self, schema_id: int) -> Any | None:
        """His, or one of ours."""
        return self.known if schema_id == THEIRS else file_registry().schema(schema_id)

    def id_of(self, name: str) -> int:
        """Nothing is written by it."""
        raise AssertionError(name)


def beside(extra: Any) -> Any:
    """The contract of postings, with a field that nobody takes."""
    ours = contract("transactions", 1)
    return {**ours, "fields": [*ours["fields"], {"name": "extra", "type": extra}]}


def boxes(depth: int, wide: int, within: Any) -> Any:
    """Records in records, each holding the next one so many times."""
    for at in range(depth):
        again = [{"name": f"f{i}", "type": f"B{at - 1}" if at else within} for i in range(1, wide)]
        within = {"type": "record", "name": f"B{at}", "fields": [{"name": "f0", "type": within}, *again]}
    return within


def chain(links: int) -> Any:
    """Records in one another that stand side by side, each naming the one before."""
    fields = [{"name": "f0", "type": {"type": "record", "name": "C0", "fields": [{"name": "x", "type": "int"}]}}]
    for at in range(1, links):
        inner = [{"name": "x", "type": f"C{at - 1}"}]
        fields.append({"name": f"f{at}", "type": {"type": "record", "name": f"C{at}", "fields": inner}})
    return {"type": "record", "name": "Chain", "fields": fields}


def nested(depth: int) -> Any:
    """Arrays in arrays."""
    kind: Any = "int"
    for _ in range(depth):
        kind = {"type": "array", "items": kind}
    return kind


def fixed(size: Any) -> Any:
    return {"type": "fixed", "name": "F", "size": size}


LIST = {"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"]}]}
COUNT = b"\x80\x80\x80\x80\x80\x80\x80\x01\0"  # of an array: 2^48
HOSTILE: dict[str, tuple[Any, bytes]] = {
    "an array of nothing": ({"type": "array", "items": "null"}, COUNT),
    "an array of empty records": ({"type": "array", "items": boxes(1, 1, "null")}, COUNT),
    "an array of nothing within a union": ([{"type": "array", "items": fixed(0)}], b"\0" + COUNT),
    "a map of many nulls": ({"type": "map", "values": boxes(1, 200, "null")}, b"\2\0\0"),
    "2^31 nulls": (boxes(31, 2, "null"), b""),
    "4^20 nulls, each union a byte": ([boxes(20, 4, "null")], b"\0"),
    "a list of 20,000": (LIST, b"\2" * 20_000 + b"\0"),
    "itself without end": ({"type": "record", "name": "R", "fields": [{"name": "r", "type": "R"}]}, b""),
    "arrays 200 deep": (nested(200), b"\2" * 200),
    "arrays nearly as deep as Python goes": (nested(960), b"\2" * 960),
    "records 100 deep by name": (chain(100), bytes(100)),
    "5,000 fields": (
        {"type": "record", "name": "W", "fields": [{"name": f"f{i}", "type": "int"} for i in range(5000)]},
        bytes(5000),
    ),
    "a size that is none": (fixed("abc"), b""),
    "a size beyond 64 bits": (fixed(10**30), b""),
    "an infinite size": (fixed(float("inf")), b""),
    "a name that is none": ({"type": "record", "name": "N", "fields": [{"name": ["x"], "type": "int"}]}, b"\0"),
    "half a character as a name": (
        {"type": "record", "name": "N", "fields": [{"name": "\ud800", "type": "int"}]}, b"\0"
    ),
    "half a character as a symbol": ({"type": "enum", "name": "E", "symbols": ["\ud800"]}, b"\0"),
    "symbols that are none": ({"type": "enum", "name": "E", "symbols": [[], 1]}, b"\0"),
    "no such type": ({"type": "x"}, b""),
}  # fmt: skip


def letters_of(schema: Any, data: bytes) -> list[str]:
    """Reads a record by a schema as a worker, views and `explain` do; the reasons of the bad ones."""
    registry, reasons = Registry(schema), []
    reader = Reader("transactions", registry)
    columns = decode([batch([framed(THEIRS, data), posting_value(2)])], reader, 0, ALWAYS)
    for i in range(columns.n):
        if columns.status[i] not in (Status.OK, Status.TOMBSTONE):
            reasons.append(REASONS[Status(columns.status[i])])
            letter = dead_letter("transactions", 0, i, reasons[-1], columns.original(i), detail=reader.why(columns, i))
            encode("dead-letters", letter)
    for name in (None, "transactions", "rm-alerts"):
        try:
            decode_one(framed(THEIRS, data), registry, name=name)
        except RecordError as problem:
            encode("dead-letters", dead_letter("t", 0, 0, "x", Original.of(data), detail=str(problem)))
    return reasons


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("what", HOSTILE)
def test_a_schema_that_asks_for_too_much_makes_a_bad_record(what: str) -> None:
    """The record is refused by the schema alone, its neighbour is not, and every single reader says so too."""
    extra, data = HOSTILE[what]
    for schema in (beside(extra), extra):
        reasons = letters_of(schema, GOOD + data)
        assert reasons == [REASONS[Status.INCOMPATIBLE]]
    with pytest.raises(RecordError):
        decode_one(framed(THEIRS, GOOD + data), Registry(beside(extra)), name="transactions")
    with pytest.raises(RecordError):
        decode_one(framed(THEIRS, GOOD + data), Registry(beside(extra)))


@pytest.mark.parametrize(
    ("extra", "data"),
    [
        ("null", b""), (["null"], b"\0"), (boxes(3, 3, "int"), bytes(27)), (boxes(4, 1, ["null", "int"]), b"\0"),
        (nested(20), b"\2" * 20 + b"\6" + b"\0" * 20), (chain(20), bytes(20)), (fixed(0), b""),
        ({"type": "map", "values": "null"}, b"\2\2a\0"),
        ({"type": "record", "name": "W", "fields": [{"name": f"f{i}", "type": "int"} for i in range(2000)]}, bytes(2000)),
    ],
)  # fmt: skip
def test_what_is_within_the_bounds_is_read(extra: Any, data: bytes) -> None:
    """A writer may have fields of any common shape beside ours."""
    assert letters_of(beside(extra), GOOD + data) == []
    record = decode_one(framed(THEIRS, GOOD + data), Registry(beside(extra)), name="transactions")
    assert record["event_id"] == posting(1)["event_id"]


def told(schema: Any) -> str:
    """What the letter says beside its reason."""
    reader = Reader("transactions", Registry(schema))
    columns = decode([batch([framed(THEIRS, GOOD)])], reader, 0, ALWAYS)
    assert columns.status.tolist() == [Status.INCOMPATIBLE]
    return reader.why(columns, 0)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "record", "name": "W", "fields": [{"name": f"f{i}", "type": "int"} for i in range(5000)]},
         "more than 4,096 types, the limit"),
        (nested(40), "types in one another more than 32 deep, the limit"),
        ({"type": "array", "items": "null"}, "array: 1 values for 0 bytes, 64 a byte are the limit"),
        (boxes(31, 2, "null"), "64 a byte are the limit"),
        (fixed(1 << 30), "F: 1,073,741,824 bytes, a record has at most 1,048,575"),
        (LIST, "L contains itself"),
        (fixed("abc"), "not an Avro schema"),
        ({"type": "record", "name": "N", "fields": [{"name": ["x"], "type": "int"}]}, "a name that is no text"),
    ],
)  # fmt: skip
def test_the_letter_says_which_limit(schema: Any, words: str) -> None:
    """Of the schema itself, and of one in which it stands; never of the record's values."""
    for one in (schema, beside(schema)):
        said = told(one)
        assert said.startswith(f"schema {THEIRS}: ")
        assert words in said


@pytest.mark.parametrize(
    ("text", "words"),
    [(json.dumps("x" * bounds.SCHEMA_BYTES_MAX), "262,146 characters, 262,144 are the limit"),
     ('syntax = "proto3";', "no Avro schema"), ("", "no Avro schema")],
)  # fmt: skip
def test_what_a_registry_has_beyond_the_bound_is_named(text: str, words: str) -> None:
    """A text that no reader takes apart, and one that is no schema."""
    assert told(UnreadableSchema.of(text)) == f"schema {THEIRS}: {words}"
    with pytest.raises(RecordError, match=words):
        decode_one(framed(THEIRS, GOOD), Registry(UnreadableSchema.of(text)), name="transactions")


def test_ids_that_are_not_asked_for_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many unknown ones, too many types: which limit, and of those that were asked for that the registry has none."""

    class Nobody(Registry):
        def schema(self, schema_id: int) -> Any | None:
            return None

    monkeypatch.setattr(bounds, "UNKNOWN_SCHEMAS_ASKED_MAX", 2)
    reader = Reader("transactions", Nobody(None))
    columns = decode([batch([framed(i, GOOD) for i in (901, 902, 903)])], reader, 0, ALWAYS)
    assert [reader.why(columns, i) for i in range(3)] == [
        "the registry has no schema 901", "the registry has no schema 902",
        "schema 903 was not asked for: there were 2 unknown ones within 10 s",
    ]  # fmt: skip


def at_bounds(types: int, depth: int) -> Any:
    return [
        (
            {"type": "record", "name": "W", "fields": [{"name": f"f{i}", "type": "int"} for i in range(types - 1)]},
            types,
        ),
        (nested(depth - 1), depth),
    ]


@pytest.mark.parametrize("over", [0, 1])
def test_bounds_are_where_they_are_said(over: int) -> None:
    """At its bound a schema is taken, and not beyond."""
    for schema, types in at_bounds(bounds.SCHEMA_TYPES_MAX + over, bounds.SCHEMA_DEPTH_MAX + over):
        if over:
            with pytest.raises(SchemaError):
                weighed(schema)
        else:
            assert weighed(schema)[1] == types


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8)
    | st.sampled_from(["null", "int", "string", "record", "array", "fixed", "enum", "bytes", "decimal", "L"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(
            ["type", "name", "items", "values", "fields", "symbols", "size", "default", "namespace", "aliases",
             "logicalType", "precision", "scale", "connect.name"]
        ), inner, max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


def places(schema: Any) -> list[tuple[Any, Any]]:
    """Every container of the schema and a key of it."""
    found: list[tuple[Any, Any]] = []
    if isinstance(schema, dict | list):
        keys: Any = list(schema) if isinstance(schema, dict) else range(len(schema))
        for key in keys:
            found += [(schema, key), *places(schema[key])]
    return found


@pytest.mark.slow
@settings(max_examples=150)
@given(st.data())
def test_any_schema_at_all(data: st.DataObject) -> None:
    """A contract with parts put in place of others, or anything else that JSON says: no reader stumbles."""
    schema: Any = json.loads(
        json.dumps(data.draw(st.sampled_from([beside("null"), beside(LIST), contract("rm-alerts")])))
    )
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places(schema)))
        container[key] = data.draw(JSON)
    letters_of(data.draw(st.sampled_from([schema, data.draw(JSON)])), GOOD + data.draw(st.binary(max_size=12)))


def test_of_one_block_no_more_schemas_are_taken_than_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each id another schema: what is beyond is told, and can be sent again; the next block has room for others."""
    monkeypatch.setattr(bounds, "WRITERS_TYPES_MAX", 100)

    class Many(Registry):
        def schema(self, schema_id: int) -> Any | None:
            return self.known

    reader = Reader("transactions", Many(beside("null")))
    columns = decode([batch([framed(i, GOOD) for i in range(9)])], reader, 0, ALWAYS)
    statuses = columns.status.tolist()
    taken = statuses.count(Status.OK)
    assert 0 < taken < 9
    assert statuses == [Status.OK] * taken + [Status.UNKNOWN_SCHEMA] * (9 - taken)
    assert "those of this fetch have 100 types already" in reader.why(columns, 8)
    assert decode([batch([framed(taken, GOOD)])], reader, 0, ALWAYS).status.tolist() == [Status.OK]
