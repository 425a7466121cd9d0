"""What the brokers say of topics and of their oldest records. Calls block for seconds: for threads and for commands."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition

from agents.engine.reader import POLL_S, LogReader
from deploy import admin
from deploy.connections.wire import Brokers
from schemas.codec.batches import appended_ms

ASK_TOPICS_S: Final = 5.0
ASK_RECORDS_S: Final = 5.0
PLACES_MAX: Final = 64  # records whose age is asked for at once
GONE_LOOKS: Final = 2  # in a row, until a topic counts as gone


class TopicFound(NamedTuple):
    """A topic as the brokers have it: which one, since a name may come again, and its partitions."""

    topic_id: str
    partitions: int


def topics_found(kafka: Brokers, names: Iterable[str]) -> dict[str, TopicFound | None]:
    """Topics by name, None where there is none; those that this user may not see are left out. KafkaException.

    Asking creates nothing.
    """
    client = admin.client(kafka)  # must outlive its answers
    asked = client.describe_topics(TopicCollection(sorted(set(names))), request_timeout=ASK_TOPICS_S)
    found: dict[str, TopicFound | None] = {}
    for name, answer in asked.items():
        try:
            topic = answer.result(2 * ASK_TOPICS_S)
        except KafkaException as problem:
            code = problem.args[0].code()
            if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
                found[name] = None
            elif code != KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise
        else:
            found[name] = TopicFound(str(topic.topic_id), len(topic.partitions))
    return found


@dataclass(slots=True)
class TopicsWatch:
    """Topics that a worker cannot be without: whether they are still those that it began with.

    wanted: by Kafka's name what to do when it is gone.
    """

    kafka: Brokers
    partitions: int
    wanted: Mapping[str, str]
    known: dict[str, TopicFound] = field(default_factory=dict)
    missed: dict[str, int] = field(default_factory=dict)

    def look(self) -> str:
        """What is wrong with them and what to do; empty while nothing is. KafkaException where nobody answers."""
        return self.compare(topics_found(self.kafka, self.wanted))

    def compare(self, found: Mapping[str, TopicFound | None]) -> str:
        """`look` at what was found."""
        for name, topic in found.items():
            if topic is None:
                self.missed[name] = self.missed.get(name, 0) + 1
                if self.missed[name] >= GONE_LOOKS:
                    return f"topic {name} is gone, deleted under the running worker: {self.wanted[name]}"
                continue
            self.missed.pop(name, None)
            if self.known.setdefault(name, topic).topic_id != topic.topic_id:
                return f"topic {name} was deleted and made anew under the running worker: {self.wanted[name]}"
            if topic.partitions != self.partitions:
                return (
                    f"topic {name} has {topic.partitions} partitions now, not {self.partitions}: customers would change "
                    "their partition; put it back as it was, or make all topics anew with the new number and send again"
                )
        return ""


def append_times(kafka: Brokers, places: Iterable[TopicPartition]) -> dict[tuple[str, int], int]:
    """When the record at or behind each offset was appended, ms, by (topic, partition); open transactions count too.

    What does not answer in time is left out, as is what lies beyond PLACES_MAX. Raises KafkaException.
    """
    asked = {(place.topic, place.partition): place.offset for place in list(places)[:PLACES_MAX]}
    found: dict[tuple[str, int], int] = {}
    if not asked:
        return found
    reader = LogReader(kafka, {topic for topic, _ in asked}, committed=False)
    try:
        reader.begin(asked)
        until = time.monotonic() + ASK_RECORDS_S
        while len(found) < len(asked) and time.monotonic() < until:
            for block in reader.fetch(POLL_S, tell=False):  # a worker says by itself what is damaged
                if block.batches or block.lost:  # marks of transactions alone have no age
                    at = appended_ms(block.batches[0]) if block.batches else block.lost[0].at
                    found.setdefault((block.tp.topic, block.tp.partition), at)
    finally:
        reader.close()
    return found
