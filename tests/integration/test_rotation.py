"""References move to another key on the real stack: a worker killed on the way, both known meanwhile, the old ones taken back."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from pydantic import SecretStr

from connectors.formats.events import Event
from connectors.loading.closer import Closer
from connectors.loading.publisher import EventPublisher
from deploy.connections.clients import librdkafka
from schemas.codec.records import encode
from streams.reference import customer_ref
from tests.integration.live import Live
from tests.standing.partition import customer
from tests.twins.events import day, posting
from tidegauge.checks.state import references

pytestmark = [pytest.mark.integration, pytest.mark.system, pytest.mark.slow]
OLD, NEW = "a reference key for tests, 32 bytes long", "the reference key to come, 32 bytes !"
CUSTOMERS = 18_000  # more than one transaction moves, in either partition
CLOSED = day("2026-03-31")


def told(live: Live, records: list[dict[str, Any]], closed: int) -> None:
    """Events and a close into the topics."""
    publisher, closer = EventPublisher(live.settings, encode), Closer(live.settings, encode)
    try:
        for record in records:
            publisher.send(Event(0, record["topic"], {k: v for k, v in record.items() if k != "topic"}))
        publisher.flush()
        closer.close(closed, reason="a month later")
    finally:
        publisher.close()
        closer.shut()


class Queue:
    """`queue-priority`, read on from where it stopped: to read all of it at every look would take the worker's core."""

    def __init__(self, live: Live) -> None:
        options = {"group.id": "queue", "enable.auto.commit": False, "isolation.level": "read_committed"}
        self.consumer = Consumer({**librdkafka(live.settings.kafka), **options})
        name = live.settings.topic("queue-priority")
        self.consumer.assign([TopicPartition(name, p, 0) for p in range(live.settings.partitions)])
        self.last: dict[str, bytes | None] = {}
        self.counts: Counter[str] = Counter()  # records of each reference

    def read(self) -> Queue:
        """What has come."""
        while found := self.consumer.consume(10_000, 0.5):
            for record in found:
                assert record.error() is None, record.error()
                key = (record.key() or b"").decode()
                self.last[key] = record.value()
                self.counts[key] += 1
        return self

    def kept(self) -> set[str]:
        """References that are not taken back."""
        return {key for key, value in self.read().last.items() if value is not None}


def with_keys(live: Live, **keys: Any) -> None:
    """Workers of these keys from now on."""
    live.stop()
    live.settings = live.settings.model_copy(update=keys)
    if "reference_key" in keys:
        live.command("world", "adopt", "--reason", "another reference key")
    live.start()


def said(live: Live, words: str) -> bool:
    """Whether `tidegauge doctor` says so of every partition."""
    (line,) = references(live.settings)
    found = line.found
    return words in found and found.startswith(f"{live.settings.partitions} of ")


def test_references_move(make_live: Any, redis_server: str) -> None:
    """Each new reference is published once over a kill -9; kiosks are answered by both keys, then by the new one alone."""
    live = make_live(redis_url=redis_server, partitions=2)
    names = [f"C{n:05}" for n in range(CUSTOMERS)]
    rich = [posting(1, 90_000_000, "2026-01-01", customer=one, account=f"A{one}") for one in names]
    live.start()
    told(live, [*map(customer, names), *rich], CLOSED)
    queue = Queue(live)
    live.wait(lambda: len(queue.kept()) == CUSTOMERS, "the queue classes")
    old, new = ({customer_ref(key.encode(), one) for one in names} for key in (OLD, NEW))
    assert queue.kept() == old

    with_keys(live, reference_key=SecretStr(NEW), reference_key_previous=SecretStr(OLD), alert_key=SecretStr(OLD))
    live.wait(lambda: len(queue.kept()) > CUSTOMERS, "the first new references")
    live.kill(random.Random(1))
    live.wait(lambda: said(live, "both are published"), "both references")
    assert queue.kept() == old | new
    assert {queue.counts[ref] for ref in new} == {1}

    live.command("rebuild")
    for ref in (customer_ref(OLD.encode(), names[0]), customer_ref(NEW.encode(), names[0])):
        answer = json.loads(live.command("queue", "lookup", "--ref", ref, "--json"))
        assert (answer["queue_class"], answer["degraded"]) == ("platinum", False)

    with_keys(live, reference_key_retire=True)
    live.wait(lambda: said(live, "finished"), "the end of the old references")
    assert queue.kept() == new
    assert {queue.counts[ref] for ref in old} == {2}

    with_keys(live, reference_key_previous=None, reference_key_retire=False)
    told(
        live,
        [posting(1, 90_000_000, "2026-01-01", day("2026-04-01"), customer="late", account="late")],
        day("2026-04-30"),
    )
    late = customer_ref(NEW.encode(), "late")
    live.wait(lambda: late in queue.kept(), "a customer who comes later")
    assert queue.kept() == new | {late}
    queue.consumer.close()
