"""The view writer: exactly once in effect, whatever fails in between."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from deploy.connections.wire import Brokers
from schemas import bounds
from schemas.codec.batches import Lost
from schemas.codec.records import RecordError, decode_one, encode
from schemas.codec.status import Status
from schemas.letters import Original
from services.views import kafka_source
from services.views.keys import VIEW_FORMAT, Keys, held_until, member_of, unseen_member
from services.views.metrics import ViewMetrics
from services.views.projections import TopicRecord
from services.views.store import Chunk, LeaseLostError
from services.views.writer import UNSEEN_HOLD_MS, ViewWriter, keep, rebuild
from tests.services.fakes import MemoryRejects, MemorySource, MemoryViewStore

KEYS = Keys.of("")
LACKING = 50  # keys that a partition may lack, in place of ten thousand


def decode(_: str, values: Sequence[bytes]) -> list[Any]:
    """Stands for the Avro codec: JSON, so that damage is damage."""
    return [decode_json(value) for value in values]


def decode_json(value: bytes) -> Any:
    try:
        return json.loads(value)
    except ValueError as problem:
        return RecordError(str(problem))


def queue_class(offset: int, ref: str, version: int, name: str, partition: int = 0) -> TopicRecord:
    value = {
        "queue_class": name,
        "vip_area": name != "ordinary",
        "valid_until": None,
        "as_of": 20000,
        "version": version,
    }
    return TopicRecord("queue-priority", partition, offset, ref.encode(), json.dumps(value).encode())


def alert(offset: int, alert_id: str, status: str, partition: int = 0) -> TopicRecord:
    value = {
        "alert_id": alert_id, "customer_id": "C1", "status": status, "severity": "high",
        "branch": "0102", "rm_id": "rm-7", "raised_day": 20000,
    }  # fmt: skip
    return TopicRecord("rm-alerts", partition, offset, b"C1", json.dumps(value).encode())


def gone(offset: int, ref: str, partition: int = 0) -> TopicRecord:
    return TopicRecord("queue-priority", partition, offset, ref.encode(), None)


def writer_of(
    logs: dict[str, list[TopicRecord]], store: MemoryViewStore | None = None, token: str = "me"
) -> ViewWriter:
    return ViewWriter(MemorySource(logs), store or MemoryViewStore(KEYS), KEYS, decode, MemoryRejects(), token)


def drain(writer: ViewWriter) -> None:
    while not writer.caught_up({name: end for name, (_, end) in writer.source.ends().items()}):
        writer.step()


LOGS = {
    "queue-priority:0": [
        queue_class(0, "a", 1, "gold"), queue_class(2, "b", 1, "gold"), queue_class(3, "a", 2, "diamond"),
        gone(5, "b"), queue_class(6, "c", 1, "gold"), queue_class(9, "b", 5, "platinum"),
    ],
    "queue-priority:1": [queue_class(0, "z", 1, "gold", 1)],
    "rm-alerts:0": [alert(0, "A1", "raised"), alert(1, "A2", "raised"), alert(4, "A1", "deepened")],
    "standings:0": [],
}  # fmt: skip


def expected() -> dict[str, Any]:
    writer = writer_of(LOGS)
    writer.settle()
    drain(writer)
    return writer.store.dump()


def test_view_is_the_last_record_of_each_key() -> None:
    """The view holds the newest record of every key, and no deleted one."""
    view = expected()
    classes = {key: row["queue_class"] for key, row in view.items() if key.startswith("tidegauge:priority:")}
    assert classes == {f"tidegauge:priority:{ref}": name for ref, name in
                       {"a": "diamond", "c": "gold", "b": "platinum", "z": "gold"}.items()}  # fmt: skip
    assert view["tidegauge:alert:A1"]["status"] == "deepened"
    assert view[KEYS.alerts("rm", "rm-7")] == {"A1": 20000, "A2": 20000}


class Flaky(MemoryViewStore):
    """Fails when told: before a call, or after it, when the answer is lost; or goes back in time."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(KEYS)
        self.faults = faults

    def apply(self, token: str, chunks: Any) -> list[bool]:
        fault = self.faults.pop() if self.faults else ""
        if fault == "before":
            raise ConnectionError
        if fault == "wiped":
            super().wipe(token)
        done = super().apply(token, chunks[:1] if fault == "half" else chunks)
        if fault in ("after", "half"):
            raise ConnectionError
        return done


