"""Epochs: which is next, and which the last records of the outputs have. An epoch never comes again, whatever is lost."""

from __future__ import annotations

import logging
import time
from datetime import date
from typing import TYPE_CHECKING, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from agents.standing.publish.versions import EPOCHS, epoch_of
from deploy.errors import StackError
from schemas.codec.records import decode_one
from schemas.registry import registry_for

if TYPE_CHECKING:
    from confluent_kafka import Message

    from deploy.settings import Settings
    from deploy.topics import Surveyed
    from schemas.registry import Registry

log = logging.getLogger(__name__)

EPOCHS_FROM: Final = date(2026, 1, 1)
VERSIONED_TOPICS: Final = {"standings": "source_seq", "outlooks": "source_seq", "queue-priority": "version"}
"""The topics whose records have versions, and in which field."""

_NO_LEADER_YET: Final = (
    KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - one that was just made
    KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
)  # fmt: skip
LOOKED_AT: Final = 64  # offsets at the end of a partition, then twice as many, and so on
READ_S: Final = 20.0
_NOWHERE = logging.getLogger("tidegauge.librdkafka.epochs")
_NOWHERE.addHandler(logging.NullHandler())
_NOWHERE.propagate = False

_Place = tuple[str, int]  # a topic of the catalogue, a partition


def next_epoch(previous: int, today: date) -> int:
    """The epoch after `previous`; never below the days since 2026-01-01: a log whose identity is lost goes on above it.

    StackError where it would be too large for a version.
    """
    epoch = max(previous + 1, (today - EPOCHS_FROM).days)
    if epoch >= EPOCHS:
        raise StackError(
            f"the epoch would be {epoch}, and {EPOCHS - 1} is the last one", "is this machine's clock right?"
        )
    return epoch


def published_epoch(settings: Settings, surveyed: Surveyed) -> int:
    """The greatest epoch in the last records of the outputs, partition by partition; 0 where there are none.

    KafkaException where they can't be read in time, RegistryError where the schema registry can't be asked.
    """
    there = {state.topic.name: state.partitions for state in surveyed.topics}
    left = {(name, partition): LOOKED_AT for name in VERSIONED_TOPICS for partition in range(there[name])}
    registry, found, until = registry_for(settings), 0, time.monotonic() + READ_S
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
    try:
        while left:
            last, first = _last_versions(consumer, settings, left, registry, until)
            found = max([found, *map(epoch_of, last.values())])
            left = {place: 2 * many for place, many in left.items() if place not in last and place not in first}
    finally:
        consumer.close()
    return found


def _last_versions(
    consumer: Consumer, settings: Settings, wanted: dict[_Place, int], registry: Registry, until: float
) -> tuple[dict[_Place, int], set[_Place]]:
    """The last version among so many offsets at the end of each partition, and which partitions begin among them."""
    starts, first, last = [], set[_Place](), dict[_Place, int]()
    names = {settings.topic(name): name for name in VERSIONED_TOPICS}
    for (name, partition), many in wanted.items():
        place = TopicPartition(settings.topic(name), partition)
        low, high = _ends(consumer, place, until)
        if high - many <= low:
            first.add((name, partition))
        starts.append(TopicPartition(place.topic, partition, max(low, high - many)))
    consumer.assign(starts)
    ended = set[_Place]()
    while ended < wanted.keys():
        if time.monotonic() > until:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the outputs could not be read"))  # noqa: SLF001
        for message in consumer.consume(1000, 0.05):
            problem = message.error()
            if problem is not None and problem.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                if not problem.retriable():
                    raise KafkaException(problem)
                continue
            of = names[message.topic() or ""], message.partition() or 0
            if problem is not None:
                ended.add(of)
            elif (version := _version(message, of[0], registry)) is not None:
                last[of] = version
    return last, first


def _ends(consumer: Consumer, place: TopicPartition, until: float) -> tuple[int, int]:
    """The first offset, and the one behind the last. A topic that was just made may have no leader yet."""
    while True:
        try:
            return consumer.get_watermark_offsets(place, max(0.1, until - time.monotonic()))
        except KafkaException as problem:
            if time.monotonic() > until or problem.args[0].code() not in _NO_LEADER_YET:
                raise
            time.sleep(0.1)


def _version(message: Message, name: str, registry: Registry) -> int | None:
    """The version in a record; None in a tombstone, and in what is none of ours."""
    value = message.value()
    if not isinstance(value, bytes):
        return None
    try:
        version = int(decode_one(value, registry, name=name)[VERSIONED_TOPICS[name]])
        if not 0 <= epoch_of(version) < EPOCHS:
            raise ValueError(f"{version} is none of ours")
        return version
    except ValueError as why:  # RecordError too
        log.warning("%s, offset %s has no version: %s", message.topic(), message.offset(), why)
        return None
