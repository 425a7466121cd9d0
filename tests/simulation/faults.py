"""What goes wrong in a run, and when: drawn from the seed, a mixture of its own for each.

A fault is armed at a random time and strikes at the next occasion: a kill at the next request of a kind (before it is
sent, on its way, or when the broker has done it), or in so many steps of the process, which is at any `await`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiokafka import TopicPartition

from agents.engine.job import Block
from tests.simulation.network import APPLIED, BEFORE, LATE, LOST, SENT

if TYPE_CHECKING:
    from tests.simulation.run import Simulation
    from tests.simulation.worker import Fetching, Worker

REQUESTS = ("init", "produce", "produce", "offsets", "end", "end", "end", "list", "fetch", "read offset")
WRITES = ("init", "produce", "offsets", "end", "end", "end")
COMPACTED = ("customers",)
STEPS = 300
LAGS = 4  # requests for offsets in a recovery


class Faults:
    """Runs beside the feed; `calm` ends everything that was armed."""

    def __init__(self, sim: Simulation) -> None:
        self.sim, self.random = sim, sim.random
        self.odd: list[str] = []  # how the next hand-overs go wrong
        kinds = list(self.kinds())
        self.chosen = self.random.sample(kinds, self.random.randint(4, len(kinds)))

    def kinds(self) -> dict[str, Callable[[], None]]:
        """Every kind of fault by name."""
        return {
            "kill at a request": self.kill_at_request, "kill at any step": self.kill_at_step, "freeze": self.freeze,
            "evict": self.evict, "rebalance": self.rebalance, "join": self.join, "stop": self.stop,
            "outage": self.outage, "give up": self.give_up, "hand over": self.hand_over, "compact": self.compact,
            "rebalance in recovery": self.rebalance_in_recovery, "overtake": self.overtake,
        }  # fmt: skip

    async def run(self) -> None:
        """Faults at random times until the feed is done."""
        kinds, gap = self.kinds(), self.random.uniform(0.3, 2.5)
        while not self.sim.feeder.told.done:
            await asyncio.sleep(self.random.expovariate(1 / gap))
            name = self.random.choice(self.chosen)
            kinds[name]()

    def calm(self) -> None:
        """From now on everything works."""
        network = self.sim.network
        self.sim.group.deaf.clear()
        network.kills, network.failures, network.lags, self.odd = [], [], [], []
        network.loss = network.slow = 0.0
        for worker in self.sim.alive():
            worker.process.frozen, worker.process.dies_at = False, -1

    def _worker(self) -> Worker | None:
        alive = [worker for worker in self.sim.alive() if not worker.process.frozen and not worker.stopping]
        return self.random.choice(alive) if alive else None

    def _count(self, what: str) -> None:
        self.sim.network.count(what)
        self.sim.say(what)

    # -- processes

    def kill_at_request(self) -> None:
        """kill -9 around a request."""
        if len(self.sim.network.kills) < 2:
            where = self.random.choice((BEFORE, SENT, APPLIED))
            self.sim.network.kills.append((None, self.random.choice(REQUESTS), where))

    def kill_at_step(self) -> None:
        """kill -9 between any two steps."""
        if (worker := self._worker()) is not None:
            worker.process.dies_at = worker.process.steps + self.random.randint(1, STEPS)
            self._count("kill at a step")

    def freeze(self) -> None:
        """SIGSTOP, and CONT later: within the session's timeout, or as a zombie."""
        if (worker := self._worker()) is not None:
            worker.process.frozen = True
            self._count("freeze")
            seconds = self.random.choice((0.5, 3.0, 9.0, 14.0, 40.0))
            self.sim.loop.network(seconds, setattr, worker.process, "frozen", False)

    def evict(self, what: str = "evict", seconds: tuple[float, ...] = (0.0, 2.0, 8.0)) -> bool:
        """The group thinks that a worker is dead; the worker does not, and goes on for a while."""
        if (worker := self._worker()) is None or not self.sim.group.stable:
            return False
        self._count(what)
        self.sim.group.deaf[worker.name] = self.sim.loop.now + self.random.choice(seconds)
        self.sim.group.leave(worker.name)
        return True

    def overtake(self) -> None:
        """The same, while the recovery of whoever follows takes seconds."""
        if self.evict("overtake", (8.0,)):
            self.sim.network.lags = [(None, "list", self.random.uniform(0.2, 1.5)) for _ in range(LAGS)]
            if len(self.sim.alive()) < 2:
                self.sim.start_worker()

    def rebalance(self) -> None:
        """For no reason."""
        self._count("rebalance")
        self.sim.group.rebalance()

    def rebalance_in_recovery(self) -> None:
        """As soon as a unit recovers."""

        def strike(tries: int) -> None:
            units = [unit for worker in self.sim.alive() for unit, _ in worker.table.units.values()]
            if any(not unit.live and not unit.dead for unit in units):
                self._count("rebalance in recovery")
                self.sim.group.rebalance()
            elif tries:
                self.sim.loop.network(0.02, strike, tries - 1)

        strike(200)

    def join(self) -> None:
        """One worker more."""
        if len(self.sim.alive()) < 3:
            self._count("join")
            self.sim.start_worker()

    def stop(self) -> None:
        """SIGTERM."""
        if (worker := self._worker()) is not None:
            self._count("stop")
            self.sim.loop.spawn(worker.process, worker.stop())

    # -- network and brokers

    def outage(self) -> None:
        """Nothing arrives for a while, sometimes for longer than a transaction may take."""
        self._count("outage")
        self.sim.network.down_until = self.sim.loop.now + self.random.choice((0.5, 3.0, 12.0, 33.0))

    def give_up(self) -> None:
        """A client gives up on a request that was lost, or took effect, or will."""
        if len(self.sim.network.failures) < 2:
            self.sim.network.failures.append(
                (None, self.random.choice(WRITES), self.random.choice((LOST, LATE, APPLIED)))
            )

    def hand_over(self) -> None:
        """A range twice, in part, or not at all."""
        self.odd += self.random.choices(("twice", "back", "skip"), k=self.random.randint(1, 3))

    def handed_over(self, tp: TopicPartition, block: Block, at: Fetching) -> list[Block]:
        """What the worker gets of a fetched block."""
        if not self.odd or not block.batches or self.random.random() < 0.7:
            return [block]
        how = self.odd.pop()
        self.sim.network.count(f"hand over {how}")
        if how == "back":
            at.position = max(self.sim.cluster.logs[tp].start, block.end - self.random.randint(1, 6))
        return {"twice": [block, block], "back": [block], "skip": []}[how]

    def compact(self) -> None:
        """Changelogs up to anywhere; compacted inputs up to what is committed."""
        sim = self.sim
        self._count("compact")
        for partition in range(sim.partitions):
            log = sim.cluster.logs[TopicPartition(sim.conf.changelog, partition)]
            log.compact(log.stable - self.random.choice((0, 0, 5, 50)))
            for topic in COMPACTED:
                tp = TopicPartition(sim.settings.topic(topic), partition)
                sim.cluster.logs[tp].compact(sim.cluster.offsets.get((sim.settings.group, tp), 0))
