"""Whatever the contracts allow, and whatever bytes come: views, look-up, notices and readers leave it out and say why.

Values are drawn by the contracts themselves; damaged ones are made of good ones.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from policies import load_pack
from policies.model.pack import Escalation
from schemas.codec.records import RecordError, decode_one, encode
from schemas.registry import contract
from services.clock.case_watch import LEVELS_MAX, DueCommand
from services.clock.clock import CaseClock
from services.notices.arrivals import VipArrivals
from services.notices.days import BankDays
from services.notices.notice_ids import ToldNotices
from services.notices.notifier import ID_CHARS, Notifier, compose
from services.queue.behind.following import ClassFollower
from services.queue.lookup import Answer, Lookup, QueueRow, RedisPriorityView
from services.queue.tickets.keys import TicketKeys
from services.views.decoder import Decoder
from services.views.keys import Keys, as_bytes, digest_of_name
from services.views.projections import PROJECTIONS, TopicRecord
from services.views.queries import AlertRow, alerts_of, standing_of
from services.views.rows import InColumns
from services.views.store import Chunk, RedisViewStore
from services.views.sweep.guard import RowGuard
from services.views.sweep.sweeper import Sweeper
from services.views.writer import ViewWriter
from streams.calendar import DAY_MAX, DAY_MIN
from tests.contracts.drawn import LIVED, REGISTRY, any_value, entries, records
from tests.services.fakes import (
    MemoryChannel,
    MemoryLedger,
    MemoryRejects,
    MemorySource,
    MemoryTold,
    MemoryViewStore,
)

KEYS = Keys.of("")
ALERT_KEY = b"a key of the tests"
DECODER, IN_COLUMNS = Decoder(REGISTRY), InColumns(REGISTRY)
REF = "a" * 26


KEY = st.sampled_from([b"a", b"b", None, b"", b"\xff"])


@st.composite
def logs(draw: st.DrawFn) -> dict[str, list[TopicRecord]]:
    """A partition of every topic of the view."""
    found = {}
    for topic in sorted(PROJECTIONS):
        drawn = draw(st.lists(st.tuples(KEY, st.none() | any_value(topic)), max_size=5))
        found[f"{topic}:0"] = [TopicRecord(topic, 0, offset, key, value) for offset, (key, value) in enumerate(drawn)]
    return found


def built(logs: dict[str, list[TopicRecord]], store: Any, in_columns: Any = IN_COLUMNS) -> ViewWriter:
    """A writer that has read everything; one by one where `in_columns` is None."""
    own = {} if in_columns is None else {"in_columns": in_columns}
    writer = ViewWriter(MemorySource(logs), store, KEYS, DECODER, MemoryRejects(), "me", **own)
    assert writer.settle()
    ends = {name: end for name, (_, end) in writer.source.ends().items()}
    while not writer.caught_up(ends):
        writer.step()
    writer.step()
    return writer


def swept(client: Redis, logs: dict[str, list[TopicRecord]], writer: ViewWriter) -> Sweeper:
    """A sweeper that has looked at all rows, and mended what was wrong."""
    guard, source = RowGuard(client, KEYS, "me"), MemorySource(logs, 1000)
    sweeper = Sweeper(source, guard, KEYS, DECODER, writer.doubt, partial(next, count()))
    for _ in range(60):
        sweeper.turn()
    return sweeper


@given(logs())
@settings(max_examples=40)
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


@pytest.mark.integration
@given(logs())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_sweep_finds_nothing_wrong(redis_client: Redis, logs: dict[str, list[TopicRecord]]) -> None:
    """What the writer has made of any records is what the sweep takes for right: no row is mended, no view held back."""
    redis_client.flushdb()
    sweeper = swept(redis_client, logs, built(logs, RedisViewStore(redis_client, KEYS)))
    assert sweeper.counts.sweeps
    assert (sweeper.counts.wrong, sweeper.counts.trouble) == (0, {})


@pytest.mark.integration
@given(logs())
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_sweep_mends_all(redis_client: Redis, logs: dict[str, list[TopicRecord]]) -> None:
    """Where every row has vanished, they come back as they were; but those whose last record nobody can read."""
    redis_client.flushdb()
    writer = built(logs, RedisViewStore(redis_client, KEYS))
    lacking = {key for keys in writer.store.lacking(list(logs)).values() for key in keys}
    unread = tuple(f":{name}".encode() for key in lacking for name in (key, digest_of_name(key)))
    rows = [key for pattern in KEYS.rows[1:4] for key in redis_client.keys(pattern)]
    kept = {key: redis_client.hgetall(key) for key in rows if not key.endswith(unread)}
    for key in kept:
        redis_client.delete(key)
    sweeper = swept(redis_client, logs, writer)
    assert {key: redis_client.hgetall(key) for key in kept} == kept
    assert sweeper.counts.trouble == {}


@pytest.mark.slow
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


@given(any_value("standings"))
def test_a_standing_is_read_or_is_none(held: bytes) -> None:
    """A row that was damaged in the server is told as such."""

    class Server:
        def hget(self, *_: Any) -> bytes:
            return held

    with suppress(RecordError):
        assert standing_of(Server(), KEYS, REGISTRY, "x")  # type: ignore[arg-type]


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


ROW = st.fixed_dictionaries({}, optional={
    name: st.sampled_from([b"", b"1", b"2026-03-02", b"never", b"\xff"]) | st.binary(max_size=12)
    for name in ("queue_class", "vip_area", "valid_until", "version")
})  # fmt: skip


def answers_of(client: Redis, url: str, rows: Sequence[dict[str, bytes] | bytes]) -> list[Answer]:
    """What customers with these rows are told, one after the other, and then one with a good row."""
    client.flushdb()
    store = RedisViewStore(client, KEYS)
    store.take("me")
    store.begin({"cluster": "c"}, ["queue-priority:0"])
    store.apply("me", [Chunk("queue-priority:0", None, 1, [])])
    store.mark_fresh("me", {"queue-priority:0": (1, 0)})
    asked = [letter * 26 for letter in "bcdefghij"[: len(rows)]]
    for ref, row in zip(asked, rows, strict=True):
        if isinstance(row, bytes):
            client.set(KEYS.priority(ref), row)
        elif row:
            client.hset(KEYS.priority(ref), mapping=dict(row))
    client.hset(KEYS.priority(REF), mapping={"queue_class": "gold", "vip_area": 1, "valid_until": ""})

    async def ask() -> list[Answer]:
        import redis.asyncio

        async with redis.asyncio.Redis.from_url(url) as own:
            lookup = Lookup(RedisPriorityView(own, KEYS), "ordinary", lambda: date(2026, 3, 2), budget_s=5)
            return [await lookup.answer(ref) for ref in (*asked, REF)]

    return asyncio.run(ask())


@pytest.mark.integration
@given(st.lists(ROW | st.binary(max_size=9), min_size=6, max_size=6))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_row_of_the_server(redis_client: Redis, redis_url: str, rows: list[Any]) -> None:
    """Whatever stands where a row should be, and whatever its type: an answer, and the next customer has his class."""
    *_, last = answers_of(redis_client, redis_url, rows)
    assert (last.queue_class, last.degraded) == ("gold", False)


@pytest.mark.integration
def test_what_is_no_row_is_no_outage(redis_client: Redis, redis_url: str) -> None:
    """Keys of another type are degraded answers to their own customers, however many, and to nobody else."""
    found = answers_of(redis_client, redis_url, [b"no hash"] * 9)
    assert [answer.degraded for answer in found] == [True] * 9 + [False]


@pytest.mark.integration
@pytest.mark.parametrize("number", [-1, -(10**12), -(2**63) + 1])
def test_a_version_below_zero_is_none(redis_client: Redis, number: int) -> None:
    """The store compares versions as digits: such a row would be another one for the sweep, for ever."""
    values = [
        {
            "customer_ref": "a",
            "queue_class": "gold",
            "vip_area": True,
            "valid_until": None,
            "as_of": LIVED,
            "version": version,
        }
        for version in (number, 5, number - 1 if number > -(2**62) else number)
    ]
    records = [
        TopicRecord("queue-priority", 0, at, b"a", encode("queue-priority", value)) for at, value in enumerate(values)
    ]
    logs = {f"{topic}:0": records if topic == "queue-priority" else [] for topic in PROJECTIONS}
    for in_columns in (IN_COLUMNS, None):
        redis_client.flushdb()
        writer = built(logs, RedisViewStore(redis_client, KEYS), in_columns)
        assert redis_client.hget(KEYS.priority("a"), "version") == b"5"
        assert len(writer.rejects.letters) == 2  # type: ignore[attr-defined]
        sweeper = swept(redis_client, logs, writer)
        assert (sweeper.counts.wrong, sweeper.counts.trouble) == (0, {})


@pytest.mark.slow
@given(st.fixed_dictionaries({topic: entries(topic) for topic in ("business-days", "policies")}), records("rm-alerts"))
@settings(max_examples=50)
def test_the_banks_days_stay_days(inputs: dict[str, list[tuple[Any, Any]]], other: dict[str, Any]) -> None:
    """No close and no alert moves the newest day to one that never comes; a pack that is none changes nothing."""
    logs = {
        f"{topic}:0": [TopicRecord(topic, 0, offset, key, value) for offset, (key, value) in enumerate(found)]
        for topic, found in inputs.items()
    }
    pack = load_pack("rolling-quarter-aum")
    days = BankDays(MemorySource(logs, 10), REGISTRY, {(pack.id, pack.version): 3})
    assert isinstance(asyncio.run(days.late(other)), bool)
    assert days.newest == 0 or DAY_MIN <= days.newest < DAY_MAX


@pytest.mark.slow
@given(st.fixed_dictionaries({topic: entries(topic) for topic in ("customers", "queue-tickets")}))
def test_any_ticket_of_a_vip(inputs: dict[str, list[tuple[Any, Any]]]) -> None:
    """Whatever stands there: whoever is told of is led to the VIP area, and is a customer of ours."""
    logs = {f"{topic}:0": list[TopicRecord]() for topic in inputs}
    source, written = MemorySource(logs), list[dict[str, Any]]()

    async def write(record: dict[str, Any]) -> None:
        written.append(record)

    arrivals = VipArrivals(
        source, REGISTRY, [b"k" * 32], b"i" * 32, [MemoryChannel()], MemoryLedger(), write, now_ms=lambda: 0
    )
    arrivals.begin()
    for topic, found in inputs.items():
        logs[f"{topic}:0"] += [TopicRecord(topic, 0, at, key, value) for at, (key, value) in enumerate(found)]

    async def follow() -> None:
        for _ in range(len(inputs["customers"]) + len(inputs["queue-tickets"])):
            await arrivals.follow()

    asyncio.run(follow())
    assert {record["customer_id"] for record in written} <= {one.customer_id for one in arrivals.profiles.values()}


@pytest.mark.slow
@given(entries("notices"))
def test_any_notice_was_told_or_was_not(found: list[tuple[Any, Any]]) -> None:
    """Whatever stands on `notices`: what is a notice was told, and nothing else is known."""
    log = [TopicRecord("notices", 0, offset, key, value) for offset, (key, value) in enumerate(found)]
    told = ToldNotices(MemorySource({"notices:0": log}), REGISTRY)
    assert not asyncio.run(told.stands("no id of ours"))
    wanted = set()
    for _, value in found:
        with suppress(ValueError):
            wanted.add(decode_one(value or b"", REGISTRY, name="notices")["notice_id"])
    assert set(told.ids) == {notice_id for notice_id in wanted if len(notice_id) <= ID_CHARS}


@given(st.lists(st.tuples(KEY, any_value("rm-alerts")), max_size=5), st.lists(any_value("policies"), max_size=2))
def test_any_step_of_a_case(found: list[tuple[Any, bytes]], packs: list[bytes]) -> None:
    """Whatever stands there: something is due that a worker may take, or nothing is."""
    log = {
        "rm-alerts:0": [
            TopicRecord("rm-alerts", 0, at, key, value, None, 1 << 40) for at, (key, value) in enumerate(found)
        ],
        "policies:0": [TopicRecord("policies", 0, at, b"p", value) for at, value in enumerate(packs)],
    }
    sent: list[DueCommand] = []
    clock = CaseClock(MemorySource(log), REGISTRY, sent.append, lambda: 1 << 60, dict, "Asia/Shanghai")
    clock.watch.terms = lambda _pack: Escalation({"high": 4, "medium": 8, "low": 1, "info": 2, "critical": 1})
    clock.begin()
    for _ in range(4):
        clock.follow()
    assert len({command.key for command in sent}) == len(sent)
    for command in sent:
        assert command.action in ("escalate", "wake") and command.level <= LEVELS_MAX


def test_an_alert_of_a_day_that_never_comes_makes_no_other_late() -> None:
    """It is no news of the bank's calendar."""
    days = BankDays(MemorySource({}), REGISTRY, {})
    alert = {"raised_day": LIVED, "pack_id": "p", "pack_version": 1}
    assert not asyncio.run(days.late(alert | {"raised_day": 2**31 - 1}))
    assert not asyncio.run(days.late(alert))


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


