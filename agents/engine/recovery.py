"""Restores a job from Kafka: changelog rows up to the stable end, then a silent replay of [fence F, committed C).

Every transaction of a unit leaves a `@commit` record with its positions in the changelog, so the log itself says what C
is at its stable end. A reader that fences nobody therefore sees one consistent state, whatever is written meanwhile.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol, TypeVar

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from agents.engine import fetches
from agents.engine.changelog import FENCE, Changelog, Fence
from agents.engine.job import STATE_ANEW, Block, Job, RecoveryError, Rejoin, Rows
from deploy import admin
from deploy.connections.clients import aiokafka_options
from deploy.connections.wire import Brokers
from schemas.codec.blocks import frames
from schemas.codec.primitives import LENGTH_MAX, NULL, REF_BITS
from schemas.codec.status import Status
from schemas.registry import RegistryError

FETCH_BYTES_MAX = 4 << 20  # per partition and fetch
REPLAY_BYTES_MAX = 8 << 20  # fed before the job works
STALL_S_MAX = 60.0  # without any progress of a read
FENCE_ROWS = 1 << 12  # of a changelog, in which its last fence is looked for first
ASK_S = 30.0  # for the names of topics
READS_MAX = 3  # of a state that is written meanwhile

AnyJob = TypeVar("AnyJob", bound=Job)
Hold = Callable[[RegistryError], Awaitable[None]]
"""Waits before the schema registry is asked again."""


class EngineSettings(Protocol):
    """What the engine reads of the settings."""

    @property
    def kafka(self) -> Brokers:
        """Brokers, host:port separated by commas, and what opens them."""

    @property
    def group(self) -> str:
        """Consumer group; also a part of transactional ids and of the changelog's name."""

    @property
    def partitions(self) -> int:
        """Partitions of every topic."""

    @property
    def flush_interval_s(self) -> float:
        """Seconds between flushes."""

    @property
    def topic_prefix(self) -> str:
        """Before the names of topics, of changelog and transactional ids; may be empty."""

    def topic(self, name: str) -> str:
        """Kafka's name of a catalogue topic."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a recovery found. `fence` is as the job's format has it; replayed: events."""

    fence: Fence | None
    changelog: Changelog
    replayed: int
    seconds: float


def state_name(settings: EngineSettings, name: str = "standing") -> str:
    """What changelog and transactional ids of an installation begin with: topic prefix, group and name.

    Of installations that share brokers each has its own by it, even where they have the same group. An installation that
    had its changelog without the prefix goes on with that. RecoveryError when Kafka cannot be asked.
    """
    plain = f"{settings.group}-{name}"
    return _prefixed(settings.kafka, settings.topic_prefix, plain) if settings.topic_prefix else plain


@cache
def _prefixed(kafka: Brokers, prefix: str, plain: str) -> str:
    try:
        there = admin.client(kafka).list_topics(timeout=ASK_S).topics  # of all: to ask for one could create it
    except KafkaException as problem:
        raise RecoveryError(
            f"no answer from Kafka at {kafka}: {problem.args[0].str()}; is it up, and TIDEGAUGE_BOOTSTRAP_SERVERS right?"
        ) from problem
    named = prefix + plain
    return plain if changelog_of(plain) in there and changelog_of(named) not in there else named


def changelog_of(state: str) -> str:
    """Kafka's name of the changelog of a `state_name`, as Faust derives it."""
    return f"{state}-changelog"


def changelog_topic(settings: EngineSettings, name: str = "standing") -> str:
    """Kafka's name of the changelog; RecoveryError as in `state_name`."""
    return changelog_of(state_name(settings, name))


def install_blocks(settings: EngineSettings, inputs: tuple[str, ...], changelog: str) -> None:
    """Fetch the inputs and the changelog as blocks in this process."""
    fetches.install({settings.topic(name): name for name in inputs}, own=[changelog])


async def open_consumer(settings: EngineSettings, group: str | None = None) -> AIOKafkaConsumer:
    """A committed-only consumer outside of any group membership, started."""
    consumer = AIOKafkaConsumer(
        **aiokafka_options(settings.kafka), group_id=group, enable_auto_commit=False, isolation_level="read_committed",
        auto_offset_reset="none", fetch_max_wait_ms=fetches.FETCH_WAIT_MS, max_partition_fetch_bytes=FETCH_BYTES_MAX,
        retry_backoff_ms=20,
    )  # fmt: skip
    await consumer.start()
    # A task of its own begins. Were it cancelled before, its `stop` would raise CancelledError over what really failed.
    await asyncio.sleep(0)
    fetches.prefetch_at_once(consumer)
    return consumer


