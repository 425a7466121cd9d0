"""An event loop of simulated time, whose next step a seed picks: no waiting, no sockets, no threads.

Every callback belongs to a process (a context variable); within a process the order is asyncio's, between processes any
order is legal, so the seed chooses. A process can be killed between any two callbacks, which is at any `await`, and
frozen, as by SIGSTOP: its callbacks and timers wait. Callbacks of no process are the network and the brokers.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any

PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
STEPS_MAX = 1_000_000  # a run over 16 partitions that goes on for long was seen to take half of them


class SimulationError(AssertionError):
    """The simulated system stands still, or never ends."""


class Process:
    """What lives and dies together."""

    def __init__(self, name: str) -> None:
        self.name, self.alive, self.frozen = name, True, False
        self.steps, self.dies_at = 0, -1
        self.made: Any = None  # the last job made here
        self.context = copy_context()
        self.context.run(PROCESS.set, self)

    def kill(self) -> None:
        """kill -9: no callback of it runs any more, not even what cleans up."""
        self.alive = False


class SimLoop(asyncio.BaseEventLoop):
    """See the module. `drive` runs a coroutine to its end."""

    def __init__(self, random: Random, seconds_max: float) -> None:
        super().__init__()
        self.now, self.steps, self.over = 0.0, 0, False
        self.random, self.seconds_max = random, seconds_max
        self.waiting: dict[Process | None, deque[asyncio.Handle]] = {}
        self.tasks: list[asyncio.Task[Any]] = []
        self.problems: list[str] = []
        self.set_task_factory(self._remember)
        self.set_exception_handler(self._problem)

    def time(self) -> float:
        """Simulated seconds."""
        return self.now

    monotonic = time  # stands for the module `time` in the engine

    def time_ns(self) -> int:
        """Simulated time since the epoch, for the timestamps of records."""
        return int(self.now * 1e9) + 1_700_000_000 * 10**9

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Context | None = None) -> asyncio.Handle:
        """There is one thread."""
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """There is one thread: done at once."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as problem:
            future.set_exception(problem)
        return future

    def _remember(self, loop: Any, coro: Any, **more: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **more)
        self.tasks.append(task)
        return task

    def _problem(self, _loop: Any, what: dict[str, Any]) -> None:
        if not self.over and not isinstance(what.get("exception"), asyncio.CancelledError):
            self.problems.append(f"{what.get('message')}: {what.get('exception')!r}")

    def spawn(self, process: Process, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task of a process."""
        return process.context.run(self.create_task, coro)

    def network(self, delay_s: float, callback: Callable[..., Any], *args: Any) -> None:
        """A callback that outlives whoever asked for it: a message on its way, or a broker's doing."""
        self.call_later(delay_s, callback, *args, context=NETWORK)

    def drive(self, main: Coroutine[Any, Any, None]) -> None:
        """Run to the end of `main`, then throw everything away that still hangs."""
        events._set_running_loop(self)
        try:
            task = self.create_task(main)
            while not task.done():
                self._step()
            task.result()
        finally:
            self._discard()
            events._set_running_loop(None)
            self.close()

    def _step(self) -> None:
        while self._ready:
            handle = self._ready.popleft()
            process = handle._context.get(PROCESS)
            if process is None or process.alive:
                self.waiting.setdefault(process, deque()).append(handle)
        able = [p for p, handles in self.waiting.items() if handles and (p is None or (p.alive and not p.frozen))]
        if not able:
            self._advance()
            return
        chosen = able[0] if len(able) == 1 else self.random.choice(able)
        handle = self.waiting[chosen].popleft()
        if not handle._cancelled:
            self.steps += 1
            if chosen is not None:
                chosen.steps += 1
                if chosen.steps == chosen.dies_at:
                    chosen.kill()
                    return
            handle._run()
        if self.steps > STEPS_MAX:
            raise SimulationError(f"still not done after {STEPS_MAX} steps, at {self.now:.1f} s")

    def _advance(self) -> None:
        """Nothing can be done now: time goes on to the next timer."""
        while self._scheduled and self._scheduled[0]._cancelled:
            heapq.heappop(self._scheduled)
        if not self._scheduled:
            raise SimulationError(f"everybody waits for ever, at {self.now:.1f} s")
        self.now = max(self.now, self._scheduled[0]._when)
        if self.now > self.seconds_max:
            raise SimulationError(f"still not done after {self.seconds_max:.0f} simulated seconds")
        while self._scheduled and self._scheduled[0]._when <= self.now:
            self._ready.append(heapq.heappop(self._scheduled))

    def _discard(self) -> None:
        """Close the coroutines of whoever was killed or still runs, without running them."""
        self.over = True
        for task in self.tasks:
            task._log_destroy_pending = False
            if not task.done():
                with suppress(RuntimeError):  # it awaited something while it was being closed
                    task.get_coro().close()
            elif not task.cancelled():
                task.exception()  # fetched, so that nobody reports it
        self._ready.clear()
        self._scheduled.clear()
        self.waiting.clear()
        self.tasks.clear()


NETWORK = copy_context()
NETWORK.run(PROCESS.set, None)
