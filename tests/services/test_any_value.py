"""Whatever the contracts allow, and whatever bytes come: views, look-up, notices and readers leave it out and say why.

Values are drawn by the contracts themselves; damaged ones are made of good ones.
"""

import asyncio
from collections.abc import Sequence
from datetime import date
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from schemas.codec.records import decode_one, encode, plain
from schemas.registry import CONTRACTS, contract, file_registry
from services.notices.notifier import Notifier, compose
from services.queue.lookup import Lookup, QueueRow, RedisPriorityView
from services.views.decoder import Decoder
from services.views.keys import Keys, as_bytes
from services.views.projections import PROJECTIONS, TopicRecord
from services.views.queries import AlertRow, alerts_of
from services.views.rows import InColumns
from services.views.store import Chunk, RedisViewStore
from services.views.writer import ViewWriter
from tests.schemas.helpers import values
from tests.services.fakes import MemoryChannel, MemoryLedger, MemoryRejects, MemorySource, MemoryViewStore

KEYS = Keys.of("")
REGISTRY = file_registry(CONTRACTS[-1])
DECODER, IN_COLUMNS = Decoder(REGISTRY), InColumns(REGISTRY)
REF = "a" * 26
KNOWN = {"rm-alerts": {"kind": ["outflow", "upgrade_near", "downgrade_risk"], "status": ["raised", "deepened"]}}
DAY = {"type": "int", "logicalType": "date"}
EDGES = [-(2**31), -719_163, -719_162, 0, 20_000, 2_932_896, 2_932_897, 2**31 - 1]


@cache
def shape(topic: str) -> tuple[st.SearchStrategy[dict[str, Any]], list[str]]:
    """Records of a contract, and which fields are days."""
    days = [field["name"] for field in contract(topic)["fields"] if field["type"] in (DAY, ["null", DAY])]
    return values(plain(contract(topic))), days


@st.composite
def records(draw: st.DrawFn, topic: str) -> dict[str, Any]:
    """A record that the contract allows; now and then with what the services look for, and with days at the edges."""
    drawn, days = shape(topic)
    record: dict[str, Any] = draw(drawn)
    for name in days:
        if draw(st.booleans()):
            record[name] = draw(st.sampled_from(EDGES))
    for name, known in KNOWN.get(topic, {}).items():
        if draw(st.booleans()):
            record[name] = draw(st.sampled_from(known))
    return record


def whole(topic: str) -> st.SearchStrategy[bytes]:
    """A record as bytes."""
    return records(topic).map(lambda record: encode(topic, record, REGISTRY))


