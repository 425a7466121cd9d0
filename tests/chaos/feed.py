"""Sends a load while faults go on: at a pace, day by day, with the closes; notes what the brokers acknowledged."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from zlib import crc32

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from bench.world.data import CLOSED
from connectors.loading.closer import Closer
from connectors.loading.publisher import PublishError, producer_config
from deploy.settings import Settings
from schemas.codec.records import decode_one, encode
from tests.chaos.history import Place
from tests.chaos.load import EVENT, POISON, Item, Timetable

SLICE = 100  # records between looks at the clock
ABORT_EVERY = 3000  # records, about, between source transactions that are withdrawn
WITHDRAWN = 20
TRIES_S = 120.0  # for a close, or a flush, while brokers are away
WITHDRAWN_FEN = -5_000_000_000  # would raise an alert


class Feed(threading.Thread):
    """Acknowledgements by place, the offsets of damaged records, the events of withdrawn transactions."""

    def __init__(self, settings: Settings, timetable: Timetable, encode_as: Callable[..., bytes] = encode) -> None:
        super().__init__(daemon=True, name="feed")
        self.settings, self.timetable, self.load, self.encode = settings, timetable, timetable.load, encode_as
        self.sent: dict[Place, dict[int, int]] = defaultdict(dict)
        self.last: dict[Place, int] = defaultdict(lambda: -1)  # highest acknowledged offset
        self.poison: set[tuple[str, int, int]] = set()
        self.withdrawn: set[str] = set()
        self.count = self.refused = 0
        self.day = CLOSED - 1  # the last closed day
        self.failed: BaseException | None = None
        self.rng = random.Random(f"feed {self.load.seed}")
        self.value_of: Callable[[Item], bytes] = lambda item: item.value
        self.pace = 1.0  # of the load's rate; a scenario may change it
        self.go = threading.Event()  # until then only the opening credits are sent

    @property
    def done(self) -> bool:
        """Whether all is sent and closed."""
        return self.day >= self.load.last

    def run(self) -> None:
        """Until all is sent."""
        try:
            self._send_all()
        except BaseException as problem:
            self.failed = problem

    def _send_all(self) -> None:
        producer = Producer(
            {**producer_config(self.settings), "message.timeout.ms": 300_000, "retries": 100_000, "log_level": 0}
        )
        for day in range(CLOSED, self.load.last + 1):
            items, began = self.timetable.shuffled(day), time.monotonic()
            for at in range(0, len(items), SLICE):
                for item in items[at : at + SLICE]:
                    self._produce(producer, item)
                if day > CLOSED:  # the opening credits go at full speed
                    self._abort_now_and_then(items)
                    time.sleep(max(0.0, began + at / (self.load.rate * self.pace) - time.monotonic()))
            until = time.monotonic() + TRIES_S
            while producer.flush(1.0):
                if time.monotonic() > until:
                    raise PublishError(f"{len(producer)} records were not taken")
            self._close(day)
            self.day = day
            self.go.wait()

    def _produce(self, producer: Producer, item: Item) -> None:
        value = self.value_of(item)

        def delivered(problem: KafkaError | None, message: Message) -> None:
            if problem is not None:
                self.refused += 1
                return
            place = item.topic, item.partition
            self.sent[place][message.offset()] = crc32(value)
            self.last[place] = max(self.last[place], message.offset())
            if item.kind == POISON:
                self.poison.add((item.topic, item.partition, message.offset()))

        while True:
            try:
                producer.produce(self.settings.topic(item.topic), value, item.key, item.partition, delivered)
                break
            except BufferError:
                producer.poll(0.1)
        self.count += 1
        producer.poll(0)

    def _abort_now_and_then(self, items: list[Item]) -> None:
        """A source transaction that is withdrawn: what it holds must count never."""
        if self.rng.random() > SLICE / ABORT_EVERY:
            return
        source = Producer(
            {**producer_config(self.settings), "transactional.id": f"{self.settings.group}-source",
             "transaction.timeout.ms": 5000, "log_level": 0}
        )  # fmt: skip
        good = [item for item in items if item.kind == EVENT and item.topic == "transactions"]
        try:
            source.init_transactions(3)
            source.begin_transaction()
            for number, item in enumerate(self.rng.choices(good, k=WITHDRAWN)):
                record = decode_one(item.value, name="transactions")
                name = f"X{len(self.withdrawn)}-{number}"
                record |= {
                    "event_id": name, "journal_seq": 1_000_000 + len(self.withdrawn), "nature": "external",
                    "amount_minor": WITHDRAWN_FEN,
                }  # fmt: skip
                self.withdrawn.add(name)
                source.produce(
                    self.settings.topic(item.topic), encode("transactions", record), item.key, item.partition
                )
            source.flush(3)
            source.abort_transaction(3)
        except KafkaException:
            pass  # a broker is away: its coordinator ends the transaction after 5 s

    def _close(self, day: int) -> None:
        """Close a day; a closer that met a fault is replaced by a new one, which looks what there is."""
        until = time.monotonic() + TRIES_S
        while True:
            closer = None
            try:
                closer = self._closer()
                closer.close(day, own=True)
                return
            except (PublishError, KafkaException):
                self.closer = None
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)

    closer: Closer | None = None

    def _closer(self) -> Closer:
        if self.closer is None:
            self.closer = Closer(self.settings, self.encode)
        return self.closer
