"""A shadow's start, whether a worker may still publish, and what a takeover asks before it is made."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from agents.engine.changelog import COMMIT, FENCE, Fence
from agents.engine.job import FatalError, Rejoin
from agents.engine.recovery import changelog_topic
from connectors.loading.publisher import open_producer
from deploy import topics
from deploy.connections.clients import librdkafka
from deploy.settings import Settings
from deploy.topics import WRITTEN_BY_WORKERS
from schemas.topics import INPUTS
from tests.world.test_log import changed, wanted
from tidegauge.bootstrap import STANDING
from tidegauge.world import takeover as module
from tidegauge.world.changes import adoption, make_change
from tidegauge.world.check import World, WorldError, begin_world, check_world
from tidegauge.world.found import USES_ALL, USES_SHADOW
from tidegauge.world.identity import TAKEN_OVER
from tidegauge.world.shadow import begin_shadow, may_publish, named_runs, shadow_prefix
from tidegauge.world.takeover import fence, take_over, takeover
from tidegauge.world.watch import Watch

pytestmark = pytest.mark.integration

SECOND = "second"


@pytest.fixture
def world(make_topics: Callable[..., Settings]) -> World:
    """A log whose first worker has begun it."""
    return begin_world(make_topics())


def beside(world: World, group: str = SECOND) -> Settings:
    """A shadow's settings."""
    return changed(world.settings, group=group)


def left(settings: Settings, read: int, course: dict[str, Any] | None = None) -> None:
    """What workers of a group leave in each partition of their changelog: how far they have read, and whose outputs they had."""
    name = changelog_topic(settings, STANDING)
    at = dict.fromkeys(INPUTS, read)
    meta = {"closed": 20_000, "rates": []} | ({} if course is None else {"handover": course})
    producer = open_producer(settings, f"{name}-of-a-test")  # what is in no transaction is nobody's row
    producer.init_transactions(30)
    producer.begin_transaction()
    for partition in range(settings.partitions):
        for key, value in (
            (FENCE, Fence(3, at, json.dumps(meta).encode()).encode()),
            (COMMIT, json.dumps(at).encode()),
        ):
            producer.produce(name, value, key, partition)
    producer.commit_transaction(30)


def with_state(world: World, *, owner: int = 0, shadow: int = 0) -> None:
    """Changelogs of the owners and of a shadow, who have read so far."""
    from confluent_kafka.admin import NewTopic

    from deploy import admin

    names = [changelog_topic(settings, STANDING) for settings in (world.settings, beside(world))]
    administrator = admin.client(world.settings.kafka)  # a name: its answers die with it
    for answer in administrator.create_topics([NewTopic(name, 4, 1) for name in names]).values():
        answer.result(30)
    left(world.settings, owner)
    left(beside(world), shadow, {"shadow": True, "after": "", "done": False})


def test_a_shadow_begins_beside_an_owner_alone(make_topics: Callable[..., Settings]) -> None:
    """On a log with an identity, as another group than the owner's; its topics are its own, and the identity stays."""
    settings = make_topics()
    shadow = changed(settings, group=SECOND)
    with pytest.raises(WorldError, match="no identity yet"):
        begin_shadow(shadow)
    world = begin_world(settings)
    with pytest.raises(WorldError, match="owns the outputs") as problem:
        begin_shadow(settings)
    assert "without --shadow" in problem.value.hint
    with pytest.raises(WorldError, match="no name of a group"):
        begin_shadow(changed(settings, group="a group"))
    with pytest.raises(WorldError, match="time zone"):
        begin_shadow(changed(shadow, zone="UTC"))
    assert begin_shadow(shadow).entry == world.entry == check_world(settings, USES_ALL).entry
    there = topics.survey(settings).names
    assert {f"{shadow_prefix(shadow)}{name}" for name in WRITTEN_BY_WORKERS} <= there
    with pytest.raises(WorldError, match="2026-05-01"):
        named_runs(settings, [20_574])


