"""What sources say of themselves: all up to a day has been sent. A mark too far ahead is set aside (streams.closing)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from agents.engine.job import Pair
from agents.standing.model import RowKey
from streams.accounts.store import SOURCES_MAX
from streams.calendar import NO_DAY
from streams.closing import MARK_FORCED, MARK_RETRACTS, is_set_aside

COMPLETE: Final = "source_complete"  # the fact, in every partition: all up to `as_of` has been sent
ASIDE: Final = "source_complete.aside"  # of rows alone: no fact has such a name


class SourceMarks:
    """The marks of a partition's sources: those that count, and those that are set aside, the latest of each source.

    `write` takes the rows, in the order of the events.
    """

    def __init__(self, write: Callable[[Pair], None]) -> None:
        self.complete: dict[str, int] = {}  # source -> the day up to which it has sent everything
        self.aside: dict[str, int] = {}  # source -> the day of a mark that does not count
        self._set_aside = 0
        self._write = write

    def take(self, source: str, day: int, value: int, closed: int) -> bool:
        """A mark; False for that of a source too many.

        `value` says what kind (streams.closing), `closed` is the last close that counts (NO_DAY: none).
        """
        if value == MARK_RETRACTS:
            if self.aside.get(source) == day:
                self._drop(source)
        elif is_set_aside(day, None, closed, forced=value == MARK_FORCED):
            self._set_aside += 1
            if source in self.aside or len(self.aside) < SOURCES_MAX:
                self.aside[source] = day
                self._write((_key(ASIDE, source), str(day).encode()))
        elif source not in self.complete and len(self.complete) >= SOURCES_MAX:
            return False
        elif day > self.complete.get(source, NO_DAY):
            self.complete[source] = day
            self._write((_key(COMPLETE, source), str(day).encode()))
            if day >= self.aside.get(source, day + 1):
                self._drop(source)
        return True

    def _drop(self, source: str) -> None:
        del self.aside[source]
        self._write((_key(ASIDE, source), str(NO_DAY).encode()))  # not deleted: an older row would count again

    def taken_aside(self) -> int:
        """How many were set aside since the last call."""
        found, self._set_aside = self._set_aside, 0
        return found

    def load(self, name: str, source: str, day: int) -> None:
        """A row back, by the name in its key."""
        if name == COMPLETE:
            self.complete[source] = day
        elif day == NO_DAY:
            self.aside.pop(source, None)
        else:
            self.aside[source] = day


def _key(name: str, source: str) -> bytes:
    return RowKey.FACT + f"{name}/{source}".encode()
