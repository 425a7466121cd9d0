"""The view writer's Kafka: committed records in batches, where they end, and a place for unreadable ones."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any, Final, Protocol

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import OffsetSpec

from deploy import admin
from deploy.connections.clients import librdkafka
from deploy.connections.wire import Brokers
from schemas.codec.batches import Batch, Lost
from schemas.codec.blocks import log_entries
from schemas.codec.status import REASONS
from schemas.letters import LettersAtOnce, Original, dead_letter
from services.views.projections import TopicRecord
from services.views.writer import Fetched

if TYPE_CHECKING:
    from concurrent.futures import Future

PROBE_INTERVAL_S: Final = 1.0
"""How often the brokers are asked for the logs' ends."""

REQUEST_TIMEOUT_S: Final = 10.0
RETRY_WAIT_S: Final = 0.2
PICK_S: Final = 60.0
"""Without another one of the records that are looked for, which may lie anywhere in a partition."""


class BlockRead(Protocol):
    """All of one partition in offsets [start, end): record batches in clear, and what is beyond the bounds."""

    @property
    def tp(self) -> tuple[str, int]:
        """Kafka's name of the topic, and the partition."""

    @property
    def start(self) -> int:
        """The first offset."""

    @property
    def end(self) -> int:
        """The next one to read; records of aborted transactions and control records may lie below."""

    @property
    def batches(self) -> Sequence[Batch]:
        """In order of offsets, uncompressed."""

    @property
    def lost(self) -> Sequence[Lost]:
        """What is not in them."""


class BlockReader(Protocol):
    """Reads committed records within bounds of memory (`agents.engine.reader`). Raises KafkaException."""

    def begin(self, positions: Mapping[tuple[str, int], int | None]) -> Mapping[tuple[str, int], int]:
        """Read on from these offsets, from the first where one is gone or None: where that is."""

    def fetch(self, timeout_s: float) -> Sequence[BlockRead]:
        """What has come."""

    def close(self) -> None:
        """Leave the brokers."""


NewReader = Callable[[Brokers, Iterable[str]], BlockReader]
"""Makes a reader of brokers and Kafka's names of topics."""


