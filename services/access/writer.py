"""Records that are on the brokers' disks before anything is answered: acts of commands, and decisions on `audit-log`."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from deploy.connections.clients import librdkafka
from deploy.connections.diagnosis import reached
from schemas.codec.records import encode
from schemas.partitioner import partition_of
from schemas.registry import registry_for
from services.access.audit import AUDIT_FILE, AUDIT_LOG, AuditFile, AuditTopic

if TYPE_CHECKING:
    from deploy.settings import Settings
    from schemas.registry import Registry
    from services.access.decision import AccessDecision, Action, Actor, Resource

_WRITE_WAIT_S: Final = 4.0
_METADATA_WAIT_S: Final = 5.0
_POLL_S: Final = 0.1
_QUEUE_MAX: Final = 10_000


class NotWrittenError(OSError):
    """Kafka has not said that it has the record. Whether it will be there is not known."""


class NoTopicError(NotWrittenError):
    """The topic is not there: it was never made, or the prefix is another one."""


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
            try:
                found = self._producer.list_topics(name, timeout=_METADATA_WAIT_S).topics[name]
            except KafkaException as problem:
                raise NotWrittenError(
                    f"no Kafka answers at {self._settings.kafka}: {problem.args[0].str()}"
                ) from problem
            if found.error is not None or not found.partitions:
                raise NoTopicError(f"there is no topic {name}")
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


def audit_topic(writer: DurableWriter, registry: Registry) -> AuditTopic:
    """The record of decisions on its topic, by a writer that stays."""
    return AuditTopic(lambda chain, entry: writer.write(AUDIT_LOG, chain, encode(AUDIT_LOG, entry, registry)), wall_ms)


def wall_ms() -> int:
    """The instant by this machine's clock, ms since 1970."""
    return time.time_ns() // 1_000_000


class DecisionTrail:
    """An AuditTrail for who decides now and then: on `audit-log` where there is a broker, else in a file of this machine.

    There is none where all servers are this machine's own and no broker of it answers.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def record(
        self, actor: Actor, action: Action, resource: Resource, decision: AccessDecision, about: str = "",
        request_id: str = "",
    ) -> None:  # fmt: skip
        """As AuditTrail says: NotWrittenError where there is a broker and it does not take the record."""
        settings = self._settings
        if not has_broker(settings):
            AuditFile(settings.data_dir / AUDIT_FILE).record(actor, action, resource, decision, about, request_id)
            return
        with closing(DurableWriter(settings)) as writer:
            try:
                topic = audit_topic(writer, registry_for(settings))
                topic.record(actor, action, resource, decision, about, request_id)
            except NotWrittenError as problem:
                raise type(problem)(f"the decision can't be recorded, so nothing is done: {problem}") from problem


def has_broker(settings: Settings) -> bool:
    """Whether decisions go to a broker: the settings name one elsewhere, or one of this machine answers."""
    return (bool(settings.bootstrap_servers) and not settings.own_machine) or reached(settings.kafka)
