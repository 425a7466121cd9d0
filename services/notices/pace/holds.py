"""Notices that are held for some minutes before they go out: what is taken back meanwhile is told to nobody.

A hold runs from the instant at which the log took the alert's record, so a restart does not begin it anew. It ends early when the
record that takes the case back has been read, whose own turn comes after those before it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from services.notices import texts
from streams.vocabulary.terms import SEVERITIES

HELD_MAX: Final = 5000
"""Alerts that are held at a time by a worker; one more goes out at once."""

TAKEN_BACK: Final = frozenset({texts.ALL_CLEAR, "closed"})
"""States of a case in which nothing is left to tell: its money is back, or what the outlook or a close had found is over."""

HELD_STATES: Final = frozenset({"raised", "deepened"})
"""Nobody is told later that nobody has answered."""


class Passing(Protocol):
    """Called when a notice begins to wait: others may pass it. held: it is not tried yet."""

    def __call__(self, *, held: bool = False) -> None:
        """Let others pass."""


def nobody_passes(*, held: bool = False) -> None:
    """Where nothing comes behind."""


class Holds:
    """What is held. minutes: 0 holds nothing; below: alerts of a lower severity are held; now_ms: since epoch, UTC.

    A worker's alerts pass it twice: `read` in the order of the log, and `begun` when their turn has come.
    """

    def __init__(
        self, minutes: int, below: str, now_ms: Callable[[], int], wait: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        most: int = HELD_MAX,
    ) -> None:  # fmt: skip
        self._hold_ms, self._below = 60_000 * minutes, SEVERITIES.index(below)
        self._now_ms, self._wait, self._most = now_ms, wait, most
        self._ahead: Counter[str] = Counter()  # by case, what takes it back and has been read, but has not had its turn
        self._held: dict[str, asyncio.Event] = {}  # by case

    def read(self, alert: Mapping[str, Any]) -> None:
        """It has been read."""
        if alert["status"] in TAKEN_BACK:
            self._ahead[alert["alert_id"]] += 1
            if (held := self._held.get(alert["alert_id"])) is not None:
                held.set()

    def begun(self, alert: Mapping[str, Any]) -> None:
        """Its turn has come."""
        case = alert["alert_id"]
        if alert["status"] in TAKEN_BACK and case in self._ahead:
            self._ahead[case] -= 1
            if not self._ahead[case]:
                del self._ahead[case]

    def applies(self, alert: Mapping[str, Any]) -> bool:
        """Whether notices of the alert are held at all. A severity that nobody knows is not."""
        known = alert["severity"] in SEVERITIES and SEVERITIES.index(alert["severity"]) < self._below
        return bool(self._hold_ms) and known and alert["status"] in HELD_STATES

    def taken_back(self, alert: Mapping[str, Any], *, kept: bool = False) -> bool:
        """Whether an alert that is held has been taken back since. kept: it has waited for its hour, if it was not held."""
        told = kept and alert["status"] in texts.STATUSES
        return alert["alert_id"] in self._ahead and (told or self.applies(alert))

    def left_s(self, alert: Mapping[str, Any], at_ms: int | None) -> float:
        """Seconds until it may go out. at_ms: when the log took it, since epoch, UTC; None: nobody knows, and nothing is held."""
        if at_ms is None or not self.applies(alert) or self.taken_back(alert):
            return 0.0
        return max(0, min(self._hold_ms, at_ms + self._hold_ms - self._now_ms())) / 1000

    @property
    def full(self) -> bool:
        """Whether so many are held that one more is not."""
        return len(self._held) >= self._most

    async def over(self, alert: Mapping[str, Any], left_s: Callable[[], float], passes: Passing) -> None:
        """Wait until no second is left, or it has been taken back. Of a case one waits at a time: the others come after it."""
        case, event = alert["alert_id"], asyncio.Event()
        passes(held=True)
        self._held[case] = event
        taken = asyncio.create_task(event.wait())
        try:
            while not event.is_set() and (pause_s := left_s()) > 0:
                pause = asyncio.ensure_future(self._wait(pause_s))
                await asyncio.wait((taken, pause), return_when=asyncio.FIRST_COMPLETED)
                pause.cancel()
        finally:
            taken.cancel()
            self._held.pop(case, None)
        passes()
