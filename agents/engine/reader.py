"""Reads topics beside the workers, in the same bounds of memory: a consumer without a group, in a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import dataclasses
import logging
import threading
import time
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError as AioKafkaError
from confluent_kafka import KafkaError, KafkaException

from agents.engine import fetches
from agents.engine.job import TP, Block
from agents.engine.transport import CorruptBatch, headers_of
from deploy.connections.clients import aiokafka_options
from deploy.connections.wire import Brokers
from schemas.codec.blocks import log_entries

log = logging.getLogger(__name__)
logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # what fails is raised: nothing to stderr besides

BLOCKS_MAX: Final = 4  # handed on at once, each of at most schemas.bounds.BLOCK_BYTES_MAX and one record
FETCH_BYTES_MAX: Final = 4 << 20  # per partition, as stored: what the largest batch has
FETCHES_BYTES_MAX: Final = 16 << 20  # per broker, as stored
ANSWER_S: Final = 15.0
CORRUPT_PAUSE_S: Final = 0.2
POLL_S: Final = 0.1
LEFT_S: Final = 2.0  # for what a client has begun, once it is told to end
NEXT_WAIT_MS: Final = 50  # brokers wait for so long for the next record

_Found = TypeVar("_Found")
Place = tuple[str, int]  # Kafka's name of a topic, and a partition


class LogReader:
    """Blocks of records. Every method may raise KafkaException, and is called from one thread at a time."""

    def __init__(
        self, kafka: Brokers, topics: Iterable[str], *, committed: bool = True, wait_ms: int = NEXT_WAIT_MS
    ) -> None:
        """`topics`: Kafka's names of all that will be read. committed: nothing of open or aborted transactions.

        wait_ms: for whoever reads on and on, a longer one spares the brokers requests.
        """
        fetches.install({name: fetches.BLOCK_TOPICS.get(name, name) for name in topics})
        self._next: dict[Place, int] = {}
        self._loop, self._guard, self._over = asyncio.new_event_loop(), threading.Lock(), False
        self._thread = threading.Thread(target=self._loop.run_forever, name="log reader", daemon=True)
        self._thread.start()
        try:
            self._consumer: AIOKafkaConsumer = self._do(_open(kafka, committed, wait_ms))
        except BaseException:
            self._end()
            raise
        atexit.register(self.close)  # a command may end anywhere

    def begin(self, positions: Mapping[Place, int | None]) -> dict[Place, int]:
        """Read on from these offsets, from the first where one is gone or None: where that is."""
        low = {place: first for place, (first, _) in self.ends(positions).items()}
        self._next = {place: max(low[place], offset or 0) for place, offset in positions.items()}
        self._do(self._seek())
        return dict(self._next)

    def fetch(self, timeout_s: float, *, tell: bool = True) -> list[Block]:
        """What has come, each block behind the one before it in its partition; none after the timeout.

        A damaged batch is fetched again and again; the log says so if `tell`.
        """
        try:
            blocks = self._do(self._fetch(timeout_s))
        except CorruptBatch as problem:  # what came with it is not handed on either: all of it is fetched again
            if tell:
                log.warning("%s", problem)
            self._do(self._seek(CORRUPT_PAUSE_S))
            return []
        for block in blocks:
            self._next[block.tp] = block.end
        return blocks

    def until(self, ends: Mapping[Place, int]) -> Iterator[Block]:
        """What lies between where it stands and these ends. KafkaException where no answer comes for ANSWER_S."""
        heard = time.monotonic()
        while any(self._next[place] < end for place, end in ends.items()):
            blocks = self.fetch(POLL_S)
            if blocks:
                heard = time.monotonic()
            elif time.monotonic() > heard + ANSWER_S:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer"))  # noqa: SLF001 - its public name
            yield from blocks

    def ends(self, places: Iterable[Place]) -> dict[Place, tuple[int, int]]:
        """First offset and end of the records of partitions."""
        return self._do(self._ends([TopicPartition(*place) for place in places]))

    def close(self) -> None:
        """Leave the brokers; once is enough."""
        if self._over:
            return
        atexit.unregister(self.close)
        with suppress(KafkaException, CancelledError):  # brokers that are away need not be told
            self._do(self._consumer.stop())
        self._end()

    def _do(self, work: Coroutine[Any, Any, _Found]) -> _Found:
        with self._guard:
            if self._over:  # a thread of a process that ends; what is not begun would be told of behind its last line
                work.close()
                raise KafkaException(KafkaError(KafkaError._DESTROY, "the reader is closed"))  # noqa: SLF001 - its public name
            doing = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return doing.result()
        except (AioKafkaError, TimeoutError) as problem:
            said = str(problem) or type(problem).__name__
            raise KafkaException(KafkaError(KafkaError._FAIL, said)) from problem  # noqa: SLF001 - its public name

    def _end(self) -> None:
        with self._guard:
            if self._over:
                return
            self._over, leaving = True, asyncio.run_coroutine_threadsafe(self._leave(), self._loop)
        leaving.result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _leave(self) -> None:
        # A client whose brokers are away may leave tasks: asyncio would tell of them behind a process's last line. They end
        # in their own loop: another may be running where the reader is closed.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=LEFT_S)

    async def _fetch(self, timeout_s: float) -> list[Block]:
        found = await self._consumer.getmany(timeout_ms=round(1000 * timeout_s), max_records=BLOCKS_MAX)
        return [dataclasses.replace(block, tp=TP(*place)) for place, blocks in found.items() for block in blocks]

    async def _seek(self, pause_s: float = 0.0) -> None:
        await asyncio.sleep(pause_s)
        self._consumer.assign([TopicPartition(*place) for place in self._next])
        for place, offset in self._next.items():
            self._consumer.seek(TopicPartition(*place), offset)

    async def _ends(self, places: list[TopicPartition]) -> dict[Place, tuple[int, int]]:
        low, high = await self._consumer.beginning_offsets(places), await self._consumer.end_offsets(places)
        return {place: (low[place], high[place]) for place in places}


class LogRow(NamedTuple):
    """A record of a topic that is read whole."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes | None]


