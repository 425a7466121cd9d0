"""Latency, open loop: postings leave on a timetable whatever the worker does; when does an alert show to a committed reader?

Counted from the time on the timetable, not from the send, so a stall counts for every event it delays. Some
postings are large outflows that raise alerts, which name the posting that caused them.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import numpy as np
from confluent_kafka import Consumer, TopicPartition

from bench import timetable
from bench.arena import Arena
from bench.data import Chunk, World
from bench.full import TOPIC, WORKER, opened
from bench.report import Report, Table, warn
from bench.sizes import Sizes
from deploy.settings import Settings
from schemas.records import decode_one

ALARMS_S_MAX = 50  # at most so many alarms a second, and at most every tenth posting
GRACE_S, WARM_S = 60.0, 2.0
WAKE = (100, 100)  # postings a second and their number: until the worker has joined


@dataclass(slots=True)
class Result:
    """Milliseconds from the timetable to the committed alert; missing: alerts that never came."""

    rate: int
    sent: int = 0
    missing: int = 0
    late_ms: float = 0.0  # the producer's own worst delay behind the timetable
    milliseconds: list[float] = field(default_factory=list)

    def at(self, percent: float) -> float:
        """A percentile."""
        return float(np.percentile(self.milliseconds, percent)) if self.milliseconds else float("nan")


class Watcher(threading.Thread):
    """Reads committed alerts and notes when the first for each posting is seen."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self.seen: dict[str, float] = {}
        self.ended = threading.Event()
        self.consumer = Consumer({
            "bootstrap.servers": settings.kafka, "group.id": f"{settings.group}-watch", "enable.auto.commit": False,
            "isolation.level": "read_committed", "fetch.wait.max.ms": 100, "auto.offset.reset": "earliest",
        })  # fmt: skip
        self.consumer.assign([TopicPartition(settings.topic("rm-alerts"), p, 0) for p in range(settings.partitions)])

    def run(self) -> None:
        """Until told to end."""
        while not self.ended.is_set():
            message, now = self.consumer.poll(0.1), time.monotonic()
            if message is not None and message.error() is None:
                self.seen.setdefault(decode_one(message.value())["caused_by"], now)
        self.consumer.close()


def measure(arena: Arena, rates: list[int], seconds: float, customers: int = 20_000) -> list[Result]:
    """Each rate in turn through one worker."""
    loads = [WAKE, *((rate, int(rate * (seconds + WARM_S))) for rate in rates)]
    spans = tuple((count, max(10, rate // ALARMS_S_MAX)) for rate, count in loads)
    world = World(customers, sum(n for n, _ in spans), arena.stack.settings.partitions, alarms=spans)
    settings, _, _ = opened(arena, world)
    worker, watcher = arena.start(WORKER, settings), Watcher(settings)
    watcher.start()
    results, first = [], 0
    try:
        (chunk,) = world.postings(chunk=world.events)
        for rate, count in loads:
            alarms = np.flatnonzero(world.alarm[first : first + count]).tolist()
            results.append(_one(settings, chunk, first, count, rate, watcher, alarms))
            first += count
    finally:
        watcher.ended.set()
        watcher.join()
        arena.stop(worker)
    return results[1:]


def part(arena: Arena, sizes: Sizes, report: Report) -> None:
    """Every rate of the sizes."""
    table = Table(
        "Open loop, from the timetable to a `read_committed` reader of the alert, ms:",
        ("events/s", "p50", "p99", "p99.9", "alerts", "missing"),
    )
    for result in measure(arena, list(sizes.rates), sizes.latency_s):
        times = (f"{result.at(p):,.0f}" for p in (50, 99, 99.9))
        table.rows.append((f"{result.rate:,}", *times, f"{result.sent:,}", f"{result.missing:,}"))
        warn("  " + "  ".join(table.rows[-1]) + f"  producer late {result.late_ms:.0f} ms at most")
    report.tables.append(table)


def _one(
    settings: Settings, chunk: Chunk, first: int, count: int, rate: int, watcher: Watcher, alarms: list[int]
) -> Result:
    """Postings [first, first + count) at a rate; the first two seconds warm up and don't count."""
    began, late = timetable.send(settings, TOPIC, timetable.lanes(chunk, first, count, rate))
    result = Result(rate, late_ms=late * 1e3)
    wanted = {chunk.event_id(first + i): began + i / rate for i in alarms}
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline and not wanted.keys() <= watcher.seen.keys():
        time.sleep(0.05)
    for event_id, at in wanted.items():
        if at < began + WARM_S:
            continue
        result.sent += 1
        if event_id in watcher.seen:
            result.milliseconds.append((watcher.seen[event_id] - at) * 1e3)
        else:
            result.missing += 1
    return result
