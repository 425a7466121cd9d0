"""The simulated cluster: partitions, transaction coordinator, committed offsets. Every call is one step of a broker.

After EndTxn has been answered the markers reach the partitions one by one, some time later, as in Kafka; whoever asks
for the same transactional id meanwhile has to wait, and whoever has an old epoch is fenced.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import ConcurrentTransactions, InvalidTxnState, OffsetOutOfRangeError, ProducerFenced

from tests.simulation.log import PartitionLog
from tests.simulation.loop import SimLoop

EMPTY, OPEN, ENDING = "empty", "open", "ending"
MARKER_S = 0.02  # mean delay of a marker


@dataclass
class Transactional:
    """What the coordinator knows of a transactional id."""

    producer: int
    epoch: int = -1
    state: str = EMPTY
    commit: bool = False  # how it ends
    began_at: float = 0.0
    timeout_s: float = 60.0
    partitions: dict[TopicPartition, None] = field(default_factory=dict)
    offsets: dict[tuple[str, TopicPartition], int] = field(default_factory=dict)
    markers: int = 0  # still to be written
    ended: int = 0  # transactions so far


@dataclass(frozen=True)
class Committed:
    """A committed transaction of a unit, in the order of commits."""

    at: float
    transactional_id: str
    epoch: int
    offsets: Mapping[TopicPartition, int]
    note: Any  # the client's, carried with the request


class Cluster:
    """Topics are made when first named."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.logs: dict[TopicPartition, PartitionLog] = defaultdict(PartitionLog)
        self.offsets: dict[tuple[str, TopicPartition], int] = {}
        self.ids: dict[str, Transactional] = {}
        self.history: list[Committed] = []
        self.aborts = 0
        self.arrived: list[Callable[[], None]] = []  # told when something becomes readable

    # -- transactions

    def init_producer(self, name: str, timeout_s: float) -> tuple[int, int]:
        """(producer id, epoch). Fences whoever had the id, and ends what it left open; ConcurrentTransactions: again."""
        txn = self.ids.setdefault(name, Transactional(len(self.ids)))
        if txn.state == OPEN:
            txn.epoch += 1  # the old one is fenced from now on
            self._end(txn, commit=False)
        if txn.state == ENDING:
            raise ConcurrentTransactions
        txn.epoch, txn.timeout_s = txn.epoch + 1, timeout_s
        return txn.producer, txn.epoch

    def _current(self, name: str, epoch: int) -> Transactional:
        txn = self.ids[name]
        if epoch != txn.epoch:
            raise ProducerFenced
        return txn

    def _opened(self, name: str, epoch: int) -> Transactional:
        txn = self._current(name, epoch)
        if txn.state == ENDING:
            raise ConcurrentTransactions
        if txn.state == EMPTY:
            txn.state, txn.began_at = OPEN, self.loop.now
            self.loop.network(txn.timeout_s, self._expire, txn, txn.ended)
        return txn

    def produce(self, name: str, epoch: int, transaction: int, tp: TopicPartition, raw: bytes) -> None:
        """Adds the partition to the transaction and the batch to the partition. A late one of an ended one is refused."""
        txn = self._current(name, epoch)
        if txn.ended > transaction:
            raise InvalidTxnState
        txn = self._opened(name, epoch)
        txn.partitions[tp] = None
        self.logs[tp].append(raw, txn.producer)

    def add_offsets(
        self, name: str, epoch: int, transaction: int, group: str, offsets: Mapping[TopicPartition, int]
    ) -> None:
        """TxnOffsetCommit: pending until the transaction commits."""
        txn = self._current(name, epoch)
        if txn.ended > transaction:
            raise InvalidTxnState
        txn = self._opened(name, epoch)
        txn.offsets.update({(group, tp): offset for tp, offset in offsets.items()})

    def end(self, name: str, epoch: int, transaction: int, commit: bool, note: Any = None) -> None:
        """EndTxn; asked again about the same transaction it gives the same answer."""
        txn = self._current(name, epoch)
        if txn.ended > transaction:
            if txn.commit != commit:
                raise InvalidTxnState
            return
        if txn.state == OPEN:
            if commit:
                offsets = {tp: offset for (_, tp), offset in txn.offsets.items()}
                self.history.append(Committed(self.loop.now, name, epoch, offsets, note))
            self._end(txn, commit)

    def ended(self, name: str) -> int:
        """How many transactions the id has ended."""
        return self.ids[name].ended

    def _expire(self, txn: Transactional, ended: int) -> None:
        if txn.state == OPEN and txn.ended == ended:
            txn.epoch += 1
            self._end(txn, commit=False)

    def _end(self, txn: Transactional, commit: bool) -> None:
        """Decided; from here on markers and offsets become visible one by one."""
        txn.state, txn.commit, txn.ended = ENDING, commit, txn.ended + 1
        self.aborts += not commit
        steps: list[Callable[[], None]] = [
            lambda tp=tp: self.logs[tp].mark(txn.producer, txn.epoch, commit) for tp in txn.partitions
        ]
        if commit and txn.offsets:  # one marker in the partition that holds the group's offsets
            steps.append(lambda offsets=txn.offsets: self.offsets.update(offsets))
        txn.partitions, txn.offsets, txn.markers = {}, {}, len(steps)

        def done(step: Callable[[], None]) -> None:
            step()
            txn.markers -= 1
            if not txn.markers:
                txn.state = EMPTY
            self.wake()

        for step in steps:
            self.loop.network(self.loop.random.expovariate(1 / MARKER_S), done, step)
        if not steps:
            txn.state = EMPTY

    # -- reading

    def append(self, tp: TopicPartition, raw: bytes) -> int:
        """A batch outside of any transaction."""
        base = self.logs[tp].append(raw)
        self.wake()
        return base

    def fetch(
        self, tp: TopicPartition, offset: int, bytes_max: int, committed: bool
    ) -> tuple[bytes, list[tuple[int, int]]]:
        """See PartitionLog.fetch; OffsetOutOfRangeError outside of what the log holds."""
        log = self.logs[tp]
        if not log.start <= offset <= log.end:
            raise OffsetOutOfRangeError({tp: offset})
        return log.fetch(offset, bytes_max, committed)

    def wake(self) -> None:
        """Tell those who wait for data."""
        waiting, self.arrived = self.arrived, []
        for tell in waiting:
            tell()
