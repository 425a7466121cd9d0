"""Every private hook of Faust that the engine uses, and of aiokafka what goes with it; `fetches` has the rest.

tests/engine/test_hooks.py holds a contract test for each. Pinned to faust-streaming 0.15 and aiokafka 0.14.

Block topics are fetched as raw batches: a Faust event is then one partition fetch, its value a Block. The partition
units commit, so Faust's own commits, gaps and recovery find nothing to do.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from faust import App, Worker
from faust.transport.drivers import aiokafka as base
from faust.types import ConsumerMessage

from agents.engine.fetches import BLOCK_TOPICS, FETCH_BYTES_MIN, FETCH_WAIT_MS, wait_longer_when_quiet
from agents.engine.job import Block
from agents.engine.transport import CorruptBatch

PREFETCH_S = 0.005  # how long a fetch waits for what came with the last one to be handed over
BUSY_POLL_S = 0.005  # how soon a partition that was busy is looked at again
CORRUPT_PAUSE_S = 0.2
STDERR = 2  # as a stream it may be in the middle of a line
START_S = 10.0  # that a stop waits for a start which is under way
END_S = 60.0  # from the signal to the end, whatever hangs


class FetchState(NamedTuple):
    """How far the fetches of a partition are; None where nothing is known.

    position: the next offset to hand over. stable, high: last stable offset and high watermark, as the last answer said.
    answered: when that was, ms.
    """

    position: int | None = None
    stable: int | None = None
    high: int | None = None
    answered: int | None = None


class ConsumerThread(base.AIOKafkaConsumerThread):
    """Faust's consumer thread with committed reads and short waits."""

    _consumer: AIOKafkaConsumer  # Faust's is None before the thread starts

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)  # it hard-codes 1500 ms and read_uncommitted
        consumer._fetch_max_wait_ms, consumer._isolation_level = FETCH_WAIT_MS, "read_committed"
        consumer._fetch_min_bytes = FETCH_BYTES_MIN
        return consumer

    async def on_start(self) -> None:
        """Start the consumer, then set how it prefetches.

        A fetch leaves out partitions whose last records nobody has taken yet, and they wait until it returns. Without any
        patience that are always those that just had records; with the default of 100 ms one busy partition stops all.
        """
        await super().on_start()
        self._consumer._fetcher._prefetch_backoff = PREFETCH_S
        wait_longer_when_quiet(self._consumer)

    def request_rejoin(self) -> None:
        """Leave the generation and join again: the one way back after a unit failed. From any thread."""
        self.thread_loop.call_soon_threadsafe(self._consumer._coordinator.request_rejoin)

    def seek_soon(self, tp: TopicPartition, offset: int) -> None:
        """Fetch on from offset, unless the partition is gone. From any thread."""

        def seek() -> None:
            if self._consumer.assignment() and tp in self._consumer.assignment():
                self._consumer.seek(tp, offset)

        self.thread_loop.call_soon_threadsafe(seek)

    def fetched_to(self, tp: TopicPartition) -> FetchState:
        """How far the fetches are. Reads, from any thread."""
        assignment = self._consumer._subscription.subscription and self._consumer._subscription.subscription.assignment
        if not assignment or tp not in assignment.tps:
            return FetchState()
        state = assignment.state_value(tp)
        return FetchState(state._position, state.lso, state.highwater, state.timestamp)

    def client(self) -> Any:
        """What asks the brokers."""
        return self._consumer._client

    def member_id(self) -> str:
        """By what the group knows this worker; empty before it has joined."""
        coordinator = self._consumer and self._consumer._coordinator
        return str(getattr(coordinator, "member_id", ""))


class ReadOffsets(dict):  # type: ignore[type-arg]
    """Faust's per-partition read offsets; for block topics always None: the units themselves check every block.

    Faust would drop a block behind its own mark after a seek back, and materialise every offset of a block as a gap.
    """

    def __getitem__(self, tp: Any) -> int | None:
        return None if tp.topic in BLOCK_TOPICS else self.get(tp)


