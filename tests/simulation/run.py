"""One run of a seed: the bank is fed, workers work, faults strike; then peace, and everything is checked."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from random import Random
from typing import Any
from unittest import mock

from aiokafka import TopicPartition

from agents.engine import record_batches, recovery, table, unit
from agents.engine.job import Block, Outcome
from agents.engine.metrics import WorkerMetrics
from agents.engine.table import CRASHES_MAX
from agents.engine.unit import Conf
from agents.standing import job
from agents.standing.decide import outlooks, packs
from agents.standing.job import StandingJob
from agents.standing.model import StandingConf
from agents.standing.publish import standings, tier_changes
from policies import book
from schemas.codec.blocks import Reader
from schemas.codec.encoder import Writer
from schemas.registry import Registry
from schemas.topics import INPUTS
from tests.simulation import check
from tests.simulation.bank import PARTITIONS, Feeder, make_bank
from tests.simulation.broker import EMPTY, Cluster
from tests.simulation.clients import Consumer, Producer, World
from tests.simulation.faults import Faults
from tests.simulation.loop import PROCESS, SimLoop, SimulationError
from tests.simulation.network import Network
from tests.simulation.schemes import parsed, simulated
from tests.simulation.worker import Group, Worker

SECONDS_MAX = 900.0
SETTLE_S = 20.0  # for requests under way when the last worker is gone
CALM_S = 300.0  # for everything to be consumed once nothing goes wrong any more


@dataclass(frozen=True)
class SimSettings:
    """What the engine reads of the settings."""

    flush_interval_s: float
    kafka: str = "simulated"
    group: str = "g"
    partitions: int = PARTITIONS
    topic_prefix: str = ""

    def topic(self, name: str) -> str:
        """Topics have their own names."""
        return name


@dataclass
class Result:
    """What a run came to."""

    seed: int
    failures: list[str]
    events: int = 0
    commits: int = 0
    checks: int = 0
    steps: int = 0
    seconds: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    trace: list[str] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        """Equal for equal runs."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()[:16]


class Recorded(StandingJob):
    """The real job; it notes what it was fed and when it worked, live."""

    def __init__(self, number: int, conf: StandingConf) -> None:
        super().__init__(conf)
        self.number = number
        self.calls: list[tuple[str, int, int] | None] = []  # a block fed, or None: worked

    def feed(self, block: Block, stop: int | None = None) -> None:
        """Noted unless it is a replay."""
        if stop is None:
            self.calls.append((block.tp.topic, block.start, block.end))
        super().feed(block, stop)

    def work(self, live: bool) -> Outcome:
        """Noted unless it is a replay."""
        if live:
            self.calls.append(None)
        return super().work(live)


@cache
def metrics() -> WorkerMetrics:
    """Shared: making them takes as long as a small run."""
    return WorkerMetrics()


@cache
def reader(topic: str, registry: None) -> Reader:
    """Shared likewise: readers learn the contracts, and keep nothing of a run."""
    return Reader(topic, registry)


@cache
def _writer(contract: str, registry: Registry, arrays: tuple[tuple[str, int], ...]) -> Writer:
    return Writer(contract, registry, dict(arrays))


def writer(contract: str, registry: Registry, arrays: Mapping[str, int] | None = None) -> Writer:
    """Shared likewise."""
    return _writer(contract, registry, tuple((arrays or {}).items()))


