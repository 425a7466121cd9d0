"""The view writer's Kafka: committed records in batches, where they end, and a place for unreadable ones."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any, Final, cast

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from schemas.letters import Original, dead_letter
from services.views.projections import TopicRecord
from services.views.writer import Fetched

if TYPE_CHECKING:
    from concurrent.futures import Future

log = logging.getLogger(__name__)

FETCH_RECORDS_MAX: Final = 10_000
"""Records taken from the client library at once."""

PROBE_INTERVAL_S: Final = 1.0
"""How often the brokers are asked for the logs' ends."""

REQUEST_TIMEOUT_S: Final = 10.0
RETRY_WAIT_S: Final = 0.2

PICK_RECORDS_MAX: Final = 500
PICK_TIMEOUT_S: Final = 60.0
"""Without another one of the records that are looked for, which may lie anywhere in a partition."""


class KafkaSource:
    """Every partition of the topics, read by one consumer without a group: the store knows the offsets."""

    def __init__(
        self, brokers: str, topics: Iterable[str], prefix: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.brokers, self.topics, self.prefix, self.clock = brokers, tuple(topics), prefix, clock
        self.admin = AdminClient({"bootstrap.servers": brokers})
        self.probe: dict[TopicPartition, Future[Any]] | None = None
        self.probed_at = -PROBE_INTERVAL_S
        self.consumer = self._consumer()
        self.names = self._discover()
        self.known: dict[str, str] | None = None  # the world that `names` are of; None: not asked yet

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self.brokers,
                "group.id": f"{self.prefix}tidegauge-views",  # never joined or committed to; the library wants a name
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "queued.max.messages.kbytes": 65_536,  # bounds the memory of what waits in the library
                "queued.min.messages": 20_000,
                "fetch.max.bytes": 16 << 20,
                "fetch.wait.max.ms": 50,
            }
        )

    def _discover(self) -> dict[tuple[str, int], tuple[str, str]]:
        """Every partition: Kafka's topic, number -> our topic, name of the partition."""
        found = self.consumer.list_topics(timeout=REQUEST_TIMEOUT_S).topics
        names: dict[tuple[str, int], tuple[str, str]] = {}
        for topic in self.topics:
            meta = found.get(self.prefix + topic)
            if meta is None or meta.error is not None or not meta.partitions:
                raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, f"no topic {self.prefix + topic}"))
            names |= {
                (self.prefix + topic, partition): (topic, f"{topic}:{partition}") for partition in meta.partitions
            }
        return names

    def world(self) -> dict[str, str]:
        """Kafka's cluster id, and the id of each topic by its name (KIP-516), asked now; KafkaException without answer.

        A consumer goes on in the middle of a topic that was made anew. So when the world has changed, another takes its
        place, which reads from the next `begin` on.
        """
        self._settled_probe()
        cluster = self.admin.describe_cluster(request_timeout=REQUEST_TIMEOUT_S)
        asked = TopicCollection([self.prefix + topic for topic in self.topics])
        described = self.admin.describe_topics(asked, request_timeout=REQUEST_TIMEOUT_S)
        ids = {topic: str(described[self.prefix + topic].result().topic_id) for topic in self.topics}
        found = {"cluster": str(cluster.result().cluster_id), **ids}
        if self.known is not None and found != self.known:
            self.consumer.close()
            self.consumer = self._consumer()
            self.names = self._discover()
        self.known = found
        return found

    def begin(self, positions: dict[str, int | None]) -> None:
        """Read on from these offsets; None = from the beginning."""
        self.consumer.assign(
            [
                TopicPartition(topic, partition, OFFSET_BEGINNING if (at := positions.get(name)) is None else at)
                for (topic, partition), (_, name) in self.names.items()
            ]
        )

    def fetch(self, timeout_s: float) -> dict[str, Fetched]:
        """Committed records that have arrived, in order of the log; empty when there are none.

        Raises KafkaException for what the library does not mend itself.
        """
        fetched: dict[str, Fetched] = {}
        for message in self.consumer.consume(FETCH_RECORDS_MAX, timeout_s):
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                if error.fatal():
                    raise KafkaException(error)
                log.warning("Kafka: %s", error)  # the library tries again by itself; freshness tells how long it lasts
                continue
            place = cast("tuple[str, int]", (message.topic(), message.partition()))  # None for errors only
            offset = cast("int", message.offset())
            topic, name = self.names[place]
            part = fetched.get(name)
            if part is None:
                part = fetched[name] = Fetched()
            if error is not None:
                part.at_end, part.stop = True, offset
            else:
                part.at_end, part.stop = False, offset + 1
                part.records.append(TopicRecord(topic, place[1], offset, message.key(), message.value()))
        return fetched

    def ends(self) -> dict[str, tuple[int, int]]:
        """First offset and end of the committed records of every partition, asked from the brokers now.

        Partitions that change their leader are asked again for REQUEST_TIMEOUT_S; then KafkaException.
        """
        until = self.clock() + REQUEST_TIMEOUT_S
        self._settled_probe()
        while True:
            try:
                low, high = self._offsets(OffsetSpec.earliest()), self._offsets(OffsetSpec.latest())
                return {name: (offset, high[name]) for name, offset in low.items()}
            except KafkaException:
                if self.clock() > until:
                    raise
                time.sleep(RETRY_WAIT_S)

    def _settled_probe(self) -> None:
        """Wait for the answer to the question that is open (see `_ask`)."""
        if self.probe is not None:
            wait(self.probe.values())

    def fresh_ends(self) -> dict[str, int] | None:
        """Ends as of about a second ago, without waiting; None while no new answer has come."""
        if self.probe is None:
            if self.clock() - self.probed_at >= PROBE_INTERVAL_S:
                self.probe, self.probed_at = self._ask(OffsetSpec.latest()), self.clock()
            return None
        if not all(future.done() for future in self.probe.values()):
            return None
        probe, self.probe = self.probe, None
        return {
            self.names[at.topic, at.partition][1]: future.result().offset
            for at, future in probe.items()
            if future.exception() is None  # a partition that can't be asked is not fresh
        }

    def _offsets(self, spec: OffsetSpec) -> dict[str, int]:
        return {self.names[at.topic, at.partition][1]: answer.result().offset for at, answer in self._ask(spec).items()}

    def _ask(self, spec: OffsetSpec) -> dict[TopicPartition, "Future[Any]"]:
        """Only when the answer to the question before is there.

        A client that does not know the leaders yet asks for them first. When the answer to another question's search
        for them comes just then, librdkafka ends this question in its own thread while the caller's still works on it,
        and the process dies of a segmentation fault.
        """
        wanted = {TopicPartition(topic, partition): spec for topic, partition in self.names}
        answer: dict[TopicPartition, Future[Any]] = self.admin.list_offsets(
            wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=REQUEST_TIMEOUT_S
        )
        return answer

    def pick(self, name: str, offsets: Sequence[int]) -> Iterator[list[TopicRecord]]:
        """The records of a partition at these offsets (rising), some at a time; what is gone is left out."""
        place = next(place for place, (_, known) in self.names.items() if known == name)
        wanted, reader, until = set(offsets), self._consumer(), self.clock() + PICK_TIMEOUT_S
        try:
            reader.assign([TopicPartition(*place, offsets[0])])
            while self.clock() < until:
                found: list[TopicRecord] = []
                ended = False
                for message in reader.consume(PICK_RECORDS_MAX, 0.5):
                    at, error = cast("int", message.offset()), message.error()
                    at_end = error is not None and error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001
                    ended |= at_end or at >= offsets[-1]
                    if error is None and at in wanted:
                        found.append(TopicRecord(self.names[place][0], place[1], at, message.key(), message.value()))
                if found:
                    until = self.clock() + PICK_TIMEOUT_S
                    yield found
                if ended:
                    return
        finally:
            reader.close()
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{name} could not be read again"))  # noqa: SLF001

    def close(self) -> None:
        """Leave the brokers."""
        self.consumer.close()


class DeadLetters:
    """Writes what can't be read to `dead-letters`; the producer is made when the first one comes."""

    def __init__(self, brokers: str, topic: str, encode: Callable[[dict[str, Any]], bytes]) -> None:
        self.brokers, self.topic, self.encode = brokers, topic, encode
        self.producer: Producer | None = None

    def reject(self, record: TopicRecord, reason: str, detail: str) -> None:
        """Keep it for a person to look at: where it lies, why, and how it begins."""
        if self.producer is None:
            self.producer = Producer({"bootstrap.servers": self.brokers, "enable.idempotence": True})
        original = Original.of(record.value, record.key)
        letter = dead_letter(record.topic, record.partition, record.offset, reason, original, detail=detail)
        self.producer.produce(self.topic, self.encode(letter), key=f"{record.topic}:{record.partition}")

    def flush(self) -> None:
        """Return when all rejected records are safe; raises KafkaException when the brokers don't take them in time."""
        if self.producer is not None and self.producer.flush(REQUEST_TIMEOUT_S):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "dead letters not written"))  # noqa: SLF001
