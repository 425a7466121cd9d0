"""A live system of a test's own: topics, worker processes that can be killed, commands, and what came out.

Kills only what it started, by pid. It sees Kafka and processes, and nothing of how the worker is made.
"""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from agents.engine.recovery import changelog_topic
from bench.measure.wire import in_environment
from deploy import admin, topics
from deploy.connections.caller import OPERATOR, act_as
from deploy.connections.clients import librdkafka
from deploy.settings import Settings
from schemas.codec.records import decode_one
from schemas.registry import registry_for
from schemas.topics import CLOSES, MARKED
from tests import kernels
from tests.chaos.check import read
from tests.cli.invocation import call
from tidegauge.bootstrap import STANDING
from tidegauge.cli import COMMANDS
from tidegauge.demo.processes import environment

REPO = Path(__file__).resolve().parents[2]
POLL_S = 0.05
WAIT_S = 240.0  # the machine may be busy, and the first worker on it compiles
PROGRAM = "tidegauge.cli.main"
LOOKUP_OPEN = {"TIDEGAUGE_LOOKUP_OPEN": "true"}
RECOVERY_S = 6.0  # about as long as a group needs to notice that a worker is gone


def listens(pid: int) -> bool:
    """Whether a process has a handler for SIGTERM: before it has one, while it starts, the signal is its end."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class Live:
    """A context: topics on the way in; on the way out, workers and commands that still run are killed.

    who: the settings with which a principal comes to the brokers, by its name; None: everybody comes alike.
    """

    def __init__(
        self, settings: Settings, metrics_port: int = 0, who: Callable[[str], dict[str, str]] | None = None
    ) -> None:
        self.settings, self.logs, self.metrics_port, self.who = settings, settings.data_dir, metrics_port, who
        self.logs.mkdir(parents=True, exist_ok=True)
        self.contracts = (settings.contracts,)  # of the workers, one after the other
        self.workers: list[subprocess.Popen[bytes]] = []
        self.others: list[subprocess.Popen[bytes]] = []
        self.kills = self._started = self._workers = 0
        self._probe = self.probe(settings.group)

    def __enter__(self) -> Live:
        topics.create(self.settings, None)
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self.workers, *self.others):
            if process.poll() is None:
                process.kill()
            process.wait(240)
        self._probe.close()

    def probe(self, group: str) -> Consumer:
        """What looks at a group's offsets; it joins nothing."""
        kafka = self.settings.kafka
        return Consumer({**librdkafka(kafka), "group.id": group, "enable.auto.commit": False, "log_level": 0})

    def follow(self, group: str) -> None:
        """Another group's workers are the ones that are started and looked at from now on."""
        self._probe.close()
        self.settings = self.settings.model_copy(update={"group": group})
        self._probe = self.probe(group)

    # -- processes

    def start(self, program: str = PROGRAM) -> None:
        """Start a worker. All of them get the port of metrics that was given, so one at a time where it is not 0."""
        kernels.wait()
        contracts, port = self.contracts[self._workers % len(self.contracts)], str(self.metrics_port)
        self._workers += 1
        self.workers.append(self._run("worker", "--metrics-port", port, program=program, contracts=contracts))

    def ready(self) -> int:
        """What the worker's /readyz answers; 0: nothing."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/readyz", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code
        except OSError:
            return 0

    def begin(self, *command: str, program: str = PROGRAM) -> subprocess.Popen[bytes]:
        """Start a command of `tidegauge` and let it run."""
        self.others.append(self._run(*command, program=program))
        return self.others[-1]

    def command(self, *command: str, code: int = 0) -> str:
        """Run a command of `tidegauge` in this process, a good one if no other code is named; what it said."""
        done = call(*command, env=self._environment(command[0], self.settings))
        act_as(OPERATOR)
        assert done.code == code, f"{command}: {done}\n{self.said()}"
        return done.out + done.err

    def kill(self, rng: random.Random) -> None:
        """kill -9 of one of the workers, and a new one at once."""
        worker = self.workers.pop(rng.randrange(len(self.workers)))
        worker.kill()
        worker.wait(240)
        self.kills += 1
        self.start()

    def stop(self, *which: int) -> None:
        """End the workers, or some of them, as an operator would, once they listen to the signal; each must end well."""
        ending = [self.workers[at] for at in which] or list(self.workers)
        self.wait(lambda: all(listens(worker.pid) for worker in ending), "workers that listen to SIGTERM")
        self.workers = [worker for worker in self.workers if worker not in ending]
        for worker in ending:
            worker.terminate()
        codes = [worker.wait(240) for worker in ending]
        assert set(codes) <= {0}, (codes, self.said())
        if not self.workers:
            log = changelog_topic(self.settings, STANDING)
            self.wait(lambda: self._ended(log), "the markers of the last transactions")

    def _ended(self, name: str) -> bool:
        """Whether a topic shows every transaction: a marker comes to it after the commit was answered."""
        client = admin.client(self.settings.kafka)
        parts = client.list_topics(timeout=10).topics.get(name)
        places = {TopicPartition(name, p): OffsetSpec.latest() for p in (parts.partitions if parts else ())}
        if not places:
            return True
        stable, all_ = (
            {place: answer.result(20).offset for place, answer in asked.items()}
            for asked in (
                client.list_offsets(places, isolation_level=level, request_timeout=10)
                for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
            )
        )
        return stable == all_

    def _run(self, *command: str, program: str = PROGRAM, contracts: int | None = None) -> subprocess.Popen[bytes]:
        settings = self.settings if contracts is None else self.settings.model_copy(update={"contracts": contracts})
        self._started += 1
        with self._log().open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", program, *command],
                cwd=REPO, env=self._environment(command[0], settings), stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def _environment(self, command: str, settings: Settings) -> dict[str, str]:
        """The variables of a command, with those by which it is its own principal."""
        own = self.who(COMMANDS[command].principal) if self.who else {}
        return environment(settings) | LOOKUP_OPEN | in_environment(own)

    def _log(self) -> Path:
        return self.logs / f"{self._started}.log"

    def said(self) -> str:
        """The ends of all logs, for a failure."""
        return "\n".join(f"{log.name}: {log.read_text()[-1500:]}" for log in sorted(self.logs.glob("*.log")))

    # -- progress

    def wait(self, reached: Callable[[], bool], what: str, limit_s: float = WAIT_S) -> None:
        """Wait for a condition; fails loudly when time is up or a worker has ended by itself."""
        until = time.monotonic() + limit_s
        while not reached():
            ended = [worker.poll() for worker in self.workers if worker.poll() is not None]
            assert not ended, f"a worker ended with {ended} while waiting for {what}\n{self.said()}"
            assert time.monotonic() < until, f"waited in vain for {what}: {self.committed()}\n{self.said()}"
            time.sleep(POLL_S)

    def committed(self, *names: str) -> int:
        """Sum of the committed offsets of inputs; -1 while a pending transaction hides them."""
        places = [self._place(name, p) for name in names or MARKED for p in range(self.settings.partitions)]
        try:
            return sum(max(0, place.offset) for place in self._probe.committed(places, 3))
        except KafkaException:
            return -1

    def wait_closed(self) -> None:
        """Wait until every close that is in the log has been worked off in every partition."""
        places, log = [self._place(CLOSES, p) for p in range(self.settings.partitions)], self.settings.topic(CLOSES)
        # Before the marker is there the ends are one too small, and a close that waits would seem worked off.
        self.wait(lambda: self._ended(log), "the marker of the last close")
        ends = [self._probe.get_watermark_offsets(place, 10)[1] for place in places]

        def reached() -> bool:
            # A close that waits is not committed; behind the last one stands only the marker of its transaction. Each
            # partition by itself: what one has committed, its marker too, says nothing of another.
            with suppress(KafkaException):
                done = self._probe.committed(places, 3)
                return all(place.offset >= end - 1 for place, end in zip(done, ends, strict=True))
            return False

        self.wait(reached, "the last close")

    def kill_on_the_way(self, rng: random.Random, times: int, total: int) -> None:
        """Kill a worker again and again at moments of chance, until `total` of committed offsets (about).

        Every other kill follows the one before it within seconds: it meets workers that are just recovering.
        """
        for number, share in enumerate(sorted(rng.uniform(0.02, 0.9) for _ in range(times))):
            if number % 2:
                time.sleep(rng.uniform(0, RECOVERY_S))
            else:
                self.wait(lambda least=int(share * total): self.committed() >= least, f"{share:.0%} of the log")
            self.kill(rng)

    def _place(self, name: str, partition: int) -> TopicPartition:
        return TopicPartition(self.settings.topic(name), partition)

    # -- what came out

    def outputs(self, topic: str) -> list[dict[str, Any]]:
        """Every committed record of an output topic."""
        parts = range(self.settings.partitions)
        found = [read(self.settings.kafka, self.settings.topic(topic), p) for p in parts]
        return [
            decode_one(value or b"", registry_for(self.settings), name=topic) for part in found for _, _, value in part
        ]

    def log_ends(self) -> list[int]:
        """High watermarks of every input: what has been written so far."""
        return [
            self._probe.get_watermark_offsets(self._place(name, p), 10)[1]
            for name in MARKED
            for p in range(self.settings.partitions)
        ]


def doubled(records: list[dict[str, Any]]) -> list[str]:
    """Event ids that are there more than once."""
    return [name for name, times in Counter(record["event_id"] for record in records).items() if times > 1]
