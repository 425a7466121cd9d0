"""Refusals are put on record beside the requests: who is refused hears it in time, whatever the brokers do."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from services.access.audit import AuditTrail

log = logging.getLogger(__name__)
REFUSAL_WAIT_S: Final = 1.0
"""So long a refusal waits for its record. Nothing is done in any case, so it is no less refused without."""

REFUSAL_THREADS: Final = 4
REFUSAL_IDLE_S: Final = 10.0
"""A thread that has had nothing to do for so long ends."""

REFUSALS_MAX: Final = 256
"""That wait for their record; what is more is told in the log alone."""


class _Refusal(NamedTuple):
    """What is to be recorded, and who waits for it on which loop."""

    words: tuple[Any, ...]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]


class RefusalRecords:
    """Keeps the record of refusals by threads of its own, none of which holds up the process's end."""

    def __init__(self, trail: AuditTrail, waiting_max: int = REFUSALS_MAX) -> None:
        self._trail = trail
        self._waiting: queue.Queue[_Refusal] = queue.Queue(waiting_max)
        self._threads, self._turn = 0, threading.Lock()

    async def record(self, *words: Any) -> None:
        """Put a refusal on record, as AuditTrail's `record`; return when it is there, or after REFUSAL_WAIT_S."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        with self._turn:
            try:
                self._waiting.put_nowait(_Refusal(words, loop, done))
            except queue.Full:
                log.warning("a refusal is not on record: %s others wait for theirs", self._waiting.maxsize)
                return
            if self._threads < REFUSAL_THREADS:
                self._threads += 1
                threading.Thread(target=self._work, name="refusals", daemon=True).start()
        await asyncio.wait([done], timeout=REFUSAL_WAIT_S)

    def _next(self) -> _Refusal | None:
        try:
            return self._waiting.get(timeout=REFUSAL_IDLE_S)
        except queue.Empty:
            pass
        with self._turn:  # nothing is put meanwhile
            try:
                return self._waiting.get_nowait()
            except queue.Empty:
                self._threads -= 1
                return None

    def _work(self) -> None:
        while (one := self._next()) is not None:
            try:
                self._trail.record(*one.words)
            except Exception as problem:  # noqa: BLE001 - whatever it is, the next one has its turn
                log.warning("a refusal is not on record: %s", problem)
            try:
                one.loop.call_soon_threadsafe(_end, one.done)
            except RuntimeError:
                continue  # the loop is closed: nobody waits any more


def _end(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