@pytest.mark.slow
@given(any_value("rm-alerts"), st.sampled_from(["zh-CN", "en"]))
@settings(max_examples=150)
def test_an_alert_gives_notices_or_a_reason(value: bytes, locale: str) -> None:
    """What is no alert, and an alert of which no notice can be made, end in one kind of error; the rest can be written."""
    notifier = Notifier([MemoryChannel()], MemoryLedger(), MemoryTold(), ALERT_KEY, lambda: 0, locale)
    try:
        told = asyncio.run(notifier.notify(decode_one(value, REGISTRY, name="rm-alerts")))
    except ValueError:
        return
    for record in told:
        assert decode_one(encode("notices", record, REGISTRY), REGISTRY, name="notices") == record


def test_a_text_without_end_makes_no_notice() -> None:
    """It would not fit through the producer, and nobody would read it."""
    alert = {field["name"]: "x" for field in contract("rm-alerts")["fields"]} | {
        "status": "raised", "kind": "outflow", "raised_day": 20_000, "due_day": None, "next_close": None,
        "window_days": 1, "share_bp": 1,
    }  # fmt: skip
    assert compose(ALERT_KEY, alert, "console", "en") is not None
    with pytest.raises(ValueError, match="branch"):
        compose(ALERT_KEY, alert | {"branch": "b" * 1000}, "console", "en")


