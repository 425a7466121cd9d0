"""A simulated worker process: the engine's unit table, fed as Faust feeds it, and the group that assigns partitions.

The table and its units are the real ones. What Faust and aiokafka do around them is played here: fetching with
backpressure, handing ranges over twice or not at all, heartbeats, revocation, joining, and what is late after it.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from agents.engine.hooks import FetchState
from agents.engine.job import Block
from agents.engine.metrics import Health
from agents.engine.table import UnitTable
from agents.engine.watch.movement import Movement
from tests.simulation.clients import fetch, no_quota
from tests.simulation.loop import Process

if TYPE_CHECKING:
    from tests.simulation.run import Simulation

SESSION_S, HEARTBEAT_S, JOIN_S = 6.0, 1.0, 6.0
BUSY_S = 0.15
LOOK_S = 1.0


@dataclass
class Member:
    """A member of the group as the coordinator sees it."""

    seen_at: float
    joining: Any = None  # its future while it waits for the others
    partitions: tuple[int, ...] = ()


class Group:
    """The group coordinator, with eager rebalances."""

    def __init__(self, sim: Simulation) -> None:
        self.sim, self.loop = sim, sim.loop
        self.members: dict[str, Member] = {}
        self.generation, self.stable = 0, True
        self.rebalances = 0
        self.began = 0  # rebalances begun, to tell deadlines apart
        self.deaf: dict[str, float] = {}  # who does not hear that it is out, and until when

    async def join(self, name: str) -> tuple[int, tuple[int, ...]]:
        """Waits for the others; gives the generation and the partitions assigned."""
        future = self.loop.create_future()
        self.loop.network(self.loop.random.uniform(0.001, 0.05), self._join, name, future)
        return await future

    def _join(self, name: str, future: Any) -> None:
        member = self.members.setdefault(name, Member(self.loop.now))
        member.seen_at, member.joining = self.loop.now, future
        self.rebalance()
        if all(m.joining is not None for m in self.members.values()):
            self.loop.network(self.loop.random.uniform(0.001, 0.2), self._complete, self.began)

    def rebalance(self) -> None:
        """Everybody has to join again; who doesn't in time is out."""
        if self.stable:
            self.stable, self.began = False, self.began + 1
            self.loop.network(JOIN_S, self._complete, self.began, True)

    def _complete(self, began: int, late: bool = False) -> None:
        if self.stable or began != self.began:
            return
        if late:
            self.members = {name: m for name, m in self.members.items() if m.joining is not None}
        elif any(m.joining is None for m in self.members.values()):
            return
        self.stable, self.generation, self.rebalances = True, self.generation + 1, self.rebalances + 1
        for name, partitions in self._assign().items():
            member = self.members[name]
            member.seen_at, member.partitions = self.loop.now, partitions
            if not member.joining.done():
                member.joining.set_result((self.generation, partitions))
            member.joining = None

    def _assign(self) -> dict[str, tuple[int, ...]]:
        """Mostly where they were, evenly otherwise."""
        names = sorted(self.members)
        if not names:
            return {}
        self.loop.random.shuffle(names)
        mine: dict[str, list[int]] = {name: [] for name in names}
        for partition in range(self.sim.partitions):
            kept = [n for n in names if partition in self.members[n].partitions]
            fair = min(names, key=lambda n: len(mine[n]))
            mine[kept[0] if kept and self.loop.random.random() < 0.6 else fair].append(partition)
        return {name: tuple(found) for name, found in mine.items()}

    def heartbeat(self, name: str, generation: int) -> bool:
        """False: join again."""
        if self.loop.now < self.deaf.get(name, 0.0):
            return True
        member = self.members.get(name)
        if member is None:
            return False
        member.seen_at = self.loop.now
        return self.stable and generation == self.generation

    def leave(self, name: str) -> None:
        """At once, not after the session's timeout."""
        if self.members.pop(name, None) is not None:
            self.rebalance()

    def sweep(self) -> None:
        """Called now and then: who was not heard of is out."""
        for name, member in list(self.members.items()):
            if member.joining is None and self.loop.now > member.seen_at + SESSION_S:
                self.leave(name)


class Table(UnitTable):
    """The real table without Faust's own bookkeeping."""

    def __init__(self, worker: Worker) -> None:
        self.units, self.generation, self.corrupt, self.stalled = {}, -1, (None, 0), {}
        self.movement, self.left = Movement(), {}
        self.crashes = worker.sim.crashes()
        self.app, self.log = worker, worker  # type: ignore[assignment]
        self.prepare(worker.sim.conf, worker.make_job, Health())


@dataclass
class Fetching:
    """Where the worker's consumer stands in a partition."""

    position: int
    waits: Any = None
    stable: int | None = None
    tasks: list[Any] = field(default_factory=list)