class KafkaSource:
    """Every partition of the topics, read by one consumer without a group: the store knows the offsets."""

    def __init__(
        self,
        brokers: Brokers,
        topics: Iterable[str],
        new_reader: NewReader,
        prefix: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.brokers, self.topics, self.prefix, self.clock = brokers, tuple(topics), prefix, clock
        self.new_reader = new_reader
        self.admin = admin.client(brokers)
        self.names = self._discover()
        self.reader = self._reader()
        self.known: dict[str, str] | None = None  # the world that `names` are of; None: not asked yet
        self.begun: dict[str, int] = {}  # where reading began, until the next fetch tells it
        self.probe: dict[TopicPartition, Future[Any]] | None = None
        self.probed_at = -PROBE_INTERVAL_S

    def _reader(self) -> BlockReader:
        return self.new_reader(self.brokers, sorted({topic for topic, _ in self.names}))

    def _discover(self) -> dict[tuple[str, int], tuple[str, str]]:
        """Every partition: Kafka's topic, number -> our topic, name of the partition."""
        found = self.admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
        names: dict[tuple[str, int], tuple[str, str]] = {}
        for topic in self.topics:
            meta = found.get(self.prefix + topic)
            if meta is None or meta.error is not None or not meta.partitions:
                raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, f"no topic {self.prefix + topic}"))
            for number in meta.partitions:
                names[self.prefix + topic, number] = topic, f"{topic}:{number}"
        return names

    def world(self) -> dict[str, str]:
        """Kafka's cluster id, and the id of each topic by its name (KIP-516), asked now; KafkaException without answer.

        A reader goes on in the middle of a topic that was made anew. So when the world has changed, another takes its
        place, which reads from the next `begin` on.
        """
        self._settled_probe()
        cluster = self.admin.describe_cluster(request_timeout=REQUEST_TIMEOUT_S)
        ids = admin.topic_ids(self.admin, [self.prefix + topic for topic in self.topics], REQUEST_TIMEOUT_S)
        found = {topic: ids.get(self.prefix + topic, "") for topic in self.topics}  # brokers before 2.8 have no ids
        found["cluster"] = str(cluster.result().cluster_id)
        if self.known is not None and found != self.known:
            self.names = self._discover()
            self.reader.close()
            self.reader = self._reader()
        self.known = found
        return found

    def begin(self, positions: dict[str, int | None]) -> None:
        """Read on from these offsets; None = from the beginning."""
        begun = self.reader.begin({place: positions.get(name) for place, (_, name) in self.names.items()})
        self.begun = {self.names[place][1]: offset for place, offset in begun.items()}

    def fetch(self, timeout_s: float) -> dict[str, Fetched]:
        """Committed records that have arrived, in order of the log; empty when there are none. Raises KafkaException."""
        fetched = {name: Fetched(stop=offset, at_end=True) for name, offset in self.begun.items()}
        self.begun = {}
        for block in self.reader.fetch(timeout_s):
            topic, name = self.names[block.tp]
            part = fetched.setdefault(name, Fetched(at_end=True))
            part.stop = block.end
            part.records += _records(topic, block)
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
        """The records of a partition at these offsets (rising), some at a time; what is gone is left out.

        They are read by a reader of their own. KafkaException.
        """
        place = next(place for place, (_, known) in self.names.items() if known == name)
        wanted, until = set(offsets), self.clock() + PICK_S
        reader = self.new_reader(self.brokers, [place[0]])
        try:
            reader.begin({place: offsets[0]})
            while self.clock() < until:
                for block in reader.fetch(RETRY_WAIT_S):
                    found = [record for record in _records(self.names[place][0], block) if record.offset in wanted]
                    if found:
                        until = self.clock() + PICK_S
                        yield found
                    if block.end > offsets[-1]:
                        return
        finally:
            reader.close()
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{name} could not be read again"))  # noqa: SLF001

    def close(self) -> None:
        """Leave the brokers."""
        self.reader.close()


def _records(topic: str, block: BlockRead) -> list[TopicRecord]:
    """The records of a block of our `topic`."""
    return [
        TopicRecord(topic, block.tp[1], offset, key, value, lost, at_ms)
        for offset, at_ms, key, value, lost in log_entries(block.batches, block.start, block.end, block.lost)
    ]


class DeadLetters:
    """Writes what can't be read to `dead-letters`; the producer is made when the first one comes."""

    def __init__(self, brokers: Brokers, topic: str, encode: Callable[[dict[str, Any]], bytes]) -> None:
        self.brokers, self.topic, self.encode = brokers, topic, encode
        self.producer: Producer | None = None
        self.letters = LettersAtOnce()  # until the next flush

    def reject(self, record: TopicRecord, reason: str, detail: str) -> None:
        """Keep it for a person to look at: where it lies, why, and how it begins; of many for one reason the first ones."""
        if (lost := record.lost) is None:
            original = Original.of(record.value, record.key)
        else:
            original, reason, detail = lost.original, REASONS[lost.status], ""
        letter = dead_letter(record.topic, record.partition, record.offset, reason, original, detail=detail)
        if self.letters.one(letter):
            self._send(letter)

    def _send(self, letter: dict[str, Any]) -> None:
        if self.producer is None:
            self.producer = Producer({**librdkafka(self.brokers), "enable.idempotence": True}, logger=admin.nowhere)
        self.producer.produce(self.topic, self.encode(letter), key=f"{letter['topic']}:{letter['partition']}")

    def flush(self) -> None:
        """Return when all rejected records are safe; raises KafkaException when the brokers don't take them in time."""
        for letter in self.letters.take():
            self._send(letter)
        if self.producer is not None and self.producer.flush(REQUEST_TIMEOUT_S):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "dead letters not written"))  # noqa: SLF001