@given(st.lists(st.sampled_from(["", "before", "after", "half", "wiped"]), max_size=12), st.integers(1, 5))
@settings(deadline=None)
def test_any_failure_ends_in_the_same_view(faults: list[str], batch: int) -> None:
    """Calls that fail, answers that are lost and a store that lost everything leave no trace in the view."""
    store = Flaky(list(faults))
    writer = writer_of(LOGS, store)
    writer.source.batch = batch  # type: ignore[attr-defined]

    def stopped(_: float) -> bool:
        return all(store.offsets.get(name, 0) > log[-1].offset for name, log in LOGS.items() if log)

    keep(writer, stopped, (ConnectionError,))
    store.faults = []
    last = writer_of(LOGS, store)  # as after a restart
    assert last.settle()
    drain(last)
    assert store.dump() == expected()


def test_unreadable_records_are_kept_and_passed() -> None:
    """A damaged record ends in the dead letters; its neighbours are applied."""
    bad = TopicRecord("queue-priority", 0, 1, b"a", b"\xff")
    keyless = TopicRecord("queue-priority", 0, 2, None, LOGS["queue-priority:0"][0].value)
    writer = writer_of(
        {"queue-priority:0": [queue_class(0, "a", 1, "gold"), bad, keyless, queue_class(3, "b", 1, "gold")]}
    )
    writer.settle()
    drain(writer)
    assert [record for record, _, _ in writer.rejects.letters] == [bad, keyless]  # type: ignore[attr-defined]
    lacking = KEYS.lacking("queue-priority:0")
    assert set(writer.store.dump()) == {"tidegauge:priority:a", "tidegauge:priority:b", lacking}  # type: ignore[attr-defined]


