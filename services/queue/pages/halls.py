"""What halls show, followed for all branches that are watched: one look at the store a turn, however many screens there are."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from redis import RedisError

from services.pages.streams import StreamEvent
from services.queue.tickets.store import StoreDownError

if TYPE_CHECKING:
    from services.queue.tickets.store import TicketStore

log = logging.getLogger(__name__)
TURN_S: Final = 0.2
"""So often the watched branches are looked at; a call is on the screens behind it."""

AWAY_S: Final = 1.0
"""After a look without an answer."""


@dataclass(slots=True)
class _Watched:
    """A branch that screens watch. `sequence`: of its last step that was seen; -1: not yet seen."""

    screens: int = 0
    sequence: int = -1
    calls: list[dict[str, Any]] = field(default_factory=list)  # newest first, as the store keeps them
    news: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class HallWatch:
    """Follows the branches that are watched, on the loop of whoever watches first."""

    store: TicketStore
    turn_s: float = TURN_S
    _watched: dict[str, _Watched] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None

    @contextmanager
    def watching(self, branch: str) -> Iterator[HallEvents]:
        """The events of a branch's calls, for as long as somebody watches."""
        watched = self._watched.setdefault(branch, _Watched())
        watched.screens += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._follow(), name="halls")
        try:
            yield HallEvents(watched)
        finally:
            watched.screens -= 1
            if not watched.screens:
                self._watched.pop(branch, None)

    async def _follow(self) -> None:
        while self._watched:
            try:
                await self._look()
                await asyncio.sleep(self.turn_s)
            except (RedisError, OSError, StoreDownError) as problem:
                log.warning("halls: %s", problem)
                await asyncio.sleep(AWAY_S)

    async def _look(self) -> None:
        """Take what has changed."""
        branches = list(self._watched)
        pipe = self.store.client.pipeline(transaction=False)
        for branch in branches:
            pipe.hget(self.store.keys.branch(branch), "steps")
        for branch, steps in zip(branches, await pipe.execute(), strict=True):
            watched = self._watched.get(branch)
            if watched is not None and watched.sequence != int(steps or 0):
                board = await self.store.run("board", branch)
                watched.sequence, watched.calls = board["sequence"], list(board["shown"])
                watched.news.set()
                watched.news = asyncio.Event()


@dataclass(slots=True)
class HallEvents:
    """The calls of a branch, as services.pages.streams has its sources."""

    watched: _Watched

    async def events_after(self, number: int, wait_s: float) -> tuple[int, list[StreamEvent]]:
        """Calls behind a number, oldest first: each by itself, however soon one follows another."""
        end = asyncio.get_running_loop().time() + wait_s
        while True:
            if 0 <= self.watched.sequence < number:  # the store knows of fewer steps than the screen: it was put back
                number = self.watched.sequence
            fresh = [call for call in reversed(self.watched.calls) if call["sequence"] > number]
            if fresh:
                return fresh[-1]["sequence"], [StreamEvent(call["sequence"], "call", call_text(call)) for call in fresh]
            try:
                async with asyncio.timeout_at(end):
                    await self.watched.news.wait()
            except TimeoutError:
                return number, []


def call_text(call: dict[str, Any]) -> str:
    """A call as a screen gets it: a number and a counter, nothing else."""
    return json.dumps({"sequence": call["sequence"], "number": call["number"], "counter": call["counter"]})
