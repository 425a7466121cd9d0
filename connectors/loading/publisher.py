"""Events into Kafka: encoded, keyed, in the right partition, at least once. The engine drops what comes twice."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connectors.formats.events import Event, InputError, Record, key_of
from deploy.connections.clients import librdkafka
from deploy.settings import Settings
from schemas.codec.records import Encode
from schemas.letters import dead_letter
from schemas.partitioner import partition_of
from schemas.topics import KEYED, MARKED

QUEUE_MESSAGES_MAX: Final = 200_000
MESSAGE_BYTES_MAX: Final = 4 << 20
FLUSH_WAIT_S: Final = 60.0
FLUSH_STEP_S: Final = 0.5
METADATA_WAIT_S: Final = 8.0
NEW_TOPIC_WAIT_S: Final = 2.0
TRANSACTION_TIMEOUT_MS: Final = 10_000
_PRODUCER: Final = "cimpl.Producer"  # in the words of a SystemError
_TAKEN_OVER: Final = "another one has taken over: run one at a time, and this one again"
_NOWHERE: Final = logging.getLogger("tidegauge.librdkafka.producer")
_NOWHERE.addHandler(logging.NullHandler())
_NOWHERE.propagate = False


class PublishError(Exception):
    """Kafka did not take a record, or is not what it should be. `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@contextmanager
def publish_errors(what: str) -> Iterator[None]:
    """What librdkafka raises as PublishError.

    A fatal error is set while delivery callbacks still run: Python then reports a SystemError of the callback, whose cause
    it is, or one of the producer's method, without any: of those that a producer meets only a successor is fatal.
    """
    try:
        yield
    except (KafkaException, SystemError) as problem:
        cause = problem if isinstance(problem, KafkaException) else problem.__cause__ or problem.__context__
        if isinstance(problem, SystemError) and cause is None and _PRODUCER in str(problem):
            raise PublishError(f"{what}: the producer has failed for good", _TAKEN_OVER) from problem
        if not isinstance(cause, KafkaException):
            raise
        hint = _TAKEN_OVER if _is_fenced(cause) else ""
        raise PublishError(f"{what}: {cause.args[0].str()}", hint) from problem


def _is_fenced(problem: KafkaException) -> bool:
    return problem.args[0].code() in (
        KafkaError._FENCED,  # noqa: SLF001 (librdkafka's own errors are named so)
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
    )


def open_producer(settings: Settings, transactional_id: str | None = None) -> Producer:
    """A producer; with an id one of transactions, which fences older ones of that id off when it begins."""
    more = {
        "transactional.id": transactional_id,
        "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
        "linger.ms": 0,
    }
    # What librdkafka has to say is raised: it must not be written to stderr besides.
    return Producer(producer_config(settings) | (more if transactional_id else {}), logger=_NOWHERE)


def producer_config(settings: Settings) -> dict[str, Any]:
    """What all producers of the connectors have in common: idempotent, and lz4."""
    return {
        **librdkafka(settings.kafka),
        "enable.idempotence": True,
        "compression.type": "lz4",
        "message.max.bytes": MESSAGE_BYTES_MAX,
        "queue.buffering.max.messages": QUEUE_MESSAGES_MAX,
        "linger.ms": 5,
        "batch.num.messages": 20_000,
        "batch.size": 1 << 20,
        "retry.backoff.ms": 10,
        "log_level": 2,  # what matters is raised; librdkafka would write to stderr besides
    }


def partition_count(producer: Producer, settings: Settings, topics: tuple[str, ...]) -> int:
    """The number of partitions that all these topics have; PublishError if one is missing or differs."""
    names = [settings.topic(topic) for topic in topics]
    deadline = time.monotonic() + NEW_TOPIC_WAIT_S
    while True:
        try:
            found = producer.list_topics(timeout=METADATA_WAIT_S).topics
        except KafkaException as problem:
            raise PublishError(f"no Kafka answers at {settings.kafka}", "start it with `tidegauge up`") from problem
        counts = {name: len(found[name].partitions) if name in found else 0 for name in names}
        if all(counts.values()):
            break
        if time.monotonic() > deadline:  # a broker may take a moment to know a topic that was just made
            missing = next(name for name in names if not counts[name])
            raise PublishError(f"there is no topic {missing}", "make the topics with `tidegauge topics --create`")
        time.sleep(0.05)
    if len(set(counts.values())) != 1:
        raise PublishError(f"the topics differ in their number of partitions: {counts}")
    return next(iter(counts.values()))


class EventPublisher:
    """Sends events; `flush` returns when the brokers have every one of them. Not for use by several threads."""

    def __init__(self, settings: Settings, encode: Encode) -> None:
        self._producer = open_producer(settings)
        self._encode = encode
        self._names = {topic: settings.topic(topic) for topic in (*MARKED, "dead-letters")}
        self._failed: KafkaError | None = None
        self.partitions = partition_count(self._producer, settings, MARKED)

    def send(self, event: Event) -> None:
        """Queue an event: to its customer's partition, or a copy to every partition."""
        topic = event.topic
        if topic in KEYED:
            key, value = key_of(topic, event.record).encode(), self._encode(topic, event.record)
            self._produce(self._names[topic], key, value, partition_of(key, self.partitions))
        else:
            self.send_everywhere(topic, event.record)

    def send_everywhere(self, topic: str, record: Record) -> None:
        """Queue a copy for every partition."""
        key, value = key_of(topic, record).encode(), self._encode(topic, record)
        for partition in range(self.partitions):
            self._produce(self._names[topic], key, value, partition)

    def send_dead(self, problem: InputError) -> None:
        """Queue a bad line for `dead-letters`: topic `file:NAME`, partition -1, the line number as its offset."""
        origin = f"file:{problem.file}"
        record = dead_letter(
            origin, -1, problem.line, "bad_input", problem.original, field=problem.field,
            detail=str(problem),
        )  # fmt: skip
        self._produce(self._names["dead-letters"], origin.encode(), self._encode("dead-letters", record), -1)

    def _produce(self, name: str, key: bytes, value: bytes, partition: int) -> None:
        while True:
            with publish_errors("not sent"):
                try:
                    self._producer.produce(name, value, key, partition, self._delivered)
                except BufferError:
                    self._producer.poll(0.1)  # the queue is full: let some of it go out
                else:
                    self._producer.poll(0)
                    return

    def _delivered(self, problem: KafkaError | None, _message: Message) -> None:
        if problem is not None and self._failed is None:
            self._failed = problem

    def flush(self) -> None:
        """Wait for everything queued; PublishError if a record was not taken."""
        deadline = time.monotonic() + FLUSH_WAIT_S
        with publish_errors("not sent"):
            while (waiting := self._producer.flush(FLUSH_STEP_S)) and time.monotonic() < deadline:
                pass  # in steps, so that Ctrl-C gets through
        if self._failed is not None:
            raise PublishError(f"Kafka refused a record: {self._failed.str()}")
        if waiting:
            raise PublishError(f"{waiting} records were not taken within {FLUSH_WAIT_S:.0f} s", "is Kafka up?")

    def close(self) -> None:
        """Let go of the connections; what isn't flushed is lost."""
        self._producer.purge()
        self._producer.close()
