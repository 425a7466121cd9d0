"""The records of a topic as they stand in the log, for commands that read all of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError, KafkaException

from agents.engine.reader import blocks_to_the_end
from deploy import admin
from schemas.codec.blocks import LogEntry, log_entries

if TYPE_CHECKING:
    from deploy.settings import Settings

ANSWER_S: Final = 15.0


def topic_entries(settings: Settings, topic: str) -> Iterator[LogEntry]:
    """All committed records that a topic has now, each partition in its order. KafkaException."""
    name = settings.topic(topic)
    there = admin.client(settings.kafka).list_topics(timeout=ANSWER_S).topics  # of all: to ask for one could create it
    if (found := there.get(name)) is None:
        raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, f"there is no topic {name}"))
    for block in blocks_to_the_end(settings.kafka, [(name, partition) for partition in found.partitions], {}):
        yield from log_entries(block.batches, block.start, block.end, block.lost)