async def blocks(consumer: AIOKafkaConsumer, tp: TopicPartition, start: int, stop: int) -> AsyncIterator[Block]:
    """Blocks of [start, stop); ends by position, since markers at the end are never delivered."""
    if start >= stop:
        return
    consumer.assign([tp])
    consumer.seek(tp, start)
    moved_at, at = time.monotonic(), start
    while at < stop:
        for items in (await consumer.getmany(tp, timeout_ms=200)).values():
            for block in items:
                yield block
                at, moved_at = block.end, time.monotonic()
        if time.monotonic() - moved_at > STALL_S_MAX:
            raise Rejoin(f"{tp}: no data from {at} on for {STALL_S_MAX:.0f} s, {stop} wanted")


async def load_changelog(consumer: AIOKafkaConsumer, job: Job, tp: TopicPartition, stable: int) -> Changelog:
    """Load the rows up to the stable end."""
    first = (await consumer.beginning_offsets([tp]))[tp]
    found = Changelog(job, f"partition {tp.partition}: topic {tp.topic}")
    async for block in blocks(consumer, tp, first, stable):
        # Kernels without the GIL: partitions load side by side.
        await asyncio.to_thread(found.take, rows_of(block, stable))
    return found


def rows_of(block: Block, stop: int) -> Rows:
    """A changelog block's rows below `stop`, without a Python object each. Raises RecoveryError for broken framing."""
    columns = frames(block.batches, block.start, min(block.end, stop))
    if (columns.status == Status.BAD_BLOCK).any():
        raise RecoveryError(
            f"{block.tp.topic}/{block.tp.partition}: records in {block.start} to {block.end} are broken: "
            f"look at the brokers' disks; where the changelog is lost, {STATE_ANEW}"
        )
    kept = columns.key != NULL
    key, value = columns.key[kept], columns.value[kept]
    sizes = np.where(columns.status[kept] == Status.TOO_LARGE, columns.data[kept, 0], value & LENGTH_MAX)
    at = np.where(value == NULL, -1, value >> REF_BITS)
    return Rows(columns.raw, key >> REF_BITS, (key >> REF_BITS) + (key & LENGTH_MAX), at, at + sizes)


async def restore(
    settings: EngineSettings,
    job: Job,
    partition: int,
    consumer: AIOKafkaConsumer,
    changelog: str,
    hold: Hold | None = None,
) -> Restored:
    """Bring a fresh job to where the last committed transaction left it. Raises RecoveryError or Rejoin.

    Without `hold` it raises RegistryError, too, where the schema registry gives no answer.

    Whoever is overtaken by a successor reads up to an end that is no longer the end: compaction may then have taken
    rows below it for the sake of newer ones behind it, which must not look like a changelog that was cut.
    """
    tp = TopicPartition(changelog, partition)
    stable = (await consumer.end_offsets([tp]))[tp]  # of a committed-only consumer: the last stable offset
    try:
        return await restore_to(settings, job, partition, consumer, tp, stable, hold)
    except (KafkaError, Rejoin, RegistryError):
        raise
    except Exception as problem:
        if (await consumer.end_offsets([tp]))[tp] == stable:
            raise
        raise Rejoin(f"{tp.topic}/{partition} was written while it was read: {problem}") from problem


async def restore_to(
    settings: EngineSettings,
    job: Job,
    partition: int,
    consumer: AIOKafkaConsumer,
    tp: TopicPartition,
    stable: int,
    hold: Hold | None = None,
) -> Restored:
    """`restore` from a changelog that ends at `stable`."""
    began = time.monotonic()
    found = await load_changelog(consumer, job, tp, stable)
    fence = found.usable_fence()
    inputs = {name: TopicPartition(settings.topic(name), partition) for name in job.inputs}
    first = await consumer.beginning_offsets(list(inputs.values()))
    last = await consumer.end_offsets(list(inputs.values()))
    start = {name: (fence.offsets if fence else {}).get(name, first[tp]) for name, tp in inputs.items()}
    stop = {name: (found.committed or {}).get(name, start[name]) for name in inputs}
    for name, source in inputs.items():
        if not first[source] <= start[name] <= stop[name] <= last[source]:
            raise RecoveryError(
                f"partition {partition}: topic {source.topic} holds offsets {first[source]} to {last[source]}, but the "
                f"state needs {start[name]} to {stop[name]} replayed: the source no longer has them: "
                f"restore them, or, if the log still has all that counts, {STATE_ANEW}"
            )
    if fence is not None:
        check_meaning(job, partition, fence)
    job.begin(partition, dict(start))
    events = await _replay(consumer, job, {inputs[name]: (start[name], stop[name]) for name in inputs}, hold)
    if job.positions() != stop:
        raise RecoveryError(
            f"partition {partition}: replay ended at {job.positions()}, committed is {stop}: report it; {STATE_ANEW}"
        )
    return Restored(fence, found, events, time.monotonic() - began)