@pytest.mark.parametrize("topic", ["queue-priority", "standings"])
def test_who_asks_by_key_needs_no_whole_view(topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bad record of a queue class leaves the partition fresh, as its readers see which key is lacking; too many do not."""
    monkeypatch.setattr("services.views.writer.LACKING_MAX", LACKING)
    for count in (1, LACKING):
        log = [TopicRecord(topic, 0, offset, f"k{offset}".encode(), b"\xff") for offset in range(count)]
        writer = writer_of({f"{topic}:0": log})
        writer.settle()
        drain(writer)
        assert len(writer.store.lacking([f"{topic}:0"])[f"{topic}:0"]) == count
        fresh = f"{topic}:0" in writer.store.fresh  # type: ignore[attr-defined]
        assert fresh is (topic == "queue-priority" and count == 1)


def test_what_is_beyond_the_bounds_is_told_and_passed() -> None:
    """A record too large leaves its key without a row; of a batch too large the view goes on behind its last offset."""
    large = Lost(1, Status.TOO_LARGE, Original(b"x", 9, "hash", b"a"))
    rest = Lost(2, Status.BATCH_TOO_LARGE, Original(b"", None, None, None, 6))
    log = [
        queue_class(0, "a", 1, "gold"), TopicRecord("queue-priority", 0, 1, b"a", None, large),
        TopicRecord("queue-priority", 0, 2, None, None, rest), queue_class(7, "b", 1, "gold"),
    ]  # fmt: skip
    for cut in (4, 3):
        writer = writer_of({"queue-priority:0": log[:cut]})
        writer.source.batch = cut  # type: ignore[attr-defined]
        writer.settle()
        writer.step()
        writer.step()
        assert [record for record, _, _ in writer.rejects.letters] == log[1:3]  # type: ignore[attr-defined]
        assert writer.held["queue-priority:0"] == {4: 8, 3: 7}[cut]
        assert writer.lacking["queue-priority:0"] == {"a"}


def test_second_writer_stands_by() -> None:
    """While one writer is alive another does not write; it goes on where the first stopped."""
    store = MemoryViewStore(KEYS)
    first, second = writer_of(LOGS, store), writer_of(LOGS, store, token="you")
    assert first.settle()
    first.step()
    assert not second.settle()
    store.release("me")
    assert second.settle()
    with pytest.raises(LeaseLostError):
        drain(first)
    drain(second)
    assert store.dump() == expected()


@pytest.mark.parametrize("change", ["cluster", "format", "topic", "recreated", "no place"])
def test_view_of_something_else_is_wiped(change: str) -> None:
    """A view built from another cluster, in another format, or from a topic that was made anew is built again."""
    store = MemoryViewStore(KEYS)
    if change != "no place":
        store.apply("me", [Chunk("queue-priority:1", None, 9000 if change == "recreated" else 1, [])])
    store.rows["tidegauge:priority:old"] = {"version": 1}
    store.begin(
        {
            "cluster": "other" if change == "cluster" else "cluster-1",
            "format": "0" if change == "format" else VIEW_FORMAT,
            "standings": "id-1",
            "rm-alerts": "id-1",
            "queue-priority": "id-0" if change == "topic" else "id-1",
        },
        [],
    )
    writer = writer_of(LOGS, store)
    writer.settle()
    drain(writer)
    assert store.dump() == expected()


def test_rebuild_gives_the_same_view_and_tells_how_far_it_is() -> None:
    """`rebuild` wipes whatever is there, builds the view from the log, and frees the lease for the service."""
    store = MemoryViewStore(KEYS)
    store.rows["tidegauge:priority:stray"] = {"version": 1}
    store.take("service")
    seen: list[tuple[str, int, int]] = []
    assert rebuild(writer_of(LOGS, store), lambda *step: seen.append(step)) == sum(map(len, LOGS.values()))
    assert store.dump() == expected()
    assert (seen[0][0], seen[-1]) == ("wiping", ("building", seen[-1][2], seen[-1][2]))
    assert store.take("service")
    assert store.fresh == set(LOGS)


def test_fresh_only_when_nothing_is_left() -> None:
    """A partition is fresh only when all that the brokers had has been applied, however much comes meanwhile."""
    writer = writer_of(LOGS)
    writer.settle()
    writer.step()
    assert writer.store.fresh == {"standings:0"}  # type: ignore[attr-defined]
    writer.step()
    assert writer.counts.behind["queue-priority:0"] > 0
    assert "queue-priority:0" not in writer.store.fresh  # type: ignore[attr-defined]
    drain(writer)
    writer.step()
    assert writer.store.fresh == set(LOGS)  # type: ignore[attr-defined]


def test_metrics_say_how_far_behind() -> None:
    """The writer's counts are Prometheus metrics, one line a partition."""
    writer = writer_of(LOGS)
    writer.settle()
    drain(writer)
    writer.step()
    registry = CollectorRegistry()
    registry.register(ViewMetrics(writer))
    text = generate_latest(registry).decode()
    assert f"tidegauge_view_records_total {sum(map(len, LOGS.values()))}.0" in text
    assert 'tidegauge_view_behind{partition="0",topic="queue-priority"} 0.0' in text


def broken(offset: int, key: bytes | None, topic: str = "queue-priority") -> TopicRecord:
    return TopicRecord(topic, 0, offset, key, b"damaged")


@pytest.mark.parametrize(
    ("later", "fresh"),
    [
        ([], False),
        ([queue_class(9, "b", 9, "gold")], False),
        ([queue_class(9, "a", 9, "gold")], True),
        ([gone(9, "a")], True),
        ([queue_class(9, "a", 9, "gold"), broken(10, b"a")], False),
    ],
)
def test_what_cannot_be_read_is_lacking(later: list[TopicRecord], fresh: bool) -> None:
    """A key with a record that can't be read is lacking, after a restart too, until a later one takes its place."""
    log = [queue_class(0, "a", 1, "gold"), broken(3, b"a"), *later]
    store = MemoryViewStore(KEYS)
    for token in ("me", "you"):
        writer = writer_of({"queue-priority:0": log, "standings:0": []}, store, token)
        assert writer.settle()
        drain(writer)
        for _ in range(3):
            writer.step()
        assert (not store.lacking(["queue-priority:0"])["queue-priority:0"]) is fresh
        assert "queue-priority:0" in store.fresh
        assert "standings:0" in store.fresh
        writer.close()
    rebuild(writer_of({"queue-priority:0": log, "standings:0": []}, store), lambda *_: None)
    assert (not store.lacking(["queue-priority:0"])["queue-priority:0"]) is fresh
    assert "queue-priority:0" in store.fresh


@pytest.mark.parametrize("topic", ["queue-priority", "standings"])
def test_what_may_be_anybodys_holds_back_for_an_hour(topic: str) -> None:
    """The rest of a damaged batch, whose keys nobody can read: not fresh, after a restart too; and not for ever."""
    name, now_ms, written_ms = f"{topic}:0", [0.0], 1_000_000
    rest = Lost(0, Status.BAD_BLOCK, Original(b"", None, None, None, 6), written_ms)
    store, logs = MemoryViewStore(KEYS), {name: [TopicRecord(topic, 0, 0, None, None, rest)], "rm-alerts:0": []}
    for at_ms, fresh in (
        (written_ms, False), (written_ms + UNSEEN_HOLD_MS - 1, False), (written_ms + UNSEEN_HOLD_MS, True)
    ):  # fmt: skip
        now_ms[0] = at_ms
        for build in (False, True):  # as after a restart, and from the beginning
            writer = writer_of(logs, store)
            writer.now_ms = lambda: now_ms[0]
            store.fresh.clear()
            if build:
                rebuild(writer, lambda *_: None)
            else:
                assert writer.settle()
                drain(writer)
                for _ in range(3):
                    writer.step()
                assert writer.counts.unseen == {name: 1, "rm-alerts:0": 0}
                writer.close()
            assert store.fresh == {"rm-alerts:0", *([name] if fresh else [])}
            assert not writer.lacking[name]


@given(st.text(), st.integers(0, 1 << 62), st.integers(0, 10**17))
def test_no_key_is_taken_for_a_hold(key: str, offset: int, until_ms: int) -> None:
    """Whatever somebody writes as a key, it degrades nobody else; and a reference stands there as it is."""
    assert held_until(member_of(key)) is None
    assert held_until(member_of(unseen_member(offset, until_ms))) is None
    assert held_until(unseen_member(offset, until_ms)) == until_ms
    assert member_of("a2" * 13) == "a2" * 13


@pytest.mark.parametrize("key", [None, b"", b"\xff\xfe"])
def test_what_is_nobodys_holds_nothing_back(key: bytes | None) -> None:
    """A damaged record under a key that is none can't be anybody's row."""
    writer = writer_of({"queue-priority:0": [broken(0, key)]})
    writer.settle()
    drain(writer)
    writer.step()
    assert writer.store.fresh == {"queue-priority:0"}  # type: ignore[attr-defined]
    assert writer.counts.rejected == 1


def test_many_bad_records_share_a_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of a fetch have one each, one more stands for all others; the next fetch begins anew."""
    said: list[Any] = []

    class Taking:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def produce(self, topic: str, value: bytes, key: str) -> None:
            letter = decode_one(value)
            assert (topic, key) == ("dead-letters", f"{letter['topic']}:{letter['partition']}")
            said.append((letter["partition"], letter["offset"], letter["last_offset"], letter["detail"]))

        def flush(self, _: float) -> int:
            return 0

    monkeypatch.setattr(kafka_source, "Producer", Taking)
    monkeypatch.setattr(bounds, "LETTERS_AT_ONCE_MAX", 2)
    rejects = kafka_source.DeadLetters(Brokers("nowhere:1"), "dead-letters", partial(encode, "dead-letters"))
    for offset in range(9):
        rejects.reject(TopicRecord("queue-priority", offset % 2, offset, b"a", b"x"), "unreadable", "no magic byte")
    assert len(said) == 4
    rejects.flush()
    why = "for the same reason; this one: no magic byte"
    assert said[4:] == [
        (0, 4, 8, f"3 records from here to offset 8, {why}"),
        (1, 5, 7, f"2 records from here to offset 7, {why}"),
    ]
    rejects.reject(TopicRecord("queue-priority", 0, 9, b"a", b"x"), "unreadable", "no magic byte")
    assert said[6:] == [(0, 9, None, "no magic byte")]
