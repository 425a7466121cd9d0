"""What other systems write, through the standing job: the same figures, or a letter that says what is wanted."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from agents.engine.record_batches import flat
from agents.standing.job import StandingJob
from deploy.settings import Settings
from schemas.codec import blocks
from schemas.codec.records import decode_one
from schemas.registry import RegistryError, contract, file_registry, registry_for
from tests.schemas.helpers import datum, framed
from tests.schemas.registry_server import RegistryServer
from tests.standing.partition import Partition, Topics, conf
from tests.streams.fast import differences, state
from tests.twins.events import day, posting, snapshot

DAY = day("2024-03-02")
FOREIGN = 90_000
NATURES = next(f["type"]["symbols"] for f in contract("transactions")["fields"] if f["name"] == "nature")
CONNECT = "org.apache.kafka.connect.data."
WAYS: dict[str, Any] = {
    "amount_minor": {
        "type": "bytes", "scale": 2, "precision": 64, "connect.version": 1, "connect.parameters": {"scale": "2"},
        "connect.name": f"{CONNECT}Decimal", "logicalType": "decimal",
    },
    "value_date": {"type": "int", "connect.version": 1, "connect.name": f"{CONNECT}Date", "logicalType": "date"},
    "booked_at": {
        "type": "long", "connect.version": 1, "connect.name": f"{CONNECT}Timestamp", "logicalType": "timestamp-millis",
    },
    "nature": "string",
}  # fmt: skip


def unwrapped(topic: str) -> Any:
    """Rows of a table as Debezium unwraps them and Kafka Connect's converter writes them."""
    fields = []
    for f in contract(topic)["fields"]:
        kind = WAYS.get(f["name"], f["type"])
        fields.append({"name": f["name"], "type": kind} | ({"default": None} if isinstance(kind, list) else {}))
    fields.append({"name": "__deleted", "type": ["null", "string"], "default": None})
    name = {"name": "Value", "namespace": f"core.public.{topic}", "connect.name": f"core.public.{topic}.Value"}
    return {"type": "record", **name, "fields": fields}


class Both:
    """The ids of the files, and one that another system has registered."""

    def __init__(self, schema: Any) -> None:
        self.theirs = schema

    def schema(self, schema_id: int) -> Any | None:
        return self.theirs if schema_id == FOREIGN else file_registry().schema(schema_id)

    def id_of(self, name: str) -> int:
        return file_registry().id_of(name)


def row_of(event: dict[str, Any], *, deleted: bool = False) -> bytes:
    """An event as the writer sends it."""
    schema = unwrapped(event["topic"])
    record = {name: value for name, value in event.items() if name != "topic"} | {"__deleted": str(deleted).lower()}
    if "amount_minor" in record:
        record["amount_minor"] = record["amount_minor"].to_bytes(8, signed=True)
    return framed(FOREIGN, datum(schema, record))


def partition(log: Topics, schema: Any) -> Partition:
    """A job whose registry has the schema."""
    return Partition(log, StandingJob(replace(conf(), registry=Both(schema)))).run()


def test_rows_of_a_table_give_the_same_standings() -> None:
    """Decimals, text and dates of Kafka Connect count as our own postings do."""
    events = [
        posting(1, 10_000_000, "2024-03-01"),
        posting(2, -77, "2024-03-01", nature="fee"),
        posting(3, 5, "2024-03-04"),
    ]
    own = Partition(Topics().tell([*events, DAY + 10])).run()
    log = Topics()
    for event in events:
        log.append("transactions", b"C1", row_of(event))
    theirs = partition(log.tell([DAY + 10]), unwrapped("transactions"))
    assert theirs.of("dead-letters") == []
    assert theirs.published["standings"] == own.published["standings"] != []
    assert differences(state(theirs.job.ledger), state(own.job.ledger)) == []


@pytest.mark.parametrize("tombstone", [False, True])
@pytest.mark.parametrize("topic", ["transactions", "balances"])
def test_a_deletion_is_a_letter(topic: str, tombstone: bool) -> None:
    """What was booked counts on, and the letter says how to take it back."""
    event = posting(1, 10_000, "2024-03-01") if topic == "transactions" else snapshot(10_000, DAY)
    log, plain = Topics().tell([event]), Topics().tell([event])
    value = None if tombstone else row_of(event, deleted=True)
    log.append(topic, b"C1", value)
    theirs, own = partition(log.tell([DAY + 10]), unwrapped(topic)), Partition(plain.tell([DAY + 10])).run()
    [letter] = theirs.of("dead-letters")
    assert (letter["topic"], letter["offset"], letter["reason"], letter["field"]) == (topic, 1, "deletion", None)
    assert letter["original"] == (value or b"")
    assert "revers" in letter["detail"]
    assert theirs.published["standings"] == own.published["standings"] != []