class Simulation:
    """Everything of one run."""

    make_feeder = Feeder
    claims_once = True

    def __init__(self, seed: int, faults: bool = True, partitions: int = PARTITIONS) -> None:
        self.seed, self.random = seed, Random(seed)
        random, self.partitions = self.random, partitions
        self.failures: list[str] = []
        self.trace: list[str] = []
        self.loop = SimLoop(random, SECONDS_MAX)
        self.cluster, self.network = Cluster(self.loop), Network(self.loop)
        self.settings = SimSettings(random.choice((0.1, 0.5, 2.0, 8.0)), partitions=partitions)
        self.conf = Conf(
            self.settings, INPUTS, rows_max=random.choice((None, 1, 2)), compression=random.choice((None, "lz4")),
            metrics=metrics(),
        )  # fmt: skip
        names = {self.settings.topic(name): name for name in INPUTS} | {self.conf.changelog: self.conf.changelog}
        self.world = World(self.loop, self.cluster, self.network, names)
        self.fetch_bytes, self.handover_s = random.choice((200, 1000, 100_000)), random.choice((0.001, 0.01, 0.2))
        self.transaction_bytes, self.held_bytes = random.choice((500, 8 << 20)), random.choice((600, 8 << 20))
        self.feed_s = random.choice((10.0, 25.0, 60.0))
        self.bank = make_bank(random, partitions)
        self.standing = simulated(partitions, continuous=self.bank.continuous)
        self.feeder = self.make_feeder(random, self.cluster, self.settings.topic, partitions)
        self.group, self.workers = Group(self), list[Worker]()
        self.with_faults, self.faults = faults, Faults(self)
        self.restored: list[StandingJob] = []
        self.jobs = self.warnings = 0

    # -- what workers and faults call

    def make_job(self) -> Recorded:
        """A fresh job."""
        self.jobs += 1
        return Recorded(self.jobs, self.standing)

    def crashes(self) -> deque[float]:
        """As the table keeps them."""
        return deque(maxlen=CRASHES_MAX)

    def fail(self, text: str) -> None:
        """Something that must not happen has happened."""
        self.failures.append(f"at {self.loop.now:.3f} s: {text}")
        self.say(f"FAILURE {text}")

    def gave_up(self, worker: Worker, problem: Exception) -> None:
        """None of the faults is a reason to."""
        self.fail(f"{worker.name} gave up: {problem!r}")

    def say(self, text: str) -> None:
        """A line of the trace."""
        self.trace.append(f"{self.loop.now:10.4f} {text}")

    def alive(self) -> list[Worker]:
        """Workers that were not killed and did not stop."""
        return [worker for worker in self.workers if worker.process.alive]

    def start_worker(self) -> None:
        """A new process."""
        self.workers.append(Worker(self, f"w{len(self.workers)}"))
        self.say(f"start {self.workers[-1].name}")

    # -- the story

    async def main(self) -> None:
        """Feed and faults, then peace until everything is consumed."""
        for _ in range(self.random.choice((1, 1, 2, 3))):
            self.start_worker()
        feeding = self.loop.create_task(self.feeder.feed(self.bank, self.feed_s))
        helpers = [self.loop.create_task(self.supervise())]
        if self.with_faults:
            self.network.loss, self.network.slow = self.random.choice((0, 0, 0.02)), self.random.choice((0, 0, 0.05))
            helpers.append(self.loop.create_task(self.faults.run()))
        await feeding
        for helper in helpers[1:]:
            helper.cancel()
        self.faults.calm()
        await asyncio.wait_for(self.consumed(), CALM_S)
        helpers[0].cancel()
        for worker in self.alive():
            if self.random.random() < 0.5:
                await self.stopped(worker)
            worker.process.kill()
        await asyncio.sleep(SETTLE_S)
        for partition in range(self.partitions):
            self.restored.append(await self.restore(partition))

    async def stopped(self, worker: Worker) -> None:
        """A clean stop; returns as well when the process is killed in the middle of it."""
        stop = self.loop.spawn(worker.process, worker.stop())
        while not stop.done():
            await asyncio.sleep(0.01)
            if not worker.process.alive:
                return
        stop.result()

    async def supervise(self) -> None:
        """Starts a worker again when none is left, and some otherwise; lets the group look for the dead."""
        while True:
            await asyncio.sleep(0.5)
            self.group.sweep()
            alive = len(self.alive())
            if (alive == 0 and self.random.random() < 0.4) or (alive == 1 and self.random.random() < 0.01):
                self.start_worker()

    async def consumed(self) -> None:
        """Returns when every input has been consumed and committed to its end, and all markers are written."""
        tps = [TopicPartition(self.settings.topic(t), p) for t in INPUTS for p in range(self.partitions)]
        while True:
            await asyncio.sleep(0.25)
            logs, offsets = self.cluster.logs, self.cluster.offsets
            quiet = all(txn.state == EMPTY for txn in self.cluster.ids.values())
            if quiet and all(
                offsets.get((self.settings.group, tp), 0) == logs[tp].stable == logs[tp].end for tp in tps
            ):
                return

    async def restore(self, partition: int) -> StandingJob:
        """The state as the changelog has it, by the engine's own recovery beside the workers."""
        job, consumer = (
            StandingJob(self.standing),
            await recovery.open_consumer(self.settings, self.settings.group),
        )
        await recovery.restore(self.settings, job, partition, consumer, self.conf.changelog)
        return job


