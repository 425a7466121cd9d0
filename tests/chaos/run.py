"""One chaos run: topics, a seeded feed with marks and poison, worker processes, faults, and the comparison at the end.

Kills only what it started, by pid. Nothing here knows how the engine works: it sees Kafka and processes.
"""

import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka import TopicPartition as TP
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.connections.clients import librdkafka
from tests.chaos import check
from tests.engine.counter_job import CUSTOMERS, CounterJob
from tests.engine.worker import EngineTestSettings

INPUTS = CounterJob.inputs
OUTPUTS = ("tiers", "dead", "closes")
REPO = Path(__file__).resolve().parents[2]


class Run:
    """A context: topics of its own on the way in; workers ended and topics gone on the way out."""

    def __init__(
        self, kafka: str, name: str, seed: int, partitions: int = 4, say: Callable[..., None] = print, **options: object
    ):
        self.rng, self.partitions, self.log = random.Random(seed), partitions, say
        self.settings = EngineTestSettings(kafka, f"{name}-{seed}-{int(time.time() * 1000) % 10**9}", partitions)
        self.options = options
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        self.logs = Path(tempfile.mkdtemp(prefix=f"tidegauge-{name}-"))
        self.started, self.fed, self.feeding = time.monotonic(), 0, None
        self.admin = AdminClient(librdkafka(kafka))
        self.probe = Consumer({**librdkafka(kafka), "group.id": self.settings.group, "enable.auto.commit": False})

    def __enter__(self) -> "Run":
        topics = [self.settings.topic(t) for t in (*INPUTS, *OUTPUTS)]
        for future in self.admin.create_topics([NewTopic(t, self.partitions, 1) for t in topics]).values():
            future.result(20)
        return self

    def __exit__(self, *error: object) -> None:
        for pid in list(self.workers):
            self.signal(pid, signal.SIGKILL)
        self.probe.close()
        if error == (None, None, None):
            shutil.rmtree(self.logs)
            names = [t for t in self.admin.list_topics(timeout=20).topics if t.startswith(f"{self.settings.group}-")]
            for future in self.admin.delete_topics(names).values():
                future.exception(20)

    def say(self, *text: object) -> None:
        """A line of the run's story."""
        self.log(f"{time.monotonic() - self.started:6.1f}s", *text)

    # -- workers

    def start(self, **options: object) -> int:
        """Start a worker; gives its pid."""
        path = self.logs / f"{len(list(self.logs.iterdir()))}.log"
        said = {
            "kafka": self.settings.kafka,
            "group": self.settings.group,
            "partitions": self.partitions,
            **self.options,
            **options,
        }
        with path.open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "tests.engine.worker", json.dumps(said)], cwd=REPO, stdout=log, stderr=log
            )
        self.workers[worker.pid] = worker
        return worker.pid

    def signal(self, pid: int, sig: signal.Signals) -> None:
        """Send a signal; waits for the end where it ends the worker."""
        self.workers[pid].send_signal(sig)
        if sig in (signal.SIGKILL, signal.SIGTERM):
            worker = self.workers.pop(pid)
            try:
                worker.wait(240)  # a machine that has other things to do
            except subprocess.TimeoutExpired:
                self.say("worker", pid, "did not end")
                worker.kill()
                worker.wait(10)

    # -- feed

    def feed(self, seconds: float, rate: int, codec: str = "none", poison: float = 0.001, aborts: bool = True) -> None:
        """Write events of both inputs in a thread, with a mark now and then, and aborted transactions."""
        self.feeding = threading.Thread(target=self._feed, args=(seconds, rate, codec, poison, aborts), daemon=True)
        self.feeding.start()

    def _feed(self, seconds: float, rate: int, codec: str, poison: float, aborts: bool) -> None:
        rng = random.Random(self.rng.random())
        conf = {"linger.ms": 5, "compression.type": codec}
        plain = Producer(
            {**librdkafka(self.settings.kafka), **conf, "enable.idempotence": True, "message.timeout.ms": 120000}
        )
        began, sent, marks = time.monotonic(), 0, 0
        topics = [self.settings.topic(t) for t in INPUTS]
        total = int(seconds * rate)
        while sent < total:
            for _ in range(max(1, rate // 50)):
                key, value = event(rng, poison)
                plain.produce(rng.choice(topics), value, key, rng.randrange(self.partitions))
                sent += 1
            plain.poll(0)
            if rng.random() < 0.02:
                marks += 1
                self._marks(plain, rng, topics, marks)
            if aborts and rng.random() < 0.02:
                self._abort(conf, rng, topics)
            time.sleep(max(0.0, began + sent / rate - time.monotonic()))
        plain.flush(120)
        self.fed = sent

    def _marks(self, plain: Producer, rng: random.Random, topics: list[str], number: int) -> None:
        """A mark in every input and partition, the inputs apart by some events."""
        for topic in rng.sample(topics, len(topics)):
            for partition in range(self.partitions):
                plain.produce(topic, b"M" + number.to_bytes(8, "big"), None, partition)
            for _ in range(rng.randrange(200)):
                key, value = event(rng, 0)
                plain.produce(rng.choice(topics), value, key, rng.randrange(self.partitions))

    def _abort(self, conf: dict[str, object], rng: random.Random, topics: list[str]) -> None:
        """A source transaction that is aborted, or committed: what it holds must count never, or once."""
        source = Producer(
            {**librdkafka(self.settings.kafka), **conf, "transactional.id": f"{self.settings.group}-source"}
        )
        try:
            source.init_transactions(10)
            source.begin_transaction()
            for _ in range(rng.randrange(1, 60)):
                key, value = event(rng, 0)
                source.produce(rng.choice(topics), value, key, rng.randrange(self.partitions))
            (source.commit_transaction if rng.random() < 0.5 else source.abort_transaction)(10)
        except KafkaException as problem:
            self.say("source transaction:", problem)

    # -- the end

    def ends(self) -> dict[str, list[int]]:
        """The last stable offsets of the inputs."""
        return {
            t: [self.probe.get_watermark_offsets(TP(self.settings.topic(t), p), 10)[1] for p in range(self.partitions)]
            for t in INPUTS
        }

    def offsets(self) -> dict[tuple[str, int], int]:
        """The committed offset of each input and partition; nothing while a pending transaction hides them."""
        places = [(t, p) for t in INPUTS for p in range(self.partitions)]
        try:
            found = self.probe.committed([TP(self.settings.topic(t), p) for t, p in places], 3)
        except KafkaException:
            return {}
        return {place: max(0, one.offset) for place, one in zip(places, found, strict=True)}

    def committed(self) -> int:
        """Sum of the committed offsets; -1 while a pending transaction hides them."""
        return sum(found.values()) if (found := self.offsets()) else -1

    def reached(self, want: dict[tuple[str, int], int]) -> bool:
        """Whether each place has got so far; what one has committed, control records too, says nothing of another."""
        found = self.offsets()
        return all(found.get(place, -1) >= end for place, end in want.items())

    def wait_committed(self, at_least: int, limit_s: float = 60) -> None:
        """Wait until so many offsets are committed."""
        until = time.monotonic() + limit_s
        while self.committed() < at_least:
            self.alive(until, f"{self.committed()} committed, {at_least} wanted")
            time.sleep(0.1)

    def alive(self, until: float, text: str) -> None:
        """Fail loudly when time is up or no worker is left."""
        if time.monotonic() > until or all(w.poll() is not None for w in self.workers.values()):
            raise AssertionError(f"{text}; workers {[w.poll() for w in self.workers.values()]}, logs in {self.logs}")

    def finish(self, limit_s: float = 90) -> None:
        """Wait until everything fed is consumed, end the workers, compare state and outputs with the reference."""
        assert self.feeding is not None
        self.feeding.join(limit_s)
        want, until = check.reachable(self), time.monotonic() + limit_s
        while not self.reached(want):
            self.alive(until, f"{self.offsets()} committed, {want} wanted")
            time.sleep(0.2)
        self.say(
            "fed",
            self.fed,
            "committed",
            self.committed(),
            "of",
            sum(want.values()),
            "alive",
            [w.poll() is None for w in self.workers.values()],
        )
        for pid in list(self.workers):
            self.signal(pid, signal.SIGTERM)
        check.compare(self)


def event(rng: random.Random, poison: float) -> tuple[bytes, bytes]:
    """Key and value of a random event, bad with the given probability."""
    key = min(int(rng.expovariate(1 / 150)), CUSTOMERS - 1).to_bytes(8, "big")
    if rng.random() < poison:
        return key, bytes(rng.randrange(256) for _ in range(rng.choice([0, 3, 17, 300])))
    return key, rng.randrange(-400, 500).to_bytes(8, "big", signed=True)
