"""Records that lay wrong lately, as their dead letters tell: for `tidegauge doctor`."""

import time
from collections import Counter
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from deploy.errors import StackError
from deploy.settings import Settings
from schemas.codec.records import RecordError, decode_one
from schemas.partitioner import MISPLACED
from schemas.registry import registry_for

_LETTERS: Final = "dead-letters"
_LETTERS_MAX: Final = 1000  # looked at in a partition
_AGE_MS: Final = 24 * 60 * 60 * 1000
_WAIT_S: Final = 5.0


def lately(settings: Settings) -> Counter[tuple[str, str]]:
    """How many of the last day's dead letters lay wrong, by topic and reason. StackError when Kafka does not answer.

    Of a partition its last 1,000 letters are looked at.
    """
    conf = {
        "bootstrap.servers": settings.kafka, "group.id": "unused", "enable.auto.commit": False,
        "enable.partition.eof": True, "log_level": 2,
    }  # fmt: skip
    consumer = Consumer(conf)
    try:
        return _count(settings, consumer, _places(settings, consumer))
    except KafkaException as problem:
        raise StackError(f"{settings.topic(_LETTERS)} cannot be read: {problem.args[0].str()}") from problem
    finally:
        consumer.close()


def _places(settings: Settings, consumer: Consumer) -> list[TopicPartition]:
    """Where to begin in each partition that has letters of the last day."""
    name = settings.topic(_LETTERS)
    meta = consumer.list_topics(name, timeout=_WAIT_S).topics[name]
    since = int(time.time() * 1000) - _AGE_MS
    asked = [TopicPartition(name, partition, since) for partition in meta.partitions]
    places = []
    for place in consumer.offsets_for_times(asked, timeout=_WAIT_S) if asked else ():
        _, end = consumer.get_watermark_offsets(place, timeout=_WAIT_S)
        if 0 <= place.offset < end:
            places.append(TopicPartition(name, place.partition, max(place.offset, end - _LETTERS_MAX)))
    return places


def _count(settings: Settings, consumer: Consumer, places: list[TopicPartition]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    if not places:
        return found
    registry, reasons = registry_for(settings), set(MISPLACED.values())
    consumer.assign(places)
    left, deadline = len(places), time.monotonic() + _WAIT_S
    while left and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is None:
            continue
        if (error := message.error()) is not None:
            left -= error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 - its public name
            continue
        try:
            letter = decode_one(message.value() or b"", registry, name=_LETTERS)
        except RecordError:
            continue  # not ours
        if letter["reason"] in reasons:
            found[letter["topic"], letter["reason"]] += 1
    return found
