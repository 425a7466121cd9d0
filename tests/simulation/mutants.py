"""Broken engines, on purpose: each takes one guarantee away, and a simulation worth its name must notice.

A mutant patches the real engine while it is entered. What is noticed may be a difference, or a run that never ends.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from agents.engine import recovery, unit
from agents.engine.changelog import FENCE, Fence
from agents.engine.job import Block, Outcome
from agents.engine.record_batches import Packed
from agents.engine.unit import PartitionUnit
from agents.standing.decide.cases.outflow import OutflowCases
from agents.standing.decide.packs import Packs
from agents.standing.intake.facts import CustomerFacts
from agents.standing.intake.lanes import DecodedBlock, Lane
from agents.standing.intake.profiles import Profiles
from agents.standing.job import StandingJob
from schemas.codec.blocks import decode
from tests.simulation import run
from tests.simulation.clients import Consumer, Producer, World
from tests.simulation.run import Recorded, Result, simulate

_rows, _transact, _recover, _work = (
    PartitionUnit.changelog_rows, PartitionUnit.transact, PartitionUnit.recover, Recorded.work,
)  # fmt: skip
_open, _changelog, _take, _profiles = (
    recovery.open_consumer, recovery.load_changelog, StandingJob.take_dirty, Profiles.load,
)  # fmt: skip
_numbers = itertools.count()


def fence_at_the_end(self: PartitionUnit, positions: dict[str, int], flush: bool) -> Any:
    """A flush that spreads over transactions ends with a fence that claims later positions than its rows have."""
    fence, rows = _rows(self, positions, flush)
    if fence is not None:
        fence = Fence(fence.state_format, positions, self.job.fence())
        rows = [*rows[:-1], (FENCE, fence.encode())]
    return fence, rows


def fence_before_rows(self: PartitionUnit, positions: dict[str, int], flush: bool) -> Any:
    """The fence goes out with the first part of the rows."""
    begins = self.cycle is None
    fence, rows = _rows(self, positions, flush)
    if begins and fence is None and self.cycle is not None:
        rows = [*rows, (FENCE, self.cycle.encode())]
    return fence, rows


def no_fence(self: PartitionUnit, positions: dict[str, int], flush: bool) -> Any:
    """Offsets are committed, and rows, but never a fence."""
    fence, rows = _rows(self, positions, flush)
    return fence, [row for row in rows if isinstance(row, Packed) or row[0] != FENCE]


def rows_later(self: Recorded, live: bool) -> Outcome:
    """Order-sensitive rows lag one transaction behind."""
    outcome = _work(self, live)
    if live:
        outcome.rows, self.kept = getattr(self, "kept", []), outcome.rows  # type: ignore[attr-defined]
    return outcome


async def two_transactions(self: PartitionUnit, outputs: Sequence[Any], positions: dict[str, int]) -> None:
    """Outputs are committed first, offsets and state afterwards."""
    changelog = self.conf.changelog
    await self.producer.begin_transaction()
    for topic, pairs in outputs:
        if topic != changelog:
            await asyncio.gather(*await self.send(self.conf.settings.topic(topic), pairs))
    await self.producer.commit_transaction()
    await _transact(self, [(topic, pairs) for topic, pairs in outputs if topic == changelog], positions)


async def errors_ignored(self: PartitionUnit, outputs: Sequence[Any], positions: dict[str, int]) -> None:
    """A transaction that failed counts as done."""
    try:
        await _transact(self, outputs, positions)
    except KafkaError:
        self.producer.open, self.producer.transaction = False, self.producer.world.cluster.ended(self.producer.id)


async def written_again(self: PartitionUnit, outputs: Sequence[Any], positions: dict[str, int]) -> None:
    """A commit without an answer is taken for a failure, and everything is written once more."""
    try:
        await _transact(self, outputs, positions)
    except KafkaError:
        self.producer.open, self.producer.transaction = False, self.producer.world.cluster.ended(self.producer.id)
        await _transact(self, outputs, positions)


async def fences_last(self: PartitionUnit) -> Any:
    """The state is read before the predecessor is fenced."""
    start = self.producer.start
    self.producer.start = lambda: asyncio.sleep(0)
    found = await _recover(self)
    await start()
    return found


class FreshIds(Producer):
    """Every unit has a transactional id of its own: nobody is fenced."""

    def __init__(self, world: World, *, transactional_id: str, **conf: Any) -> None:
        partition = transactional_id.rsplit("-", 1)[1]
        super().__init__(world, transactional_id=f"{next(_numbers)}-{partition}", **conf)


def any_start(self: Lane, block: Block, stop: int | None) -> None:
    """Blocks are taken as they come, whatever is missing before them."""
    end = block.end if stop is None else min(block.end, stop)
    if end > self.fed:
        columns = decode(block.batches, self.reader, max(self.fed, block.start), end)
        self.chunks.append(DecodedBlock(columns, end, block.size))
        self.fed = end


def any_block(self: PartitionUnit, block: Block) -> None:
    """No look at what was expected."""
    if self.live and not self.paused and not self.dead:
        self.fifo.append(block)
        self.queued[block.tp.topic] += block.size
        self.expected[block.tp.topic] = block.end
        self.wake.set()


async def replay_nothing(consumer: Any, job: Any, ranges: Any) -> int:
    """What was committed behind the fence is not replayed, only skipped."""
    for tp, (_, stop) in ranges.items():
        job.lanes[tp.topic].fed = stop
    return 0


async def offsets_outside(self: PartitionUnit, outputs: Sequence[Any], positions: dict[str, int] | None) -> None:
    """The group's offsets go by a request of their own, before the transaction."""
    if positions is not None:
        world, group = self.producer.world, self.conf.settings.group
        offsets = {(group, self.topics[name]): offset for name, offset in positions.items()}
        await world.network.call("offsets", lambda: world.cluster.offsets.update(offsets))
    await _transact(self, outputs, None)


