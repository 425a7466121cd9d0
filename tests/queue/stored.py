"""A store of tickets for tests: blocking, with a clock that the test sets."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import redis.asyncio

from policies import load_pack
from policies.compiled.queue import CompiledQueue, compile_queue
from services.queue.tickets.keys import TicketKeys
from services.queue.tickets.store import TicketStore

PACK = "rolling-quarter-aum"


class Stored:
    """A store, each step of which is waited for. `now_s` None: by the server's clock."""

    def __init__(self, url: str, queue: CompiledQueue | None = None, now_s: int | None = 0, **more: Any) -> None:
        self.now_s, self.day = now_s, date(2026, 3, 2)
        self.runner = asyncio.Runner()
        client = redis.asyncio.Redis.from_url(url)
        clock = None if now_s is None else lambda: 1000 * (self.now_s or 0)
        keys = TicketKeys.of(f"t{uuid.uuid4().hex[:10]}.")
        queue = queue or compile_queue(load_pack(PACK))
        self.store = TicketStore(client, keys, queue, lambda: self.day, clock=clock, budget_s=5, **more)

    def run(self, step: str, branch: str = "B1", request: str | None = None, **given: Any) -> Any:
        return self.runner.run(self.store.run(step, branch, request, **given))

    def issue(self, queue_class: str = "ordinary", branch: str = "B1", request: str | None = None, **more: Any) -> Any:
        given = {"class": queue_class, "service": "general", "prefix": "A", **more}
        return self.run("issue", branch, request, **given)["ticket"]

    def outbox(self) -> list[dict[str, Any]]:
        import json

        found: Any = self.runner.run(self.store.client.xrange(self.store.keys.outbox))
        return [json.loads(fields[b"e"]) for _, fields in found]

    def close(self) -> None:
        self.runner.run(self.store.client.aclose())
        self.runner.close()


@contextmanager
def stored(url: str, **more: Any) -> Iterator[Stored]:
    """A store of the test's own on a server."""
    found = Stored(url, **more)
    try:
        yield found
    finally:
        found.close()


def waited(reached: Callable[[], bool], what: str) -> float:
    """Seconds until it is so."""
    began = time.monotonic()
    while not reached():
        assert time.monotonic() < began + 240, what
        time.sleep(0.01)
    return time.monotonic() - began
