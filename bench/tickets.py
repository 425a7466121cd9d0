"""Tickets in the opening hour: `tidegauge queue serve` as a bank runs it, kiosks and counters of many branches, the disk's sync.

Open loop: requests leave at their times, however long the others take. A latency counts from when its request should have left.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Producer

from bench.measure.arena import Arena
from bench.measure.report import Report, Table
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
READY_S: Final = 30.0
CONNECTIONS: Final = 128
SYNCS_PER_S: Final = 50
RERANKS: Final = 200
LOOK_S: Final = 0.002
LATE_S: Final = 30.0
UNAVAILABLE: Final = "503"


@dataclass(slots=True)
class Heard:
    """Latencies by kind of request in seconds, and answers that were none."""

    took: dict[str, list[float]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    unavailable: int = 0  # answers that said to ask again
    tickets: set[tuple[int, int]] = field(default_factory=set)
    called: list[tuple[int, int]] = field(default_factory=list)


def part(arena: Arena, sizes: Sizes, report: Report) -> None:
    """The opening burst; with what the server has synced compared with what was answered."""
    seconds = QUICK_S if sizes.quick else BURST_S
    settings = arena.settings("queue")
    arena.topics(settings)
    folder = Path(arena.folder) / "queue"
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
        service = arena.start(command, settings, own)
        try:
            heard, syncs = _measured(port, keys, seconds, folder)
            asyncio.run(_reranked(Client(port), heard, keys, settings))
        finally:
            arena.stop(service)
    assert not heard.failed, f"{len(heard.failed)} requests failed, such as {heard.failed[0]}; {arena.said(service)}"
    assert len(set(heard.called)) == len(heard.called), "a ticket at two counters"
    assert set(heard.called) <= heard.tickets
    rows = [(kind, *_figures(took)) for kind, took in sorted(heard.took.items())]
    rows.append(("the disk's own sync, meanwhile", *_figures(syncs)))
    title = f"Tickets: {BRANCHES} branches, {TICKETS * BRANCHES:,} tickets a minute, for {seconds:.0f} s"
    report.figures.append(("answers 503, asked again with the same key", f"{heard.unavailable:,}"))
    report.tables.append(Table(title, ("request", "answered", "p50, ms", "p99, ms", "most, ms"), rows))


def _keys(settings: Settings) -> dict[tuple[int, Role], str]:
    with connected(settings.database) as connection:
        return {
            (branch, role): issue_key(connection, role, ("hq", f"b{branch}"), "bench", datetime.now(UTC), 1)[1]
            for branch in range(BRANCHES)
            for role in (Role.KIOSK, Role.COUNTER)
        }


def _measured(port: int, keys: dict[tuple[int, Role], str], seconds: float, folder: Path) -> tuple[Heard, list[float]]:
    syncs, over = list[float](), threading.Event()
    beside = threading.Thread(target=_sync, args=(folder / "sync", syncs, over), daemon=True)
    heard = asyncio.run(_load(port, keys, seconds, beside))
    over.set()
    beside.join()
    return heard, syncs


def _sync(path: Path, found: list[float], over: threading.Event) -> None:
    """How long a sync of a hundred bytes takes."""
    with path.open("wb", buffering=0) as file:
        while not over.wait(1 / SYNCS_PER_S):
            began = time.perf_counter()
            file.write(bytes(100))
            os.fdatasync(file.fileno())
            found.append(time.perf_counter() - began)


async def _load(port: int, keys: dict[tuple[int, Role], str], seconds: float, beside: threading.Thread) -> Heard:
    heard, client = Heard(), Client(port)
    await client.ready()
    beside.start()
    count = int(BRANCHES * TICKETS * seconds / BURST_S)
    began, waiting = time.perf_counter() + 0.5, list[asyncio.Task[None]]()
    for number in range(count):
        due = began + number * seconds / count
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        branch, counter = number % BRANCHES, number // BRANCHES % COUNTERS
        waiting.append(asyncio.create_task(_visit(client, heard, keys, branch, counter, number, due)))
    async with asyncio.timeout(LATE_S):
        await asyncio.gather(*waiting)
    return heard


async def _visit(
    client: Client, heard: Heard, keys: dict[tuple[int, Role], str], branch: int, counter: int, number: int, due: float
) -> None:
    """A customer's class is looked up, he gets a ticket, and a counter calls and completes one of its branch."""
    reference = f"{number:026b}".translate({ord("0"): "a", ord("1"): "b"})
    kiosk, desk = keys[branch, Role.KIOSK], keys[branch, Role.COUNTER]
    await client.ask(heard, "look-up", "GET", f"/v1/priority/{reference}", kiosk, "", due)
    issued = await client.ask(heard, "issue", "POST", "/v1/tickets", kiosk, f"i{number}", time.perf_counter())
    heard.tickets.add((branch, issued["ticket"]))
    called = await client.ask(
        heard, "call", "POST", f"/v1/counters/{counter}/next", desk, f"c{number}", time.perf_counter()
    )
    if called["ticket"] is not None:
        place = called["ticket"]["ticket"]
        heard.called.append((branch, place))
        body = {"counter": str(counter)}
        await client.ask(
            heard, "complete", "POST", f"/v1/tickets/{place}/complete", desk, f"d{number}", time.perf_counter(), body
        )


