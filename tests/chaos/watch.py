"""What is watched from outside while a chaos run goes on: committed outputs as they appear, and partitions that stop."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from zlib import crc32

from confluent_kafka import Consumer, KafkaException, TopicPartition

from deploy.connections.clients import librdkafka
from deploy.settings import Settings
from tests.chaos.feed import Feed
from tests.chaos.history import Output
from tests.chaos.twin import OUTPUTS

LOOK_S = 0.1
ASK_S = 1.0
WATCHED = "transactions"


class Watcher(threading.Thread):
    """Reads committed outputs from the first moment on, and remembers what it saw."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True, name="watch")
        self.names = {settings.topic(topic): topic for topic in OUTPUTS}
        self.seen: list[Output] = []
        self.ended = threading.Event()
        self.consumer = Consumer({
            **librdkafka(settings.kafka), "group.id": f"{settings.group}-watch", "enable.auto.commit": False,
            "isolation.level": "read_committed", "auto.offset.reset": "earliest", "log_level": 0,
        })  # fmt: skip
        self.consumer.assign([TopicPartition(t, p, 0) for t in self.names for p in range(settings.partitions)])

    def run(self) -> None:
        """Until told to end."""
        while not self.ended.is_set():
            for message in self.consumer.consume(2000, 0.1):
                if message.error() is None:
                    topic = self.names[message.topic()]
                    self.seen.append(
                        Output(topic, message.partition(), message.key() or b"", crc32(message.value() or b""),
                               offset=message.offset())
                    )  # fmt: skip
        self.consumer.close()

    def end(self) -> list[Output]:
        """Stop; what was seen."""
        self.ended.set()
        self.join(20)
        return self.seen


class Stops(threading.Thread):
    """How long each partition's committed offset stood still while acknowledged events waited behind it.

    A broker that gives no answer counts as standing still.
    """

    def __init__(self, settings: Settings, feed: Feed) -> None:
        super().__init__(daemon=True, name="stops")
        self.feed, self.settings = feed, settings
        self.places = [TopicPartition(settings.topic(WATCHED), p) for p in range(settings.partitions)]
        self.longest = 0.0
        self.at = [0] * settings.partitions  # committed
        self.since: list[float | None] = [None] * settings.partitions  # waiting since; None: nothing waits
        self.counting = False
        self.ended = threading.Event()
        self.probe = Consumer({  # not read_committed: an offset whose transaction is open is no reason to wait
            **librdkafka(settings.kafka), "group.id": settings.group, "enable.auto.commit": False,
            "isolation.level": "read_uncommitted", "log_level": 0,
        })  # fmt: skip

    def run(self) -> None:
        """Until told to end."""
        while not self.ended.wait(LOOK_S):
            self.look()
        self.probe.close()

    def look(self) -> None:
        """One look at all partitions."""
        now = time.monotonic()
        with suppress(KafkaException):
            for place in self.probe.committed(self.places, ASK_S):
                if place.offset > self.at[place.partition]:
                    self.at[place.partition], self.since[place.partition] = place.offset, None
        for partition, since in enumerate(self.since):
            waits = self.feed.last[WATCHED, partition] + 1 > self.at[partition]
            if not waits:
                self.since[partition] = None
            elif since is None:
                self.since[partition] = now
            elif self.counting:
                self.longest = max(self.longest, time.monotonic() - since)

    @property
    def behind(self) -> int:
        """Acknowledged records that are not committed yet, about."""
        return sum(max(0, self.feed.last[WATCHED, p] + 1 - at) for p, at in enumerate(self.at))

    def standing(self) -> float:
        """For how long the partition that has stood longest stands by now, in seconds."""
        now = time.monotonic()
        return max((now - since for since in self.since if since is not None), default=0.0)

    def take(self) -> float:
        """The longest stop until now; what comes is counted anew."""
        longest, self.longest = self.longest, 0.0
        return longest

    def begin(self) -> None:
        """Count from now on."""
        self.since = [None] * len(self.since)
        self.counting = True

    def end(self) -> float:
        """Stop; the longest stop in seconds."""
        self.ended.set()
        self.join(20)
        return self.longest
