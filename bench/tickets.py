"""Tickets in the opening hour: `tidegauge queue serve` as a bank runs it, kiosks and counters of many branches, the disk's sync.

Open loop: customers come at their times, however long the others take, and a counter calls as soon as it is free and somebody
waits. A latency counts from when its request should have left. Beside it, on the same machine, a worker takes postings
(bench.background_load), and a view of classes is kept, of which three customers in ten have one above the lowest.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import psutil
from confluent_kafka import Producer
from redis import Redis

from bench.apart import told_apart
from bench.background_load import EVENTS_PER_S, Posting, postings_beside
from bench.measure.arena import Arena
from bench.measure.http_client import CONNECTIONS, READY_S, Client, Heard
from bench.measure.report import Report, Table
from bench.measure.shares import Shares
from bench.measure.timing import Process
from bench.world.sizes import Sizes
from deploy.connections.clients import librdkafka
from deploy.connections.database import connected
from deploy.embedded import processes
from deploy.embedded.stack import Stack
from deploy.settings import Settings
from schemas.codec.records import encode
from services.access.decision import Role
from services.access.keys import issue_key
from services.database.setup import make_ready
from streams.calendar import day_of

BRANCHES, COUNTERS, TICKETS = 200, 20, 50  # tickets of a branch within the first minute
BURST_S: Final = 60.0
QUICK_S: Final = 12.0
STRESS_VISITS_PER_S: Final = 250  # of four requests each
STRESS_S: Final = 600.0
QUICK_STRESS_S: Final = 20.0
SERVICE_S, QUICK_SERVICE_S = 40.0, 5.0
"""Of a customer at a counter on average. In the minute more come than are called, so that halls fill."""

VIPS_OF_TEN: Final = 3
VIP_CLASSES: Final = ("diamond", "platinum", "gold")
SYNCS_PER_S: Final = 50
RERANKS: Final = 200
LOOK_UPS: Final = 1000  # of customers whom the view knows as ordinary, and of nobody
LOOK_S: Final = 0.002
LATE_S: Final = 120.0
BOUNDS_MS: Final = {"issue": 10, "call": 10, "look-up": 5, "class on Kafka → order": 200}
"""Of the p99 in the opening burst."""

SETTLE_S: Final = 3.0

_ORDINARY, _NOBODY = 1 << 24, 3 << 24  # where numbers of these references begin; those of visits are below
_Keys = dict[tuple[int, Role], str]


@dataclass(slots=True)
class Visits:
    """What visits came to. `tickets`, `called`: branch and place."""

    heard: Heard = field(default_factory=Heard)
    seconds: float = 0.0
    shares: list[tuple[str, float]] = field(default_factory=list)
    tickets: set[tuple[int, int]] = field(default_factory=set)
    called: list[tuple[int, int]] = field(default_factory=list)

    def check(self, said: str) -> None:
        """Nothing failed, and no ticket was called twice."""
        assert not self.heard.failed, f"{len(self.heard.failed)} failed, such as {self.heard.failed[0]}; {said}"
        assert len(set(self.called)) == len(self.called), "a ticket at two counters"
        assert set(self.called) <= self.tickets


@dataclass(slots=True)
class Hall:
    """A branch's counters that are free, how many tickets wait, and how many have been called."""

    free: deque[int]
    waiting: int = 0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """Visits a second for so many seconds; counters of a branch, and seconds that a customer is served on average."""

    visits_per_s: float
    seconds: float
    counters: int
    service_s: float

    def reference(self, number: int) -> str:
        """Of a customer."""
        return f"{number:026b}".translate({ord("0"): "a", ord("1"): "b"})


@dataclass(slots=True)
class Service:
    """A service that runs, and what is asked of it."""

    port: int
    keys: _Keys
    process: Process
    folder: Path
    redis_url: str
    tickets_url: str

    def steps(self) -> int:
        """Steps that the store has made, over all branches."""
        with Redis.from_url(self.tickets_url) as client:
            return sum(int(client.hget(name, "steps") or 0) for name in client.scan_iter("*queue:b*", _type="hash", count=1000)
                       if name.count(b":") == 2)  # fmt: skip

    def memory_mb(self) -> float:
        """Of the service and of what it started."""
        own = psutil.Process(self.process.pid)
        return sum(one.memory_info().rss for one in (own, *own.children(recursive=True))) / 1e6