async def dirty_reads(settings: Any, group: str | None = None) -> Any:
    """Recovery reads up to the high watermark, whatever became of the transactions."""
    consumer = await _open(settings, group)
    consumer.committed_only = False
    return consumer


async def by_the_group(consumer: Any, job: Any, tp: TopicPartition, stable: int) -> Any:
    """What is committed is taken from the group's offsets, which lag."""
    loaded = await _changelog(consumer, job, tp, stable)
    if loaded.fence is not None and isinstance(consumer, Consumer):
        found = {name: await consumer.committed(TopicPartition(name, tp.partition)) for name in job.inputs}
        loaded.committed = {name: offset or loaded.fence.offsets[name] for name, offset in found.items()}
    return loaded


def marks_lost(self: Recorded, rows_max: int | None) -> tuple[list[Any], bool]:
    """What changes while a flush is being written counts as written with it."""
    rows, complete = _take(self, rows_max)
    if complete:
        self.ledger.encode(self.ledger.dirty_slots(None)[0])
    return rows, complete


def close_is_done(self: Recorded) -> dict[str, int]:
    """A close that waits for its cut counts as consumed."""
    return {topic: lane.position for topic, lane in self.lanes.items()}


def nothing_published(self: Profiles, rows: Any) -> None:
    """Which queue class was published is not restored."""
    _profiles(self, rows)
    self.ledger.store.customers["published"][: self.ledger.columns.customer_count] = -1


def no_cases(self: OutflowCases, rows: Any) -> None:
    """Cases are not restored: after a recovery what was told is told again."""


def no_facts(self: CustomerFacts, rows: Any) -> None:
    """What the bank's systems said of a customer is not restored."""


def no_packs(self: Packs, rows: Any) -> None:
    """A pack that was activated is not restored: the one before decides again."""


Patch = tuple[Any, str, Any]
MUTANTS: dict[str, Sequence[Patch]] = {
    "the fence claims later positions than its rows": [(PartitionUnit, "changelog_rows", fence_at_the_end)],
    "the fence is written before its rows": [(PartitionUnit, "changelog_rows", fence_before_rows)],
    "offsets without a fence": [(PartitionUnit, "changelog_rows", no_fence)],
    "order-sensitive rows one transaction later": [(Recorded, "work", rows_later)],
    "outputs and offsets in two transactions": [(PartitionUnit, "transact", two_transactions)],
    "a failed transaction counts as done": [(PartitionUnit, "transact", errors_ignored)],
    "an unanswered transaction is written again": [(PartitionUnit, "transact", written_again)],
    "state is read before the predecessor is fenced": [(PartitionUnit, "recover", fences_last)],
    "nobody is fenced": [(run, "Producer", FreshIds)],
    "gaps and overlaps are not looked at": [(PartitionUnit, "put", any_block), (Lane, "feed", any_start)],
    "nothing is replayed behind the fence": [(recovery, "_replay", replay_nothing)],
    "uncommitted events are read": [(World, "isolation", "read_uncommitted")],
    "the group's offsets go before the transaction": [(PartitionUnit, "transact", offsets_outside)],
    "recovery reads uncommitted rows": [(unit, "open_consumer", dirty_reads)],
    "recovery goes by the group's offsets": [(recovery, "load_changelog", by_the_group)],
    "a change during a flush is not marked": [(StandingJob, "take_dirty", marks_lost)],
    "a close that waits counts as consumed": [(Recorded, "positions", close_is_done)],
    "a close does not wait for its cut": [(Lane, "at_cut", lambda lane, cut, mark: True)],
    "the published queue class is not restored": [(Profiles, "load", nothing_published)],
    "cases are not restored": [(OutflowCases, "load", no_cases)],
    "facts are not restored": [(CustomerFacts, "load", no_facts)],
    "packs are not restored": [(Packs, "load", no_packs)],
}


@contextmanager
def broken(name: str) -> Iterator[None]:
    """The engine with a mutant in it."""
    patches = [mock.patch.object(*patch) for patch in MUTANTS[name]]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def caught(name: str, seeds: range, run: Callable[[int], Result] = simulate) -> Result | None:
    """The first run that notices the mutant."""
    with broken(name):
        for seed in seeds:
            if (result := run(seed)).failures:
                return result
    return None
