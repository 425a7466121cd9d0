"""On which days the bank is open: what `tidegauge holidays` has told comes first, then China's public calendar.

The public calendar of a year is announced in the autumn before it. A year that neither knows is not guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import holidays

from streams.calendar import date_of, day_of, parse_day
from streams.workdays import weekday
from streams.working_time import UnknownYearError

COUNTRY: Final = "CN"
TOLD_MIN: Final = 5
"""Weekdays that have to be told as closed before a year counts as told: China has seven public holidays or more a year."""

_FEBRUARY, _OCTOBER = 2, 10


@cache
def public_days(year: int) -> Mapping[int, bool] | None:
    """Day number -> whether banks in China are open, of the days that are otherwise than their weekday says.

    None for a year of which the `holidays` package doesn't know yet which weekend days are worked: every announced year has
    some around the Spring Festival, Labour Day or the National Day, and those of other years are computed and no more.
    """
    found = holidays.country_holidays(COUNTRY, years=year)
    worked = {day for day in found.weekend_workdays if day.year == year}
    if not any(_FEBRUARY <= day.month <= _OCTOBER for day in worked):
        return None
    closed = {day_of(day): False for day in found if day.year == year}
    return closed | {day_of(day): True for day in worked}


@dataclass(frozen=True)
class BankCalendar:
    """The bank's days. told: day number -> whether it is open, as the workers know it from `tidegauge holidays`."""

    told: Mapping[int, bool] = field(default_factory=dict)

    def is_open(self, day: int) -> bool:
        """Whether the bank is open on a day; UnknownYearError where nobody knows."""
        if (said := self.told.get(day)) is not None:
            return said
        year = date_of(day).year
        public = public_days(year)
        if public is None and not self._is_told(year):
            raise UnknownYearError(year)
        return (public or {}).get(day, weekday(day))

    def unknown(self, years: Iterable[int]) -> list[int]:
        """The years of which nobody knows the holidays, ascending."""
        return [year for year in sorted(set(years)) if public_days(year) is None and not self._is_told(year)]

    def _is_told(self, year: int) -> bool:
        first, last = parse_day(f"{year:04}-01-01"), parse_day(f"{year:04}-12-31")
        return (
            sum(not is_open and first <= day <= last and weekday(day) for day, is_open in self.told.items()) >= TOLD_MIN
        )