@contextmanager
def served(arena: Arena, settings: Settings) -> Iterator[Service]:
    """The service with its servers."""
    arena.topics(settings)
    folder = Path(arena.folder) / settings.topic_prefix
    given = Settings(bootstrap_servers=settings.bootstrap_servers, data_dir=folder)
    with Stack(folder, given, with_kafka=False, with_tickets=True, with_postgres=True, any_ports=True) as stack:
        make_ready(stack.settings)
        keys = _keys(stack.settings)
        port = processes.free_row(1)
        own = {
            "TIDEGAUGE_REDIS_URL": stack.redis_url, "TIDEGAUGE_TICKETS_URL": stack.settings.tickets,
            "TIDEGAUGE_DATABASE_URL": stack.settings.database, "TIDEGAUGE_LOOKUP_RATE": "0",
            "TIDEGAUGE_LOOKUP_CONNECTIONS": str(8 * CONNECTIONS), "TIDEGAUGE_LOOKUP_METRICS_PORT": "0",
            "TIDEGAUGE_QUEUE_KEY_RATE": "0",
        }  # fmt: skip
        command = ["-m", "tidegauge.cli.main", "queue", "serve", "--port", str(port)]
        process = arena.start(command, settings, own)
        try:
            yield Service(port, keys, process, folder, stack.redis_url, stack.settings.tickets)
        finally:
            arena.stop(process)


def part(arena: Arena, sizes: Sizes, report: Report) -> None:
    """The opening burst; with what the server has synced compared with what was answered."""
    seconds, service_s = (QUICK_S, QUICK_SERVICE_S) if sizes.quick else (BURST_S, SERVICE_S)
    load = Load(BRANCHES * TICKETS / BURST_S, seconds, max(1, round(COUNTERS * seconds / BURST_S)), service_s)
    with postings_beside(arena, sizes, seconds + LATE_S) as posting, served(arena, posting.settings) as service:
        views = arena.start(
            ["-m", "tidegauge.cli.main", "views"], posting.settings, {"TIDEGAUGE_REDIS_URL": service.redis_url}
        )
        try:
            _classes(posting.settings, load)
            visits, syncs = _measured(service, load, posting)
            looked = asyncio.run(_looked_up(service, load))
        finally:
            arena.stop(views)
        said = arena.said(service.process)
    visits.check(said)
    title = (
        f"Tickets: {BRANCHES} branches of {load.counters} counters, {TICKETS * BRANCHES:,} tickets a minute, for {seconds:.0f} s,"
        f" beside a worker with {EVENTS_PER_S} postings a second"
    )
    report.figures.append(("tickets that waited at the end", f"{len(visits.tickets) - len(visits.called):,}"))
    _add(report, title, visits, syncs)
    title = f"Look-ups in milliseconds, {LOOK_UPS:,} of each in turn: the time must not tell who is a customer."
    report.tables.append(told_apart(title, ("ordinary customers", "nobody"), *looked))


def stress(arena: Arena, sizes: Sizes, report: Report) -> None:
    """A thousand requests a second: no error, nothing lost, bounded memory."""
    seconds = QUICK_STRESS_S if sizes.quick else STRESS_S
    settings = arena.settings("stress")
    with served(arena, settings) as service:
        before = service.memory_mb()
        visits, syncs = _measured(service, Load(STRESS_VISITS_PER_S, seconds, COUNTERS, 0.0))
        after, steps = service.memory_mb(), service.steps()
        said = arena.said(service.process)
    visits.check(said)
    done = sum(len(visits.heard.took.get(kind, ())) for kind in ("issue", "call", "complete")) - visits.heard.refused
    empty = len(visits.heard.took.get("call", ())) - visits.heard.refused - len(visits.called)
    assert steps == done - empty, f"{done - empty} steps were answered, and the store has {steps}"
    report.figures.append(("memory of the service at the beginning and the end, MB", f"{before:,.0f}, {after:,.0f}"))
    report.figures.append(("steps answered, and as many in the store", f"{steps:,}"))
    _add(report, f"Tickets: {4 * STRESS_VISITS_PER_S:,} requests a second for {seconds:.0f} s", visits, syncs)


def _add(report: Report, title: str, visits: Visits, syncs: list[float]) -> None:
    rows: list[tuple[str, ...]] = [
        (kind, *_figures(took), str(BOUNDS_MS.get(kind, "-"))) for kind, took in sorted(visits.heard.took.items())
    ]
    rows.append(("the disk's own sync, meanwhile", *_figures(syncs), "-"))
    report.figures.append(("answers 503, asked again with the same key", f"{visits.heard.unavailable:,}"))
    report.figures.append(("connections that ended before their answer, asked again", f"{visits.heard.cut:,}"))
    report.tables.append(
        Table(title, ("request", "answered", "p50, ms", "p99, ms", "most, ms", "bound of p99, ms"), rows)
    )
    asked = sum(len(took) for took in visits.heard.took.values())
    shares: list[tuple[str, ...]] = [
        (name, f"{100 * used / visits.seconds:.0f}", f"{1e6 * used / asked:.0f}") for name, used in visits.shares
    ]
    report.tables.append(Table("CPU meanwhile", ("process", "of one processor, %", "a request, µs"), shares))


