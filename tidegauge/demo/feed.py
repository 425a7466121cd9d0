"""Feeds the simulated bank into Kafka in a thread of its own: each business day's events, then the day's close."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from connectors.formats.events import DayEnd, Event
from connectors.loading.closer import Closer
from connectors.loading.publisher import EventPublisher
from schemas.codec.records import encode

if TYPE_CHECKING:
    from deploy.settings import Settings
    from schemas.registry import Registry
    from tidegauge.demo.tables import Sent


AHEAD_DAYS_MAX: Final = 14
_WAIT_S: Final = 0.05
DISTURB_AFTER_EVENTS: Final = 20  # fewer than the smallest bank has on a day


class Feed(threading.Thread):
    """Sends a stream, one day in `day_s` seconds at least, and keeps every event for the oracle.

    It waits where it is more than AHEAD_DAYS_MAX ahead of `closed()`, the last day whose close has come out: stories
    are to be told when they happen. In the middle of the day `disturb_on`, `disturbed` is set. `failed` is what ended
    it early.
    """

    def __init__(
        self, settings: Settings, registry: Registry, stream: Iterator[Event | DayEnd], sent: Sent, day_s: float,
        disturb_on: int, closed: Callable[[], int],
    ) -> None:  # fmt: skip
        super().__init__(name="feed", daemon=True)
        self.sent, self.day_s, self.disturb_on, self._closed = sent, day_s, disturb_on, closed
        self._first: int | None = None
        self._stream = stream
        self._halt = threading.Event()
        self.disturbed = threading.Event()
        self.failed: BaseException | None = None
        self.events = 0
        self.day: int | None = None  # the last day closed
        self.finished = False

        def encoded(contract: str, record: dict[str, Any]) -> bytes:
            return encode(contract, record, registry)

        self._publisher, self._closer = EventPublisher(settings, encoded), Closer(settings, encoded)

    def run(self) -> None:
        """Send everything."""
        try:
            self._send()
            self.finished = True
        except BaseException as problem:  # noqa: BLE001 (the main thread raises it again)
            self.failed = problem

    def halt(self) -> None:
        """Stop early, and let go of the connections."""
        self._halt.set()
        if self.is_alive():
            self.join()
        self._publisher.close()
        self._closer.shut()

    def _send(self) -> None:
        due, began = time.monotonic(), self.events
        for item in self._stream:
            if self._halt.is_set():
                return
            if isinstance(item, Event):
                self._publisher.send(item)
                self.sent.add(item)
                self.events += 1
                if item.day == self.disturb_on and self.events - began == DISTURB_AFTER_EVENTS:
                    self._publisher.flush()
                    self.disturbed.set()
            else:
                self._publisher.flush()  # the marks have to stand behind the day's events
                self._closer.close(item.day, own=True)
                self.day, began = item.day, self.events
                due = max(due + self.day_s, time.monotonic() - self.day_s)
                self._halt.wait(max(0.0, due - time.monotonic()))
                self._wait_for_closes(item.day)

    def _wait_for_closes(self, day: int) -> None:
        self._first = self._first or day
        while day - max(self._closed(), self._first) > AHEAD_DAYS_MAX and not self._halt.wait(_WAIT_S):
            pass