@pytest.mark.parametrize(
    ("name", "kind", "value", "reason", "detail"),
    [
        ("amount_minor", "double", 1.5, "schema does not fit the topic",
            "amount_minor: wanted long or a decimal with the currency's scale, found double"),
        ("amount_minor", ["null", "long"], None, "unknown union branch",
            "amount_minor: wanted long or a decimal with the currency's scale, found null"),
        ("amount_minor", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 3}, b"\1",
            "decimals are not the currency's", "amount_minor: wanted a decimal of scale 2, found a decimal of scale 3"),
        ("nature", "string", "gift", "unknown symbol",
            f"nature: wanted one of {', '.join(NATURES)}, found another text"),
        ("value_date", "string", "2024-03-01", "schema does not fit the topic", "value_date: wanted date, found string"),
    ],
)  # fmt: skip
def test_what_is_not_taken_is_said(name: str, kind: Any, value: Any, reason: str, detail: str) -> None:
    """Field, wanted and found stand in the letter."""
    schema = unwrapped("transactions")
    next(f for f in schema["fields"] if f["name"] == name)["type"] = kind
    record = {k: v for k, v in posting(1, 1, DAY).items() if k != "topic"} | {"amount_minor": b"\1", "__deleted": None}
    log = Topics()
    log.append("transactions", b"C1", framed(FOREIGN, datum(schema, record | {name: value})))
    [letter] = partition(log, schema).of("dead-letters")
    assert (letter["reason"], letter["field"], letter["detail"]) == (reason, name, detail)


def test_parts_that_columns_do_not_hold_are_checked_too() -> None:
    """Parameters of an act that are null: a letter, where the worker would have stopped."""
    schema = contract("crm-actions")
    (details,) = (field for field in schema["fields"] if field["name"] == "details")
    details["type"] = {"type": "map", "values": ["null", "string"]}
    record = {
        "event_id": "e", "customer_id": "C1", "action": "override_tier", "requested_by": "a", "approved_by": "b",
        "at": DAY * 86_400_000, "expires_on": None, "details": {"tier": None},
    }  # fmt: skip
    log = Topics().tell([posting(1, 10_000, "2024-03-01")])
    log.append("crm-actions", b"C1", framed(FOREIGN, datum(schema, record)))
    [letter] = partition(log, schema).of("dead-letters")
    assert (letter["field"], letter["detail"]) == ("details", "details: wanted string, found null")


def test_a_registry_that_is_down_is_waited_for_and_a_404_is_a_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """503 and the rest lose nothing; after a `not found` the schema may be registered, and the record sent again counts."""
    event = posting(1, 10_000, "2024-03-01")
    with RegistryServer() as server:
        registry = registry_for(Settings(schema_registry_url=server.url))
        log = Topics()
        job = StandingJob(replace(conf(), registry=registry))
        theirs = Partition(log, job)
        unknown = server.add("core-value", {"schema": json.dumps(unwrapped("transactions"))})
        given = server.schemas.pop(unknown)
        value = framed(unknown, row_of(event)[5:])
        log.append("transactions", b"C1", value)
        for server.status in (500, 503, 429):
            with pytest.raises(RegistryError):
                theirs.feed("transactions")
            assert job.positions()["transactions"] == 0
        server.status = 200
        theirs.feed("transactions")
        [(_, letter)] = flat(dict(job.work(live=True).outputs)["dead-letters"])
        assert decode_one(letter or b"", registry)["reason"] == "unknown schema id"
        server.schemas[unknown] = given
        monkeypatch.setattr(blocks, "UNKNOWN_S", 0.0)
        log.append("transactions", b"C1", value)
        theirs.feed("transactions")
        assert "dead-letters" not in dict(job.work(live=True).outputs)
        own = Partition(Topics().tell([event])).run()
    assert differences(state(job.ledger), state(own.job.ledger)) == []