def blocks_to_the_end(
    kafka: Brokers, places: Iterable[Place], first: Mapping[int, int] | None = None
) -> Iterator[Block]:
    """What partitions have now, from an offset of each (None: all). KafkaException where no answer comes for ANSWER_S."""
    reader = LogReader(kafka, {topic for topic, _ in places})
    try:
        ends = {place: end for place, (_, end) in reader.ends(places).items()}
        reader.begin({place: (first or {}).get(place[1]) for place in places})
        yield from reader.until(ends)
    finally:
        reader.close()


def rows_to_the_end(kafka: Brokers, topic: str, partition: int = 0) -> Iterator[LogRow]:
    """The records of a partition of few, as of now; one that is damaged or beyond the bounds is passed over. Errors as above."""
    for block in blocks_to_the_end(kafka, [(topic, partition)]):
        headers = headers_of(block)
        for one in log_entries(block.batches, block.start, block.end, block.lost):
            if one.lost is None:
                yield LogRow(one.offset, one.key, one.value, headers.get(one.offset, {}))
            else:
                log.warning(
                    "%s, partition %s: offset %s is beyond the bounds, or damaged", topic, partition, one.offset
                )


async def _open(kafka: Brokers, committed: bool, wait_ms: int) -> AIOKafkaConsumer:
    consumer = AIOKafkaConsumer(
        **aiokafka_options(kafka), enable_auto_commit=False,
        isolation_level="read_committed" if committed else "read_uncommitted",
        auto_offset_reset="earliest", fetch_max_wait_ms=wait_ms, max_partition_fetch_bytes=FETCH_BYTES_MAX,
        fetch_max_bytes=FETCHES_BYTES_MAX, retry_backoff_ms=20,
    )  # fmt: skip
    await asyncio.wait_for(consumer.start(), ANSWER_S)
    fetches.prefetch_at_once(consumer)
    return consumer