def _keys(settings: Settings) -> _Keys:
    with connected(settings.database) as connection:
        return {
            (branch, role): issue_key(connection, role, ("hq", f"b{branch}"), "bench", datetime.now(UTC), 1)[1]
            for branch in range(BRANCHES + 1)  # one without counters, for whose class changes
            for role in (Role.KIOSK, Role.COUNTER)
        }


def _measured(service: Service, load: Load, posting: Posting | None = None) -> tuple[Visits, list[float]]:
    syncs, over = list[float](), threading.Event()
    beside = threading.Thread(target=_sync, args=(service.folder / "sync", syncs, over), daemon=True)
    gc.collect()
    gc.disable()
    try:
        visits = asyncio.run(_loaded(service, load, beside, posting))
    finally:
        gc.enable()
    over.set()
    beside.join()
    return visits, syncs


def _classes(settings: Settings, load: Load) -> None:
    """Classes of three customers in ten, onto the log."""
    producer = Producer(librdkafka(settings.kafka))
    for number in range(int(load.visits_per_s * load.seconds)):
        if number % 10 < VIPS_OF_TEN:
            _publish(producer, settings, load.reference(number), VIP_CLASSES[number % 10], 1)
    for number in range(LOOK_UPS):
        _publish(producer, settings, load.reference(_ORDINARY + number), "ordinary", 1)
    producer.flush(READY_S)


def _publish(producer: Producer, settings: Settings, reference: str, queue_class: str, version: int) -> None:
    record = {
        "customer_ref": reference, "queue_class": queue_class, "vip_area": queue_class != "ordinary", "valid_until": None,
        "as_of": day_of(date(2026, 3, 2)), "version": version,
    }  # fmt: skip
    producer.produce(settings.topic("queue-priority"), encode("queue-priority", record), reference)


def _sync(path: Path, found: list[float], over: threading.Event) -> None:
    """How long a sync of a hundred bytes takes."""
    with path.open("wb", buffering=0) as file:
        while not over.wait(1 / SYNCS_PER_S):
            began = time.perf_counter()
            file.write(bytes(100))
            os.fdatasync(file.fileno())
            found.append(time.perf_counter() - began)


async def _loaded(service: Service, load: Load, beside: threading.Thread, posting: Posting | None) -> Visits:
    visits, client = Visits(), Client(service.port)
    await client.ready(1)
    await asyncio.sleep(SETTLE_S)  # what goes on behind the service has begun
    if posting is not None:
        await _seen(client, service, load)
    await client.ready()
    beside.start()
    shares, at = Shares(), time.perf_counter()
    began, waiting = time.perf_counter() + 0.5, list[asyncio.Task[None]]()
    day = _Day(client, visits, service.keys, load, began + load.seconds)
    if posting is not None:
        posting.begin()
        waiting.append(
            asyncio.create_task(_reranked(client, visits.heard, service.keys, posting.settings, began, load))
        )
    for number in range(int(load.visits_per_s * load.seconds)):
        due = began + number / load.visits_per_s
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        waiting.append(asyncio.create_task(day.visit(number, due)))
    async with asyncio.timeout(LATE_S):
        await asyncio.gather(*waiting)
        while day.served:  # who is served may be followed by others
            await day.served.pop()
    visits.shares, visits.seconds = shares.seconds(), time.perf_counter() - at
    return visits


async def _seen(client: Client, service: Service, load: Load) -> None:
    """Wait until the view has the last class that was published."""
    last = int(load.visits_per_s * load.seconds) // 10 * 10 - 10 + VIPS_OF_TEN - 1
    quiet, key = Heard(), service.keys[0, Role.KIOSK]
    async with asyncio.timeout(READY_S):
        while True:
            found = await client.ask(quiet, "look", "GET", f"/v1/priority/{load.reference(last)}", key, "", 0.0)
            if found["queue_class"] != "ordinary" and not found["degraded"]:
                return
            await asyncio.sleep(SETTLE_S / 10)