def check_meaning(job: Job, partition: int, fence: Fence) -> None:
    """Give a job the meta of a usable fence. Raises RecoveryError if the state was kept with other settings."""
    try:
        job.load_fence(fence.meta)
    except RecoveryError as problem:
        raise RecoveryError(f"partition {partition}: {problem}") from problem


async def _replay(
    consumer: AIOKafkaConsumer, job: Job, ranges: dict[TopicPartition, tuple[int, int]], hold: Hold | None
) -> int:
    """Feed the ranges silently; gives the number of events consumed."""
    events = size = 0
    for tp, (start, stop) in ranges.items():
        async for block in blocks(consumer, tp, start, stop):
            await _feed(job, block, stop, hold)
            size += block.size
            if size >= REPLAY_BYTES_MAX:
                events, size = events + job.work(live=False).events, 0
    return events + job.work(live=False).events


async def _feed(job: Job, block: Block, stop: int, hold: Hold | None) -> None:
    """Feeds a block, as often as it takes the schema registry to answer."""
    while True:
        try:
            job.feed(block, stop)
        except RegistryError as problem:
            if hold is None:
                raise
            await hold(problem)
        else:
            return


async def fences(settings: EngineSettings, partitions: int, name: str) -> list[Fence | None]:
    """The last fence of each partition of a changelog; None where there is none."""
    values = await last_values(settings, partitions, name, FENCE)
    return [None if value is None else Fence.decode(value) for value in values]


async def last_values(settings: EngineSettings, partitions: int, name: str, key: bytes) -> list[bytes | None]:
    """The last value of a key in each partition of a changelog; None where there is none. Looked for from the end backwards."""
    changelog = changelog_topic(settings, name)
    install_blocks(settings, (), changelog)
    consumer = await open_consumer(settings)
    try:
        if changelog not in await consumer.topics():
            return [None] * partitions
        return [await _last_value(consumer, TopicPartition(changelog, p), key) for p in range(partitions)]
    finally:
        await consumer.stop()


async def _last_value(consumer: AIOKafkaConsumer, tp: TopicPartition, wanted: bytes) -> bytes | None:
    first, stable = (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]
    size, end = FENCE_ROWS, stable
    found: bytes | None = None
    while found is None and end > first:
        start = max(first, end - size)
        async for block in blocks(consumer, tp, start, end):
            rows = rows_of(block, end)
            for key, value in rows.take(rows.raw[rows.key] == wanted[0]):
                found = value if key == wanted else found
        end, size = start, 2 * size
    return found


async def read_state(
    settings: EngineSettings, job_factory: Callable[[], AnyJob], partition: int, *, name: str = "standing"
) -> AnyJob:
    """A partition's state as of one committed transaction, read beside a running worker.

    Nobody is fenced, no group joined. Raises RecoveryError where there is no state, or it can't be read.
    """
    changelog = changelog_topic(settings, name)
    install_blocks(settings, job_factory().inputs, changelog)
    consumer = await open_consumer(settings)
    try:
        if changelog not in await consumer.topics():
            raise RecoveryError(f"no topic {changelog}: no worker of group {settings.group} has ever run here")
        return await read_again(settings, job_factory, partition, consumer, changelog)
    finally:
        await consumer.stop()


async def read_again(
    settings: EngineSettings,
    job_factory: Callable[[], AnyJob],
    partition: int,
    consumer: AIOKafkaConsumer,
    changelog: str,
) -> AnyJob:
    """A restored job; tried READS_MAX times, since the workers go on writing."""
    for left in reversed(range(READS_MAX)):
        job = job_factory()
        try:
            await restore(settings, job, partition, consumer, changelog)
            return job
        except Rejoin as problem:
            if not left:
                raise RecoveryError(f"partition {partition}: {problem}") from problem
    raise AssertionError
