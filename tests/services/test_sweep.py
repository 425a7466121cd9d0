"""The view knows what it should hold: whatever happens to its rows is noticed, said, and mended."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from services.queue.lookup import STALE_S
from services.views.keys import Keys
from services.views.metrics import ViewMetrics
from services.views.projections import ALERTS_PER_CUSTOMER_MAX, TopicRecord
from services.views.store import Chunk, Put, RedisViewStore
from services.views.sweep import sweeper as module
from services.views.sweep.completeness import completeness
from services.views.sweep.given import HASH_FIRST, HASH_LAST, ROW_GONE, ROW_UNKNOWN, VERSION_NONE, GivenRow, RowsGiven
from services.views.sweep.guard import RowGuard
from services.views.sweep.sweeper import Sweeper
from services.views.writer import ViewWriter
from tests.services.fakes import MemoryRejects, MemorySource, MemoryViewStore
from tests.services.test_views import LOGS, alert, broken, decode, gone, queue_class

if TYPE_CHECKING:
    from redis import Redis

KEYS = Keys.of("")
READ_AGE = """
local oldest
for _, ms in ipairs(redis.call('HVALS', KEYS[1])) do
  if not oldest or tonumber(ms) < oldest then oldest = tonumber(ms) end
end
local now = redis.call('TIME')
return string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000) - (oldest or 0))
"""


class House:
    """A writer and a sweeper on one server, turned by hand; the clock is the test's."""

    def __init__(self, client: "Redis", logs: dict[str, list[TopicRecord]]) -> None:
        self.client, self.logs, self.now = client, logs, 0.0
        self.store = RedisViewStore(client, KEYS)
        self.writer = ViewWriter(MemorySource(logs), self.store, KEYS, decode, MemoryRejects(), "me")
        self.sweeper = self.sweeping()
        assert self.writer.settle()
        self.write()

    def sweeping(self) -> Sweeper:
        guard = RowGuard(self.client, KEYS, "me")
        return Sweeper(MemorySource(self.logs, 1000), guard, KEYS, decode, self.writer.doubt, lambda: self.now)

    def write(self) -> None:
        self.writer.step()
        while not self.writer.caught_up({name: end for name, (_, end) in self.writer.source.ends().items()}):
            self.writer.step()
        self.writer.step()

    def look(self, seconds: int = 1) -> None:
        for _ in range(seconds):
            self.now += 1
            self.sweeper.turn()

    def sweep(self) -> None:
        self.look(60)

    def degraded(self, topic: str = "queue-priority") -> bool:
        """As the look-up sees it."""
        age_ms = self.client.eval(READ_AGE, 1, KEYS.fresh(topic))
        return int(age_ms) > 1000 * STALE_S

    def rows(self) -> dict[bytes, Any]:
        """All rows and lists."""
        kinds = {b"hash": self.client.hgetall, b"zset": lambda key: self.client.zrange(key, 0, -1, withscores=True)}
        found = [key for pattern in KEYS.rows[1:] for key in self.client.keys(pattern)]
        return {key: kinds[self.client.type(key)](key) for key in found}

    def counts(self) -> dict[bytes, bytes]:
        """The writer's counts, but for alerts: those are compared with nothing."""
        return {name: count for name, count in self.client.hgetall(KEYS.holds).items() if name[:9] != b"rm-alerts"}


@pytest.fixture
def house(redis_client: "Redis") -> House:
    """A view of the same records as in the tests of the writer, swept once."""
    house = House(redis_client, {name: list(log) for name, log in LOGS.items()})
    house.sweep()
    assert not house.degraded()
    assert house.sweeper.counts.rows == 6  # a, b, c, z and two alerts
    return house


HARM: dict[str, Callable[["Redis"], Any]] = {
    "deleted": lambda client: client.delete(KEYS.priority("a")),
    "expired": lambda client: client.pexpire(KEYS.priority("z"), 1),
    "a field changed": lambda client: client.hset(KEYS.priority("a"), "queue_class", "ordinary"),
    "a field deleted": lambda client: client.hdel(KEYS.priority("b"), "vip_area"),
    "a version raised": lambda client: client.hset(KEYS.priority("c"), "version", 99),
    "another type": lambda client: (client.delete(KEYS.priority("c")), client.set(KEYS.priority("c"), "x")),
    "an alert deleted": lambda client: client.delete(KEYS.alert("A1")),
    "an alert changed": lambda client: client.hset(KEYS.alert("A1"), "status", "closed"),
    "a list deleted": lambda client: client.delete(KEYS.alerts("rm", "rm-7")),
    "a member of a list": lambda client: client.zrem(KEYS.alerts("customer", "C1"), "A2"),
    "all rows of a kind": lambda client: client.delete(*client.keys(KEYS.priority("*"))),
    "a count": lambda client: client.hset(KEYS.holds, "queue-priority:0:rows", 17),
    "the counts": lambda client: client.delete(KEYS.holds),
}


