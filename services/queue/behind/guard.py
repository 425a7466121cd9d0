"""Whether the log is the tickets' own, asked again and again: what stands in the outbox must not go to another one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)
ASK_EVERY_S: Final = 30.0
ASK_AGAIN_S: Final = 1.0  # where nobody could be asked


class LogGuard:
    """other: why it is another log; empty where it is the own one, None where nobody could be asked. what: that waits meanwhile.

    Until it is known nothing goes there; once it is, an outage changes nothing.
    """

    def __init__(self, other: Callable[[], str | None], what: str, now: Callable[[], float] = time.monotonic) -> None:
        self._other, self._what, self._now = other, what, now
        self._at = 0.0
        self._said: str | None = None

    def own(self) -> bool:
        """Whether it is. It asks when it is time to, which may take seconds."""
        if self._now() >= self._at:
            said = self._other()
            self._at = self._now() + (ASK_AGAIN_S if said is None else ASK_EVERY_S)
            if said and said != self._said:
                log.error("%s, as this is not the tickets' log: %s", self._what, said)
            self._said = self._said if said is None else said
        return self._said == ""

    @property
    def due(self) -> bool:
        """Whether `own` would ask now."""
        return self._now() >= self._at
