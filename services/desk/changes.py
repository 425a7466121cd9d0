"""That open cases have changed, and of which units: said by whoever fills the read model, heard once a process.

What has changed is not said: who hears it asks for his list again, and that is decided, and on record, as ever. After a time in
which nothing could be heard everything counts as changed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import psycopg

from services.access.decision import HEAD_OFFICE
from services.pages.streams import StreamEvent
from services.readmodel.tables import CASES_CHANNEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

log = logging.getLogger(__name__)

KEPT_MAX: Final = 256
"""Changes that are remembered; who stands behind an older one hears that there was one."""

AGAIN_S: Final = 1.0
LOOK_S: Final = 30.0
"""A connection is looked at so often while nothing comes."""

CASES_CHANGED: Final = "cases"


class CaseChanges:
    """Changes by numbers that grow: milliseconds, so that the numbers of two processes that serve a desk can be compared.

    Its thread begins with the first who waits. connect: makes a connection of its own to the read model's database.
    """

    def __init__(
        self, connect: Callable[[], Connection[Any]], now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        self._connect, self._now_ms = connect, now_ms
        self.number = self._forgotten = now_ms()
        self._kept: deque[tuple[int, Sequence[str]]] = deque()
        self._told: asyncio.Future[None] | None = None
        self._thread: threading.Thread | None = None

    def tell(self, units: Sequence[str]) -> None:
        """Cases of these units have changed; of none named: of any. From the loop alone."""
        self.number = max(self.number + 1, self._now_ms())
        self._kept.append((self.number, units))
        if len(self._kept) > KEPT_MAX:
            self._forgotten, _ = self._kept.popleft()
        if self._told is not None:
            self._told.set_result(None)
            self._told = None

    def concerns(self, units: Sequence[str], after: int) -> bool:
        """Whether something has changed behind a number that these units may see."""
        if after < self._forgotten:
            return True
        return any(number > after and _touches(changed, units) for number, changed in self._kept)

    async def changed(self, units: Sequence[str], after: int, wait_s: float) -> bool:
        """The same, waiting for it up to `wait_s`."""
        loop = asyncio.get_running_loop()
        self._begin(loop)
        end = loop.time() + wait_s
        while not (found := self.concerns(units, after)) and (left := end - loop.time()) > 0:
            if self._told is None:
                self._told = loop.create_future()
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._told), left)
        return found

    @contextmanager
    def watching(self, units: Sequence[str]) -> Iterator[UnitChanges]:
        """A source of an event stream."""
        yield UnitChanges(self, units)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._listen, args=[loop], name="changes of cases", daemon=True)
            self._thread.start()

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Until the loop is closed."""
        with suppress(RuntimeError):
            while not loop.is_closed():
                try:
                    with closing(self._connect()) as connection:
                        self._hear(connection, loop)
                except psycopg.Error as problem:
                    log.warning("changes of cases can't be heard now: %s", type(problem).__name__)
                    time.sleep(AGAIN_S)

    def _hear(self, connection: Connection[Any], loop: asyncio.AbstractEventLoop) -> None:
        connection.execute(f"LISTEN {CASES_CHANNEL}")
        loop.call_soon_threadsafe(self.tell, ())
        while True:
            for note in connection.notifies(timeout=LOOK_S):
                loop.call_soon_threadsafe(self.tell, note.payload.split("\n") if note.payload else ())
            connection.execute("SELECT 1")


class UnitChanges:
    """The changes that concern somebody's units, as services.pages.streams has its sources."""

    def __init__(self, changes: CaseChanges, units: Sequence[str]) -> None:
        self.changes, self.units = changes, units

    async def events_after(self, number: int, wait_s: float) -> tuple[int, list[StreamEvent]]:
        """At most one: however much has changed, the list is asked for once."""
        if not await self.changes.changed(self.units, number, wait_s):
            return number, []
        newest = self.changes.number
        return newest, [StreamEvent(newest, CASES_CHANGED, "-")]


def _touches(changed: Sequence[str], units: Sequence[str]) -> bool:
    """Whether one of the changed units is one of these, or below one."""
    if not changed or HEAD_OFFICE in units:
        return True
    return any(one == unit or one.startswith(f"{unit}/") for one in changed for unit in units)
