"""Records that are on the brokers' disks before anything is answered: one producer, for acts and for what is on record."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from deploy.connections.clients import librdkafka
from schemas.partitioner import partition_of

if TYPE_CHECKING:
    from deploy.settings import Settings

_WRITE_WAIT_S: Final = 4.0
_METADATA_WAIT_S: Final = 5.0
_POLL_S: Final = 0.1
_QUEUE_MAX: Final = 10_000


class NotWrittenError(OSError):
    """Kafka has not said that it has the record. Whether it will be there is not known."""


class DurableWriter:
    """Sends a record and waits until all replicas in step have it. For several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = Producer({
            **librdkafka(settings.kafka), "enable.idempotence": True, "acks": "all", "linger.ms": 0,
            "compression.type": "lz4", "queue.buffering.max.messages": _QUEUE_MAX, "log_level": 2,
            "delivery.timeout.ms": round(_WRITE_WAIT_S * 1000), "request.timeout.ms": round(_WRITE_WAIT_S * 1000),
        })  # fmt: skip
        self._counts: dict[str, int] = {}
        self._ended = threading.Event()
        self._polling = threading.Thread(target=self._poll, name="durable-writer", daemon=True)
        self._polling.start()

    def write(self, topic: str, key: str, value: bytes) -> None:
        """One record, to the partition of its key. NotWrittenError."""
        done, failed = threading.Event(), list[str]()

        def delivered(problem: KafkaError | None, _message: Any) -> None:
            if problem is not None:
                failed.append(problem.str())
            done.set()

        name, raw = self._settings.topic(topic), key.encode()
        try:
            self._producer.produce(name, value, raw, partition_of(raw, self._partitions(name)), delivered)
        except (KafkaException, BufferError) as problem:
            raise NotWrittenError(f"{name}: {problem}") from problem
        if not done.wait(_WRITE_WAIT_S + _POLL_S) or failed:
            raise NotWrittenError(f"{name}: {failed[0] if failed else 'no answer'}")

    def _partitions(self, name: str) -> int:
        if name not in self._counts:
            found = self._producer.list_topics(name, timeout=_METADATA_WAIT_S).topics[name]
            if found.error is not None or not found.partitions:
                raise NotWrittenError(f"there is no topic {name}")
            self._counts[name] = len(found.partitions)
        return self._counts[name]

    def _poll(self) -> None:
        while not self._ended.is_set():
            self._producer.poll(_POLL_S)

    def close(self) -> None:
        """Let go of the connections; everything that was answered is written."""
        self._ended.set()
        self._polling.join()
        self._producer.flush(_POLL_S)
