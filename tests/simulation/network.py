"""Messages between processes and brokers: delayed, lost, answered too late; a request once sent arrives without its sender.

What a client retries by itself (a lost message, a transaction that is still ending) costs time only, as in aiokafka: a
batch that is sent again is recognised by its sequence number. What it gives up on becomes a KafkaError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from aiokafka.errors import ConcurrentTransactions, RequestTimedOutError

from tests.simulation.loop import PROCESS, Process, SimLoop

Result, Trap = TypeVar("Result"), TypeVar("Trap")
RETRY_S = 0.4
BACKOFF_S = 0.01
DELAY_S = 0.002  # mean, one way
SLOW_DELAY_S = 0.3
BEFORE, SENT, APPLIED = "before", "sent", "applied"  # where a process can die around a request
LOST, LATE = "lost", "late"  # what can have happened to a request that a client gives up on, besides APPLIED


class Network:
    """`call` is one request and its answer. What goes wrong is armed by the faults."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.loss = self.slow = 0.0  # probabilities
        self.down_until = 0.0  # nothing arrives before
        self.kills: list[tuple[Process | None, str, str]] = []  # process (None: any), kind of request, where
        self.failures: list[tuple[Process | None, str, str]] = []  # the same, what has happened to the request
        self.lags: list[tuple[Process | None, str, float]] = []  # the same, seconds that the answer is on its way
        self.counts: dict[str, int] = {}

    def count(self, what: str) -> None:
        """A fault that has come about."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def _delay(self) -> float:
        mean = SLOW_DELAY_S if self.loop.random.random() < self.slow else DELAY_S
        return max(0.0, self.down_until - self.loop.now) + self.loop.random.expovariate(1 / mean)

    def _armed(self, traps: list[tuple[Process | None, str, Trap]], kind: str) -> Trap | None:
        process = PROCESS.get()
        for trap in traps:
            if trap[0] in (None, process) and trap[1] == kind:
                traps.remove(trap)
                return trap[2]
        return None

    async def call(self, kind: str, apply: Callable[[], Result]) -> Result:
        """Ask a broker; raises what it answers, or RequestTimedOutError where a failure is armed."""
        once = _Once(apply)
        while True:
            future = self.loop.create_future()
            process, kill, failure = PROCESS.get(), self._armed(self.kills, kind), self._armed(self.failures, kind)
            lag = self._armed(self.lags, kind) or 0.0
            lost = self.loop.random.random() < self.loss, self.loop.random.random() < self.loss
            if kill and process is not None:
                self.count(f"kill {kind}")
                if kill in (BEFORE, SENT):
                    process.kill()
                lost = (kill == BEFORE, False)
            if failure:
                self.count(f"fail {kind}")
                lost = (failure == LOST, True)
            delay = self._delay() + (self.loop.random.uniform(1, 12) if failure == LATE else 0)
            if lost[0]:
                self.loop.network(RETRY_S, _settle, future, None, True)
            else:
                self.loop.network(delay, self._arrive, once, future, lost[1], process if kill == APPLIED else None, lag)
                if failure == LATE:
                    self.loop.network(RETRY_S, _settle, future, None, True)
            result, silence = await future
            if failure:
                raise RequestTimedOutError
            if silence:
                continue
            if isinstance(result, ConcurrentTransactions):
                once = _Once(apply)
                await asyncio.sleep(BACKOFF_S)
                continue
            if isinstance(result, Exception):
                raise result
            return result

    def _arrive(self, once: _Once, future: Any, unanswered: bool, dies: Process | None, lag: float) -> None:
        result = once.result()
        if dies is not None:
            dies.kill()
        if unanswered:
            self.loop.network(RETRY_S, _settle, future, None, True)
        else:
            self.loop.network(self._delay() + lag, _settle, future, result, False)


class _Once:
    """A request takes effect once, however often it arrives."""

    def __init__(self, apply: Callable[[], Any]) -> None:
        self._apply, self._done, self._result = apply, False, None

    def result(self) -> Any:
        """The result, or the exception."""
        if not self._done:
            try:
                self._result = self._apply()
            except Exception as problem:  # handed to the caller
                self._result = problem
            self._done = True
        return self._result


def _settle(future: Any, result: Any, silence: bool) -> None:
    if not future.done():
        future.set_result((result, silence))