@given(st.lists(st.tuples(st.none() | st.binary(max_size=40), st.none() | any_value("queue-priority")), max_size=5))
def test_any_class_of_who_waits(found: list[tuple[Any, Any]]) -> None:
    """Whatever stands on `queue-priority`: it moves tickets to a class and an area, or changes nothing."""
    moved: list[tuple[Any, ...]] = []

    class Tickets:
        default_class = "ordinary"
        store = SimpleNamespace(keys=TicketKeys.of("t."))

        async def rerank(self, *given: Any) -> int:
            moved.append(given)
            return 1

    class Everybody:
        async def hmget(self, _: str, names: list[str]) -> list[bytes]:
            return [b"[]" for _ in names]

    records = [TopicRecord("queue-priority", 0, offset, key, value) for offset, (key, value) in enumerate(found)]
    tickets: Any = Tickets()
    everybody: Any = Everybody()
    follower = ClassFollower(MemorySource({}), tickets, REGISTRY, everybody, lambda: date(2026, 3, 2))
    assert asyncio.run(follower.take(records)) == len(moved)
    assert len(moved) <= len({record.key for record in records})
    for _, queue_class, vip_area, reason in moved:
        assert isinstance(queue_class, str) and isinstance(vip_area, bool) and reason == "queue-priority"
