"""What comes out of Tidegauge as any consumer sees it: committed records only, decoded, in order of each partition."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from agents.engine.reader import LogReader
from deploy import admin
from schemas.codec.records import decode_one
from schemas.nulls import with_nulls
from schemas.topics import MARKED
from services.views.kafka_source import KafkaSource

if TYPE_CHECKING:
    from deploy.settings import Settings
    from schemas.registry import Registry

TOPICS: Final = ("tier-changes", "rm-alerts", "restatements", "standings", "queue-priority", "notices", "dead-letters")
_POLL_S: Final = 0.5
RATE_OVER_S: Final = 3.0
DRAIN_WAIT_S: Final = 60.0


class Seen(NamedTuple):
    """An output record."""

    topic: str
    partition: int
    record: dict[str, Any]


class TopicWatch:
    """Everything that is published. `records` keeps all but standings, of which the last of each customer is kept."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._source = KafkaSource(settings.kafka, TOPICS, LogReader, settings.topic_prefix)
        self._source.begin({})
        self._registry = registry
        self._stops: dict[str, int] = {}  # source -> next offset behind what has come
        self.records: dict[str, list[dict[str, Any]]] = {topic: [] for topic in TOPICS if topic != "standings"}
        self.standings: dict[str, dict[str, Any]] = {}
        self.times_published: Counter[tuple[str, int]] = Counter()  # of (customer, day of the close)
        self.closed: dict[int, int] = dict.fromkeys(range(settings.partitions), -1)  # partition -> last day closed
        self._tier_of: dict[str, str] = {}

    def poll(self, timeout_s: float) -> list[Seen]:
        """What has come since; all of it is counted here."""
        found = []
        for name, part in self._source.fetch(timeout_s).items():
            self._stops[name] = part.stop or 0
            for one in part.records:
                record = with_nulls(one.topic, decode_one(one.value or b"", self._registry, name=one.topic))
                self._count(one.topic, one.partition, record)
                found.append(Seen(one.topic, one.partition, record))
        return found

    def drain(self) -> Iterator[Seen]:
        """All that is committed by now and has not come yet; TimeoutError if it does not come."""
        ends, until = {name: high for name, (_, high) in self._source.ends().items()}, time.monotonic() + DRAIN_WAIT_S
        while any(self._stops.get(name, 0) < end for name, end in ends.items()):
            yield from self.poll(_POLL_S)
            if time.monotonic() > until:
                raise TimeoutError("the outputs could not be read to their end")

    def _count(self, topic: str, partition: int, record: dict[str, Any]) -> None:
        if topic != "standings":
            self.records[topic].append(record)
            if topic == "tier-changes":
                self._tier_of[record["customer_id"]] = record["to_tier"]
            return
        customer, day = record["customer_id"], record["as_of"]
        self.times_published[customer, day] += 1
        self._tier_of.setdefault(customer, record["tier"])
        self.standings[customer] = record
        self.closed[partition] = max(self.closed[partition], day)

    @property
    def tiers(self) -> Counter[str]:
        """How many customers each tier has, as published so far."""
        return Counter(self._tier_of.values())

    @property
    def closed_everywhere(self) -> int:
        """The last day whose close has been seen in every partition; -1 before."""
        return min(self.closed.values())

    def close(self) -> None:
        """Leave the brokers."""
        self._source.close()
        del self._source  # with its administration client, which would look for the brokers for ever


class Progress(threading.Thread):
    """Asks Kafka twice a second how far the workers have committed: `lag` in records, `rate` in records a second."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="progress", daemon=True)
        self._settings = settings
        self._admin = admin.client(settings.kafka)
        self._places = [TopicPartition(settings.topic(t), p) for t in MARKED for p in range(settings.partitions)]
        self._halt = threading.Event()
        self._history: deque[tuple[float, int]] = deque()
        self.lag, self.rate = 0, 0

    def run(self) -> None:
        """Ask until told to stop."""
        while not self._halt.wait(_POLL_S):
            try:
                self._ask()
            except KafkaException:
                continue  # asked again in a moment; what is really wrong shows elsewhere

    def halt(self) -> None:
        """Stop asking."""
        self._halt.set()
        if self.is_alive():
            self.join()
        del self._admin  # it would look for the brokers for ever

    def _ask(self) -> None:
        group = ConsumerGroupTopicPartitions(self._settings.group, self._places)
        asked = self._admin.list_consumer_group_offsets([group])
        found = next(iter(asked.values())).result().topic_partitions or []
        done = sum(max(place.offset, 0) for place in found)
        ends = self._admin.list_offsets({place: OffsetSpec.latest() for place in self._places})
        end = sum(future.result().offset for future in ends.values())
        now = time.monotonic()
        self._history.append((now, done))
        while now - self._history[0][0] > RATE_OVER_S and len(self._history) > 2:
            self._history.popleft()
        since, before = self._history[0]
        self.lag = max(0, end - done)
        self.rate = round((done - before) / (now - since)) if now > since else 0
