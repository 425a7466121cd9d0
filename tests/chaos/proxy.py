"""A TCP proxy on loopback that can be slow, cut its connections, or let nothing through: a bad network on demand."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading

CHUNK = 1 << 16
TICK_S = 0.02


class Proxy(threading.Thread):
    """Forwards `front` to `behind` on this machine; `delay_s`, `cut()` and `silent` are the faults.

    Nothing is reordered or altered within a connection: TCP forbids it, and so does the proxy.
    """

    def __init__(self, front: int, behind: int, seed: int = 0) -> None:
        super().__init__(daemon=True, name="proxy")
        self.front, self.behind, self.rng = front, behind, random.Random(seed)
        self.delay_s = (0.0, 0.0)  # each piece waits for a time of chance in between
        self.silent = {"in": False, "out": False}  # to the broker, from the broker
        self.connections: set[asyncio.StreamWriter] = set()
        self.loop = asyncio.new_event_loop()
        self.ready, self.over = threading.Event(), asyncio.Event()

    def run(self) -> None:
        """Until `end`."""
        self.loop.run_until_complete(self._serve())
        self.loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.front)
        self.ready.set()
        await self.over.wait()
        server.close()
        self._cut()
        await asyncio.sleep(TICK_S)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.behind)
        except OSError:
            writer.transport.abort()
            return
        self.connections.add(to_writer)
        ways = (self._pump(reader, to_writer, "in"), self._pump(to_reader, writer, "out"))
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*ways)
        for end in (writer, to_writer):
            self.connections.discard(end)
            end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if self.delay_s[1]:
                    await asyncio.sleep(self.rng.uniform(*self.delay_s))
                while self.silent[way]:  # noqa: ASYNC110 - set from another thread
                    await asyncio.sleep(TICK_S)
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    def _cut(self) -> None:
        for writer in list(self.connections):
            writer.transport.abort()

    def cut(self) -> int:
        """Reset every connection; how many."""
        count = len(self.connections)
        self.loop.call_soon_threadsafe(self._cut)
        return count

    def end(self) -> None:
        """Let go of everything."""
        self.loop.call_soon_threadsafe(self.over.set)
        self.join(10)

    def __enter__(self) -> Proxy:
        self.start()
        assert self.ready.wait(10), "the proxy did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
