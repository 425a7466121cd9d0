"""Latency, open loop: postings leave on a timetable whatever the worker does; when does an alert show to a committed reader?

Counted from the time on the timetable, not from the send, so a stall counts for every event it delays. Some
postings are large outflows that raise alerts, which name the posting that caused them. Tier changes come with a month
close: after the last posting the month is closed, and they count from the closer's call.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, Message, TopicPartition

from bench.measure.arena import Arena
from bench.measure.report import DASH, Report, Table, warn
from bench.measure.timing import Probe, Process
from bench.parts.full import CLOSE_OFFSETS, TOPIC, WORKER, opened
from bench.parts.life import LAST
from bench.world import timetable
from bench.world.bank import ends
from bench.world.data import Chunk, World
from bench.world.sizes import Sizes
from connectors.loading.closer import Closer
from deploy.connections.clients import librdkafka
from deploy.settings import Settings
from schemas.codec.records import decode_one, encode

ALARMS_S_MAX = 50  # at most so many alarms a second, and at most every tenth posting
GRACE_S, WARM_S, QUIET_S = 60.0, 2.0, 1.0
WAKE = (100, 100)  # postings a second and their number: until the worker has joined


@dataclass(slots=True)
class Result:
    """Milliseconds from the timetable to the committed alert; missing: alerts that never came."""

    what: str
    sent: int = 0
    missing: int | None = 0  # None: not known how many there should be
    late_ms: float = 0.0  # the producer's own worst delay behind the timetable
    milliseconds: list[float] = field(default_factory=list)

    def at(self, percent: float) -> float:
        """A percentile."""
        return float(np.percentile(self.milliseconds, percent)) if self.milliseconds else float("nan")


class Watcher(threading.Thread):
    """Reads the committed records of a topic and notes when the first with each name is seen."""

    def __init__(self, settings: Settings, topic: str, start: int, name: Callable[[Message], str]) -> None:
        super().__init__(daemon=True)
        self.seen: dict[str, float] = {}
        self.ended = threading.Event()
        self.name_of = name
        self.consumer = Consumer({
            **librdkafka(settings.kafka), "group.id": f"{settings.group}-watch", "enable.auto.commit": False,
            "isolation.level": "read_committed", "fetch.wait.max.ms": 100, "auto.offset.reset": "earliest",
        })  # fmt: skip
        partitions = range(settings.partitions)
        self.consumer.assign([TopicPartition(settings.topic(topic), p, start) for p in partitions])

    def run(self) -> None:
        """Until told to end."""
        while not self.ended.is_set():
            message, now = self.consumer.poll(0.1), time.monotonic()
            if message is not None and message.error() is None:
                self.seen.setdefault(self.name_of(message), now)
        self.consumer.close()


@contextmanager
def watching(settings: Settings, topic: str, start: int, name: Callable[[Message], str]) -> Iterator[Watcher]:
    """A watcher that runs."""
    watcher = Watcher(settings, topic, start, name)
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.ended.set()
        watcher.join()


@contextmanager
def without_collection() -> Iterator[None]:
    """Else this process, which is producer and reader, stands still for 0.15 s now and then."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def measure(arena: Arena, rates: list[int], seconds: float, customers: int = 20_000) -> list[Result]:
    """Each rate in turn through one worker, and the month close behind them."""
    loads = [WAKE, *((rate, int(rate * (seconds + WARM_S))) for rate in rates)]
    spans = tuple((count, max(10, rate // ALARMS_S_MAX)) for rate, count in loads)
    world = World(customers, sum(n for n, _ in spans), arena.stack.settings.partitions, alarms=spans)
    settings = opened(arena, world)
    (chunk,) = world.postings(chunk=world.events)
    worker = arena.start(WORKER, settings)
    results, first = [], 0
    try:
        with without_collection(), watching(settings, "rm-alerts", OFFSET_BEGINNING, cause) as alerts:
            for rate, count in loads:
                alarms = np.flatnonzero(world.alarm[first : first + count]).tolist()
                results.append(_one(settings, chunk, first, count, rate, alerts, alarms))
                first += count
        return [*results[1:], _close(arena, settings, worker)]
    finally:
        arena.stop(worker)


def cause(alert: Message) -> str:
    """The event id of the posting that raised an alert."""
    return str(decode_one(alert.value())["caused_by"])


def part(arena: Arena, sizes: Sizes, report: Report) -> None:
    """Every rate of the sizes, in several runs."""
    table = Table(
        "Open loop, from the timetable to a `read_committed` reader of the alert, and from the closer's call to one of "
        "the tier change, in milliseconds to the microsecond, medians:",
        ("events/s", "p50", "p99", "p99 of each run", "p99.9", "alerts or tier changes", "missing"),
    )
    runs = [measure(arena, list(sizes.rates), sizes.latency_s) for _ in range(sizes.runs)]
    for results in zip(*runs, strict=True):
        middle = [f"{median(result.at(p) for result in results):,.3f}" for p in (50, 99, 99.9)]
        each = " ".join(f"{result.at(99):,.3f}" for result in results)
        sent, missing = sum(result.sent for result in results), [r.missing for r in results if r.missing is not None]
        counts = (f"{sent:,}", f"{sum(missing):,}" if missing else DASH)
        table.rows.append((results[0].what, *middle[:2], each, middle[2], *counts))
        late = max(result.late_ms for result in results)
        warn("  " + "  ".join(table.rows[-1]) + f"  producer late {late:.0f} ms at most")
    report.tables.append(table)


def _close(arena: Arena, settings: Settings, worker: Process) -> Result:
    """The month close that all postings lie before, until nothing more has come for a while."""
    probe, closer = Probe(settings, TOPIC), Closer(settings, encode)

    def closed(day: int) -> None:
        target, until = ends(probe) + CLOSE_OFFSETS * settings.partitions, time.monotonic() + GRACE_S
        closer.close(day, reason="a measurement")
        while probe.committed() < target:
            if worker.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"close: not reached\n{arena.said(worker)}")
            time.sleep(0.02)

    closed(LAST - 1)  # and the days before it
    with watching(settings, "tier-changes", OFFSET_END, lambda m: f"{m.partition()} {m.offset()}") as changes:
        time.sleep(QUIET_S)  # the watcher knows by now where the end is
        began = time.monotonic()
        closed(LAST)
        time.sleep(QUIET_S)
    closer.shut()
    probe.close()
    times = [(at - began) * 1e3 for at in changes.seen.values()]
    return Result("a month close", len(times), None, milliseconds=times)


def _one(
    settings: Settings, chunk: Chunk, first: int, count: int, rate: int, alerts: Watcher, alarms: list[int]
) -> Result:
    """Postings [first, first + count) at a rate; the first two seconds warm up and don't count."""
    began, late = timetable.send(settings, TOPIC, timetable.lanes(chunk, first, count, rate))
    result = Result(f"{rate:,}", late_ms=late * 1e3)
    wanted = {chunk.event_id(first + i): began + i / rate for i in alarms}
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline and not wanted.keys() <= alerts.seen.keys():
        time.sleep(0.05)
    counted = {event_id: at for event_id, at in wanted.items() if at >= began + WARM_S}
    result.milliseconds = [(alerts.seen[name] - at) * 1e3 for name, at in counted.items() if name in alerts.seen]
    result.sent, result.missing = len(counted), len(counted) - len(result.milliseconds)
    return result
