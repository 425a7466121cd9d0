"""aiokafka's fetches within bounds: every private hook of it that a reader of the log uses, and nothing of Faust.

Block topics are fetched as raw batches; every other topic keeps aiokafka's record path. tests/engine/test_hooks.py holds a
contract test for each hook. Pinned to aiokafka 0.14.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.producer import sender
from aiokafka.structs import ConsumerRecord

from agents.engine.job import TP
from agents.engine.transport import take_block
from schemas.codec.blocks import log_entries

FETCH_WAIT_MS = 10  # many small answers would cost worker and broker more than they give
FETCH_BYTES_MIN = 1 << 16  # a fetch returns with so many, or after FETCH_WAIT_MS
QUIET_S, QUIET_WAIT_MS = 0.2, 100  # after so long without a record, the wait for the first

# Kafka's name of every block topic -> the name in the catalogue. Process-wide, as the hooked module globals are.
BLOCK_TOPICS: dict[str, str] = {}
OWN_TOPICS: set[str] = set()  # those of them that the engine alone writes, and reads whole
RECORD_TOPICS: set[str] = set()  # those of them that are handed on record by record


class RawRecords:
    """aiokafka's batch iterator, with the bytes it walks."""

    def __init__(self, raw: bytes):
        self.raw, self.inner = raw, _MemoryRecords(raw)
        self.has_next, self.next_batch, self.size_in_bytes = (
            self.inner.has_next,
            self.inner.next_batch,
            self.inner.size_in_bytes,
        )


class BlockRecords(fetcher.PartitionRecords):
    """Yields one Block per fetch; the parent's own position keeping goes on."""

    next_fetch_offset: int

    def _unpack_records(self) -> Any:
        committed = self._isolation_level == fetcher.READ_COMMITTED
        tp = TP(BLOCK_TOPICS[self._tp.topic], self._tp.partition)
        block = take_block(
            tp,
            self._records.raw,
            self.next_fetch_offset,
            self._aborted_transactions,
            committed=committed,
            crc=self._check_crcs,
            own=self._tp.topic in OWN_TOPICS,
        )
        if block is not None:
            self.next_fetch_offset = block.end
            yield block


class BoundedRecords(BlockRecords):
    """Yields the records of a block one by one; in place of what is beyond the bounds a Lost, at the last of its offsets."""

    def _unpack_records(self) -> Any:
        for block in super()._unpack_records():
            for one in log_entries(block.batches, block.start, block.end, block.lost):
                self.next_fetch_offset = one.end
                value = one.value if one.lost is None else one.lost
                sizes = len(one.key or b""), len(one.value or b"")
                yield ConsumerRecord(*self._tp, one.end - 1, one.at, 0, one.key, value, None, *sizes, ())
            self.next_fetch_offset = block.end


def _partition_records(tp: TopicPartition, records: RawRecords, *args: Any) -> fetcher.PartitionRecords:
    if tp.topic in BLOCK_TOPICS:
        return (BoundedRecords if tp.topic in RECORD_TOPICS else BlockRecords)(tp, records, *args)
    return _PartitionRecords(tp, records.inner, *args)


_MemoryRecords, _PartitionRecords = fetcher.MemoryRecords, fetcher.PartitionRecords


def install(topics: Mapping[str, str], own: Iterable[str] = (), one_by_one: Iterable[str] = ()) -> None:
    """Fetch these topics (Kafka's name -> catalogue name) as blocks from now on, in this whole process.

    `own`: the changelogs; `one_by_one`: Kafka's names of topics whose records come one by one, within the same bounds.
    """
    BLOCK_TOPICS.update((name, name) for name in one_by_one)
    RECORD_TOPICS.update(one_by_one)
    BLOCK_TOPICS.update(topics)
    BLOCK_TOPICS.update((name, name) for name in own)
    OWN_TOPICS.update(own)
    fetcher.MemoryRecords, fetcher.PartitionRecords = RawRecords, _partition_records
    sender.BACKOFF_OVERRIDE = 0.002  # s between the steps of a transaction; 20 ms by default


def wait_longer_when_quiet(consumer: AIOKafkaConsumer) -> None:
    """Once nothing has come for QUIET_S, fetches wait longer, and return with the first record.

    So a worker without work asks the brokers ten times a second, and not a hundred times.
    """
    fetches, since, seen = consumer._fetcher, time.monotonic(), -1
    actions_of = fetches._get_actions_per_node

    def actions(assignment: Any) -> Any:
        nonlocal since, seen
        places = sum(assignment.state_value(tp)._position or 0 for tp in assignment.tps)
        if fetches._records or places != seen:
            since, seen = time.monotonic(), places
        quiet = time.monotonic() - since > QUIET_S
        fetches._fetch_max_wait_ms, fetches._fetch_min_bytes = (
            (QUIET_WAIT_MS, 1) if quiet else (FETCH_WAIT_MS, FETCH_BYTES_MIN)
        )
        return actions_of(assignment)

    fetches._get_actions_per_node = actions


def prefetch_at_once(consumer: AIOKafkaConsumer) -> None:
    """As for the worker's consumer, for one of the engine's own."""
    consumer._fetcher._prefetch_backoff = 0