@st.composite
def mutated(draw: st.DrawFn, topic: str) -> bytes:
    """A record's bytes with some of them changed, cut or doubled."""
    value = bytearray(draw(whole(topic)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(value)))
        kind = draw(st.sampled_from(["set", "cut", "more"]))
        if kind == "set" and at < len(value):
            value[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del value[at:]
        else:
            value[at:at] = draw(st.binary(max_size=4))
    return bytes(value)


def any_value(topic: str) -> st.SearchStrategy[bytes]:
    """Good ones and bad ones."""
    return whole(topic) | mutated(topic) | st.binary(max_size=40)


KEY = st.sampled_from([b"a", b"b", None, b"", b"\xff"])


@st.composite
def logs(draw: st.DrawFn) -> dict[str, list[TopicRecord]]:
    """A partition of every topic of the view."""
    found = {}
    for topic in sorted(PROJECTIONS):
        drawn = draw(st.lists(st.tuples(KEY, st.none() | any_value(topic)), max_size=5))
        found[f"{topic}:0"] = [TopicRecord(topic, 0, offset, key, value) for offset, (key, value) in enumerate(drawn)]
    return found


def built(logs: dict[str, list[TopicRecord]], store: Any) -> ViewWriter:
    """A writer that has read everything."""
    writer = ViewWriter(
        MemorySource(logs), store, KEYS, DECODER, MemoryRejects(), "me", in_columns=IN_COLUMNS
    )  # fmt: skip
    assert writer.settle()
    ends = {name: end for name, (_, end) in writer.source.ends().items()}
    while not writer.caught_up(ends):
        writer.step()
    writer.step()
    return writer


@given(logs())
@settings(max_examples=60)
def test_the_view_takes_or_rejects(logs: dict[str, list[TopicRecord]]) -> None:
    """Every record is applied or a dead letter with its reason; only what misses nothing is fresh."""
    store = MemoryViewStore(KEYS)
    writer = built(logs, store)
    letters = writer.rejects.letters  # type: ignore[attr-defined]
    for name, log in logs.items():
        assert store.offsets.get(name, 0) == (log[-1].offset + 1 if log else 0)
        rejected = {record.offset for record, reason, detail in letters if record in log and reason and detail}
        lacking = writer.store.lacking([name])[name]
        last = {record.key: record.offset in rejected for record in log if record.key in (b"a", b"b")}
        if not name.startswith("rm-alerts"):
            assert lacking == {key.decode() for key, bad in last.items() if bad and key is not None}
        assert (name in store.fresh) is (not lacking or name == "queue-priority:0")  # its readers ask for each key


@pytest.mark.integration
@given(logs())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_real_server_takes_it_too(redis_client: Redis, logs: dict[str, list[TopicRecord]]) -> None:
    """Redis holds what the fake holds, and its readers read all of it."""
    redis_client.flushdb()
    fake = MemoryViewStore(KEYS)
    built(logs, fake)
    built(logs, RedisViewStore(redis_client, KEYS))
    found = {as_bytes(key).decode() for key in redis_client.keys("*")}
    assert {key for key in fake.rows if fake.rows[key]} <= found
    for key, members in fake.lists.items():
        assert redis_client.zcard(key) == len(members)
        *_, by, name = key.split(":", 3)
        if by in ("customer", "rm", "branch"):
            assert all(isinstance(row, AlertRow) for row in alerts_of(redis_client, KEYS, REGISTRY, by, name, 10))


@given(st.lists(any_value("rm-alerts"), min_size=1, max_size=4))
def test_readers_pass_over_what_they_cannot_read(held: Sequence[bytes]) -> None:
    """A row that was damaged in the server is left out of the list."""

    class Server:
        def zrevrange(self, *_: Any) -> list[bytes]:
            return [b"%d" % i for i in range(len(held))]

        def pipeline(self, **_: Any) -> "Server":
            return self

        def __enter__(self) -> "Server":
            return self

        def __exit__(self, *_: object) -> None: ...

        def hget(self, *_: Any) -> None: ...

        def execute(self) -> list[bytes]:
            return list(held)

    rows = alerts_of(Server(), KEYS, REGISTRY, "rm", "x", 9)  # type: ignore[arg-type]
    assert len(rows) <= len(held)


@pytest.mark.integration
def test_a_day_that_is_none_is_no_outage(redis_client: Redis, redis_url: str) -> None:
    """A row that can't be read gives a degraded answer to its own customer, however often, and to nobody else."""
    redis_client.flushdb()
    store = RedisViewStore(redis_client, KEYS)
    store.take("me")
    store.begin({"cluster": "c"}, ["queue-priority:0"])
    store.apply("me", [Chunk("queue-priority:0", None, 1, [])])
    store.mark_fresh("me", {"queue-priority:0": (1, 0)})
    redis_client.hset(KEYS.priority("b" * 26), mapping={"queue_class": "gold", "vip_area": 1, "valid_until": "never"})
    redis_client.hset(KEYS.priority(REF), mapping={"queue_class": "gold", "vip_area": 1, "valid_until": ""})

    async def ask() -> None:
        import redis.asyncio

        async with redis.asyncio.Redis.from_url(redis_url) as client:
            lookup = Lookup(RedisPriorityView(client, KEYS), "ordinary", lambda: date(2026, 3, 2))
            for _ in range(20):
                assert (await lookup.answer("b" * 26)).degraded
            assert (await lookup.answer(REF)).queue_class == "gold"

    asyncio.run(ask())


@given(
    st.none() | st.text(max_size=9), st.none() | st.dates(), st.none() | st.floats(allow_nan=True), st.text(max_size=30)
)
def test_the_lookup_answers_always(queue_class: str | None, until: date | None, age: float | None, ref: str) -> None:
    """Whatever the view holds, and whatever is asked."""

    class View:
        async def read(self, customer_ref: str) -> QueueRow:
            return QueueRow(queue_class, True, until, age)

    lookup = Lookup(View(), "ordinary", lambda: date(2026, 3, 2))
    for asked in (REF, ref):
        assert isinstance(asyncio.run(lookup.answer(asked)).queue_class, str)


@given(any_value("rm-alerts"), st.sampled_from(["zh-CN", "en"]))
@settings(max_examples=150)
def test_an_alert_gives_notices_or_a_reason(value: bytes, locale: str) -> None:
    """What is no alert, and an alert of which no notice can be made, end in one kind of error; the rest can be written."""
    notifier = Notifier([MemoryChannel()], MemoryLedger(), lambda: 0, locale)
    try:
        told = asyncio.run(notifier.notify(decode_one(value, REGISTRY, name="rm-alerts")))
    except ValueError:
        return
    for record in told:
        assert decode_one(encode("notices", record, REGISTRY), REGISTRY, name="notices") == record


def test_a_text_without_end_makes_no_notice() -> None:
    """It would not fit through the producer, and nobody would read it."""
    alert = {field["name"]: "x" for field in contract("rm-alerts")["fields"]} | {
        "status": "raised", "kind": "outflow", "raised_day": 20_000, "next_close": None, "window_days": 1, "share_bp": 1,
    }  # fmt: skip
    assert compose(alert, "console", "en") is not None
    with pytest.raises(ValueError, match="branch"):
        compose(alert | {"branch": "b" * 1000}, "console", "en")