@contextmanager
def engine_in(sim: Simulation) -> Iterator[None]:
    """The engine with simulated clients and clock instead of aiokafka and `time`."""

    def swap(module: Any, name: str, value: Any) -> None:
        stack.enter_context(mock.patch.object(module, name, value))

    with ExitStack() as stack:
        swap(unit, "AIOKafkaProducer", partial(Producer, sim.world))
        swap(recovery, "AIOKafkaConsumer", partial(Consumer, sim.world))
        for module in (unit, recovery, table, record_batches):
            swap(module, "time", sim.loop)
        swap(unit, "TRANSACTION_BYTES_MAX", sim.transaction_bytes)
        swap(unit, "HELD_BYTES_MAX", sim.held_bytes)
        swap(recovery, "REPLAY_BYTES_MAX", sim.transaction_bytes)
        swap(unit, "log", _Log(sim))
        swap(job, "Reader", reader)
        for module in (packs, book):
            swap(module, "parse_pack", parsed)
        for module in (standings, tier_changes, outlooks):
            swap(module, "Writer", writer)
        yield


class _Log(logging.LoggerAdapter):  # type: ignore[type-arg]
    """The unit's log: its only warning, that the group's offsets are not the state's, must not come."""

    def __init__(self, sim: Simulation) -> None:
        super().__init__(logging.getLogger("simulation"), {})
        self.sim = sim

    def info(self, text: object, *args: object, **_: Any) -> None:
        """A recovery."""
        self.sim.network.count("recovery")
        self.sim.say(str(text) % args)

    def warning(self, text: object, *args: object, **_: Any) -> None:
        """A failure of the run, unless another unit has fenced this one meanwhile."""
        process, partition = PROCESS.get(), args[0]
        worker = next(worker for worker in self.sim.workers if worker.process is process)
        producer = worker.table.units[partition][0].producer
        if self.sim.cluster.ids[producer.id].epoch == producer.epoch:
            self.sim.fail(str(text) % args)


def simulate(seed: int, faults: bool = True, kind: Callable[[int, bool], Simulation] = Simulation) -> Result:
    """Run a seed; the same seed gives the same run."""
    sim = kind(seed, faults)
    result = Result(seed, sim.failures, trace=sim.trace)
    with engine_in(sim):
        try:
            sim.loop.drive(sim.main())
        except (SimulationError, TimeoutError) as problem:
            sim.fail(f"{problem!r}")
        except Exception as problem:  # a failure of the run, whatever it is
            sim.fail(f"{problem!r}")
        if not sim.failures:
            try:
                result.checks = check.everything(sim)
            except Exception as problem:  # what was committed makes no sense to the undisturbed job
                sim.fail(f"a check: {problem!r}")
    result.events, result.commits, result.steps = sim.feeder.told.records, len(sim.cluster.history), sim.loop.steps
    result.seconds = sim.loop.now
    result.faults = dict(sorted(sim.network.counts.items())) | {"rebalances done": sim.group.rebalances}
    sim.trace += [
        f"{c.at:.4f} {c.transactional_id} {c.epoch} {sorted(c.offsets.values())}" for c in sim.cluster.history
    ]
    return result
