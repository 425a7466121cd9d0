"""Alerts in their turn: one that waits for its channel lets others pass, but for those of its own case.

An event is acknowledged when all before it on its partition are: Faust may commit behind one that is still missing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

WAITING_MAX: Final = 64
"""Alerts that wait at a time; with so many, those behind wait too."""

AHEAD_MAX: Final = 10_000
"""Alerts of a partition that are done behind one that waits. After a restart they come again, and are known."""

Work = Callable[[Callable[[], None]], Awaitable[None]]
"""Does what is to be done with an event; calls what it is given when it begins to wait."""


@dataclass(slots=True)
class _Turn:
    acknowledge: Callable[[], Awaitable[object]]
    done: bool = False


class Turns:
    """What is under way, by case and by partition. `failed` is told of whatever ends a work that was left alone."""

    def __init__(
        self, failed: Callable[[BaseException], None], waiting_max: int = WAITING_MAX, ahead_max: int = AHEAD_MAX
    ) -> None:
        self._failed, self._waiting_max, self._ahead_max = failed, waiting_max, ahead_max
        self._last: dict[str, asyncio.Task[None]] = {}  # case -> the last of its events
        self._waiting: set[asyncio.Task[None]] = set()
        self._lines: dict[int, deque[_Turn]] = defaultdict(deque)  # by partition, in the order of the log

    async def take(self, partition: int, case: str, work: Work, acknowledge: Callable[[], Awaitable[object]]) -> None:
        """Returns when the event is done, or waits and there is room for another one. Raises what its work raises."""
        turn, passed = _Turn(acknowledge), asyncio.Event()
        self._lines[partition].append(turn)
        task = asyncio.create_task(self._run(partition, turn, self._last.get(case), work, passed.set))
        self._last[case] = task
        task.add_done_callback(lambda _: self._ended(case, task))
        waits = asyncio.create_task(passed.wait())
        try:
            await asyncio.wait((task, waits), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waits.cancel()
        if task.done():
            task.result()
            return
        self._waiting.add(task)
        while self._waiting and (len(self._waiting) >= self._waiting_max or self._ahead() >= self._ahead_max):
            await asyncio.wait(self._waiting, return_when=asyncio.FIRST_COMPLETED)

    async def shut(self) -> None:
        """End whatever waits: it was not acknowledged, and comes again."""
        for task in (tasks := list(self._last.values())):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ahead(self) -> int:
        return max(map(len, self._lines.values()))

    async def _run(
        self, partition: int, turn: _Turn, before: asyncio.Task[None] | None, work: Work, passes: Callable[[], None]
    ) -> None:
        if before is not None and not before.done():
            passes()
            await asyncio.wait((before,))
        await work(passes)
        turn.done = True
        line = self._lines[partition]
        while line and line[0].done:
            await line.popleft().acknowledge()

    def _ended(self, case: str, task: asyncio.Task[None]) -> None:
        if self._last.get(case) is task:
            del self._last[case]
        if task in self._waiting:
            self._waiting.discard(task)
            if not task.cancelled() and (problem := task.exception()) is not None:
                self._failed(problem)