def test_a_worker_may_publish_until_the_identity_says_otherwise(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another epoch or another owner ends it, a log that can't be asked is asked again; a shadow ends when it is the owner."""
    shadow = begin_shadow(beside(world))
    may_publish(world, shadow=False)
    may_publish(shadow, shadow=True)
    with_state(world)
    take_over(takeover(world.settings, SECOND), "a test", "operator:hq")
    with pytest.raises(FatalError, match=f"group {SECOND} owns the outputs now"):
        may_publish(world, shadow=False)
    with pytest.raises(FatalError, match="without --shadow"):
        may_publish(shadow, shadow=True)
    for running, mine in ((world, False), (shadow, True)):
        problem = Watch(running, USES_SHADOW, shadow=mine).look()
        assert problem is not None and "owns the outputs" in problem.message
    new = begin_world(beside(world))
    make_change(wanted(adoption(changed(new.settings, base_currency="CZK"))), "a test", "operator:hq")
    with pytest.raises(FatalError, match="epoch"):
        may_publish(new, shadow=False)
    away = KafkaException("nobody answers")
    monkeypatch.setattr("tidegauge.world.shadow.read_entries", lambda _: (_ for _ in ()).throw(away))
    with pytest.raises(Rejoin):
        may_publish(new, shadow=False)


def test_what_a_takeover_writes(world: World) -> None:
    """One record: the group is another one, the epoch is higher, all else stays; and the notifier's place is handed on."""
    assert world.entry is not None
    with_state(world, owner=7, shadow=5)
    place = [TopicPartition(world.settings.topic("rm-alerts"), 2, 0)]
    producer = Producer(librdkafka(world.settings.kafka))
    producer.produce(place[0].topic, b"an alert", b"C1", 2)
    producer.flush(30)
    old = notifiers(world.settings)
    old.commit(offsets=[TopicPartition(place[0].topic, 2, 1)], asynchronous=False)
    old.close()
    planned = takeover(world.settings, SECOND)
    assert planned.change.unusual == () and f"group {SECOND} own the outputs" in planned.change.lines[1]
    count = 2 * len(INPUTS) * 4
    said = take_over(planned, "a corrected pack", "operator:hq")
    assert said == planned.change.lines and f"what {count} records of the log give" in said[3]
    now = check_world(beside(world), USES_ALL).entry
    assert now is not None and (now.kind, now.epoch, now.reason) == (
        TAKEN_OVER,
        world.entry.epoch + 1,
        "a corrected pack",
    )
    assert now.identity == replace(world.entry.identity, group=SECOND) and now.closes_left_out == ()
    new = notifiers(beside(world))
    assert [one.offset for one in new.committed(place, 10)] == [1]
    new.close()
    with pytest.raises(WorldError, match="is no shadow"):
        takeover(world.settings, world.settings.group)


@pytest.mark.parametrize("cut", ["the first fence", "the identity", "the second fence"])
def test_a_takeover_that_is_cut_short_is_ended_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    """Wherever it was killed: given again, it fences whoever of the old owners has begun since, and the notifier goes on."""
    with_state(world)
    place = [TopicPartition(world.settings.topic("rm-alerts"), 2, 0)]
    producer = Producer(librdkafka(world.settings.kafka))
    producer.produce(place[0].topic, b"an alert", b"C1", 2)
    producer.flush(30)
    old = notifiers(world.settings)
    old.commit(offsets=[TopicPartition(place[0].topic, 2, 1)], asynchronous=False)
    old.close()
    fences = 0

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    def counted(settings: Settings) -> None:
        nonlocal fences
        fences += 1
        if (cut, fences) in (("the first fence", 1), ("the second fence", 2)):
            raise KeyboardInterrupt
        fence(settings)

    with monkeypatch.context() as patched:
        patched.setattr(module, "fence", counted)
        if cut == "the identity":
            patched.setattr(module, "write_change", killed)
        with pytest.raises(KeyboardInterrupt):
            take_over(takeover(world.settings, SECOND), "cut short", "operator:hq")
    late = open_producer(world.settings, f"{changelog_topic(world.settings, STANDING).removesuffix('-changelog')}-1")
    late.init_transactions(30)
    late.begin_transaction()
    late.produce(world.settings.topic("standings"), b"late", b"C1", 1)
    late.flush(30)
    again = takeover(world.settings, SECOND)
    assert again.written == (cut == "the second fence")
    take_over(again, "again", "operator:hq")
    with pytest.raises(KafkaException, match=r"(?i)fenc|epoch"):
        late.commit_transaction(30)
    now = check_world(beside(world), USES_ALL).entry
    assert now is not None and now.identity.group == SECOND and world.entry is not None
    assert now.epoch == world.entry.epoch + 1
    new = notifiers(beside(world))
    assert [one.offset for one in new.committed(place, 10)] == [1]
    new.commit(offsets=[TopicPartition(place[0].topic, 2, 0)], asynchronous=False)  # told anew, by hand
    new.close()
    take_over(takeover(world.settings, SECOND), "once more", "operator:hq")
    new = notifiers(beside(world))
    assert [one.offset for one in new.committed(place, 10)] == [0]
    new.close()


def test_who_has_always_owned_the_outputs_takes_nothing_over(world: World) -> None:
    """And whoever got them by an adoption neither."""
    with pytest.raises(WorldError, match="owns the outputs of this log already"):
        takeover(world.settings, world.settings.group)
    make_change(wanted(adoption(beside(world))), "a test", "operator:hq")
    with pytest.raises(WorldError, match="owns the outputs of this log already"):
        takeover(world.settings, SECOND)


def notifiers(settings: Settings) -> Consumer:
    """A consumer of the notifiers' group."""
    return Consumer({**librdkafka(settings.kafka), "group.id": f"{settings.group}-alerts"})


def test_what_speaks_against_a_takeover(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No shadow, or one that is still far from the end or ahead of the owners: refused, or asked to insist upon."""
    with pytest.raises(WorldError, match="is no shadow") as problem:
        takeover(world.settings, SECOND)
    assert f"--shadow {SECOND}" in problem.value.hint
    with_state(world, owner=3, shadow=5)
    (ahead,) = takeover(world.settings, SECOND).change.unusual
    assert f"has read {2 * len(INPUTS) * 4} records that the owners have not" in ahead
    monkeypatch.setattr(module, "WAITING_MAX", -1)
    assert any("has not caught up" in one for one in takeover(world.settings, SECOND).change.unusual)


def test_old_producers_are_fenced(world: World) -> None:
    """What they have open is aborted, and they can commit nothing more."""
    name = changelog_topic(world.settings, STANDING).removesuffix("-changelog")
    old = open_producer(world.settings, f"{name}-1")
    old.init_transactions(30)
    old.begin_transaction()
    old.produce(world.settings.topic("standings"), b"late", b"C1", 1)
    old.flush(30)
    fence(world.settings)
    with pytest.raises(KafkaException, match=r"(?i)fenc|epoch"):
        old.commit_transaction(30)
    assert committed(world.settings) == 0


def committed(settings: Settings) -> int:
    """How many records a reader of committed ones finds."""
    reader = Consumer({
        **librdkafka(settings.kafka), "group.id": "anybody", "isolation.level": "read_committed",
        "enable.partition.eof": True,
    })  # fmt: skip
    reader.assign([TopicPartition(settings.topic("standings"), 1, 0)])
    found = 0
    while (record := reader.poll(30)) is not None and record.error() is None:
        found += 1
    error = None if record is None else record.error()
    assert error is not None and error.code() == KafkaError._PARTITION_EOF
    reader.close()
    return found
