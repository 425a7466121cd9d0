"""Any writer's schema: its records are rows of ours, or letters that name the field."""

from __future__ import annotations

import io
import re
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec.blocks import Reader, decode
from schemas.codec.records import RecordError, decode_one, plain
from schemas.codec.status import Status
from tests.schemas.foreign import Foreign, foreign
from tests.schemas.helpers import ALWAYS, Registry, batch, datum, framed, row

SAID = re.compile(r"(\w+): wanted .+, found .+")


@pytest.mark.slow
@settings(max_examples=200)
@given(st.data())
def test_equal_rows_or_a_letter_that_names_the_field(data: st.DataObject) -> None:
    """By order, promotion, optional, alias, name, text for an enumeration, decimal and instant: as plain Python has it."""
    writer: Foreign = data.draw(foreign())
    sent = [datum(writer.schema, record) for record in data.draw(st.lists(writer.records(), min_size=1, max_size=3))]
    registry = Registry(writer.schema)
    reader = Reader(writer.topic, registry)
    columns = decode([batch([framed(1, one) for one in sent])], reader, 0, ALWAYS)
    schema = fastavro.parse_schema(plain(writer.schema))
    for i, one in enumerate(sent):
        at = int(columns.field[i])
        name, status = reader.fields[at] if at >= 0 else "", Status(columns.status[i])
        if writer.refused:
            assert (status, name in writer.refused) == (Status.INCOMPATIBLE, True), name
            found = SAID.fullmatch(reader.why(columns, i))
            assert found and found[1] == name
            continue
        wanted, bad = writer.ours(fastavro.schemaless_reader(io.BytesIO(one), schema, None))
        if bad:
            assert status >= 10 and name in bad, (status, name, bad)
            with pytest.raises(RecordError):
                decode_one(framed(1, one), registry, writer.topic)
        else:
            assert row(columns, reader, i) == wanted == decode_one(framed(1, one), registry, writer.topic)
            assert list(wanted) == list(reader.fields)


def writer_of(**types: Any) -> dict[str, Any]:
    """A writer of rates in the ways given; other fields are as in the contract."""
    fields = {
        "event_id": "string", "currency": "string", "base": "string", "rate_micro": "long", "rate_date": "int",
        "version": "long", "source": "string",
    } | types  # fmt: skip
    return {
        "type": "record", "name": "ConnectDefault", "namespace": "io.confluent.connect.avro",
        "fields": [{"name": name, "type": kind} for name, kind in fields.items() if kind is not None],
    }  # fmt: skip


MICRO_TIME = {"type": "long", "connect.version": 1, "connect.name": "io.debezium.time.MicroTimestamp"}
ADVICE = "set time.precision.mode=connect in Debezium's connector"
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a missing field": ({"version": None}, "version: wanted long, found no such field"),
    "a float": (
        {"rate_micro": "double"}, "rate_micro: wanted long or a decimal of scale 6 at most, found double"),
    "a decimal beyond millionths": (
        {"rate_micro": {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 8}},
        "rate_micro: wanted long or a decimal of scale 6 at most, found decimal of scale 8"),
    "a text date": ({"rate_date": "string"}, "rate_date: wanted date, found string"),
    "an instant for a date": (
        {"rate_date": {"type": "long", "logicalType": "timestamp-millis"}},
        "rate_date: wanted date, found timestamp-millis"),
    "Debezium's own time": (
        {"rate_date": ["null", MICRO_TIME]},
        "rate_date: wanted date, found null or io.debezium.time.MicroTimestamp; " + ADVICE),
    "an optional float": ({"version": ["null", "float"]}, "version: wanted long, found null or float"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_named(case: str) -> None:
    """The letter says field, wanted and found, and what to set where Debezium is the writer."""
    changes, words = REFUSED[case]
    reader = Reader("fx-rates", Registry(writer_of(**changes)))
    columns = decode([batch([framed(1, b"\0" * 12)])], reader, 0, ALWAYS)
    assert columns.status.tolist() == [Status.INCOMPATIBLE]
    assert reader.fields[columns.field[0]] == words.partition(":")[0]
    assert reader.why(columns, 0) == words


def test_two_claimants_are_refused() -> None:
    """By name and by alias, by two aliases; and one field for two of ours."""
    for aliases in (
        {"version": ["currency"]},
        {"version": ["currency", "base"]},
        {"version": ["x"], "base": ["currency"]},
    ):
        schema = writer_of()
        for f in schema["fields"]:
            f["aliases"] = aliases.get(f["name"], [])
        columns = decode([batch([framed(1, b"")])], Reader("fx-rates", Registry(schema)), 0, ALWAYS)
        assert (columns.status[0], columns.field[0]) == (Status.INCOMPATIBLE, 1)
    schema = writer_of(currency=None)
    schema["fields"][1]["aliases"] = ["currency"]
    reader = Reader("fx-rates", Registry(schema))
    columns = decode([batch([framed(1, b"")])], reader, 0, ALWAYS)
    assert reader.why(columns, 0) == "base: wanted a field of its own, found base, which also stands for currency"


def test_close_marks_are_known_by_their_full_name() -> None:
    """Another system's record of that name is none: else it would close a day."""
    schema = {
        "type": "record",
        "name": "CloseMark",
        "namespace": "core",
        "fields": [{"name": "business_day", "type": "int"}],
    }
    columns = decode([batch([framed(1, b"\2")])], Reader("transactions", Registry(schema)), 0, ALWAYS)
    assert columns.status.tolist() == [Status.INCOMPATIBLE]


@pytest.mark.parametrize("kind", ["boolean", "string", ["null", "string"], ["string", "null"]])
def test_a_row_that_says_it_was_deleted_is_a_tombstone(kind: Any) -> None:
    """Whatever else stands in it; false and null say nothing."""
    optional = {name: ["null", "string"] for name in ("event_id", "source")}
    schema = writer_of(**optional, __deleted=kind)
    record = {
        "event_id": "e",
        "currency": "USD",
        "base": "CNY",
        "rate_micro": 7,
        "rate_date": 1,
        "version": 1,
        "source": "s",
    }
    said = [True, False] if kind == "boolean" else ["true", "false"]
    rows = [
        record | {"__deleted": said[0]},
        record | {"__deleted": said[0], "event_id": None},
        record | {"__deleted": said[1]},
    ]
    if isinstance(kind, list):
        rows.append(record | {"__deleted": None})
    reader = Reader("fx-rates", Registry(schema))
    columns = decode([batch([framed(1, datum(schema, one)) for one in rows])], reader, 0, ALWAYS)
    assert columns.status.tolist() == [Status.TOMBSTONE] * 2 + [Status.OK] * (len(rows) - 2)
    assert row(columns, reader, 2) == record