async def _reranked(client: Client, heard: Heard, keys: dict[tuple[int, Role], str], settings: Settings) -> None:
    """From a class on Kafka to the branch's order: of somebody who waits, until his ticket has it."""
    producer = Producer(librdkafka(settings.kafka) | {"linger.ms": 0})
    kiosk, quiet = keys[0, Role.KIOSK], Heard()
    for number in range(RERANKS):
        reference = f"{number:026b}".translate({ord("0"): "c", ord("1"): "d"})
        issued = await client.ask(
            quiet, "issue", "POST", "/v1/tickets", kiosk, f"r{number}", 0.0, {"customer_ref": reference}
        )
        record = {
            "customer_ref": reference, "queue_class": "diamond", "vip_area": True, "valid_until": None,
            "as_of": day_of(date(2026, 3, 2)), "version": number + 1,
        }  # fmt: skip
        sent = time.perf_counter()
        producer.produce(settings.topic("queue-priority"), encode("queue-priority", record), reference)
        await asyncio.to_thread(producer.flush, 5)
        async with asyncio.timeout(READY_S):
            while True:
                now = await client.ask(quiet, "look", "GET", f"/v1/tickets/{issued['ticket']}", kiosk, "", 0.0)
                if now["queue_class"] == "diamond":
                    break
                await asyncio.sleep(LOOK_S)
        heard.took.setdefault("class on Kafka → order", []).append(time.perf_counter() - sent)


class Client:
    """HTTP on connections that stay open."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter] | None] = asyncio.Queue()
        for _ in range(CONNECTIONS):
            self.free.put_nowait(None)

    async def ready(self) -> None:
        """Wait until the service listens."""
        async with asyncio.timeout(READY_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.1)
                else:
                    writer.close()
                    return

    async def ask(
        self, heard: Heard, kind: str, method: str, path: str, key: str, request: str, due: float,
        body: dict[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        """The answer; how long it took since `due` is noted."""
        content = json.dumps(body or {}).encode() if method == "POST" else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {key}\r\nIdempotency-Key: {request or 'x'}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        while True:
            status, answer = await self.answer(head.encode() + content)
            if status != UNAVAILABLE:
                break
            heard.unavailable += 1  # a kiosk asks again, with the same key
        heard.took.setdefault(kind, []).append(time.perf_counter() - due)
        if status not in ("200", "201"):
            heard.failed.append(f"{kind}: {answer[:200]!r}")
            raise RuntimeError(heard.failed[-1])
        return json.loads(answer)

    async def answer(self, request: bytes) -> tuple[str, bytes]:
        """Status and body."""
        at = await self.free.get()
        reader, writer = at or await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        said = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        found = await reader.readexactly(int(said.partition("content-length:")[2].partition("\r\n")[0]))
        self.free.put_nowait((reader, writer) if "connection: close" not in said else None)
        return said.split()[1], found


def _figures(took: list[float]) -> tuple[str, str, str, str]:
    ordered = sorted(took)

    def at(share: float) -> str:
        return f"{1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]:.1f}"

    return f"{len(ordered):,}", at(0.5), at(0.99), at(1.0)