@pytest.mark.slow
@pytest.mark.parametrize("harm", HARM)
def test_what_is_done_to_rows_is_mended(house: House, harm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that vanished or changed: said as soon as it is seen, mended by the same sweep, and whole again after it."""
    said: list[str] = []
    mark = house.sweeper.guard.mark

    def marked(whole: Mapping[str, bool]) -> int:
        said.extend(topic for topic, good in whole.items() if not good)
        return mark(whole)

    monkeypatch.setattr(house.sweeper.guard, "mark", marked)
    right, held = house.rows(), house.counts()
    HARM[harm](house.client)
    topic = "rm-alerts" if "alert" in harm or "list" in harm else "queue-priority"
    house.sweep()
    assert set(said) == {topic}
    assert (house.rows(), house.counts()) == (right, held)
    assert not house.degraded(topic)
    assert completeness(house.client, KEYS).good
    assert house.sweeper.counts.wrong == house.sweeper.counts.mended


def test_degraded_while_rows_are_missing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between seeing that rows are missing and having mended them all, kiosks say so; after a restart too."""
    monkeypatch.setattr(house.sweeper.source, "pick", lambda *_: iter(()))
    house.client.delete(KEYS.priority("a"))
    house.sweep()
    assert house.degraded()
    assert not house.degraded("standings")
    house.sweeper = house.sweeping()  # the process is started again
    house.look()
    assert house.degraded()
    house.sweep()
    assert not house.degraded()
    assert house.client.hget(KEYS.priority("a"), "queue_class") == b"diamond"


def test_a_row_that_came_again_by_itself_is_counted(house: House) -> None:
    """A row that was deleted and then written by its next record is found by the counts."""
    house.client.delete(KEYS.priority("a"))
    house.logs["queue-priority:0"].append(queue_class(20, "a", 9, "gold"))
    house.write()
    assert house.client.hget(KEYS.holds, "queue-priority:0:rows") == b"4"
    house.sweep()
    assert house.client.hget(KEYS.holds, "queue-priority:0:rows") == b"3"
    assert not house.degraded()


def test_a_server_that_evicts(house: House) -> None:
    """Under allkeys-lru the view is degraded at once; rows that were evicted are back after the policy is."""
    right = house.rows()
    before = house.client.config_get("maxmemory*")
    try:
        house.client.config_set("maxmemory-policy", "allkeys-lru")
        house.look()
        assert house.degraded()
        assert "maxmemory-policy is allkeys-lru" in completeness(house.client, KEYS).found
        house.client.config_set("maxmemory", 1)  # everything goes, at the next command
        with pytest.raises(Exception, match=r"OOM|memory"):
            house.client.set("tidegauge:filler", "x" * 1000)
        house.client.config_set("maxmemory", 0)
        house.client.config_set("maxmemory-policy", "noeviction")
        assert house.client.exists(KEYS.priority("a")) == 0
    finally:
        for name, value in before.items():
            house.client.config_set(name, value)
    house.look()
    assert house.sweeper.counts.evicted > 0
    house.write()
    house.sweep()
    assert house.rows() == right
    assert not house.degraded()


def test_evictions_of_the_time_between(house: House) -> None:
    """What was evicted while no writer ran is noticed by the next one."""
    house.client.hset(KEYS.sweep, "evicted", -5)  # as if five fewer had been evicted when it was last noted
    house.client.delete(KEYS.priority("a"))
    house.sweeper = house.sweeping()
    house.sweeper.source.batch = 0  # type: ignore[attr-defined]  # the log is not read yet
    house.look()
    assert house.degraded()
    house.sweeper.source.batch = 1000  # type: ignore[attr-defined]
    house.sweep()
    assert not house.degraded()
    assert house.client.exists(KEYS.priority("a"))


def test_everything_gone(house: House) -> None:
    """FLUSHALL: degraded until the writer has built it again."""
    right = house.rows()
    house.client.flushdb()
    assert house.degraded()
    house.look()
    assert house.degraded()  # the sweep says nothing of a view that is not there
    house.write()
    house.sweep()
    assert house.rows() == right
    assert not house.degraded()


@pytest.mark.parametrize("change", ["cluster", "topic"])
def test_another_world(house: House, change: str) -> None:
    """Another cluster, or a topic made anew, whose offsets go beyond the old ones: built again without hands."""
    for name in house.logs:
        house.logs[name] = [queue_class(30, "n", 1, "gold")] if name == "queue-priority:0" else []
    house.writer.source.logs = house.sweeper.source.logs = house.logs  # type: ignore[attr-defined]
    for source in (house.writer.source, house.sweeper.source):
        if change == "cluster":
            source.cluster_id = "cluster-2"  # type: ignore[attr-defined]
        else:
            source.topic_ids["queue-priority"] = "id-2"  # type: ignore[attr-defined]
    house.look(10)
    house.write()
    house.sweep()
    assert list(house.rows()) == [KEYS.priority("n").encode()]
    assert not house.degraded()


def test_rows_the_log_cannot_speak_for(redis_client: "Redis") -> None:
    """A key whose last record can't be read, and alerts for which their customer's list has no place, are no holes."""
    log = [queue_class(0, "a", 1, "gold"), broken(3, b"a")]
    alerts = [alert(i, f"A{i:03}", "raised") for i in range(ALERTS_PER_CUSTOMER_MAX + 3)]
    house = House(redis_client, {"queue-priority:0": log, "rm-alerts:0": alerts, "standings:0": []})
    house.sweep()
    house.sweep()
    assert redis_client.exists(KEYS.priority("a"))
    assert not house.degraded("rm-alerts")
    wrong = house.sweeper.counts.wrong
    house.sweep()
    assert house.sweeper.counts.wrong == wrong == 3


def test_a_deleted_row_does_not_come_back(house: House) -> None:
    """A row of a key with a tombstone is taken out, whoever wrote it."""
    house.logs["queue-priority:0"].append(gone(20, "a"))
    house.write()
    house.client.hset(KEYS.priority("a"), "queue_class", "diamond")
    house.sweep()
    assert not house.client.exists(KEYS.priority("a"))


def test_sweeps_are_told(house: House) -> None:
    """Metrics and the check of completeness say how many rows there are, how long a sweep takes, and what was mended."""
    found = completeness(house.client, KEYS)
    assert found.good
    assert "6 rows" in found.found
    registry = CollectorRegistry()
    registry.register(ViewMetrics(house.writer, house.sweeper.counts))
    text = generate_latest(registry).decode()
    assert "tidegauge_view_rows 6.0" in text
    assert "tidegauge_view_wrong_rows_total 0.0" in text
    assert 'tidegauge_view_whole{topic="standings"} 1.0' in text


def test_no_view_no_word(redis_client: "Redis") -> None:
    """Where no view was ever begun, and where nobody sweeps any more, the check is not good."""
    assert not completeness(redis_client, KEYS).good
    House(redis_client, {"queue-priority:0": []}).sweep()
    assert completeness(redis_client, KEYS).good
    redis_client.hset(KEYS.sweep, "at", 1)
    assert "tidegauge views" in completeness(redis_client, KEYS).hint


def test_pace(redis_client: "Redis", monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep goes at its pace, in steps of a bounded size, and comes again after a while."""
    monkeypatch.setattr(module, "ROWS_PER_S", 100)
    monkeypatch.setattr(module, "STEP_ROWS", 10)
    log = [queue_class(i, f"r{i}", 1, "gold") for i in range(300)]
    house = House(redis_client, {"queue-priority:0": log})
    house.look(3)
    assert house.sweeper.counts.sweeps == 0
    house.look(3)
    assert (house.sweeper.counts.sweeps, house.sweeper.counts.rows) == (1, 300)
    house.look(30)
    assert house.sweeper.counts.sweeps == 2


# -- what the log gave

KEY = st.sampled_from([b"a", b"b", "客".encode()])
ENTRIES = st.lists(st.tuples(KEY, st.sampled_from([0, 3, 10**9 + 7, 10**10]), st.sampled_from("xyz-?")), max_size=12)


@given(ENTRIES, st.integers(1, 4))
def test_the_ledger_is_what_the_store_would_hold(events: list[tuple[bytes, int, str]], parts: int) -> None:
    """However the log comes in, the ledger has each key's row as the store's rules leave it, and its counts."""
    ledger, store = RowsGiven(), MemoryViewStore(KEYS)
    unknown: set[bytes] = set()
    entries = []
    for offset, (key, version, kind) in enumerate(events):
        digest = {"-": ROW_GONE, "?": ROW_UNKNOWN}.get(kind, kind.encode())
        entries.append(GivenRow(key, VERSION_NONE if kind in "-?" else version, offset, digest))
        unknown = unknown | {key} if kind == "?" else unknown - {key}
        if kind in "-?":
            store.rows.pop(key.decode(), None)
        else:
            store._apply(Chunk("t", store.offsets.get("t"), offset, [Put(key.decode(), version, {"kind": kind})]))
    for first in range(0, len(entries), parts):
        ledger.add(entries[first : first + parts], first + parts)
        ledger.settle()
    rows, last = ledger.rows(HASH_FIRST, 100)
    assert last == HASH_LAST
    assert {row.key.decode(): row.digest.decode() for row in rows if row.digest != ROW_GONE} == {
        key: row["kind"] for key, row in store.rows.items() if key.encode() not in unknown
    }
    if unknown:
        assert ledger.totals() is None
    else:
        versions = [row["version"] for row in store.rows.values()]
        assert ledger.totals() == (len(versions), sum(version % 10**9 for version in versions))
