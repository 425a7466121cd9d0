"""One partition unit per partition index: owns the job, the next expected offset of every input, and the transactions.

Law: one Kafka transaction carries the outputs, the order-sensitive rows and a `@commit` record of the input offsets C.
Once per flush interval it also carries all dirty order-free rows and the fence F = C. So a successor fences its
predecessor, reads rows, C and F, replays [F, C) silently into the order-free columns, and stands exactly where the last
commit stood. The group's own offsets say nothing that `@commit` doesn't: they are for Faust and for lag tools, and go
along with flushes and large transactions only, since they cost a small transaction half of its requests.
While large blocks keep coming a flush is put off, for up to FLUSH_LATE intervals: rows that change again by then are
written once.
With an idempotent job a flush may spread over transactions: the fence, written with the last of them, then says the
positions at which the flush began, and what was applied since is applied again without effect.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import MessageSizeTooLargeError

from agents.engine.changelog import COMMIT, FENCE, Changelog, Fence, format_mark, rewriting
from agents.engine.job import STATE_ANEW, TP, Block, Job, Outcome, Pair, RecoveryError, Rejoin
from agents.engine.metrics import WorkerMetrics
from agents.engine.record_batches import FRAMING_BYTES_MAX, Packed, fill, joined
from agents.engine.recovery import EngineSettings, Restored, changelog_of, open_consumer, restore, state_name
from agents.engine.watch.exit_reasons import too_large
from deploy.connections.clients import aiokafka_options
from schemas.bounds import RECORD_BYTES_MAX
from schemas.registry import RegistryError

TRANSACTION_BYTES_MAX = 8 << 20  # of blocks taken into one transaction
HELD_BYTES_MAX = 8 << 20  # per topic, queued or held by the job, before it is fetched no further
THREAD_BYTES = 1 << 17  # of blocks from which on the job works beside the event loop
OFFSETS_BYTES = 1 << 18  # of blocks from which on a transaction also commits the group's offsets
BATCH_BYTES_MAX = 1 << 20
TRANSACTION_S_MAX = 30.0
FLUSH_LATE = 3  # flush intervals that a flush may be put off to while large blocks keep coming
QUIET = 0.25  # flush intervals without a large block, then it is written after all
PHASE = 0.618  # of an interval: fractions of its multiples lie far apart, however many
SEEK_S = 0.5  # a seek back gets this long before the next
SEEKS_MAX = 20  # without progress, then the partition starts again
ENDED_LOOKS, ENDED_LOOK_S = 5, 1.0  # for the end of a successor's first transaction, before a changelog counts as lost
REGISTRY_WAIT_S = 1.0  # until the schema registry is asked again

ROW_BYTES = 100  # of a changelog row, about
PART_BYTES = BATCH_BYTES_MAX * 9 // 10  # of rows in a part of a flush; a second batch would wait for the first
PART_ROWS_MIN = 64

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outlet:
    """Where a worker's outputs go, and whether they may.

    prefix: before their names; None: where the inputs are. may: asked, on another thread, when a unit has fenced its predecessor
    and before it publishes; it raises a FatalError where others own the outputs by now, a Rejoin where nobody can say.
    """

    prefix: str | None = None
    may: Callable[[], None] | None = None


OWN_OUTPUTS = Outlet()


@dataclass(frozen=True)
class Conf:
    """What is the same for all units of a worker."""

    settings: EngineSettings
    inputs: tuple[str, ...]  # catalogue names
    name: str = "standing"
    rows_max: int | None = None  # rows a transaction's part of a flush, for idempotent jobs; None: all at once
    compression: str | None = "lz4"  # of everything written
    metrics: WorkerMetrics = field(default_factory=WorkerMetrics)
    outlet: Outlet = OWN_OUTPUTS

    def output(self, name: str) -> str:
        """Kafka's name of an output."""
        return self.settings.topic(name) if self.outlet.prefix is None else self.outlet.prefix + name

    @cached_property
    def state(self) -> str:
        """What changelog and transactional ids begin with."""
        return state_name(self.settings, self.name)

    @property
    def changelog(self) -> str:
        """Kafka's name of the changelog."""
        return changelog_of(self.state)


async def computed(size: int, function: Callable[..., T], *args: Any) -> T:
    """function(*args), in a thread where `size` bytes make it worth the way there and back."""
    return await asyncio.to_thread(function, *args) if size >= THREAD_BYTES else function(*args)


