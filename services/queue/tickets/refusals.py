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
REFUSALS_MAX: Final = 256
"""That wait for their record; what is more is told in the log alone."""


class _Refusal(NamedTuple):
    """What is to be recorded, and who waits for it on which loop."""

    words: tuple[Any, ...]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]


class RefusalRecords:
    """Keeps the record of refusals by threads of its own, which end with the process."""

    def __init__(self, trail: AuditTrail, waiting_max: int = REFUSALS_MAX) -> None:
        self._trail = trail
        self._waiting: queue.Queue[_Refusal] = queue.Queue(waiting_max)
        self._threads: list[threading.Thread] = []

    async def record(self, *words: Any) -> None:
        """Put a refusal on record, as AuditTrail's `record`; return when it is there, or after REFUSAL_WAIT_S."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        try:
            self._waiting.put_nowait(_Refusal(words, loop, done))
        except queue.Full:
            log.warning("a refusal is not on record: %s others wait for theirs", self._waiting.maxsize)
            return
        self._start()
        await asyncio.wait([done], timeout=REFUSAL_WAIT_S)

    def _start(self) -> None:
        if len(self._threads) < REFUSAL_THREADS:
            self._threads.append(threading.Thread(target=self._work, name="refusals", daemon=True))
            self._threads[-1].start()

    def _work(self) -> None:
        while True:
            one = self._waiting.get()
            try:
                self._trail.record(*one.words)
            except Exception as problem:  # noqa: BLE001 - whatever it is, the next one has its turn
                log.warning("a refusal is not on record: %s", problem)
            try:
                one.loop.call_soon_threadsafe(_end, one.done)
            except RuntimeError:  # the loop is closed: nobody waits any more
                continue


def _end(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
