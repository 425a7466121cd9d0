"""Postings sent on a timetable, whatever becomes of them: an open loop that hardly costs anything itself.

Every few milliseconds what has fallen due leaves as one batch a partition, all in one request, made by the engine's own
kernel. So a rate of 50,000 a second is 200 requests, and neither the sender nor the broker is busy with the sending.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import numpy as np
from aiokafka import AIOKafkaProducer

from agents.engine.record_batches import Packed, batches
from bench.world.data import Array, Chunk
from deploy.connections.clients import aiokafka_options
from deploy.settings import Settings

TICK_S = 0.005
BATCH_BYTES_MAX = 1 << 20


@dataclass(slots=True)
class Lane:
    """The postings of one partition, in order; value i is values[ends[i]:ends[i+1]]."""

    due: Array  # seconds from the start
    keys: Array  # uint8[n, width]
    values: Array
    ends: Array  # int64[n + 1]
    sent: int = 0

    def take(self, now: float) -> Packed | None:
        """What has fallen due since the last call."""
        first, last = self.sent, int(np.searchsorted(self.due, now, side="right"))
        if first == last:
            return None
        self.sent, width = last, self.keys.shape[1]
        at, until = self.ends[first], self.ends[last]
        key_ends = np.arange(1, last - first + 1) * width
        return Packed(
            self.keys[first:last].reshape(-1), key_ends, self.values[at:until], self.ends[first + 1 : last + 1] - at
        )


def lanes(chunk: Chunk, first: int, count: int, rate: float) -> list[Lane]:
    """Postings [first, first + count) by partition; posting i is due (i - first) / rate seconds from the start."""
    out, starts = [], np.concatenate([[0], chunk.ends[:-1]])
    for partition in range(int(chunk.partition.max()) + 1):
        rows = np.flatnonzero(chunk.partition[first : first + count] == partition) + first
        sizes = (chunk.ends - starts)[rows]
        ends = np.concatenate([[0], np.cumsum(sizes)])
        source = np.repeat(starts[rows] - ends[:-1], sizes) + np.arange(ends[-1])
        out.append(Lane((rows - first) / rate, chunk.keys[rows], chunk.values[source], ends))
    return out


def send(settings: Settings, topic: str, given: list[Lane], tick_s: float = TICK_S) -> tuple[float, float]:
    """Sends on time; returns when all is acknowledged: (time.monotonic() of the start, the worst delay in seconds)."""
    return asyncio.run(_send(settings, settings.topic(topic), given, tick_s))


async def _send(settings: Settings, name: str, given: list[Lane], tick_s: float) -> tuple[float, float]:
    producer = AIOKafkaProducer(
        **aiokafka_options(settings.kafka), acks="all", enable_idempotence=True, max_request_size=16 << 20
    )
    await producer.start()
    try:
        await producer.partitions_for(name)  # connected before the clock starts
        began, worst, answers = time.monotonic() + 0.1, 0.0, []
        while left := [lane for lane in given if lane.sent < len(lane.due)]:
            following = min(lane.due[lane.sent] for lane in left)
            now = time.monotonic() - began
            await asyncio.sleep(max(tick_s - now % tick_s, following - now))
            now = time.monotonic() - began
            for partition, lane in enumerate(given):
                at = lane.sent
                if (packed := lane.take(now)) is not None:
                    worst = max(worst, now - lane.due[at])
                    made = batches(packed, BATCH_BYTES_MAX, None, transactional=False)
                    answers += [await producer.send_batch(batch, name, partition=partition) for batch in made]
        await asyncio.gather(*answers)
        return began, worst
    finally:
        await producer.stop()