class PartitionUnit:
    """FIFO, transactions, flush and fence of one partition index.

    Everything runs in one event loop, but for the job's work on large blocks: a thread does that while the unit waits for
    it, so that the loop goes on serving the other partitions and the job never sees two callers.
    """

    def __init__(self, conf: Conf, partition: int, job: Job, seek: Callable[[TopicPartition, int], None]) -> None:
        self.conf, self.partition, self.job, self.seek = conf, partition, job, seek
        self.fifo: list[Block] = []
        self.queued = dict.fromkeys(conf.inputs, 0)  # bytes in the FIFO
        self.held = dict.fromkeys(conf.inputs, 0)  # bytes that the job had been fed and not consumed at its last step
        self.positions: dict[str, int] = {}  # the job's, at its last step
        self.expected: dict[str, int] = {}  # next offset to accept, per input: what was fed plus the FIFO
        self.fed: dict[str, int] = {}  # next offset to feed
        self.committed: dict[str, int] = {}  # the group's offsets as last committed
        self.fenced: dict[str, int] | None = None  # offsets of the last fence written or found
        self.marked = False  # the changelog says from where on its rows are of the job's format
        self.cycle: Fence | None = None  # of a flush that spreads over transactions
        self.row_bytes = ROW_BYTES  # of a changelog row, as last seen
        self.flush_at = self.flush_late = 0.0  # the first transaction flushes
        self.seeks: dict[str, tuple[int, float]] = {}  # input -> seeks back without progress, time of the last
        self.live = self.paused = self.ending = self.dead = False
        self.working = False  # the job computes; a large close takes its time
        self.waiting = ""  # for what, while the schema registry gives no answer
        self.failure: Exception | None = None
        self.wake, self.idle = asyncio.Event(), asyncio.Event()
        self.idle.set()
        self.topics = {name: TopicPartition(conf.settings.topic(name), partition) for name in conf.inputs}
        # The id is stable per partition index: start() fences whoever had it and ends its open transaction.
        self.producer = AIOKafkaProducer(
            **aiokafka_options(conf.settings.kafka), transactional_id=f"{conf.state}-{partition}",
            linger_ms=0, max_batch_size=BATCH_BYTES_MAX, max_request_size=16 << 20, retry_backoff_ms=10,
            transaction_timeout_ms=int(TRANSACTION_S_MAX * 1000), compression_type=conf.compression,
        )  # fmt: skip

    # -- what the worker calls

    def busy(self, topic: str) -> bool:
        """True while nothing more of this input should be fetched."""
        if not self.live or self.paused or self.dead:
            return True
        return self.queued[topic] + self.held[topic] >= HELD_BYTES_MAX

    def put(self, block: Block) -> None:
        """Queue a block, unless it was seen before or something before it is missing.

        Around a rebalance Faust hands ranges over twice, or not at all.
        """
        if not self.live or self.paused or self.dead:
            return  # seek_back when it goes on
        topic = block.tp.topic
        expected = self.expected[topic]
        if block.start > expected:
            self.conf.metrics.gaps.labels(*block.tp).inc()
            self.seek_back(topic)
            return
        if block.start < expected:
            self.conf.metrics.overlaps.labels(*block.tp).inc()
        if block.end <= expected:
            return
        self.seeks.pop(topic, None)
        self.conf.metrics.block_bytes.observe(block.size)
        self.fifo.append(block)
        self.queued[topic] += block.size
        self.expected[topic] = block.end
        self.wake.set()

    def seek_back(self, topic: str) -> None:
        """Fetch again from the expected offset; a unit that does so in vain starts again from Kafka."""
        count, at = self.seeks.get(topic, (0, 0.0))
        if time.monotonic() < at + SEEK_S:
            return
        if count >= SEEKS_MAX:
            self.failure = Rejoin(f"{self.topics[topic]}: {count} seeks back to {self.expected[topic]} in vain")
            self.wake.set()
            return
        self.seeks[topic] = count + 1, time.monotonic()
        self.seek(self.topics[topic], self.expected[topic])

    async def run(self) -> None:
        """Recover, then a transaction whenever something is there. Ends only by an exception."""
        await self.recover()
        self.live = True
        if self.job.has_own_work():
            self.wake.set()
        for topic in self.conf.inputs:
            self.seek(self.topics[topic], self.expected[topic])
        while True:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.wake.wait(), self.patience())
            self.wake.clear()
            if self.failure is not None:
                raise self.failure
            if not self.paused:
                self.idle.clear()
                await self.step()
                self.idle.set()

    async def pause(self) -> None:
        """Before a rebalance: nothing new begins, the open transaction ends."""
        self.paused = True
        self.drop_fifo()
        await self.idle.wait()

    def resume(self) -> None:
        """After a rebalance that left the partition here."""
        if self.ending:  # else `run` and `finish` would share a transaction, and what one of them worked out be lost
            return
        self.drop_fifo()
        self.paused = False
        if self.live:
            for topic in self.conf.inputs:
                self.seek(self.topics[topic], self.expected[topic])
        self.wake.set()

    async def finish(self) -> None:
        """At a clean stop: one last flush, so that the next recovery replays nothing."""
        if self.live and not self.dead:
            self.ending = True
            await self.pause()
            # Dead: the transaction that was waited for failed; what is open is the successor's to abort.
            while self.unwritten() and not self.dead:  # a flush may take several transactions
                self.flush_at = self.flush_late = 0.0
                await self.step()

    async def close(self) -> None:
        """Let go of the producer; whatever is open stays for the successor to abort."""
        with suppress(Exception):  # a fenced producer raises its fencing again
            await asyncio.wait_for(self.producer.stop(), 2)

    def drop_fifo(self) -> None:
        """Forget what wasn't fed yet; it will be fetched again."""
        self.fifo, self.queued, self.expected = [], dict.fromkeys(self.conf.inputs, 0), dict(self.fed)

    # -- one transaction

    def patience(self) -> float | None:
        """Seconds until something must be done although nothing arrives; None: for ever."""
        if self.paused or not self.unwritten():
            return None
        return 0.0 if self.cycle or self.fifo else max(0.0, self.flush_at - time.monotonic())

    def unwritten(self) -> bool:
        """Whether state or positions in memory are ahead of the changelog."""
        return bool(self.fifo or self.cycle or self.job.dirty_count() or self.job.positions() != self.committed)

    async def step(self) -> None:
        """Feed, work, and write what came of it. What changed nothing but rows and offsets waits for the flush."""
        began = time.monotonic()
        blocks = self.take()
        size = sum(block.size for block in blocks)
        outcome = await self.outcome(size, blocks)
        worked = time.monotonic()
        self.conf.metrics.work_s.observe(worked - began)
        positions = self.positions = self.job.positions()
        self.held = {topic: self.job.held_bytes(topic) for topic in self.held}
        interval = self.conf.settings.flush_interval_s
        if size >= THREAD_BYTES:
            self.flush_at = min(self.flush_late, max(self.flush_at, worked + QUIET * interval))
        bare = self.fenced is None  # no offset and no row is ever committed without a fence
        due = worked >= self.flush_at or bare
        new = positions != self.committed or (bare and bool(outcome.outputs or outcome.rows))
        flush = due and (bool(self.job.dirty_count()) or new)
        if not (outcome.outputs or outcome.rows or flush or self.cycle):
            self.conf.metrics.events.labels(self.partition).inc(outcome.events)
            self.conf.metrics.count(self.partition, outcome.counts)
            return
        dirty = self.job.dirty_count() if flush or self.cycle else 0
        fence, rows = await computed(dirty * self.row_bytes, self.changelog_rows, positions, flush)
        elsewhere = self.job.take_elsewhere()
        first = [] if self.marked else [format_mark(self.job.state_format)]
        rows = [*first, *outcome.rows, *rows, (COMMIT, json.dumps(positions).encode())]
        offsets = positions if fence is not None or size >= OFFSETS_BYTES else None
        await asyncio.wait_for(
            self.transact([*outcome.outputs, *elsewhere, (self.conf.changelog, rows)], offsets), TRANSACTION_S_MAX
        )
        self.committed, self.marked = offsets or self.committed, True
        if outcome.more:
            self.wake.set()
        if flush:
            now = time.monotonic()
            # Partitions that begin together would all flush at the same moment, and alerts wait behind all of them.
            early = PHASE * self.partition % 1 if not self.flush_at else 0.0
            self.flush_at = now + (1 - early) * interval
            self.flush_late = self.flush_at + (FLUSH_LATE - 1) * interval
        if fence is not None:
            self.fenced = fence.offsets
        self.measure(
            outcome,
            sum(r.records if isinstance(r, Packed) else 1 for r in rows),
            fence is not None,
            time.monotonic() - worked,
        )

    def take(self) -> list[Block]:
        """What arrived, up to a transaction's limit."""
        taken: list[Block] = []
        size = 0
        for block in self.fifo:
            if size and size + block.size > TRANSACTION_BYTES_MAX:
                break
            taken.append(block)
            self.fed[block.tp.topic] = block.end
            self.queued[block.tp.topic] -= block.size
            size += block.size
        del self.fifo[: len(taken)]
        return taken

    async def outcome(self, size: int, blocks: Sequence[Block]) -> Outcome:
        """What comes of the blocks. While the schema registry gives no answer this partition waits and keeps its state."""
        # A registry that answers slowly must not hold up the loop, and with it all other partitions, again and again.
        while isinstance(found := await self.worked(size, blocks), RegistryError):
            await self.hold(found)
        self.waiting = ""
        return found

    async def worked(self, size: int, blocks: Sequence[Block]) -> Outcome | RegistryError:
        """One try of it."""
        self.working = True
        try:
            return await computed(THREAD_BYTES if self.waiting else size, self.work, blocks)
        finally:
            self.working = False

    async def hold(self, problem: RegistryError) -> None:
        """Wait a moment for the schema registry; readyz says so meanwhile."""
        self.waiting = f"partition {self.partition} waits for the schema registry: {problem}"
        log.warning("%s", self.waiting)
        await asyncio.sleep(REGISTRY_WAIT_S)

    def work(self, blocks: Sequence[Block]) -> Outcome | RegistryError:
        """Feed the job and let it work; where a schema is not to be had now, the error. Blocks that were fed may come again."""
        try:
            for block in blocks:
                self.job.feed(block)
        except RegistryError as problem:
            return problem
        return self.job.work(live=True)

    def changelog_rows(self, positions: dict[str, int], flush: bool) -> tuple[Fence | None, list[Pair | Packed]]:
        """Dirty rows of this transaction, and the fence if they end a flush."""
        if not (flush or self.cycle):
            return None, []
        if self.cycle is None:
            self.cycle = Fence(self.job.state_format, positions, self.job.fence())
        # Without any fence yet the first transaction must bring one; a job that isn't idempotent can't be cut.
        parts = self.job.idempotent and self.fenced is not None
        rows, complete = self.job.take_dirty(self.part_rows() if parts else None)
        packed = [item for item in rows if isinstance(item, Packed)]
        if records := sum(item.records for item in packed):
            self.row_bytes = (
                sum(item.keys.nbytes + item.values.nbytes for item in packed) // records + FRAMING_BYTES_MAX
            )
        if not complete:
            return None, list(rows)
        fence, self.cycle = self.cycle, None
        return fence, [*rows, (FENCE, fence.encode())]

    def part_rows(self) -> int | None:
        """Rows of a part of a flush: as many as one batch holds, going by the rows of the last part."""
        if self.conf.rows_max is None:
            return None
        return min(self.conf.rows_max, max(PART_ROWS_MIN, PART_BYTES // self.row_bytes))

    async def transact(
        self, outputs: Sequence[tuple[str | TP, Sequence[Pair | Packed]]], positions: dict[str, int] | None
    ) -> None:
        """Write everything in one transaction; nothing is awaited one by one but the limits of the producer.

        Records of a topic go to the unit's own partition. The group's offsets stay as they are without `positions`.
        """
        size = sum(item.values.nbytes for _, items in outputs for item in items if isinstance(item, Packed))
        named = [(self.place(at), items) for at, items in outputs]
        made = await computed(size, self.made, named)
        await self.producer.begin_transaction()
        # Up to here nothing was sent: so one request adds all partitions, and one writes to all of them.
        sent: list[Awaitable[object]] = [
            await self.producer.send_batch(batch, at.topic, partition=at.partition) for at, batch in made
        ]
        if positions is not None:
            offsets = {self.topics[name]: offset for name, offset in positions.items()}
            sent.append(self.producer.send_offsets_to_transaction(offsets, self.conf.settings.group))
        try:
            await asyncio.gather(*sent)
        except MessageSizeTooLargeError as problem:
            raise self.refusal(problem, made, sent) from problem
        await self.producer.commit_transaction()

    def place(self, at: str | TP) -> TopicPartition:
        """Where an output goes, by Kafka's name."""
        topic, partition = (at, self.partition) if isinstance(at, str) else at
        return TopicPartition(topic if topic == self.conf.changelog else self.conf.output(topic), partition)

    def refusal(
        self, problem: Exception, made: Sequence[tuple[TopicPartition, Any]], sent: Sequence[Awaitable[object]]
    ) -> Exception:
        """Which topic took a batch for too large."""
        for (at, batch), future in zip(made, sent, strict=False):
            if isinstance(future, asyncio.Future) and future.done() and future.exception() is problem:
                return too_large(at.topic, batch.size(), RECORD_BYTES_MAX)
        return problem

    def made(
        self, outputs: Sequence[tuple[TopicPartition, Sequence[Pair | Packed]]]
    ) -> list[tuple[TopicPartition, Any]]:
        """(place, batch) of everything, each place in as few batches as it fits; the first of each come first."""
        new, kind = self.producer.create_batch, self.conf.compression
        lists = [[(at, batch) for batch in fill(joined(items), new, BATCH_BYTES_MAX, kind)] for at, items in outputs]
        return [entry for nth in zip_longest(*lists) for entry in nth if entry is not None]

    def measure(self, outcome: Outcome, rows: int, fenced: bool, seconds: float) -> None:
        """Count a committed transaction."""
        metrics = self.conf.metrics
        metrics.transaction_s.observe(seconds)
        metrics.transactions.labels(self.partition).inc()
        metrics.events.labels(self.partition).inc(outcome.events)
        metrics.changelog_rows.labels(self.partition).inc(rows)
        metrics.flushes.labels(self.partition).inc(fenced)
        metrics.count(self.partition, outcome.counts)

    # -- recovery

    async def recover(self) -> Restored:
        """Fence the predecessor, then restore the job: from the first step on log and offsets stand still."""
        await self.producer.start()
        if self.conf.outlet.may is not None:
            await asyncio.to_thread(self.conf.outlet.may)
        consumer = await open_consumer(self.conf.settings, self.conf.settings.group)
        try:
            # Before the changelog: a successor that commits while this reads must not look like a lost changelog.
            group = {name: await consumer.committed(tp) for name, tp in self.topics.items()}
            found = await restore(
                self.conf.settings, self.job, self.partition, consumer, self.conf.changelog, self.hold
            )
            self.waiting = ""
            self.fed, self.positions = self.job.positions(), self.job.positions()
            self.expected, self.committed = dict(self.fed), dict(self.fed)
            self.fenced, self.marked = found.fence.offsets if found.fence else None, found.changelog.marked
            if found.fence is None and any(offset is not None for offset in group.values()):
                await self.look_again(consumer)
            self.compare_group(group, found)
            if found.fence is not None and found.fence.oldest is not None:
                await self.rewrite(found.changelog, found.fence)
        finally:
            await consumer.stop()
        metrics = self.conf.metrics
        metrics.recovery_s.labels(self.partition).set(found.seconds)
        metrics.recovery_rows.labels(self.partition).set(found.changelog.rows)
        metrics.recoveries.labels(self.partition).inc()
        log.info(
            "partition %d: %d rows, %d events replayed in %.2f s, next %s",
            self.partition, found.changelog.rows, found.replayed, found.seconds, self.fed,
        )  # fmt: skip
        return found

    async def rewrite(self, found: Changelog, fence: Fence) -> None:
        """Write rows of an older format anew, before anything else is written; cut short, the next recovery goes on."""
        for rows in rewriting(found, fence, self.positions, TRANSACTION_BYTES_MAX):
            await asyncio.wait_for(self.transact([(self.conf.changelog, rows)], None), TRANSACTION_S_MAX)
        self.marked = True

    async def look_again(self, consumer: AIOKafkaConsumer) -> None:
        """Rejoin where the changelog only seemed empty: a successor's transaction ends in the group's offsets first."""
        tp = TopicPartition(self.conf.changelog, self.partition)
        stable = (await consumer.end_offsets([tp]))[tp]
        for _ in range(ENDED_LOOKS):
            await asyncio.sleep(ENDED_LOOK_S)
            if (await consumer.end_offsets([tp]))[tp] != stable:
                raise Rejoin(f"{tp} was written while it was read")

    def compare_group(self, group: Mapping[str, int | None], found: Restored) -> None:
        """The changelog says what is committed; the group's offsets, which Faust and lag tools read, may only lag."""
        for name, tp in self.topics.items():
            offset = group[name]
            if offset is None or offset == self.fed[name]:
                continue
            self.committed[name] = offset  # the next flush says better
            if found.fence is None:
                raise RecoveryError(
                    f"partition {self.partition}: group {self.conf.settings.group} committed {offset} of {tp.topic}, "
                    f"but topic {self.conf.changelog} is empty: the state is lost; {STATE_ANEW}"
                )
            if offset > self.fed[name]:
                text = "partition %d: the group's offset of %s is %d, the state's only %d; the state's counts"
                log.warning(text, self.partition, tp.topic, offset, self.fed[name])
