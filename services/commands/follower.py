"""What the door has to know of the log: which branch a customer belongs to, and what became of commands.

One consumer without a group reads `customers` from its beginning and `command-results` on from where the store stands.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from redis import RedisError

from deploy.connections.clients import librdkafka
from schemas.codec.records import RecordError, decode_one
from schemas.registry import RegistryError
from schemas.topics import MARK_KEY
from schemas.validation.profiles import PROFILES_TOPIC, ProfileCheck, SentProfile
from services.commands.store import COMMANDS_KEPT_S, CommandStore
from streams.calendar import date_of

if TYPE_CHECKING:
    from deploy.settings import Settings
    from schemas.registry import Registry

log = logging.getLogger(__name__)

COMMAND_RESULTS: Final = "command-results"
CUSTOMERS_KNOWN_MAX: Final = 5_000_000
WAITERS_MAX: Final = 4096
_POLL_S: Final = 0.1
_ASKED_S: Final = 10.0
_TAKEN_MAX: Final = 500
_FETCHED_KB_MAX: Final = 16_384
_AGAIN_S: Final = 1.0


class TooManyWaitError(Exception):
    """No further command can wait for its result."""


class Follower:
    """Follows both topics in a thread of its own, from `start` on."""

    def __init__(
        self, settings: Settings, registry: Registry, store: CommandStore, *, customers: bool = True
    ) -> None:  # fmt: skip
        self._settings, self._registry, self._store, self._customers = settings, registry, store, customers
        self._branches: dict[str, str] = {}
        self._profiles = ProfileCheck(1)  # until it is known how many partitions there are
        self._waiting: dict[str, list[Future[dict[str, Any]]]] = {}
        self._lock, self._ended, self._caught_up = threading.Lock(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="command-results", daemon=True)
        self._ends: dict[tuple[str, int], int] = {}

    def start(self) -> None:
        """Begin to follow. KafkaException, RedisError where a server gives no answer or a topic is missing."""
        self._consumer = Consumer({
            **librdkafka(self._settings.kafka), "group.id": "none", "enable.auto.commit": False,
            "isolation.level": "read_committed", "auto.offset.reset": "earliest", "enable.partition.eof": True,
            "queued.max.messages.kbytes": _FETCHED_KB_MAX, "fetch.wait.max.ms": 100, "log_level": 0,
        })  # fmt: skip
        customers = self._from_beginning() if self._customers else []
        if not self._ends:
            self._caught_up.set()
        self._consumer.assign([*customers, *self._from_store()])
        self._thread.start()

    def _partitions(self, topic: str) -> list[int]:
        name = self._settings.topic(topic)
        found = self._consumer.list_topics(name, timeout=_ASKED_S).topics[name]
        if found.error is not None or not found.partitions:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, f"there is no topic {name}"))
        return sorted(found.partitions)

    def _from_beginning(self) -> list[TopicPartition]:
        name, out = self._settings.topic(PROFILES_TOPIC), []
        numbers = self._partitions(PROFILES_TOPIC)
        self._profiles = ProfileCheck(len(numbers))
        for number in numbers:
            first, end = self._consumer.get_watermark_offsets(TopicPartition(name, number), timeout=_ASKED_S)
            if end > first:
                self._ends[name, number] = end
            out.append(TopicPartition(name, number, first))
        return out

    def _from_store(self) -> list[TopicPartition]:
        """Where the store stands; a new one begins with what it would still hold."""
        name, known = self._settings.topic(COMMAND_RESULTS), self._store.offsets()
        since = int((time.time() - COMMANDS_KEPT_S) * 1000)
        asked = [TopicPartition(name, number, since) for number in self._partitions(COMMAND_RESULTS)]
        early = {one.partition: one.offset for one in self._consumer.offsets_for_times(asked, timeout=_ASKED_S)}
        for number, offset in early.items():
            if offset < 0:  # nothing since then: where it ends now, not where it will end when it is read
                early[number] = self._consumer.get_watermark_offsets(TopicPartition(name, number), timeout=_ASKED_S)[1]
        return [TopicPartition(name, one.partition, known.get(one.partition, early[one.partition])) for one in asked]

    @property
    def is_ready(self) -> bool:
        """Whether every customer's branch that was known at the start is known here."""
        return self._caught_up.is_set()

    def wait_ready(self, wait_s: float) -> bool:
        """Whether it is within that time."""
        return self._caught_up.wait(wait_s)

    def branch(self, customer_id: str) -> str | None:
        """The branch of a customer; None for one who is not known."""
        return self._branches.get(customer_id)

    def result_of(self, command_id: str) -> Future[dict[str, Any]]:
        """What will be the result of a command; to be asked for before it is sent. TooManyWaitError."""
        found: Future[dict[str, Any]] = Future()
        with self._lock:
            if len(self._waiting) >= WAITERS_MAX:
                raise TooManyWaitError
            self._waiting.setdefault(command_id, []).append(found)
        return found

    def forget(self, command_id: str, waiter: Future[dict[str, Any]]) -> None:
        """Nobody waits for it there any more."""
        with self._lock:
            left = [one for one in self._waiting.get(command_id, ()) if one is not waiter]
            if left:
                self._waiting[command_id] = left
            else:
                self._waiting.pop(command_id, None)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._take(self._arrived())
            except KafkaException as problem:
                log.warning("results of commands: %s", problem.args[0].str())
                self._ended.wait(_AGAIN_S)

    def _arrived(self) -> list[Message]:
        """What is there. `consume` alone would wait its whole time for more, and whoever sent a command with it."""
        first = self._consumer.poll(_POLL_S)
        return [] if first is None else [first, *self._consumer.consume(_TAKEN_MAX - 1, 0)]

    def _take(self, messages: list[Message]) -> None:
        results, offsets, profiles = list[dict[str, Any]](), dict[int, int](), list[Message]()
        for message in messages:
            topic, number, offset = message.topic(), message.partition(), message.offset()
            if (problem := message.error()) is not None:
                if problem.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (librdkafka's own errors are named so)
                    self._read(str(topic), int(number or 0), int(offset or 0))
                continue
            assert topic is not None
            assert number is not None
            assert offset is not None
            if topic == self._settings.topic(PROFILES_TOPIC):
                profiles.append(message)
                continue
            offsets[number] = offset + 1
            if (record := self._decoded(message, COMMAND_RESULTS)) is not None:
                results.append(record)
        self._customers_of(profiles)
        if offsets:
            self._keep(results, offsets)

    def _read(self, topic: str, number: int, end: int) -> None:
        """A partition has been read so far."""
        if end >= self._ends.get((topic, number), 0):
            self._ends.pop((topic, number), None)
        if not self._ends:
            self._caught_up.set()

    def _customers_of(self, messages: list[Message]) -> None:
        """Takes profiles that the workers take; marks of closes lie in every input."""
        sent = [one for message in messages if message.key() != MARK_KEY and (one := self._sent(message)) is not None]
        for one, counts in zip(sent, self._profiles.taken(sent), strict=True):
            if not counts:
                continue
            name = (one.key or b"").decode(errors="replace")
            if one.record is None:
                self._branches.pop(name, None)
            elif name in self._branches or len(self._branches) < CUSTOMERS_KNOWN_MAX:
                self._branches[name] = one.record["branch"]
        for message in messages:
            self._read(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0) + 1)

    def _sent(self, message: Message) -> SentProfile | None:
        key, number = message.key(), int(message.partition() or 0)
        raw = None if key is None else bytes(key)
        if message.value() is None:
            return SentProfile(raw, number, None)
        record = self._decoded(message, PROFILES_TOPIC)
        return None if record is None else SentProfile(raw, number, record)

    def _decoded(self, message: Message, name: str) -> dict[str, Any] | None:
        try:
            return decode_one(bytes(message.value() or b""), self._registry, name=name)
        except (RecordError, RegistryError) as problem:
            log.warning("%s/%s/%s can't be read: %s", name, message.partition(), message.offset(), problem)
            return None

    def _keep(self, results: list[dict[str, Any]], offsets: dict[int, int]) -> None:
        """In the store, then to those who wait; as often as it takes, since a result that is skipped is lost."""
        told = [result | {"day": date_of(result["day"]).isoformat()} for result in results]
        while not self._ended.is_set():
            try:
                self._store.put_results(told, offsets)
                break
            except RedisError as problem:
                log.warning("results of commands wait for Redis: %s", problem)
                self._ended.wait(_AGAIN_S)
        for result in told:
            with self._lock:
                waiters = self._waiting.pop(result["command_id"], [])
            for waiter in waiters:
                if waiter.set_running_or_notify_cancel():
                    waiter.set_result(result)

    def close(self) -> None:
        """Leave the brokers."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
            self._consumer.close()
