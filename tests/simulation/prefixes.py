"""What a recovery would have found right after a committed transaction, at any point of a run that has ended.

A torn flush shows only to who recovers before the next one heals it. Instead of hoping that a kill strikes there, the
log is cut behind a transaction afterwards and the engine's own recovery reads that.
"""

from __future__ import annotations

from functools import cached_property
from random import Random
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition

from agents.engine import recovery
from agents.engine.changelog import COMMIT, FENCE
from agents.engine.job import TP, Block
from agents.engine.record_batches import HEADER
from agents.engine.transport import BatchHeader, take_block
from agents.standing.job import StandingJob
from tests.simulation.loop import SimLoop

if TYPE_CHECKING:
    from tests.simulation.run import Simulation

FENCES, OTHERS = 3, 1  # recoveries tried a partition


class Prefixes:
    """The changelog of a partition transaction by transaction, as it was before any compaction."""

    def __init__(self, sim: Simulation, partition: int) -> None:
        self.sim, self.partition = sim, partition
        self.changelog = TopicPartition(sim.conf.changelog, partition)
        self.ends: list[int] = []  # the first offset behind each transaction's rows
        self.fences: list[int] = []  # transactions that ended a flush
        self.whole: dict[TopicPartition, list[tuple[int, Any]]] = {}
        for record in sim.cluster.logs[self.changelog].records():
            if record.key == FENCE:
                self.fences.append(len(self.ends))
            elif record.key == COMMIT:
                self.ends.append(record.offset + 1)

    @cached_property
    def chosen(self) -> set[int]:
        """Some transactions, most of them such as end a flush."""
        random, every = Random(f"{self.sim.seed} {self.partition}"), range(len(self.ends))
        fences = random.sample(self.fences, min(FENCES, len(self.fences)))
        return {*fences, *random.sample(every, min(OTHERS, len(every)))}

    def restored(self, transaction: int) -> StandingJob:
        """The job that a recovery right behind a transaction would have made."""
        job, consumer, topic = (
            StandingJob(self.sim.standing),
            AsOf(self, self.ends[transaction]),
            self.changelog.topic,
        )
        restoring = recovery.restore(self.sim.settings, job, self.partition, consumer, topic)  # type: ignore[arg-type]
        SimLoop(Random(0), 1.0).drive(restoring)
        return job

    def batches(self, tp: TopicPartition) -> list[tuple[int, Any]]:
        """(last offset, batch) of everything committed, as the engine reads it; kept."""
        if tp not in self.whole:
            log = self.sim.cluster.logs[tp]
            raw, aborted = log.fetch(0, 1 << 40, True, written=True)
            block = take_block(TP(tp.topic, tp.partition), raw, 0, aborted)
            self.whole[tp] = [(last_of(batch), batch) for batch in (block.batches if block else ())]
        return self.whole[tp]


class AsOf:
    """What recovery asks of its consumer, answered at once; the changelog ends at `end`."""

    def __init__(self, prefixes: Prefixes, end: int) -> None:
        self.prefixes, self.end = prefixes, end
        self.logs, self.position = prefixes.sim.cluster.logs, 0

    async def beginning_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Nothing has been cut."""
        return dict.fromkeys(tps, 0)

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Inputs have their ends of today: more than what was committed then."""
        return {tp: self.end if tp == self.prefixes.changelog else self.logs[tp].stable for tp in tps}

    def assign(self, partitions: list[TopicPartition]) -> None:
        """By hand."""

    def seek(self, _: TopicPartition, offset: int) -> None:
        """Where the next block begins."""
        self.position = offset

    async def getmany(self, tp: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Block]]:
        """Everything from there on in one block."""
        end = self.end if tp == self.prefixes.changelog else self.logs[tp].stable
        found = [batch for last, batch in self.prefixes.batches(tp) if last >= self.position]
        block = Block(TP(*tp), self.position, end, found, sum(map(len, found)))
        self.position = end
        return {tp: [block]}


def last_of(batch: Any) -> int:
    """The last offset of a batch."""
    header = BatchHeader._make(HEADER.unpack_from(batch))
    return header.base_offset + header.last_offset_delta
