"""The topic `world`: its records read and written."""

from __future__ import annotations

import logging
import time
import uuid
from typing import TYPE_CHECKING, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.loading.passed import Passed
from connectors.loading.publisher import FLUSH_WAIT_S, PublishError, open_producer
from deploy.topics import WORLD
from schemas.codec.records import decode_one, encode
from schemas.registry import registry_for
from tidegauge.world.identity import Identity, WorldEntry, world_entry

if TYPE_CHECKING:
    from deploy.settings import Settings

log = logging.getLogger(__name__)

READ_S: Final = 10.0
ENTRIES_MAX: Final = 10_000  # a record a change, and changes are made by hand
_COMING: Final = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)  # noqa: SLF001 - one that was just made
_NOWHERE = logging.getLogger("tidegauge.librdkafka.world")
_NOWHERE.addHandler(logging.NullHandler())
_NOWHERE.propagate = False


def read_entries(settings: Settings) -> list[WorldEntry]:
    """Every record of the topic, which exists, in the order of offsets; what is none of ours is passed over.

    KafkaException where it can't be read in time, RegistryError where the schema registry can't be asked.
    """
    registry = registry_for(settings)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka,
            "group.id": f"{settings.topic_prefix}tidegauge-world",  # never joined, never committed to
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
        },
        logger=_NOWHERE,
    )
    found: list[WorldEntry] = []
    foreign = Passed()
    until = time.monotonic() + READ_S
    try:
        consumer.assign([TopicPartition(settings.topic(WORLD), 0, OFFSET_BEGINNING)])
        while time.monotonic() < until and len(found) < ENTRIES_MAX:
            for message in consumer.consume(1000, 0.05):
                problem, value = message.error(), message.value()
                if problem is not None:
                    if problem.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                        return found
                    if problem.code() not in _COMING and not problem.retriable():
                        raise KafkaException(problem)
                elif isinstance(value, bytes):
                    try:
                        found.append(world_entry(decode_one(value, registry, name=WORLD)))
                    except ValueError as why:  # RecordError too
                        foreign.add(message.offset(), why)
    finally:
        consumer.close()
        foreign.tell(log, settings.topic(WORLD), "no identity")
    raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{settings.topic(WORLD)} could not be read"))  # noqa: SLF001


def write_entry(
    settings: Settings,
    before: WorldEntry | None,
    kind: str,
    epoch: int,
    identity: Identity,
    reason: str | None,
    who: str,
) -> WorldEntry:
    """Put a record behind `before`, acknowledged by all replicas. Whether it counts, reading tells.

    PublishError where Kafka doesn't take it.
    """
    entry = WorldEntry(
        f"{epoch}-{uuid.uuid4().hex}", None if before is None else before.event_id, kind, epoch, identity, reason, who,
        time.time_ns() // 1_000_000,
    )  # fmt: skip
    failed: list[KafkaError] = []

    def delivered(problem: KafkaError | None, _: Message) -> None:
        if problem is not None:
            failed.append(problem)

    producer = open_producer(settings)
    value = encode(WORLD, entry.record(), registry_for(settings))
    producer.produce(settings.topic(WORLD), value, entry.event_id.encode(), 0, delivered)
    waiting = producer.flush(FLUSH_WAIT_S)
    if failed or waiting:
        raise PublishError(f"the identity was not written: {failed[0].str() if failed else 'no answer'}")
    return entry
