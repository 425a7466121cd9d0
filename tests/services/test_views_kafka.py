"""The view writer on a real Kafka and a real Redis server."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer
from redis import Redis

from agents.engine.reader import LogReader
from deploy import topics
from deploy.admin import client
from deploy.connections.clients import librdkafka
from deploy.settings import Settings
from schemas.codec.records import decode_one, encode
from services.assembly import view_sweeper, view_writer
from services.views.keys import Keys
from services.views.sweep.completeness import completeness
from services.views.sweep.sweeper import Sweeper
from services.views.writer import ViewWriter, rebuild

pytestmark = pytest.mark.integration


def priority(ref: str, name: str, version: int) -> bytes:
    return encode(
        "queue-priority",
        {
            "customer_ref": ref, "queue_class": name, "vip_area": True, "valid_until": None, "as_of": 20000,
            "version": version,
        },
    )  # fmt: skip


@pytest.fixture
def placed(
    make_topics: Callable[..., Settings], redis_client: "Redis", redis_url: str
) -> Iterator[tuple[Settings, ViewWriter]]:
    """Settings of empty topics, and a writer on them."""
    settings = make_topics("queue-priority", "standings", "rm-alerts", "dead-letters")
    settings = settings.model_copy(update={"redis_url": redis_url})
    writer = view_writer(settings, LogReader)
    yield settings, writer
    writer.source.close()  # type: ignore[attr-defined]


def produce(settings: Settings, commit: bool) -> None:
    """A transaction with two customers, one of them deleted again, and a damaged record."""
    producer = Producer({**librdkafka(settings.kafka), "transactional.id": settings.topic_prefix})
    producer.init_transactions()
    producer.begin_transaction()
    topic = settings.topic("queue-priority")
    name = "gold" if commit else "diamond"
    producer.produce(topic, priority("a", name, 1), key="a")
    producer.produce(topic, priority("b", name, 1), key="b")
    producer.produce(topic, None, key="b")
    producer.produce(topic, b"\0\0\0\0\xff damaged", key="c")
    producer.commit_transaction() if commit else producer.abort_transaction()


def drain(writer: ViewWriter) -> None:
    ends = {name: end for name, (_, end) in writer.source.ends().items()}
    while not writer.caught_up(ends):
        writer.step()


def test_committed_records_only_and_once(placed: tuple[Settings, ViewWriter], redis_client: "Redis") -> None:
    """Aborted records never show; committed ones show once, across restarts; damaged ones end in dead-letters."""
    settings, writer = placed
    keys = Keys.of(settings.topic_prefix)
    produce(settings, commit=False)
    produce(settings, commit=True)
    assert writer.settle()
    while writer.counts.records < 4:  # the commit's markers come a little later
        writer.step()
    drain(writer)
    assert redis_client.hget(keys.priority("a"), "queue_class") == b"gold"
    assert not redis_client.exists(keys.priority("b"))
    before = redis_client.hgetall(keys.next)

    assert writer.settle()  # as after a restart: nothing is read again
    drain(writer)
    assert redis_client.hgetall(keys.next) == before
    assert writer.counts.rejected == 1

    redis_client.delete(keys.priority("a"))
    letters = _letters(settings)
    assert [(letter["topic"], letter["reason"], letter["original"]) for letter in letters] == [
        ("queue-priority", "unreadable", b"\0\0\0\0\xff damaged")
    ]
    rebuild(writer, lambda *_: None)
    assert redis_client.hget(keys.priority("a"), "queue_class") == b"gold"
    assert len(redis_client.hgetall(keys.fresh("queue-priority"))) == settings.partitions


def _letters(settings: Settings) -> list[dict[str, Any]]:
    from services.views.kafka_source import KafkaSource

    source = KafkaSource(settings.kafka, ["dead-letters"], LogReader, settings.topic_prefix)
    source.begin({})
    records: list[Any] = []
    while not records:
        records = [record for part in source.fetch(1.0).values() for record in part.records]
    source.close()
    return [decode_one(record.value, name="dead-letters") for record in records]


def test_a_topic_made_anew(placed: tuple[Settings, ViewWriter], redis_client: "Redis") -> None:
    """A topic that was deleted, made again and filled beyond the old offsets: noticed, and built from what it holds now."""
    settings, writer = placed
    keys, topic = Keys.of(settings.topic_prefix), settings.topic("queue-priority")
    sweeper = view_sweeper(settings, writer, LogReader)
    fill(settings, {f"old-{i}": "gold" for i in range(20)})
    assert writer.settle()
    turn_until(writer, sweeper, lambda: sweeper.counts.rows == 20)
    admin = client(settings.kafka)
    admin.delete_topics([topic])[topic].result()
    turn_until(None, None, lambda: topic not in admin.list_topics(timeout=5).topics)
    topics.create(settings, ["queue-priority"])
    fill(settings, {f"new-{i}": "diamond" for i in range(90)})
    sweeper.asked_at = -1000.0  # as if some seconds had passed
    turn_until(writer, sweeper, lambda: sweeper.counts.rows == 90)
    assert redis_client.hget(keys.priority("new-0"), "queue_class") == b"diamond"
    assert not redis_client.exists(keys.priority("old-0"))
    assert completeness(redis_client, keys).good

    redis_client.delete(keys.priority("new-5"), keys.priority("new-6"))  # and it reads single records again
    sweeper.began = -1000.0
    turn_until(writer, sweeper, lambda: sweeper.counts.mended == 2)
    assert redis_client.hget(keys.priority("new-6"), "queue_class") == b"diamond"
    sweeper.source.close()  # type: ignore[attr-defined]


def fill(settings: Settings, classes: dict[str, str]) -> None:
    """A record for each."""
    producer = Producer(librdkafka(settings.kafka))
    for ref, name in classes.items():
        producer.produce(settings.topic("queue-priority"), priority(ref, name, 1), key=ref)
    assert producer.flush(10) == 0


def turn_until(writer: ViewWriter | None, sweeper: Sweeper | None, done: Callable[[], bool]) -> None:
    """Writer and sweeper in turn, through what passes, until it is so."""
    until = time.monotonic() + 30
    while not done():
        assert time.monotonic() < until
        try:
            if writer is not None:
                writer.step(0.02)
            if sweeper is not None:
                sweeper.turn()
        except KafkaException:
            time.sleep(0.1)


def test_one_question_at_a_time(placed: tuple[Settings, ViewWriter], monkeypatch: pytest.MonkeyPatch) -> None:
    """While one question about offsets is open the client is asked no other: librdkafka can crash of it."""
    source = placed[1].source
    asked: list[Any] = []
    ask = source._ask  # type: ignore[attr-defined]

    def watched(spec: Any) -> Any:
        assert all(answer.done() for answer in asked)
        found = ask(spec)
        asked.extend(found.values())
        return found

    monkeypatch.setattr(source, "_ask", watched)
    assert source.fresh_ends() is None
    assert source.ends()
    assert len(asked) >= 3 * len(source.names)  # type: ignore[attr-defined]
    assert source.fresh_ends() is not None
