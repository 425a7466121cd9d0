"""A bank of any size on topics of its own: workers over it, loads and closes timed, its state compared with sums."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import psutil
from confluent_kafka import KafkaException

from agents.engine.recovery import changelog_topic
from bench.measure.arena import Arena
from bench.measure.timing import Probe, Process
from bench.parts.full import CLOSE_OFFSETS, TOPIC, held, states
from bench.world.data import CUSTOMER_WIDTH, Chunk, World
from bench.world.load import load
from bench.world.sums import COMPARED, standings_by_numpy
from connectors.loading.closer import Closer
from deploy.embedded import processes
from schemas.codec.records import encode
from streams.accounts.store import REF_BITS
from streams.vocabulary.metrics import COLUMNS
from tidegauge.bootstrap import STANDING

Array = Any
POLL_S = 0.02
WORKER = ("-m", "tidegauge.cli.main", "worker")
WAIT_S_MAX, LEADER_S_MAX = 400.0, 30.0


class Moves(NamedTuple):
    """What a chunk moves: all that the sums need of it."""

    account: Array
    amount: Array
    value_day: Array


class Load(NamedTuple):
    """A load as worked off: seconds from its commit to the workers' commit of its last event, and their CPU."""

    events: int
    seconds: float
    cpu_s: float
    rss: int  # of all workers together, at the end

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU microseconds an event."""
        return 1e6 * self.cpu_s / self.events


class Bank:
    """A world's topics, group and workers. `with` ends what it started."""

    def __init__(self, arena: Arena, world: World, name: str = "bank") -> None:
        self.arena, self.world = arena, world
        self.settings = arena.settings(name, partitions=world.partitions)
        arena.topics(self.settings)
        self.workers: list[tuple[Process, int]] = []  # process, port of its metrics
        self.moves: list[Moves] = []
        self.probe = Probe(self.settings, TOPIC)

    def __enter__(self) -> Bank:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.probe.close()

    # -- workers

    def start(self, workers: int = 1) -> float:
        """Starts workers and waits until all are live and all have partitions; seconds."""
        began, first = time.monotonic(), processes.free_row(workers)
        for port in range(first, first + workers):
            settings = self.settings.model_copy(update={"metrics_port": port})
            self.workers.append((self.arena.start(WORKER, settings), settings.metrics_port))
        self.wait("workers live", self.live)
        return time.monotonic() - began

    def live(self) -> bool:
        """Whether every worker has partitions, all of them live, and no partition is without a worker."""
        found = [scrape(port) for _, port in self.workers]
        live = [f.get('tidegauge_partitions{state="live"}', 0) for f in found]
        busy = [f.get('tidegauge_partitions{state="recovering"}', 0) for f in found]
        return all(live) and not any(busy) and sum(live) == self.settings.partitions

    def stop(self) -> None:
        """Ends the workers as an operator would."""
        for process, _ in self.workers:
            self.arena.stop(process)
        self.workers = []

    def wait(self, what: str, done: Callable[[], bool]) -> None:
        """Waits for a condition; RuntimeError if a worker dies or it takes too long."""
        deadline = time.monotonic() + WAIT_S_MAX
        while not done():
            for process, _ in self.workers:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{what}: not reached\n{self.arena.said(process)}")
            time.sleep(POLL_S)

    def cpu_s(self) -> float:
        """CPU seconds of all workers so far."""
        times = [psutil.Process(process.pid).cpu_times() for process, _ in self.workers]
        return float(sum(t.user + t.system for t in times))

    def rss(self) -> int:
        """Bytes of all workers."""
        return int(sum(psutil.Process(process.pid).memory_info().rss for process, _ in self.workers))

    def metric(self, name: str) -> float:
        """Sum of a metric's samples over labels and workers."""
        return sum(
            value
            for _, port in self.workers
            for key, value in scrape(port).items()
            if key.partition("{")[0] == f"tidegauge_{name}"
        )

    def slowest(self, name: str) -> float:
        """The largest sample of a metric."""
        found = (scrape(port) for _, port in self.workers)
        return max(v for samples in found for key, v in samples.items() if key.partition("{")[0] == f"tidegauge_{name}")

    # -- what happens to it

    def load(self, chunks: Iterable[Chunk], topic: str = TOPIC, ready: Callable[[], Any] = lambda: None) -> Load:
        """Loads chunks, and has the workers (started by `ready`, or before) take them."""
        probe = self.probe if topic == TOPIC else Probe(self.settings, topic)
        before, cpu = ends(probe), [0.0]

        def last() -> None:
            ready()
            cpu[0] = self.cpu_s()

        held = len(self.moves)
        began = load(self.settings, topic, self._noted(chunks), last)
        events = sum(len(move.account) for move in self.moves[held:])
        self.wait("load taken", lambda: probe.committed() >= before + events)
        seconds = time.monotonic() - began
        found = Load(events, seconds, self.cpu_s() - cpu[0], self.rss())
        if probe is not self.probe:
            probe.close()
        return found

    def _noted(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            self.noted(chunk)
            yield chunk

    def noted(self, chunk: Chunk) -> None:
        """Remembers what a chunk moves, for the sums."""
        self.moves.append(Moves(chunk.account, chunk.amount, chunk.value_day))

    def close(self, day: int) -> dict[str, float]:
        """Closes a day: seconds from its record to its commit, and of them in work() and in transactions.

        The days since the last close are closed before it, and don't count.
        """
        names = ("work_seconds_sum", "transaction_seconds_sum")
        closer = Closer(self.settings, encode)
        if closer.last is not None and closer.last < day - 1:
            self._closed(closer, day - 1)
        before, began = {name: self.metric(name) for name in names}, time.monotonic()
        self._closed(closer, day)
        took = {"all": time.monotonic() - began}
        closer.shut()
        return took | {name.split("_")[0]: self.metric(name) - before[name] for name in names}

    def _closed(self, closer: Closer, day: int) -> None:
        target = ends(self.probe) + CLOSE_OFFSETS * self.settings.partitions
        closer.close(day, reason="a measurement")
        self.wait("close", lambda: self.probe.committed() >= target)

    # -- what came of it

    def changelog_bytes(self) -> int:
        """Bytes of the changelog on the broker's disk."""
        return self.arena.disk_bytes(changelog_topic(self.settings, STANDING))

    def states(self) -> list[Any]:
        """Every partition's state as of its last commit."""
        return states(self.settings)

    def check(self, jobs: list[Any], as_of: int) -> int:
        """Compares every customer's figures with plain sums; how many customers. AssertionError on a difference."""
        want = standings_by_numpy(self.world, self.moves, as_of)
        seen = np.zeros(self.world.customers, np.int64)
        for job in jobs:
            slots = np.arange(job.ledger.columns.customer_count)
            mine, numbers = job.ledger.metrics(job.decider.scope, as_of, slots).rounded(), customers_of(job)
            np.add.at(seen, numbers, 1)
            for metric in COMPARED:
                different = np.flatnonzero(mine[:, metric] != want[COLUMNS[metric]][numbers])
                assert not len(different), f"{COLUMNS[metric]}: {len(different)} customers differ, e.g. {different[0]}"
        assert (seen == 1).all(), f"{int((seen != 1).sum())} customers are not in exactly one partition"
        return len(seen)

    def state_bytes(self, jobs: list[Any]) -> float:
        """Bytes of state in use, a customer."""
        return held(jobs) / self.world.customers


def customers_of(job: Any) -> Array:
    """int64[n]: the number in the id of each slot's customer, as bench.world.data writes it."""
    ids, n = job.ledger.store.customer_ids, job.ledger.columns.customer_count
    width = CUSTOMER_WIDTH - 1
    places = (ids.ref[:n] >> REF_BITS)[:, None] + np.arange(1, width + 1)
    return (ids.arena[places].astype(np.int64) - 48) @ 10 ** np.arange(width - 1, -1, -1)


def scrape(port: int) -> dict[str, float]:
    """Every sample of a worker's metrics; none while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return {}
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def ends(probe: Probe) -> int:
    """Sum of the ends; a topic that was made just now may not have its leaders yet."""
    deadline = time.monotonic() + LEADER_S_MAX
    while True:
        try:
            return probe.ends()
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
