"""One connection to a Redis-protocol server for all requests of a loop: commands leave as they come, answers in their order.

A client that takes a connection for each command spends most of its time on that. Here a command costs its packing, a
future, and its share of a read; while the server syncs, what comes waits together, and goes into the next sync as one.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from redis import RedisError
from redis.exceptions import ConnectionError as AwayError
from redis.exceptions import NoScriptError, ResponseError

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.connection import AbstractConnection, ConnectionPool

LINE_WAITING_MAX: Final = 4096
"""Commands that wait for their answers. What is more is refused: none of it would be answered in time."""


@dataclass(slots=True)
class ServerLine:
    """Commands to the server of a pool, each answered within `budget_s`. The pool's end is the line's."""

    pool: ConnectionPool
    budget_s: float
    _connection: AbstractConnection | None = None
    _connecting: asyncio.Task[AbstractConnection] | None = None
    _reading: asyncio.Task[None] | None = None
    _waiting: deque[asyncio.Future[Any]] = field(default_factory=deque)
    _heard_at: float = 0.0
    _loop: asyncio.AbstractEventLoop | None = None
    _posted: set[asyncio.Task[asyncio.Future[Any]]] = field(default_factory=set)

    async def ask(self, *words: str | bytes | float) -> Any:
        """The answer to a command. RedisError, OSError; TimeoutError where none came in time: it may have been done."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        connection = self._ready(loop)
        if connection is None:
            async with asyncio.timeout_at(began + self.budget_s):
                connection = await asyncio.shield(self._made(loop))
        answer = await self._sent(loop, connection, words)
        late = loop.call_at(began + self.budget_s, self._give_up, answer, began)
        try:
            return await answer
        finally:
            late.cancel()

    def post(self, *words: str | bytes | float) -> None:
        """Send a command whose answer nobody waits for; nothing happens where there is no connection."""
        loop = asyncio.get_running_loop()
        connection = self._ready(loop)
        if connection is not None:
            sending = loop.create_task(self._sent(loop, connection, words))
            self._posted.add(sending)
            sending.add_done_callback(self._sent_on)

    async def run(self, sha: str, text: str, keys: list[str], given: list[str]) -> Any:
        """The answer of a script, which the server may not have yet. As `ask`."""
        try:
            return await self.ask("EVALSHA", sha, len(keys), *keys, *given)
        except NoScriptError:
            return await self.ask("EVAL", text, len(keys), *keys, *given)

    def _sent_on(self, sending: asyncio.Task[asyncio.Future[Any]]) -> None:
        self._posted.discard(sending)
        if not sending.cancelled() and sending.exception() is None:
            sending.result().add_done_callback(_heard)

    def _ready(self, loop: asyncio.AbstractEventLoop) -> AbstractConnection | None:
        """The connection, on the loop that runs; None while there is none."""
        if loop is not self._loop:  # another loop's is of no use here
            self._loop, self._connection, self._connecting = loop, None, None
            self._waiting = deque()
        if len(self._waiting) >= LINE_WAITING_MAX:
            raise AwayError("too many wait for the server")
        if self._connection is not None and self._connection.is_connected:
            return self._connection
        return None

    def _made(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[AbstractConnection]:
        """The connection that is being made, one for all that wait."""
        if self._connecting is None:
            self._connecting = loop.create_task(self._connect(), name="line")
            self._connecting.add_done_callback(_heard)
        return self._connecting

    async def _connect(self) -> AbstractConnection:
        try:
            connection: AbstractConnection = await self.pool.get_connection()
            limit, connection.socket_timeout = connection.socket_timeout, None  # `ask` limits each wait
            waiting: deque[asyncio.Future[Any]] = deque()
            self._connection, self._waiting = connection, waiting
            self._reading = asyncio.create_task(self._read(connection, waiting, limit), name="line")
            return connection
        finally:
            self._connecting = None

    async def _sent(
        self, loop: asyncio.AbstractEventLoop, connection: AbstractConnection, words: tuple[str | bytes | float, ...]
    ) -> asyncio.Future[Any]:
        """The command is on its way; its answer's future. It is written before anything is waited for, so order is kept."""
        answer: asyncio.Future[Any] = loop.create_future()
        packed = connection.pack_command(*words)
        self._waiting.append(answer)
        try:
            await connection.send_packed_command(packed, check_health=False)
        except BaseException:
            answer.cancel()  # nobody waits for it
            raise
        return answer

    def _give_up(self, answer: asyncio.Future[Any], sent_at: float) -> None:
        """No answer in time; a server that has said nothing at all since then is left."""
        if answer.done():
            return
        answer.set_exception(TimeoutError())
        if self._heard_at < sent_at and self._reading is not None:
            self._reading.cancel()

    async def _read(
        self, connection: AbstractConnection, waiting: deque[asyncio.Future[Any]], limit: float | None
    ) -> None:
        """Hand answers out until the connection ends; who still waits then hears of it."""
        problem: Exception = AwayError("the server has said nothing")
        try:
            while True:
                found: Any
                try:
                    found = await connection.read_response(timeout=math.inf)
                except ResponseError as refused:
                    found = refused
                self._heard_at = asyncio.get_running_loop().time()
                answer = waiting.popleft()
                if answer.done():
                    continue
                if isinstance(found, Exception):
                    answer.set_exception(found)
                else:
                    answer.set_result(found)
        except (RedisError, OSError, IndexError) as away:
            problem = away
        finally:
            if self._connection is connection:
                self._connection = None
            for answer in waiting:
                if not answer.done():
                    answer.set_exception(problem)
            waiting.clear()
            connection.socket_timeout = limit
            with contextlib.suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)
                await self.pool.release(connection)


def _heard(done: asyncio.Future[Any]) -> None:
    """What came of it, others say."""
    if not done.cancelled():
        done.exception()


def line_of(client: Redis, budget_s: float, known: ServerLine | None) -> ServerLine:
    """The line of a client: the known one where it is this client's."""
    pool = client.connection_pool
    return known if known is not None and known.pool is pool else ServerLine(pool, budget_s)
