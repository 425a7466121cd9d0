"""Working time: from an instant on, when so many working hours are over, by the bank's days and its hours of the day.

A day's hours are those of its clock: [opens, closes) in the bank's zone. Where clocks change within them, each
millisecond counts whose own clock shows a time between the two, so a day may have an hour more or less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.calendar import DAY_MAX, DAY_MIN, DAY_MS, date_of, zone_table

_MINUTE_MS: Final = 60_000
WORK_HOUR_MS: Final = 60 * _MINUTE_MS
WORK_HOURS_MAX: Final = 8_784
"""Working hours that may be asked for at once: those of a year that is worked through."""

_FOREVER: Final = DAY_MAX * DAY_MS + 2 * DAY_MS  # behind every day, in any zone


class UnknownYearError(ValueError):
    """A day is of a year of which nobody knows the holidays; it is not guessed."""

    def __init__(self, year: int) -> None:
        super().__init__(f"the holidays of {year} are not known")
        self.year = year


@dataclass(frozen=True, slots=True)
class WorkingTime:
    """The bank's hours: minutes since midnight at which it opens and closes, its zone, and whether it is open on a day.

    `is_open` takes a day number and raises UnknownYearError.
    """

    opens: int
    closes: int
    zone: str
    is_open: Callable[[int], bool]

    def __post_init__(self) -> None:
        if not 0 <= self.opens < self.closes <= DAY_MS // _MINUTE_MS:
            raise ValueError(f"hours from minute {self.opens} to {self.closes} are none of a day")

    def after(self, start_ms: int, work_ms: int) -> int:
        """The first instant at which `work_ms` of working time have passed since `start_ms`, all in milliseconds since 1970.

        None passed is at once. ValueError beyond WORK_HOURS_MAX, UnknownYearError where the way leads through an unknown year.
        """
        if not 0 <= work_ms <= WORK_HOURS_MAX * WORK_HOUR_MS:
            raise ValueError(f"{work_ms} ms of working time are not from 0 to {WORK_HOURS_MAX} hours")
        if not work_ms:
            return start_ms
        for begin, end in self._spans(start_ms):
            if end - begin >= work_ms:
                return begin + work_ms
            work_ms -= end - begin
        raise UnknownYearError(date_of(DAY_MAX).year)

    def between(self, start_ms: int, end_ms: int) -> int:
        """Milliseconds of working time in [start_ms, end_ms); UnknownYearError."""
        passed = 0
        for begin, end in self._spans(start_ms):
            if begin >= end_ms:
                break
            passed += min(end, end_ms) - begin
        return passed

    def _spans(self, start_ms: int) -> Iterator[tuple[int, int]]:
        """Stretches of working time from an instant on, in order; each within one day and one offset of the zone."""
        starts, offsets = zone_table(self.zone)
        first = int(np.searchsorted(starts, start_ms, "right")) - 1
        for at in range(first, len(starts)):
            offset = int(offsets[at])
            low = max(start_ms, int(starts[at]))
            high = int(starts[at + 1]) if at + 1 < len(starts) else _FOREVER
            for day in range(max(DAY_MIN, (low + offset) // DAY_MS), min(DAY_MAX, (high + offset - 1) // DAY_MS + 1)):
                midnight = day * DAY_MS - offset
                begin, end = (
                    max(low, midnight + self.opens * _MINUTE_MS),
                    min(high, midnight + self.closes * _MINUTE_MS),
                )
                if begin < end and self.is_open(day):
                    yield begin, end