class Consumer(base.Consumer):
    """Faust's consumer, yielding blocks and committing nothing."""

    transport: "Transport"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = ReadOffsets()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        ready = {tp for tp in active_partitions if not self.transport.busy(tp)}
        if not ready:  # an empty set would mean "all partitions" to the fetcher
            await asyncio.sleep(BUSY_POLL_S)
            return {}
        try:
            return await super()._getmany(ready, timeout if len(ready) == len(active_partitions) else BUSY_POLL_S)
        except CorruptBatch as problem:  # the fetcher reads that range again
            await asyncio.sleep(CORRUPT_PAUSE_S)
            self.transport.on_corrupt(problem)
            return {}

    def _to_message(self, tp: Any, record: Any) -> ConsumerMessage:
        if not isinstance(record, Block):
            return super()._to_message(tp, record)
        return ConsumerMessage(
            tp.topic, tp.partition, record.end - 1, 0.0, 0, [], None,
            record,  # type: ignore[arg-type]  # a block in place of bytes: what AsFetched takes
            None, 0, record.size, tp,
            generation_id=self.app.consumer_generation_id,  # without it streams skip the event
        )  # fmt: skip

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """The units commit; Faust only forgets its acks."""
        for offsets in self._acked.values():
            offsets.clear()
        for known in self._acked_index.values():
            known.clear()
        return True

    def verify_event_path(self, now: float, tp: Any) -> None:
        """Faust would warn that it commits nothing."""

    async def highwaters(self, *tps: Any) -> Any:
        """Changelogs look empty to Faust's Recovery: the units read them."""
        rest = [tp for tp in tps if not self._is_changelog_tp(tp)]
        return {**dict.fromkeys(tps, 0), **(await super().highwaters(*rest) if rest else {})}


def _never_busy(tp: Any) -> bool:
    return False


def _raise(problem: CorruptBatch) -> None:
    raise problem


class Transport(base.Transport):
    """Faust's aiokafka driver with blocks; the app sets the two callbacks."""

    Consumer = Consumer
    busy: Callable[[Any], bool] = staticmethod(_never_busy)  # leave this partition out of the next fetch
    on_corrupt: Callable[[CorruptBatch], None] = staticmethod(_raise)


def thread_of(app: Any) -> ConsumerThread:
    """The thread of a started app's consumer."""
    thread: ConsumerThread = app.consumer._thread
    return thread


class FolderlessApp(App):
    """A Faust app that keeps nothing on disk, and makes no folder for it.

    One in the temporary directory is anybody's to make first: a file of its name stopped the worker.
    """

    def _create_directories(self) -> None:
        """Faust would make three, and leave them empty."""


class RecordConsumer(base.Consumer):
    """Faust's own consumer, with committed reads."""

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class RecordTransport(base.Transport):
    """Faust's aiokafka driver for agents that read record by record and let Faust commit."""

    Consumer = RecordConsumer


class EngineWorker(Worker):
    """Faust's worker with a log of ours: no spinner, no cursor codes. A closed terminal ends it well, as SIGTERM does.

    Faust's parts can't be stopped while they start: a consumer's thread that has begun and not got far is passed over, and
    goes on for ever. So a signal waits for the start, and whatever becomes of it, the process ends within END_S.
    """

    def __init__(self, app: Any, *, loglevel: str) -> None:
        super().__init__(app, loglevel=loglevel, quiet=True, redirect_stdouts=False, override_logging=False)
        self.spinner, self.left = None, False
        self.last_resort: threading.Timer | None = None
        self.up = asyncio.Event()  # everything has started, or never will

    def _install_signal_handlers_unix(self) -> None:
        super()._install_signal_handlers_unix()
        self.loop.add_signal_handler(signal.SIGHUP, self._on_sigterm)

    async def start(self) -> None:
        """Start everything."""
        try:
            await super().start()
        finally:
            self.up.set()

    async def on_started(self) -> None:
        """Everything has started."""
        self.up.set()
        await super().on_started()

    async def _stop_on_signal(self, signal: signal.Signals) -> None:
        self._end_by()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.up.wait(), START_S)
        await super()._stop_on_signal(signal)

    async def stop(self) -> None:
        """Stop everything; afterwards the group is left."""
        self._end_by()
        await super().stop()
        self.left = True

    def _end_by(self) -> None:
        # A thread of its own: what hangs may be the loop.
        if self.last_resort is None:
            self.last_resort = threading.Timer(END_S, self._end)
            self.last_resort.daemon = True
            self.last_resort.start()

    def _end(self) -> None:
        late = f"not ended {END_S:.0f} s after it was to stop, so ended at once"
        with suppress(OSError):
            os.write(STDERR, f"error: {late}; nothing is lost, whoever takes over begins where it committed\n".encode())
        os._exit(1)

    def run(self) -> BaseException | None:
        """Run until a signal comes, or something ends it; then what that was."""
        try:
            self.execute_from_commandline()
        except SystemExit as ended:
            if not ended.code:
                return None
            return self.crash_reason or ended.__context__ or ended
        finally:
            if self.last_resort is not None:
                self.last_resort.cancel()