class Worker:
    """Stands for Faust's app, its consumer and its thread as the table sees them."""

    def __init__(self, sim: Simulation, name: str) -> None:
        self.sim, self.name, self.loop = sim, name, sim.loop
        self.process = Process(name)
        self.consumer = SimpleNamespace(_thread=self)
        self.table = Table(self)
        self.fetching: dict[TopicPartition, Fetching] = {}
        self.rejoin, self.stopping = False, False
        sim.loop.spawn(self.process, self._guarded(self._live()))

    async def _guarded(self, coro: Any) -> None:
        try:
            await coro
        except Exception as problem:
            self.sim.fail(f"{self.name}: {problem!r}")
            raise

    # -- what the table calls

    def make_job(self) -> Any:
        """The unit that is made of it comes next, and its producer."""
        self.process.made = self.sim.make_job()
        return self.process.made

    async def crash(self, problem: Exception) -> None:
        """The worker gives up."""
        self.sim.gave_up(self, problem)

    def warning(self, text: str, *args: Any) -> None:
        """A unit dropped its state."""
        self.sim.say(f"{self.name} " + text % args)
        self.sim.network.count("state dropped")

    def exception(self, text: str, *args: Any) -> None:
        """Nothing unexpected may happen."""
        self.sim.fail(f"{self.name} {text % args}: {sys.exc_info()[1]!r}")

    def error(self, text: str, *args: Any) -> None:
        """Why the worker gives up, as it will."""
        self.sim.say(f"{self.name} " + text % args)

    def request_rejoin(self) -> None:
        """At the next heartbeat."""
        self.rejoin = True

    def client(self) -> Any:
        """Of its consumer."""
        return no_quota()

    def seek_soon(self, tp: TopicPartition, offset: int) -> None:
        """From the consumer's thread, a moment later."""
        self.loop.call_later(self.loop.random.expovariate(1 / 0.002), self._seek, tp, offset)

    def _seek(self, tp: TopicPartition, offset: int) -> None:
        if (at := self.fetching.get(tp)) is not None:
            at.position = offset
            _tell(at.waits)

    def fetched_to(self, tp: TopicPartition) -> FetchState:
        """Position and last stable offset; this broker has no other watermark."""
        at = self.fetching.get(tp)
        return FetchState(at.position, at.stable, at.stable) if at else FetchState()

    # -- life

    async def _live(self) -> None:
        self.loop.create_task(self._look())
        while True:
            generation, mine = await self.sim.group.join(self.name)
            self.rejoin = False
            assigned = {TopicPartition(topic, p) for topic in self.sim.world.names for p in mine}
            assigned = {tp for tp in assigned if tp.topic in self.table.names}
            before = self.table.indices(self.fetching)
            self.sim.say(f"{self.name} has {list(mine)} in generation {generation}, had {sorted(before)}")
            await self.table.on_rebalance(
                assigned, set(self.fetching) - assigned, assigned - set(self.fetching), generation
            )
            if self.stopping:
                return
            tasks = await self._begin_fetching(sorted(assigned))
            while True:
                if self.rejoin or not await self._heartbeat(generation):
                    break
                await asyncio.sleep(HEARTBEAT_S)
            late = self.loop.random.random() < 0.5  # what was fetched may be handed over after the rebalance
            for task in tasks:
                if not late:
                    task.cancel()
            await self.table.on_revoked()
            if self.stopping:
                return
            for task in tasks:
                self.loop.call_later(self.loop.random.expovariate(1 / 0.05), task.cancel)

    async def _heartbeat(self, generation: int) -> bool:
        return await self.sim.network.call("heartbeat", lambda: self.sim.group.heartbeat(self.name, generation))

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self.table.look()

    async def stop(self) -> None:
        """SIGTERM: finish, flush, leave."""
        self.stopping = True
        await self.table.on_stop()
        self.sim.group.leave(self.name)
        self.process.kill()

    # -- fetching

    async def _begin_fetching(self, assigned: list[TopicPartition]) -> list[Any]:
        """From the group's offsets, as Kafka's clients do after every assignment."""
        group, cluster = self.sim.settings.group, self.sim.cluster
        found = await self.sim.network.call(
            "positions", lambda: {tp: cluster.offsets.get((group, tp)) for tp in assigned}
        )
        self.fetching = {}
        for tp in assigned:
            offset = found[tp]
            self.fetching[tp] = Fetching(self.sim.cluster.logs[tp].start if offset is None else offset)
        for unit, _ in self.table.units.values():  # Faust would have had them sought by now, or not yet
            if unit.live and not unit.paused and self.loop.random.random() < 0.5:
                for name, tp in unit.topics.items():
                    self._seek(tp, unit.expected[name])
        return [self.loop.create_task(self._guarded(self._fetch(tp, at))) for tp, at in self.fetching.items()]

    async def _fetch(self, tp: TopicPartition, at: Fetching) -> None:
        world, faults = self.sim.world, self.sim.faults
        while True:
            if self.table.busy(tp):
                await asyncio.sleep(BUSY_S)
                continue
            position = at.position
            try:
                block = await fetch(world, tp, position, self.sim.fetch_bytes, world.isolation == "read_committed")
            except OffsetOutOfRangeError:
                at.position = self.sim.cluster.logs[tp].start
                continue
            at.stable = self.sim.cluster.logs[tp].stable
            if position != at.position:
                continue  # sought meanwhile
            if block is None:
                if at.stable > position:  # it came while the answer was on its way, and nobody will tell again
                    continue
                at.waits = self.loop.create_future()
                self.sim.cluster.arrived.append(lambda waits=at.waits: _tell(waits))
                await at.waits
                continue
            at.position = block.end
            await asyncio.sleep(self.loop.random.expovariate(1 / self.sim.handover_s))
            for given in faults.handed_over(tp, block, at):
                self._put(given)

    def _put(self, block: Block) -> None:
        self.table.put(block)


def _tell(future: Any) -> None:
    if future is not None and not future.done():
        future.set_result(None)
