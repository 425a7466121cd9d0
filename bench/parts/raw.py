"""The rates nothing built on the client library can pass: fetching alone, as records, as blocks, and blocks with their decoding.

On one core and with the data of the full job, so that they can be set beside it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.engine import fetches
from agents.engine.job import Block
from bench.measure.arena import Arena
from bench.measure.report import Report, Table, warn
from bench.world.data import World
from bench.world.sizes import Sizes
from deploy.connections.clients import aiokafka_options
from deploy.settings import Settings
from schemas.codec.blocks import Reader, decode

TOPIC = "transactions"
EVENTS_MAX = 1_000_000
RECORDS_MAX = 200_000  # read one by one, which is slow
FETCH_BYTES_MAX = 2 << 20  # of a partition, as in the worker


def part(arena: Arena, sizes: Sizes, report: Report) -> None:
    """The table of raw rates."""
    world = World(sizes.customers, min(sizes.full_events, EVENTS_MAX), arena.stack.settings.partitions)
    settings = arena.settings("raw")
    arena.topics(settings)
    count = arena.load(settings, TOPIC, world.postings())
    table = Table("Reading alone, on one core, the postings of the full job:", ("what", "events/s", "CPU µs an event"))
    reader = Reader(TOPIC)

    def decoded(block: Block) -> int:
        return decode(block.batches, reader, block.start, block.end).n

    wanted: tuple[tuple[str, int, Callable[[Block], int] | None], ...] = (
        ("aiokafka `getmany`, a Python object a record", min(count, RECORDS_MAX), None),
        ("as blocks: raw batches, checksums compared", count, lambda block: block.end - block.start),
        ("as blocks, decoded into columns", count, decoded),
    )
    for name, number, take in wanted:
        seconds, cpu_s = asyncio.run(_read(settings, number, take))
        table.rows.append((name, f"{number / seconds:,.0f}", f"{cpu_s / number * 1e6:,.2f}"))
        warn("  " + "  ".join(table.rows[-1]))
    report.tables.append(table)


async def _read(settings: Settings, count: int, take: Callable[[Block], int] | None) -> tuple[float, float]:
    """(seconds, CPU seconds) for `count` events of the topic; records one by one without `take`."""
    name = settings.topic(TOPIC)
    if take is not None:
        fetches.install({name: TOPIC})
    consumer = AIOKafkaConsumer(
        **aiokafka_options(settings.kafka), isolation_level="read_committed", auto_offset_reset="earliest",
        enable_auto_commit=False, max_partition_fetch_bytes=FETCH_BYTES_MAX, fetch_max_wait_ms=fetches.FETCH_WAIT_MS,
    )  # fmt: skip
    await consumer.start()
    try:
        consumer.assign([TopicPartition(name, p) for p in range(settings.partitions)])
        fetches.prefetch_at_once(consumer)
        began, cpu, seen = time.monotonic(), time.process_time(), 0
        while seen < count:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                seen += len(records) if take is None else sum(map(take, records))
        return time.monotonic() - began, time.process_time() - cpu
    finally:
        await consumer.stop()
