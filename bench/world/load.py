"""Bulk loads in one transaction: columns to record batches without an object a record, visible all at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from aiokafka import AIOKafkaProducer

from agents.engine.record_batches import Packed, batches, texts
from bench.world.data import Chunk
from deploy.connections.clients import aiokafka_options
from deploy.settings import Settings
from streams.accounts.store import REF_BITS

BATCH_BYTES_MAX = 1 << 18  # some 2,000 postings, as a busy producer's
TRANSACTION_MS_MAX = 840_000
COMPRESSION = "lz4"  # as the connectors write
CHUNKS_IN_FLIGHT = 4


def load(settings: Settings, topic: str, chunks: Iterable[Chunk], ready: Callable[[], None] = lambda: None) -> float:
    """Writes chunks in one transaction, calls `ready`, and commits; the instant just before the commit.

    Readers of committed records see nothing before, everything after: a worker that is ready by then never waits for the
    producer, and the producer takes no processor time from it.
    """
    return asyncio.run(_load(settings, topic, chunks, ready))


async def _load(settings: Settings, topic: str, chunks: Iterable[Chunk], ready: Callable[[], None]) -> float:
    producer = AIOKafkaProducer(
        **aiokafka_options(settings.kafka), transactional_id=f"{settings.topic_prefix}bench-{topic}", linger_ms=0,
        max_batch_size=BATCH_BYTES_MAX, max_request_size=16 << 20, compression_type=COMPRESSION,
        transaction_timeout_ms=TRANSACTION_MS_MAX, request_timeout_ms=120_000,
    )  # fmt: skip
    await producer.start()
    try:
        await producer.begin_transaction()
        sent: list[asyncio.Future[Any]] = []
        for chunk in chunks:
            for partition in range(settings.partitions):
                mine = np.flatnonzero(chunk.partition == partition)
                full = batches(packed(chunk, mine), BATCH_BYTES_MAX, COMPRESSION)
                sent += [await producer.send_batch(one, settings.topic(topic), partition=partition) for one in full]
            if len(sent) > CHUNKS_IN_FLIGHT:
                await asyncio.gather(*sent)
                sent.clear()
        await asyncio.gather(*sent)
        ready()
        began = time.monotonic()
        await producer.commit_transaction()
        return began
    finally:
        await producer.stop()


def packed(chunk: Chunk, rows: Any) -> Packed:
    """The records of some rows of a chunk."""
    starts = np.concatenate([[0], chunk.ends[:-1]])
    width = chunk.keys.shape[1]
    values = texts(chunk.values, starts[rows] << REF_BITS | (chunk.ends - starts)[rows])
    return Packed(np.ascontiguousarray(chunk.keys[rows]).reshape(-1), np.arange(1, len(rows) + 1) * width, *values)
