"""The bank's days: what it has told counts first, China's public calendar agrees with another one, and nothing is guessed."""

import datetime as dt
import warnings

import pytest

from services.clock.bank_calendar import TOLD_MIN, BankCalendar, public_days
from streams.calendar import day_of
from streams.workdays import weekday
from streams.working_time import UnknownYearError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it asks for a newer version once its years are over
    import chinese_calendar

YEARS = range(2004, 2027)
# Day -> why the two differ there.
DIFFERENT = {dt.date(2005, 12, 31): "worked for the New Year of 2006, which the other calendar leaves out"}


def days(year: int) -> list[dt.date]:
    first = dt.date(year, 1, 1)
    return [first + dt.timedelta(n) for n in range((dt.date(year + 1, 1, 1) - first).days)]


def test_two_calendars_agree() -> None:
    """Day by day, of every year that both know."""
    calendar = BankCalendar()
    found = {
        day for year in YEARS for day in days(year) if calendar.is_open(day_of(day)) != chinese_calendar.is_workday(day)
    }
    assert found == DIFFERENT.keys()


def test_what_is_told_counts_first() -> None:
    """The bank's word on a day, be it open or closed; the others stay."""
    national, saturday, monday = (day_of(dt.date(2026, 10, day)) for day in (1, 17, 19))
    calendar = BankCalendar({national: True, saturday: True, monday: False})
    assert [calendar.is_open(day) for day in (national, national + 1, saturday, monday, monday + 1)] == [
        True, False, True, False, True,
    ]  # fmt: skip


def test_an_unknown_year_is_not_guessed() -> None:
    """A year that nobody has announced: its days are told to nobody, until the bank tells its holidays; a few are not enough."""
    year = next(year for year in range(2026, 2100) if public_days(year) is None)
    weekdays = [day_of(day) for day in days(year) if weekday(day_of(day))]
    assert BankCalendar().unknown([year, 2026, year]) == [year]
    with pytest.raises(UnknownYearError, match=f"the holidays of {year} are not known"):
        BankCalendar().is_open(weekdays[20])
    few = BankCalendar(dict.fromkeys(weekdays[: TOLD_MIN - 1], False))
    assert few.unknown([year]) == [year] and not few.is_open(weekdays[0])
    told = BankCalendar(dict.fromkeys(weekdays[:TOLD_MIN], False))
    assert told.unknown([year]) == [] and not told.is_open(weekdays[0]) and told.is_open(weekdays[20])
