"""HTTP on connections that stay open, for load that leaves on a timetable: it costs a fraction of what it asks for."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any, Final, cast

CONNECTIONS: Final = 128
READY_S: Final = 30.0
AGAIN_S: Final = 1.0  # as Retry-After says
UNAVAILABLE: Final = b"503"
GOOD: Final = (b"200", b"201")
_END: Final = b"\r\n\r\n"


@dataclass(slots=True)
class Heard:
    """Latencies by kind of request in seconds, and answers that were none."""

    took: dict[str, list[float]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    unavailable: int = 0  # answers that said to ask again
    cut: int = 0  # connections that ended before their answer
    refused: int = 0  # answers 409, where the state of the branch did not allow it


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self.taken = b""
        self.answer: asyncio.Future[tuple[bytes, bytes]] | None = None
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self.taken += data
        head, end, rest = self.taken.partition(_END)
        if not end:
            return
        said = head.lower()
        size = int(said.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(rest) < size or self.answer is None:
            return
        self.taken, answer, self.answer = rest[size:], self.answer, None
        self.ended = self.ended or b"connection: close" in said
        if not answer.done():
            answer.set_result((head[9:12], rest[:size]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(exc or ConnectionError("closed before its answer"))


class Client:
    """Asks a server of this machine, CONNECTIONS at a time."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.room = asyncio.Semaphore(CONNECTIONS)
        self.free: list[_Connection] = []

    async def ready(self, count: int = CONNECTIONS) -> None:
        """Wait until the service listens, and open so many connections."""
        async with asyncio.timeout(READY_S):
            while len(self.free) < count:
                try:
                    self.free.append(await self._opened())
                except OSError:
                    await asyncio.sleep(0.1)

    async def ask(
        self, heard: Heard, kind: str, method: str, path: str, key: str, request: str, due: float,
        body: dict[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        """The answer, None for a 409; how long it took since `due` (time.perf_counter()) is noted."""
        content = json.dumps(body or {}).encode() if method == "POST" else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {key}\r\nIdempotency-Key: {request or 'x'}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        while True:
            try:
                status, answer = await self._answer(head.encode() + content)
            except ConnectionError:
                heard.cut += 1  # the server has closed an idle connection meanwhile: again, with the same key
                continue
            if status != UNAVAILABLE:
                break
            heard.unavailable += 1  # a kiosk asks again, with the same key
            await asyncio.sleep(AGAIN_S)
        heard.took.setdefault(kind, []).append(time.perf_counter() - due)
        if status == b"409":
            heard.refused += 1
            return None
        if status not in GOOD:
            heard.failed.append(f"{kind}: {answer[:200]!r}")
            raise RuntimeError(heard.failed[-1])
        return json.loads(answer)

    async def _answer(self, request: bytes) -> tuple[bytes, bytes]:
        """Status and body."""
        async with self.room:
            at = next(
                (one for one in iter(lambda: self.free.pop() if self.free else None, None) if not one.ended), None
            )
            connection = at or await self._opened()
            connection.answer = asyncio.get_running_loop().create_future()
            connection.transport.write(request)
            found = await connection.answer
            if not connection.ended:
                self.free.append(connection)
        return found

    async def _opened(self) -> _Connection:
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", self.port)
        return connection
