"""One chaos run of the whole product: topics and workers of its own, a feed, faults, and the verdict at the end.

Sees Kafka and processes only, and kills only what it started, by pid.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from agents.engine.recovery import changelog_topic
from agents.offline.standings import all_standings
from bench.measure.wire import access, grant, in_environment
from bench.parts.full import states
from bench.world.data import CLOSED
from deploy import admin
from deploy.embedded.stack import Stack
from deploy.settings import Settings
from schemas.topics import INPUTS, MARK_KEY
from tests.chaos import expected, twin
from tests.chaos.check import read
from tests.chaos.feed import Feed
from tests.chaos.history import DIFFERENT, STOPPED, Findings, History, check
from tests.chaos.load import Load, Timetable
from tests.chaos.watch import Stops, Watcher
from tests.cli.invocation import call
from tests.integration.live import PROGRAM, REPO, Live, free_port
from tidegauge.bootstrap import STANDING
from tidegauge.cli import COMMANDS
from tidegauge.demo.processes import environment

DRAIN_S = 300.0
READY_S = 240.0
ANSWER_S = 5.0
GOOD = 200
SAFE = "held, everything is committed"  # whether it is flushed too depends on whether it was just recovering
LAG = "tidegauge_lag_offsets"
LOOKED_AT = set(
    "brokers,topics,identity,topic settings,copies,changelog,open transactions,waiting,records,closes,marks,deletions,state,"
    "handover".split(",")
)  # checks of `doctor` that a scenario's faults have to leave good


@dataclass
class Result:
    """A line of the table."""

    scenario: str
    seed: int
    faults: str = ""
    events: int = 0
    outputs: int = 0
    hidden: int = 0  # outputs of aborted transactions
    longest_s: float = 0.0
    limit_s: float = 0.0  # that longest_s must not pass; 0: none
    customers: int = 0
    seconds: float = 0.0
    findings: Findings = field(default_factory=Findings)
    notes: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def answered(port: int, path: str) -> tuple[int, str]:
    """Status and body of what a process of this machine serves; 0 where nothing answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


