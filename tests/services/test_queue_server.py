"""The look-up's server against clients that mean harm: nothing is held for ever, and kiosks are still answered."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import pytest

from services.queue import server as bounds
from services.queue.lookup import Lookup, QueueRow
from services.queue.priority import create_app
from services.queue.server import RateLimit, listening, server
from tests.services.contract_priorityview import REF
from tests.services.test_priority import MemoryPriorityView

GET = f"GET /v1/priority/{REF} HTTP/1.1\r\nHost: t\r\n\r\n".encode()


class Port:
    """A look-up that serves; `open` connects to it."""

    def __init__(self, number: int, running: Any) -> None:
        self.number, self.running = number, running
        self.writers: list[asyncio.StreamWriter] = []

    async def open(
        self, sent: bytes = b"", local: str = "127.0.0.1"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.number, local_addr=(local, 0))
        self.writers.append(writer)
        writer.write(sent)
        return reader, writer

    async def ask(self, local: str = "127.0.0.9") -> bytes:
        """What a kiosk gets, from an address of its own."""
        reader, _ = await self.open(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), local)
        return await asyncio.wait_for(reader.read(), 5)

    @property
    def held(self) -> int:
        """Connections that the server holds."""
        return len(self.running.server_state.connections)

    async def until(self, met: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not met():  # noqa: ASYNC110 (nobody tells when a connection ends)
                await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(connections_max: int = 64, rate_max: int = 0) -> AsyncIterator[Port]:
    view = MemoryPriorityView({REF: QueueRow("gold", True, None, 1.0)})
    running = server(create_app(Lookup(view, "ordinary", lambda: date(2026, 3, 2)), rate_max), connections_max)
    with listening("127.0.0.1", 0) as socket:
        serve = asyncio.create_task(running._serve([socket]))
        port = Port(socket.getsockname()[1], running)
        await port.until(lambda: running.started)
        try:
            yield port
        finally:
            for writer in port.writers:
                writer.close()
            running.should_exit = running.force_exit = True
            await serve


@pytest.mark.slow
async def test_half_open_requests_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 900 requests without an end some are taken, the rest closed at once; all are gone in time, kiosks are served."""
    monkeypatch.setattr(bounds, "REQUEST_S", 0.5)
    async with serving(64) as port:
        for number in range(900):
            await port.open(b"GET /v1/priority/", f"127.0.1.{number % 200 + 1}")
        await port.until(lambda: port.held <= 64)
        await port.until(lambda: port.held == 0)
        assert b'"gold"' in await port.ask()


async def test_one_address_leaves_room_for_others() -> None:
    """A client with all the connections it gets does not keep a kiosk out; what is beyond is told so."""
    async with serving(16) as port:
        readers = [(await port.open())[0] for _ in range(20)]
        refused = [await asyncio.wait_for(reader.read(), 5) for reader in readers[4:]]
        assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in refused)
        assert b'"gold"' in await port.ask()


@pytest.mark.parametrize("drip", [b"X: y\r\n", b"a"], ids=["headers", "a body after the answer"])
async def test_dripping_request_is_cut(drip: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that keeps sending something is no client that asks."""
    monkeypatch.setattr(bounds, "REQUEST_S", 0.3)
    head = (
        GET[:-2]
        if drip.endswith(b"\n")
        else GET.replace(b"GET", b"POST").replace(b"Host", b"Content-Length: 999\r\nHost")
    )
    async with serving() as port, asyncio.timeout(8):
        reader, writer = await port.open(head)
        with contextlib.suppress(ConnectionError):
            while port.held or not reader.at_eof():
                writer.write(drip)
                await writer.drain()
                await asyncio.sleep(0.02)
        await port.until(lambda: port.held == 0)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"a" * 70_000, GET[:-2] + b"X: " + b"y" * 70_000, GET[:-2] + b"X: y\r\n" * 9000,
        GET.replace(b"Host", b"Content-Length: 999999\r\nHost") + b"z" * 70_000,
        GET.replace(b"Host", b"Transfer-Encoding: chunked\r\nHost") + b"1\r\nz\r\n" * 9000,
    ],
    ids=["path", "header", "headers", "body", "chunks"],
)  # fmt: skip
async def test_long_request_is_refused(sent: bytes) -> None:
    """Whatever is long in a request, it ends at 16 KB."""
    async with serving() as port, asyncio.timeout(8):
        reader, _ = await port.open(sent)
        try:
            answer = await reader.read()
        except ConnectionError:
            answer = b""
        assert b" 200 " not in answer.partition(b"\r\n")[0] or b"body" not in answer
        await port.until(lambda: port.held == 0)
        assert b'"gold"' in await port.ask()


async def test_requests_in_a_row_on_one_connection() -> None:
    """A kiosk that keeps its connection, or sends the next request early, is answered each time."""
    async with serving() as port, asyncio.timeout(8):
        reader, writer = await port.open(GET * 3)
        for _ in range(3):
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            await reader.readuntil(b"}")
        for _ in range(300):  # more than 16 KB in all
            writer.write(GET)
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            await reader.readuntil(b"}")


async def test_client_that_takes_no_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that nobody takes do not pile up, and the connection goes."""
    monkeypatch.setattr(bounds, "REQUEST_S", 0.3)
    async with serving() as port, asyncio.timeout(20):
        reader, writer = await port.open()
        reader._transport.pause_reading()  # type: ignore[attr-defined]

        async def flood() -> None:
            while True:
                writer.write(GET * 50)
                await writer.drain()
                await asyncio.sleep(0)

        task = asyncio.create_task(flood())
        with pytest.raises(ConnectionError):
            await task
        await port.until(lambda: port.held == 0)


async def test_address_that_asks_too_often_waits() -> None:
    """Beyond the rate the answer is 429, for this address alone."""
    async with serving(rate_max=5) as port:
        answers = [await port.ask("127.0.0.7") for _ in range(14)]
        told = [answer.split(b" ")[1] for answer in answers]
        assert told[:10] == [b"200"] * 10
        assert b"429" in told
        assert b"retry-after: 1" in next(answer for answer in answers if b" 429 " in answer).lower()
        assert b'"gold"' in await port.ask("127.0.0.8")


def test_rate_forgets_addresses() -> None:
    """What is kept of addresses is bounded, and a second's pause gives a second's requests."""
    now = [0]
    limit = RateLimit(None, 10, lambda: None, lambda: now[0])  # type: ignore[arg-type]
    assert sum(limit.allows("a") for _ in range(100)) == 20
    now[0] = 10**9
    assert sum(limit.allows("a") for _ in range(100)) == 10
    for number in range(3 * bounds.ADDRESSES_MAX):
        limit.allows(str(number))
    assert len(limit.paid_until) <= bounds.ADDRESSES_MAX