@dataclass(slots=True)
class _Day:
    """The halls meanwhile. until: time.perf_counter() from which on nobody is served to his end."""

    client: Client
    visits: Visits
    keys: _Keys
    load: Load
    until: float
    halls: list[Hall] = field(init=False)
    served: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.halls = [Hall(deque(range(self.load.counters))) for _ in range(BRANCHES)]

    async def visit(self, number: int, due: float) -> None:
        """A customer's class is looked up, he gets a ticket, and a counter that is free calls the next one."""
        branch, heard, reference = number % BRANCHES, self.visits.heard, self.load.reference(number)
        kiosk = self.keys[branch, Role.KIOSK]
        await self.client.ask(heard, "look-up", "GET", f"/v1/priority/{reference}", kiosk, "", due)
        issued = await self.client.ask(
            heard, "issue", "POST", "/v1/tickets", kiosk, f"i{number}", time.perf_counter(), {"customer_ref": reference}
        )
        self.visits.tickets.add((branch, issued["ticket"]))
        self.halls[branch].waiting += 1
        await self._next(branch)

    async def _next(self, branch: int) -> None:
        """Where a counter is free and somebody waits, he is called."""
        hall, heard = self.halls[branch], self.visits.heard
        if not hall.free or not hall.waiting:
            return
        counter = hall.free.popleft()
        hall.waiting, hall.calls = hall.waiting - 1, hall.calls + 1
        called = await self.client.ask(
            heard, "call", "POST", f"/v1/counters/{counter}/next", self.keys[branch, Role.COUNTER],
            f"c{hall.calls}", time.perf_counter(),
        )  # fmt: skip
        assert called is not None, "a counter that is free was refused"
        assert called["ticket"] is not None, "nobody waits where somebody does"
        place = called["ticket"]["ticket"]
        self.visits.called.append((branch, place))
        if self.load.service_s:
            self.served.append(asyncio.create_task(self._serve(branch, counter, place)))
        else:
            await self._serve(branch, counter, place)

    async def _serve(self, branch: int, counter: int, place: int) -> None:
        """He is served for a while, then the counter is free."""
        took = self.load.service_s * (0.5 + place * 0.618 % 1)
        now = time.perf_counter()
        if took:
            await asyncio.sleep(min(took, max(0.0, self.until - now)))
            if now + took >= self.until:
                return
        await self.client.ask(
            self.visits.heard, "complete", "POST", f"/v1/tickets/{place}/complete", self.keys[branch, Role.COUNTER],
            f"d{place}", time.perf_counter(), {"counter": str(counter)},
        )  # fmt: skip
        self.halls[branch].free.append(counter)
        await self._next(branch)


async def _looked_up(service: Service, load: Load) -> tuple[list[float], list[float]]:
    """Milliseconds of look-ups of customers whom the view knows as ordinary, and of unknown references; in turn."""
    client, quiet, told = Client(service.port), Heard(), set[str]()
    took: tuple[list[float], list[float]] = [], []
    for number in range(2 * LOOK_UPS):
        kind = (number + number // 2) % 2  # now the one first, now the other
        reference = load.reference((_ORDINARY, _NOBODY)[kind] + number // 2)
        began = time.perf_counter()
        answer = await client.ask(
            quiet, "look-up", "GET", f"/v1/priority/{reference}", service.keys[0, Role.KIOSK], "", began
        )
        took[kind].append(1000 * (time.perf_counter() - began))
        told.add(str(answer))
    assert len(told) == 1, f"answers tell who is a customer: {told}"
    return took


async def _reranked(client: Client, heard: Heard, keys: _Keys, settings: Settings, began: float, load: Load) -> None:
    """From a class on Kafka to the branch's order: of somebody who waits, until his ticket has it. Over the whole time."""
    producer = Producer(librdkafka(settings.kafka) | {"linger.ms": 0})
    quiet, kiosk = Heard(), keys[BRANCHES, Role.KIOSK]
    count = int(RERANKS * load.seconds / BURST_S)
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number * load.seconds / count - time.perf_counter()))
        reference = load.reference((1 << 25) + number)
        issued = await client.ask(
            quiet, "issue", "POST", "/v1/tickets", kiosk, f"r{number}", 0.0, {"customer_ref": reference}
        )
        sent = time.perf_counter()
        _publish(producer, settings, reference, "diamond", number + 1)
        await asyncio.to_thread(producer.flush, 5)
        async with asyncio.timeout(READY_S):
            while True:
                now = await client.ask(quiet, "look", "GET", f"/v1/tickets/{issued['ticket']}", kiosk, "", 0.0)
                if now["queue_class"] == "diamond":
                    break
                await asyncio.sleep(LOOK_S)
        heard.took.setdefault("class on Kafka → order", []).append(time.perf_counter() - sent)
        await client.ask(quiet, "leave", "POST", f"/v1/tickets/{issued['ticket']}/leave", kiosk, f"l{number}", 0.0)


def _figures(took: list[float]) -> tuple[str, str, str, str]:
    ordered = sorted(took)

    def at(share: float) -> str:
        return f"{1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]:.1f}"

    return f"{len(ordered):,}", at(0.5), at(0.99), at(1.0)