class Seat(NamedTuple):
    """Where a worker answers, and where it writes."""

    port: int
    log: Path

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; 0 where nothing answers."""
        return answered(self.port, path)

    def last_line(self) -> str:
        """The last one that it has said."""
        return next((line for line in reversed(self.log.read_text().splitlines()) if line.strip()), "")


class System(Live):
    """A context. `launch`, then faults while `feeding`, then `finish` gives the verdict."""

    def __init__(
        self, stack: Stack, name: str, seed: int, load: Load, say: Callable[[str], None] = print, **more: Any
    ) -> None:
        self.scenario, self.seed, self.load, self._say = name, seed, load, say
        unique = f"{name}{seed}x{int(time.time() * 1000) % 10**8}"
        folder = Path(tempfile.mkdtemp(prefix=f"tidegauge-{name}-"))
        own = {
            "bootstrap_servers": stack.bootstrap_servers, "topic_prefix": f"{unique}.", "group": unique, "data_dir": folder,
            **access(stack),
        }  # fmt: skip
        grant(stack, f"{unique}.", unique)
        self.stack = stack
        super().__init__(
            Settings(reference_key="a reference key for tests, 32 bytes long", partitions=load.partitions, **own | more)
        )
        self.rng, self.began = random.Random(f"{name} {seed}"), time.monotonic()
        self.timetable = Timetable(load)
        self.feed = Feed(self.settings, self.timetable)
        self.extra: dict[str, str] = {}  # environment of the next workers
        self.seats: dict[int, Seat] = {}  # by process, of every worker there was
        self.odd: list[str] = []  # what an operator saw that was wrong
        self.worker_kafka = stack.bootstrap_servers
        self.faults: dict[str, int] = {}
        self.admin = admin.client(self.settings.kafka)

    def __enter__(self) -> System:
        super().__enter__()
        self.watcher, self.stops = Watcher(self.settings), Stops(self.settings, self.feed)
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.workers:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)  # one that is stopped could not be ended well
        super().__exit__(*error)
        self.watcher.ended.set()
        self.stops.ended.set()
        if not error or error[0] is None:
            shutil.rmtree(self.logs, ignore_errors=True)
            prefix = self.settings.topic_prefix, changelog_topic(self.settings, STANDING)
            names = [t for t in self.admin.list_topics(timeout=20).topics if t.startswith(prefix)]
            for future in self.admin.delete_topics(names).values():
                future.exception(20)

    def say(self, text: str) -> None:
        """A line of the run's story."""
        self._say(f"{time.monotonic() - self.began:6.1f}s  {text}")

    def fault(self, kind: str, number: int = 1) -> None:
        """Count a fault."""
        self.faults[kind] = self.faults.get(kind, 0) + number
        self.say(f"{kind}; day {self.feed.day - CLOSED} of {self.load.days} closed, {self.stops.behind} behind")

    # -- processes

    def start(self, program: str = PROGRAM) -> None:
        """Start a worker that serves metrics, at a port of its own."""
        self.metrics_port = free_port()  # one that no worker that is starting has been given
        super().start(program)
        self.seats[self.workers[-1].pid] = Seat(self.metrics_port, self._log())

    def _run(self, *command: str, program: str = PROGRAM, contracts: int | None = None) -> subprocess.Popen[bytes]:
        self._started += 1
        own = {"bootstrap_servers": self.worker_kafka, "contracts": contracts or self.settings.contracts}
        settings = self.settings.model_copy(update=own)
        with self._log().open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", program, *command], cwd=REPO, stdout=log, stderr=subprocess.STDOUT,
                env=with_path(environment(settings) | self._as_who(command[0]), self.extra),
            )  # fmt: skip

    def _as_who(self, command: str) -> dict[str, str]:
        """The variables with which a command is its own principal, on a secured stack."""
        return in_environment(access(self.stack, COMMANDS[command].principal))

    def copies(self) -> dict[str, int]:
        """Least number of copies of each topic of the run, the changelog included."""
        prefix = self.settings.topic_prefix, changelog_topic(self.settings, STANDING)
        return {
            name: min(len(partition.replicas) for partition in topic.partitions.values())
            for name, topic in self.admin.list_topics(timeout=20).topics.items()
            if name.startswith(prefix)
        }

    def leave(self, worker: subprocess.Popen[bytes]) -> None:
        """End a worker as an operator would."""
        self.stop(self.workers.index(worker))

    # -- the course of a run

    def launch(self, workers: int = 1) -> None:
        """Start workers, send the opening credits, and wait until they are worked off."""
        self.watcher.start()
        for _ in range(workers):
            self.start()
        self.feed.start()
        self.stops.start()
        self.wait(lambda: self.feed.day >= CLOSED or self._feed_failed(), "the opening credits")
        self.wait(lambda: self.stops.behind == 0, "the opening credits' commit")
        self._keep_commits()
        self.stops.begin()
        self.feed.go.set()
        self.say(f"{workers} workers hold {self.load.customers} customers")

    def _keep_commits(self) -> None:
        """The changelog is not compacted during the run: the twin needs the positions of every transaction."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, changelog_topic(self.settings, STANDING))
        entry = ConfigEntry("min.compaction.lag.ms", str(86_400_000), incremental_operation=AlterConfigOpType.SET)
        resource.add_incremental_config(entry)
        for future in self.admin.incremental_alter_configs([resource]).values():
            future.result(20)

    def _feed_failed(self) -> bool:
        if self.feed.failed is not None:
            raise RuntimeError("the feed failed") from self.feed.failed
        return False

    @property
    def feeding(self) -> bool:
        """Whether events still flow."""
        return not self.feed.done and not self._feed_failed()

    @property
    def share(self) -> float:
        """Share of the days that is sent and closed."""
        return (self.feed.day - CLOSED) / self.load.days

    def pause(self, least_s: float, most_s: float) -> None:
        """Wait for a time of chance; ends early when all is sent."""
        until = time.monotonic() + self.rng.uniform(least_s, most_s)
        while time.monotonic() < until and self.feeding:
            time.sleep(0.05)

    def settle(self, least_s: float = 1.0) -> None:
        """Wait until every partition has been moving for a while."""
        calm = time.monotonic()
        while time.monotonic() - calm < least_s and self.feeding:
            if self.stops.standing() > 1.0:
                calm = time.monotonic()
            time.sleep(0.1)

    def finish(self, limit_s: float = 0.0) -> Result:
        """Wait until all is worked off, end the workers, and look at everything. `limit_s`: how long stops may be."""
        self.wait(lambda: not self.feeding, "the feed", 400)
        self.wait(lambda: self.stops.behind == 0, "the rest", DRAIN_S)
        self.wait_closed()
        longest = self.stops.end()
        self.look()
        self.stop()
        seen = self.watcher.end()
        self.say(f"{self.feed.count} records sent, longest stop {longest:.1f} s; now everything is checked")
        result = self.judge(seen)
        result.longest_s, result.limit_s = longest, limit_s
        for text in self.odd:
            result.findings.note(DIFFERENT, text)
        if limit_s and longest > limit_s:
            result.findings.note(STOPPED, f"a partition stood still for {longest:.1f} s, {limit_s:.0f} s are allowed")
        result.seconds = time.monotonic() - self.began
        return result

    def stop(self, *which: int) -> None:
        """End the workers, or some of them, as an operator would; each says that nothing is lost."""
        ending = [self.workers[at] for at in which] or list(self.workers)
        super().stop(*which)
        for worker in ending:
            line = self.seats[worker.pid].last_line()
            if SAFE not in line:
                self.odd.append(f"a worker that was told to stop ended with: {line}")

    def look(self) -> None:
        """What the operator sees once all is worked off: workers are ready, nothing waits, and `doctor` finds nothing wrong."""
        for worker in self.workers:
            seat, until = self.seats[worker.pid], time.monotonic() + READY_S
            while (found := seat.get("/readyz"))[0] != GOOD and time.monotonic() < until:
                time.sleep(0.2)
            if found[0] != GOOD:
                self.odd.append(f"readyz, all being worked off: {found}")
            elif LAG not in seat.get("/metrics")[1]:
                self.odd.append(f"no {LAG} among the metrics")
        done = call(
            "doctor", "--json", env={**environment(self.settings), **self._as_who("doctor"), "TIDEGAUGE_LANG": "en"}
        )
        wrong = [one for one in json.loads(done.out) if one["grade"] == "wrong" and one["name"] in LOOKED_AT]
        self.odd += [f"doctor: {one['name']}: {one['found']}" for one in wrong]

    def wait_closed(self) -> None:
        """Wait until the last close is worked off in every partition, as their own changelogs say."""
        want = {p: self._last_close(p) for p in range(self.load.partitions)}
        topic = "business-days"

        def reached() -> bool:
            places = [TopicPartition(self.settings.topic(topic), p) for p in want]
            return all(place.offset > want[place.partition] for place in self._probe.committed(places, 3))

        self.wait(reached, "the last close", DRAIN_S)

    def _last_close(self, partition: int) -> int:
        return max(
            offset for offset, _, _ in read(self.settings.kafka, self.settings.topic("business-days"), partition)
        )

    # -- the verdict

    def judge(self, seen: list[Any]) -> Result:
        """The history, checked; and every customer against the oracle."""
        settings, history = self.settings, History()
        history.sent = {place: dict(sent) for place, sent in self.feed.sent.items()}
        history.poison, history.withdrawn, history.live = self.feed.poison, self.feed.withdrawn, seen
        for partition in range(self.load.partitions):
            logs, done = twin.inputs(settings, partition), twin.commits(settings, partition)
            for topic, records in logs.items():
                history.log[topic, partition] = {o: crc32(v or b"") for o, _, v in records}
                real = [o for o, key, _ in records if key != MARK_KEY]
                history.ends[topic, partition] = max(real, default=-1) + 1
            wanted, odd = twin.replayed(settings, partition, logs, done)
            history.wanted += wanted
            history.oddities += odd
            history.changelog[partition] = done[-1]
            history.group[partition] = self._group(partition)
        changes = set()
        for topic in twin.OUTPUTS:
            history.committed += twin.published(settings, topic, "read_committed")
            history.uncommitted += twin.published(settings, topic, "read_uncommitted")
        for record in self.outputs("tier-changes"):
            changes.add((record["customer_id"], record["from_tier"], record["to_tier"], record["effective_date"]))
        jobs = states(settings)
        rows = all_standings(jobs, self.load.last)
        history.customers, compared = expected.judge(self.timetable, rows, changes)
        faults = ", ".join(f"{number} {kind}" for kind, number in self.faults.items())
        return Result(
            self.scenario, self.seed, faults, self.feed.count, len(history.committed), history.hidden,
            customers=compared, findings=check(history),
        )  # fmt: skip

    def _group(self, partition: int) -> dict[str, int]:
        places = [TopicPartition(self.settings.topic(topic), partition) for topic in INPUTS]
        found = self._probe.committed(places, 10)
        return {topic: max(0, place.offset) for topic, place in zip(INPUTS, found, strict=True)}


def with_path(env: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """An environment with more in it; a PYTHONPATH is put before the one that is there."""
    out = {**env, **extra}
    if "PYTHONPATH" in extra:
        out["PYTHONPATH"] = os.pathsep.join(x for x in (extra["PYTHONPATH"], env.get("PYTHONPATH", "")) if x)
    return out
