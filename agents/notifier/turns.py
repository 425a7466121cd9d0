"""Alerts in their turn: one that waits for its channel lets others pass, but for those of its own case.

An event is acknowledged when all before it on its partition are: Faust may commit behind one that is still missing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

WAITING_MAX: Final = 64
"""Alerts that wait at a time; with so many, those behind wait too."""

AHEAD_MAX: Final = 10_000
"""Alerts of a partition that are done behind one that waits. After a restart they come again, and are known."""


class Passes(Protocol):
    """What a work calls when it begins to wait. held: it waits for nothing but its time, and takes nobody's room."""

    def __call__(self, *, held: bool = False) -> None:
        """Let others pass."""


Work = Callable[[Passes], Awaitable[None]]
"""Does what is to be done with an event; calls what it is given when it begins to wait, and when a hold is over."""


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
        self._waiting: dict[asyncio.Task[None], str] = {}  # with their cases
        self._held: set[str] = set()  # cases of which one is held; those behind it wait for it and take no room either
        self._lines: dict[int, deque[_Turn]] = defaultdict(deque)  # by partition, in the order of the log

    async def take(self, partition: int, case: str, work: Work, acknowledge: Callable[[], Awaitable[object]]) -> None:
        """Returns when the event is done, or waits and there is room for another one. Raises what its work raises."""
        turn, passed = _Turn(acknowledge), asyncio.Event()
        self._lines[partition].append(turn)

        def passes(*, held: bool = False) -> None:
            (self._held.add if held else self._held.discard)(case)
            passed.set()

        task = asyncio.create_task(self._run(partition, turn, self._last.get(case), work, passes, passed))
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
        self._waiting[task] = case
        while self._waiting and (self._tried() >= self._waiting_max or self._ahead() >= self._ahead_max):
            await asyncio.wait(self._waiting, return_when=asyncio.FIRST_COMPLETED)

    async def shut(self) -> None:
        """End whatever waits: it was not acknowledged, and comes again."""
        for task in (tasks := {*self._last.values(), *self._waiting}):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tried(self) -> int:
        return sum(case not in self._held for case in self._waiting.values())

    def _ahead(self) -> int:
        return max(map(len, self._lines.values()))

    async def _run(
        self, partition: int, turn: _Turn, before: asyncio.Task[None] | None, work: Work, passes: Passes,
        passed: asyncio.Event,
    ) -> None:  # fmt: skip
        if before is not None and not before.done():
            passed.set()
            await asyncio.wait((before,))
        await work(passes)
        turn.done = True
        line = self._lines[partition]
        while line and line[0].done:
            await line.popleft().acknowledge()

    def _ended(self, case: str, task: asyncio.Task[None]) -> None:
        if self._last.get(case) is task:
            del self._last[case]
            self._held.discard(case)
        waited = self._waiting.pop(task, None) is not None
        if waited and not task.cancelled() and (problem := task.exception()) is not None:
            self._failed(problem)
