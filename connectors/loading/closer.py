"""The closer: ends a business day by ONE transaction over all inputs (docs/architecture.md#day-close).

The transaction writes a mark into every partition of every input topic, and then close(D), with the marks' offsets as
its cut, into every partition of `business-days`. A partition unit that meets a mark waits until it has read the whole
cut, so every close is a function of the log alone. Transactions make marks and close appear together or not at all,
and a stable transactional id fences a second closer off.
"""

import logging
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from connectors.formats.events import CloseRecord
from connectors.loading.publisher import PublishError, partition_count, producer_config
from deploy.settings import Settings
from schemas.codec.records import Encode, decode_one
from schemas.registry import Registry, registry_for
from schemas.topics import CLOSES, MARK, MARK_KEY, MARKED
from streams.calendar import DAY_MAX, DAY_MIN, date_of, shown_day

log = logging.getLogger(__name__)

IMPORT_HEADER: Final = "import"  # on close(D): the import whose events of D stand before it
TRANSACTION_TIMEOUT_MS: Final = 10_000
WAIT_S: Final = 30.0
POLL_S: Final = 0.05


class Closed(NamedTuple):
    """A close that `business-days` has: its day, and the import that closed it, if one did."""

    day: int
    source: str | None


def wall_clock_ms() -> int:
    """Now, in ms since the epoch."""
    return time.time_ns() // 1_000_000


class Closer:
    """Closes days, each once. PublishError when Kafka fails or another closer has taken over."""

    def __init__(self, settings: Settings, encode: Encode, clock_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._settings = settings
        self._encode = encode
        self._clock_ms = clock_ms
        self._producer = Producer(
            producer_config(settings)
            | {
                "transactional.id": f"{settings.topic_prefix}tidegauge-closer",
                "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
                "linger.ms": 0,
            }
        )
        self._partitions = partition_count(self._producer, settings, (*MARKED, CLOSES))
        try:
            self._producer.init_transactions(WAIT_S)  # fences an older closer; its open transaction is ended
        except KafkaException as problem:
            raise PublishError(f"cannot start closing days: {problem.args[0].str()}") from problem
        self.history = closes(settings)
        self.last = max((closed.day for closed in self.history), default=None)

    def close(self, day: int, source: str | None = None) -> CloseRecord | None:
        """Close a day and return what was written; None if it or a later day is closed already.

        Everything that belongs to the day has to be in the topics before. `source` names an import (IMPORT_HEADER).
        A day beyond those that events may have is refused: after it no other could be closed any more.
        """
        if not DAY_MIN <= day < DAY_MAX:
            raise PublishError(f"{shown_day(day)} cannot be closed: no event may be of such a day")
        if self.last is not None and day <= self.last:
            return None
        try:
            self._producer.begin_transaction()
            written = self._write(day, source)
            self._producer.commit_transaction(WAIT_S)
        except KafkaException as problem:
            fenced = problem.args[0].code() in (
                KafkaError._FENCED,  # noqa: SLF001 (librdkafka's own errors are named so)
                KafkaError.PRODUCER_FENCED,
                KafkaError.INVALID_PRODUCER_EPOCH,
            )
            hint = "another closer has taken over" if fenced else ""
            raise PublishError(f"cannot close {date_of(day)}: {problem.args[0].str()}", hint) from problem
        self.last = day
        self.history.append(Closed(day, source))
        return written

    def shut(self) -> None:
        """Let go of the connections."""
        self._producer.close()

    def _write(self, day: int, source: str | None) -> CloseRecord:
        offsets: dict[tuple[str, int], int] = {}
        failed: list[KafkaError] = []

        def delivered(problem: KafkaError | None, message: Message) -> None:
            if problem is None:
                offsets[message.topic() or "", message.partition() or 0] = message.offset() or 0
            else:
                failed.append(problem)

        mark = self._encode(MARK, {"business_day": day})
        places = [(topic, partition) for topic in MARKED for partition in range(self._partitions)]
        for topic, partition in places:
            self._producer.produce(self._settings.topic(topic), mark, MARK_KEY, partition, delivered)
        self._flush(failed)
        cut: list[dict[str, str | int]] = [
            {"topic": topic, "partition": partition, "offset": offsets[self._settings.topic(topic), partition]}
            for topic, partition in places
        ]
        close: CloseRecord = {"business_day": day, "closed_at": self._clock_ms(), "cut": cut}
        value, key = self._encode(CLOSES, dict(close)), _key_of(day)
        headers: list[tuple[str, str | bytes | None]] = [(IMPORT_HEADER, source.encode())] if source else []
        for partition in range(self._partitions):
            self._producer.produce(
                self._settings.topic(CLOSES), value, key, partition, on_delivery=delivered, headers=headers
            )
        self._flush(failed)
        return close

    def _flush(self, failed: list[KafkaError]) -> None:
        waiting = self._producer.flush(WAIT_S)
        if failed or waiting:
            self._producer.abort_transaction(WAIT_S)
            raise PublishError(f"the marks were not taken: {failed[0].str() if failed else 'no answer'}")


def closes(settings: Settings) -> list[Closed]:
    """Every close in the log, oldest first (they are few: a record a day, kept for 15 months).

    What is none is passed over. PublishError when Kafka fails, RegistryError when the schema registry does.
    """
    registry = registry_for(settings)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka,
            "group.id": f"{settings.topic_prefix}tidegauge-closes",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    found: list[Closed] = []
    try:
        consumer.assign([TopicPartition(settings.topic(CLOSES), 0, OFFSET_BEGINNING)])
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            for message in consumer.consume(1000, POLL_S):
                problem = message.error()
                if problem is None:
                    try:
                        found.append(_closed(message, registry))
                    except ValueError as why:  # RecordError too
                        log.warning("%s, offset %s is no close: %s", settings.topic(CLOSES), message.offset(), why)
                elif problem.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                    return found
                elif not problem.retriable():
                    raise PublishError(f"cannot read {settings.topic(CLOSES)}: {problem.str()}")
    finally:
        consumer.close()
    raise PublishError(f"{settings.topic(CLOSES)} could not be read within {WAIT_S:.0f} s", "is Kafka up?")


def _closed(message: Message, registry: Registry) -> Closed:
    """The close in a record; ValueError where it is none: a value or a key of others, a day that never can be closed."""
    value, source = message.value(), dict(message.headers() or ()).get(IMPORT_HEADER)
    day = decode_one(value if isinstance(value, bytes) else b"", registry, name=CLOSES)["business_day"]
    if not DAY_MIN <= day < DAY_MAX or message.key() != _key_of(day):
        raise ValueError(f"key {message.key()!r} with day {day}")
    return Closed(day, source.decode(errors="replace") if isinstance(source, bytes) else source)


def _key_of(day: int) -> bytes:
    return date_of(day).isoformat().encode()
