"""Rows in columns are the same as rows one by one: what is written, and what has to go one by one."""

from typing import TYPE_CHECKING

import pytest

from agents.standing.publish.standings import STANDING_FIELDS, STANDING_LISTS
from schemas.codec.records import encode
from schemas.registry import file_registry
from services.views.decoder import Decoder
from services.views.keys import Keys
from services.views.projections import PROJECTIONS, TopicRecord
from services.views.rows import VALUE_BYTES_MAX, InColumns
from services.views.store import Chunk, Op, RedisViewStore, _framed, flat_ops

if TYPE_CHECKING:
    from redis import Redis

KEYS = Keys.of("p")


def standing(seq: int, pack: str = "p") -> bytes:
    """A standing's value."""
    record = {name: [1, 2] if name in STANDING_LISTS else -5 for name in STANDING_FIELDS} | {
        "customer_id": "C1", "customer_ref": "r", "as_of": 20_000, "customer_class": "personal", "pack_id": pack,
        "pack_version": 1, "tier": "gold", "tier_effective": 1, "currency": "CNY",
        "held_reason": None, "first_day": 1, "source_seq": seq,
    }  # fmt: skip
    return encode("standings", record)


def priority(version: int, until: int | None) -> bytes:
    """A queue class's value."""
    record = {"customer_ref": "r", "queue_class": "diamond", "vip_area": version % 2 == 0, "valid_until": until}
    return encode("queue-priority", record | {"as_of": 20_000, "version": version})


def log(topic: str, values: list[bytes | None], keys: list[bytes | None]) -> list[TopicRecord]:
    """Records at offsets 0, 1, …"""
    return [TopicRecord(topic, 0, i, key, value) for i, (key, value) in enumerate(zip(keys, values, strict=True))]


def one_by_one(records: list[TopicRecord]) -> list[Op]:
    """The slow twin: decode and project each."""
    topic = records[0].topic
    decoded = iter(Decoder(file_registry())(topic, [record.value for record in records if record.value is not None]))
    ops: list[Op] = []
    for record in records:
        ops += PROJECTIONS[topic](KEYS, record, None if record.value is None else next(decoded))
    return ops


def texts(ops: list[Op]) -> list[Op]:
    """With every field as bytes."""
    return [
        op._replace(fields={n: v.encode() if isinstance(v, str) else v for n, v in op.fields.items()})
        if hasattr(op, "fields")
        else op
        for op in ops
    ]


NAMES = [b"C1", "客户-2".encode(), b"C1", b"C3", b"x" * 100]
STANDINGS = log("standings", [standing(5), standing(2**60), None, standing(0), standing(7)], NAMES)
PRIORITIES = log(
    "queue-priority", [priority(1, None), priority(2**62, 20_000), None, priority(4, 0), priority(3, 20_000)], NAMES
)


@pytest.mark.parametrize("records", [STANDINGS, PRIORITIES], ids=["standings", "queue-priority"])
def test_columns_give_what_one_by_one_gives(records: list[TopicRecord]) -> None:
    """The same operations, and the same bytes on the wire, in whole and in parts."""
    rows = InColumns(file_registry())(KEYS, records)
    assert rows is not None
    want = one_by_one(records)
    assert texts(list(rows)) == texts(want)
    assert rows.arguments() == _framed(flat_ops(want))
    assert list(rows.part(1, 4)) == list(rows)[1:4]
    assert rows.part(1, 4).arguments() == _framed(flat_ops(want[1:4]))


@pytest.mark.parametrize(
    "record",
    [
        TopicRecord("standings", 0, 0, b"C1", b"rubbish"),
        TopicRecord("standings", 0, 0, None, standing(1)),
        TopicRecord("standings", 0, 0, b"\xff", standing(1)),
        TopicRecord("standings", 0, 0, b"C1", standing(-7)),
        TopicRecord("standings", 0, 0, b"C1", standing(1, "p" * VALUE_BYTES_MAX)),
        TopicRecord("rm-alerts", 0, 0, b"C1", b""),
    ],
    ids=["unreadable", "no key", "no text", "version below zero", "large", "another topic"],
)
def test_what_goes_one_by_one(record: TopicRecord) -> None:
    """A batch with a record that may have to be rejected, or is large, is left to the slow path as a whole."""
    assert InColumns(file_registry())(KEYS, [*STANDINGS, record] if record.topic == "standings" else [record]) is None


def test_the_store_takes_columns(redis_client: "Redis") -> None:
    """Rows as columns leave in the server what the same operations leave one by one."""
    rows = InColumns(file_registry())(KEYS, PRIORITIES)
    assert rows is not None
    found = []
    for ops in (rows, one_by_one(PRIORITIES)):
        redis_client.flushdb()
        redis_client.script_flush()
        assert RedisViewStore(redis_client, KEYS).apply("me", [Chunk("t:0", None, 5, ops)]) == [True]
        found.append(
            {key: redis_client.hgetall(key) for key in redis_client.keys("*") if redis_client.type(key) == b"hash"}
        )
    assert found[0] == found[1]
    assert len(found[0]) == 5  # three rows, the places and the counts
