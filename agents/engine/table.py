"""The Faust table: gives Faust its co-partitioned assignment, and turns assignments into partition units.

Faust keeps no rows here. A unit that fails drops its state and the worker asks to rejoin: without a new assignment its
producer must not be initialised again, for a zombie would fence the rightful owner.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import faust
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust import types as faust_types

from agents.engine import hooks
from agents.engine.job import TP, Block, FatalError, Job, Rejoin
from agents.engine.metrics import Health
from agents.engine.transport import CorruptBatch
from agents.engine.unit import TRANSACTION_S_MAX, Conf, PartitionUnit
from agents.engine.watch.exit_reasons import not_taken, unforeseen
from agents.engine.watch.movement import InputSeen, Movement
from agents.engine.watch.quiet import OWN_FAULT
from agents.engine.watch.quota import Quota
from schemas.registry import RegistryError

# Fenced, timed out, out of step, broker away: start again from what is committed.
GROUP_ERRORS = (KafkaError, Rejoin, asyncio.TimeoutError)
PAUSE_S_MAX = 5.0  # for open transactions to end before a rebalance
FINISH_S_MAX = 20.0  # for the last flush of a worker that is told to stop
REJOIN_S = 1.0  # unless a rebalance comes by itself
CRASHES_MAX, CRASHES_S = 3, 300.0  # unexpected exceptions in that time, then the worker gives up
CORRUPT_MAX = 5  # refused reads of one batch in a row


class UnitTable(faust.Table[Any, Any]):
    """Units by partition index; the app sets `conf`, `job_factory` and `health` before it starts."""

    unit_conf: Conf
    job_factory: Callable[[], Job]
    health: Health

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.units: dict[int, tuple[PartitionUnit, asyncio.Task[None]]] = {}
        self.generation = -1
        self.crashes: deque[float] = deque(maxlen=CRASHES_MAX)
        self.corrupt: tuple[tuple[TP, int] | None, int] = (None, 0)  # place and number of refusals in a row
        self.stalled: dict[TopicPartition, int] = {}  # partition -> expected offset at the last look
        self.movement = Movement()
        self.member = ""
        self.left: dict[int, bool] = {}  # partition -> whether all was flushed when the worker stopped

    def prepare(self, conf: Conf, job_factory: Callable[[], Job], health: Health) -> None:
        """Everything the table needs to know, once, before the app starts."""
        self.unit_conf, self.job_factory, self.health = conf, job_factory, health
        self.names = {conf.settings.topic(name): name for name in conf.inputs}
        health.ready, health.waiting = self.ready, self.waiting
        health.stuck = self.trouble
        self.quota = Quota(conf.metrics.throttled.inc)

    def trouble(self) -> str:
        """Why the worker is not ready although it lives; with a quota, where one may be the reason."""
        said = self.movement.trouble(time.monotonic())
        return "; ".join(filter(None, (self.quota.said(), said))) if said else ""

    # -- what the transport and the agents call

    def busy(self, tp: faust_types.TP) -> bool:
        """True while nothing more of this partition should be fetched."""
        if (name := self.names.get(tp.topic)) is None:
            return False
        unit = self.units.get(tp.partition)
        return unit is None or unit[0].busy(name)

    def put(self, block: Block) -> None:
        """Hand a block to its unit; without one the partition is gone or not yet here, and the block comes again."""
        if unit := self.units.get(block.tp.partition):
            unit[0].put(block)

    def on_corrupt(self, problem: CorruptBatch) -> None:
        """A batch was refused and will be fetched again; raises when that goes on: skipping it would lose events."""
        place = problem.tp, problem.offset
        self.corrupt = place, self.corrupt[1] + 1 if self.corrupt[0] == place else 1
        self.unit_conf.metrics.corrupt.labels(*problem.tp).inc()
        self.log.error("%s", problem)
        if self.corrupt[1] >= CORRUPT_MAX:
            fatal = FatalError(
                f"{problem}, {CORRUPT_MAX} times in a row: the record is damaged on the brokers' disk, or on the way here; "
                "look at the brokers' log and disks, and restore the topic if it is there"
            )
            self.health.failure, self.health.cause = str(fatal), fatal
            raise fatal from problem

    def ready(self) -> bool:
        """True once the worker has an assignment and every unit of it has recovered."""
        return self.generation >= 0 and all(unit.live and not unit.dead for unit, _ in list(self.units.values()))

    def waiting(self) -> str:
        """For what a partition waits that is outside Kafka; empty: for nothing."""
        return next((unit.waiting for unit, _ in list(self.units.values()) if unit.waiting), "")

    # -- what Faust calls

    async def on_revoked(self, *args: Any, **kwargs: Any) -> None:
        """Awaited before the group is joined again, with heartbeats still running."""
        running = [asyncio.ensure_future(unit.pause()) for unit, _ in self.units.values() if not unit.dead]
        if running:
            _, late = await asyncio.wait(running, timeout=PAUSE_S_MAX)
            if late:
                for partition in list(self.units):
                    await self.drop(partition)

    async def on_rebalance(
        self,
        assigned: set[faust_types.TP],
        revoked: set[faust_types.TP],
        newly_assigned: set[faust_types.TP],
        generation_id: int = 0,
    ) -> None:
        """Awaited before Faust's Recovery, without heartbeats meanwhile: so units recover in their own tasks."""
        mine = self.indices(assigned)
        for partition, (unit, _) in list(self.units.items()):
            # A generation went by without us: somebody else may have had the partition.
            if partition not in mine or unit.dead or generation_id != self.generation + 1:
                await self.drop(partition)
        self.generation = generation_id
        self.quota.listen(hooks.thread_of(self.app).client())
        for partition in sorted(mine - self.units.keys()):
            unit = PartitionUnit(self.unit_conf, partition, self.job_factory(), hooks.thread_of(self.app).seek_soon)
            self.quota.listen(unit.producer.client)
            self.units[partition] = unit, asyncio.ensure_future(self.guard(unit))
        for unit, _ in self.units.values():
            unit.resume()

    def indices(self, assigned: set[faust_types.TP]) -> set[int]:
        """The partition indices of an assignment; every input must be there for each."""
        topics: dict[int, set[str]] = {}
        for tp in assigned:
            if tp.topic in self.names:
                topics.setdefault(tp.partition, set()).add(tp.topic)
        for partition, have in topics.items():
            if missing := self.names.keys() - have:
                raise FatalError(
                    f"there is no partition {partition} of {', '.join(sorted(missing))}: deleted, or with fewer partitions than "
                    "the other inputs; `tidegauge topics --create` makes what is missing, `tidegauge doctor` names what differs"
                )
        return set(topics)

    async def guard(self, unit: PartitionUnit) -> None:
        """Run a unit; after a failure its state is dropped, and the partition starts again or the worker gives up."""
        try:
            await unit.run()
        except Exception as problem:  # noqa: BLE001 - `fatal` says it
            unit.dead = True
            unit.idle.set()
            self.unit_conf.metrics.dropped.labels(unit.partition, type(problem).__name__).inc()
            if (fatal := self.fatal(problem, unit.partition)) is not None:
                await self.give_up(fatal)
                return
            await asyncio.sleep(REJOIN_S)
            if self.units.get(unit.partition, (None,))[0] is unit:  # no rebalance came by itself
                hooks.thread_of(self.app).request_rejoin()

    def fatal(self, problem: Exception, partition: int) -> FatalError | None:
        """What the worker has to end for; None where the partition may start again. Says it in the log."""
        conf = self.unit_conf
        if isinstance(problem, KafkaError):
            problem = not_taken(problem, conf.settings.group, conf.state, int(TRANSACTION_S_MAX * 1000)) or problem
        if isinstance(problem, FatalError):
            return problem
        if isinstance(problem, (*GROUP_ERRORS, RegistryError)):
            late = isinstance(problem, asyncio.TimeoutError)
            said = f"a transaction did not end within {TRANSACTION_S_MAX:.0f} s" if late else repr(problem)
            said = "; ".join(filter(None, (said, self.quota.said())))
            self.log.warning("partition %d: %s; state dropped", partition, said)
            return None
        self.log.exception("partition %d: %s", partition, OWN_FAULT)  # noqa: LOG004 - it is being handled
        return unforeseen(problem, f"partition {partition}") if self.too_many() else None

    async def give_up(self, problem: FatalError) -> None:
        """Ends the worker, and its health says why."""
        if self.health.cause is not None:
            return
        self.health.failure, self.health.cause = str(problem), problem
        self.log.error("giving up: %s", problem)
        await self.app.crash(problem)

    def too_many(self) -> bool:
        """Count an unexpected failure; True when they no longer look like a passing trouble."""
        now = time.monotonic()
        full = len(self.crashes) == CRASHES_MAX and now - self.crashes[0] < CRASHES_S
        self.crashes.append(now)
        return full

    async def drop(self, partition: int) -> None:
        """Forget a unit with its state."""
        unit, task = self.units.pop(partition)
        self.movement.forget(partition)
        self.unit_conf.metrics.forget(unit.conf.inputs, partition)
        task.cancel()
        with suppress(asyncio.CancelledError, *GROUP_ERRORS):
            await task
        await unit.close()

    async def on_stop(self) -> None:
        """A clean end: finish open transactions, flush, leave."""
        self.health.stuck = lambda: "stopping"
        units = [unit for unit, _ in self.units.values()]
        written = await asyncio.gather(*(self.finished(unit) for unit in units))
        self.left = {unit.partition: good for unit, good in zip(units, written, strict=True)}
        for partition in list(self.units):
            await self.drop(partition)

    async def finished(self, unit: PartitionUnit) -> bool:
        """Let a unit end what it has begun. False: its successor replays what was not flushed."""
        with suppress(*GROUP_ERRORS):
            await asyncio.wait_for(unit.finish(), FINISH_S_MAX)
            return unit.live and not unit.dead and not unit.unwritten()
        return False

    def member_id(self) -> str:
        """By what the group knows this worker, as it was when it joined last."""
        if self.units:
            self.member = hooks.thread_of(self.app).member_id()
        return self.member

    def farewell(self) -> str:
        """How the partitions were left, in a line."""
        late = sorted(partition for partition, good in self.left.items() if not good)
        held = f"{len(self.left)} partitions" if self.left else "no partition"
        if not late:
            return f"stopped: {held} held, everything is committed and flushed, the group is left; it is safe to go on"
        named = ", ".join(map(str, late))
        return (
            f"stopped: {held} held, everything is committed, the group is left; not flushed in time: {named}; "
            "nothing is lost, a worker that takes it over begins a little later"
        )

    # -- once a second

    def look(self) -> None:
        """Update the gauges; fetch again where Faust passed a range over and nothing arrives that would show it."""
        self.health.beat()
        metrics, states = self.unit_conf.metrics, dict.fromkeys(("recovering", "live", "failed"), 0)
        now = time.monotonic()
        self.quota.look(now)
        for partition, (unit, _) in self.units.items():
            states["failed" if unit.dead else "live" if unit.live else "recovering"] += 1
            if not unit.live or unit.dead:
                continue
            fetched = {name: hooks.thread_of(self.app).fetched_to(tp) for name, tp in unit.topics.items()}
            seen = {
                name: InputSeen(unit.positions[name], unit.expected[name], at.high, at.stable, at.answered)
                for name, at in fetched.items()
            }
            self.movement.look(now, partition, seen, working=unit.working)
            if unit.paused:
                continue
            if unit.idle.is_set():  # else a thread may be at work on the job
                metrics.dirty.labels(partition).set(unit.job.dirty_count())
                metrics.show(partition, unit.job.days(), unit.job.source_days())
            for name, tp in unit.topics.items():
                metrics.held.labels(name, partition).set(unit.queued[name] + unit.held[name])
                expected, position = unit.expected[name], fetched[name].position
                if position is not None and position > expected and self.stalled.get(tp) == expected:
                    unit.seek_back(name)
                self.stalled[tp] = expected
        for state, number in states.items():
            metrics.units.labels(state).set(number)
        for topic, partition, report in self.movement.reports(now):
            metrics.move(topic, partition, report)
        metrics.waiting.set(sum(bool(unit.waiting) for unit, _ in self.units.values()))
