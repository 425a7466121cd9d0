"""The look-up's server: uvicorn, with bounds on what a client can hold or ask for.

Kiosks stand where anybody can plug in a cable. A connection has to bring a request and take its answer in time; there are
only so many connections, of one address a quarter of them; an address that asks too often is told to wait.
"""

import asyncio
import gc
import json
import socket
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import uvicorn
from pydantic import BaseModel
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.pages.streams import STREAM_UNTIL

REQUEST_S: Final = 5.0
"""From a connection's first packet, or a further request's, to the end of the answer."""

REQUEST_BYTES_MAX: Final = 16 << 10
"""Head and body of a request. A look-up is a line of a hundred bytes."""

IDLE_S: Final = 5
"""A connection without a request is closed after so long."""

ADDRESS_SHARE: Final = 4
BURST_S: Final = 2
"""So many seconds' worth of requests may come at once."""

ADDRESSES_MAX: Final = 4096
BACKLOG: Final = 128
GC_OBJECTS: Final = 20_000
"""New objects after which the collector looks for what is held in circles."""

SECOND_NS: Final = 10**9

BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
LONG: Final = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
WAIT: Final = json.dumps({"type": "about:blank", "title": "Too Many Requests", "status": 429}).encode()

_App = Callable[..., Any]  # of ASGI


class JoinedWrites:
    """A transport on which what is written in one turn of the loop leaves together: head and body of an answer."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held: list[bytes] = []
        # What is asked of it most often goes to it directly.
        self.is_closing, self.get_extra_info = transport.is_closing, transport.get_extra_info
        self.pause_reading, self.resume_reading = transport.pause_reading, transport.resume_reading

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Let it leave with what comes in this turn."""
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)

    def flush(self) -> None:
        """Let leave what is held."""
        if self._held:
            held, self._held = self._held, []
            self._transport.write(b"".join(held))

    def get_write_buffer_size(self) -> int:
        """Bytes that have not left."""
        return self._transport.get_write_buffer_size() + sum(map(len, self._held))

    def close(self) -> None:
        """Close behind what is held."""
        self.flush()
        self._transport.close()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with an end to every request; `connections_max` is set by `bounded_protocol`."""

    connections_max = 0
    end: asyncio.TimerHandle | None = None
    taken = 0  # bytes of the request that is coming in, and of those that came with it

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or say that there are too many."""
        joined: Any = JoinedWrites(transport, self.loop)
        super().connection_made(joined)
        own = sum(1 for other in self.connections if _address(other) == _address(self))
        if len(self.connections) > self.connections_max or own > max(self.connections_max // ADDRESS_SHARE, 1):
            self.give_up(BUSY)
        else:
            self.begin()

    def data_received(self, data: bytes) -> None:
        """Count what comes: a request has a length and an end."""
        if self.end is None:
            self.begin()
        self.taken += len(data)
        if self.taken > REQUEST_BYTES_MAX:
            self.give_up(LONG)
        else:
            super().data_received(data)

    def on_response_complete(self) -> None:
        """The request is done; the next one may have come with it."""
        self.done()
        waits = bool(self.pipeline)
        if not waits:
            self.taken = 0
        super().on_response_complete()
        if waits and not self.transport.is_closing():
            self.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is to be ended any more."""
        self.done()
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, also one whose client has not taken the last answer."""
        super().timeout_keep_alive_handler()
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    def begin(self) -> None:
        """From now on the request has REQUEST_S."""
        self.done()
        self.end = self.loop.call_later(REQUEST_S, self.abort)

    def done(self) -> None:
        """The request has ended."""
        if self.end is not None:
            self.end.cancel()
            self.end = None

    def abort(self) -> None:
        """Cut the connection; one whose answer is an event stream, when that may go on no longer."""
        until: Any = self.scope.get(STREAM_UNTIL, 0.0) if self.scope else 0.0
        left = until - self.loop.time()
        if left > 0:
            self.end = self.loop.call_later(left, self.abort)
        else:
            self.transport.abort()

    def give_up(self, answer: bytes) -> None:
        """Answer and close; what the client does not take is dropped with the connection."""
        self.begin()
        self.transport.write(answer)
        self.transport.close()


def _address(protocol: Any) -> str | None:
    return protocol.client[0] if protocol.client else None


class RateLimit:
    """Lets an address ask `per_s` times a second, and answers 429 to what is more. 0: no limit."""

    def __init__(
        self, app: _App, per_s: int, refused: Callable[[], None], clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.app, self.per_s, self.refused, self.clock = app, per_s, refused, clock
        self.paid_until: dict[str, int] = {}  # ns, by address: when what it has asked for will have been allowed

    async def __call__(self, scope: MutableMapping[str, Any], receive: _App, send: _App) -> None:
        """Pass the request on, or answer that there are too many."""
        if scope["type"] != "http" or not self.per_s or self.allows(scope["client"][0] if scope["client"] else ""):
            await self.app(scope, receive, send)
            return
        self.refused()
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"retry-after", b"1"),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 429, "headers": headers})
        await send({"type": "http.response.body", "body": WAIT})

    def allows(self, address: str) -> bool:
        """True if the address has a request left; it then has one less."""
        now = self.clock()
        paid_until = max(self.paid_until.get(address, now), now) + SECOND_NS // self.per_s
        if paid_until > now + BURST_S * SECOND_NS:
            return False
        if len(self.paid_until) >= ADDRESSES_MAX and address not in self.paid_until:
            self.paid_until = {other: until for other, until in self.paid_until.items() if until > now}
            if len(self.paid_until) >= ADDRESSES_MAX:
                self.paid_until.clear()
        self.paid_until[address] = paid_until
        return True


def without_pauses() -> None:
    """Let the collector leave alone what a service has loaded, and come less often: a look at it all is a pause."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_OBJECTS, 20, 100)


async def answer_json(send: _App, told: BaseModel, status: int = 200, *, kept: bool = False) -> None:
    """Send an answer. kept: whoever is on the way may keep it."""
    body = told.model_dump_json().encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if not kept:
        headers.append((b"cache-control", b"no-store"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def bounded_protocol(connections_max: int) -> type[BoundedProtocol]:
    """The protocol of a server with so many connections."""
    return type("Bounded", (BoundedProtocol,), {"connections_max": connections_max})


def server(app: _App, connections_max: int) -> uvicorn.Server:
    """A server of the application. No access log: it would hold the references."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=bounded_protocol(connections_max),
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,  # into the process's own log
            log_level="error",
            server_header=False,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=round(REQUEST_S),
            proxy_headers=False,  # an address is that of the connection
        )
    )


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens. OSError or OverflowError where that can't be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named: asyncio switches delays off (TCP_NODELAY) only then, and an answer goes out in two parts.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
