"""Policy packs on their topic: what was sent so far, and another one into every partition in one transaction."""

import time
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from connectors.formats.events import Record
from connectors.loading.broadcast import broadcast
from connectors.loading.closer import POLL_S, WAIT_S
from connectors.loading.publisher import PublishError
from deploy.settings import Settings
from schemas.codec.records import Encode
from schemas.topics import MARK_KEY

TOPIC: Final = "policies"


def send(settings: Settings, encode: Encode, record: Record, reason: str = "") -> None:
    """Sends a pack to all partitions or to none. PublishError when Kafka fails or another activation has taken over."""
    broadcast(settings, encode, TOPIC, [record], reason)


def sent(settings: Settings) -> list[bytes]:
    """Values of all packs on the topic, oldest first (they are few)."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka,
            "group.id": f"{settings.topic_prefix}tidegauge-packs",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    found: list[bytes] = []
    try:
        consumer.assign([TopicPartition(settings.topic(TOPIC), 0, OFFSET_BEGINNING)])
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            for message in consumer.consume(1000, POLL_S):
                problem, value = message.error(), message.value()
                if problem is None:
                    if message.key() != MARK_KEY and isinstance(value, bytes):
                        found.append(value)
                elif problem.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (librdkafka's own errors are named so)
                    return found
                elif not problem.retriable():
                    raise PublishError(f"cannot read {settings.topic(TOPIC)}: {problem.str()}")
    finally:
        consumer.close()
    raise PublishError(f"{settings.topic(TOPIC)} could not be read within {WAIT_S:.0f} s", "is Kafka up?")
