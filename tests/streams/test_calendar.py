"""Days, months and the bank's zone against the standard library."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.calendar import (
    DAY_MAX,
    DAY_MIN,
    business_day,
    date_of,
    day_end_ms,
    day_of,
    day_start_ms,
    last_ended_month,
    month_of,
    month_start,
    parse_day,
    zone_table,
)

days = st.integers(DAY_MIN - 700, DAY_MAX + 400)
ZONES = ("Asia/Shanghai", "Europe/Prague", "America/New_York", "Australia/Lord_Howe", "UTC")


@given(days)
@example(day_of(dt.date(2000, 2, 29)))
@example(day_of(dt.date(2100, 2, 28)))
def test_months_are_those_of_the_calendar(day):
    """The month of a day, its first day, and the last month that has ended, as dates say."""
    date = dt.date(1970, 1, 1) + dt.timedelta(days=day)
    month = date.year * 12 + date.month - 1
    assert (date_of(day), day_of(date), parse_day(date.isoformat())) == (date, day, day)
    assert month_of(day) == month
    assert month_start(month) == day_of(date.replace(day=1))
    tomorrow = date + dt.timedelta(days=1)
    assert last_ended_month(day) == tomorrow.year * 12 + tomorrow.month - 2


@pytest.mark.slow
@given(st.sampled_from(ZONES), st.integers(DAY_MIN * 86_400_000, (DAY_MAX - 1) * 86_400_000))
def test_business_day_is_the_date_in_the_zone(zone, instant_ms):
    """An instant falls on its date in the bank's zone, summer time included."""
    starts, offsets = zone_table(zone)
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=instant_ms)
    assert business_day(instant_ms, starts, offsets) == day_of(moment.astimezone(ZoneInfo(zone)).date())


@given(st.sampled_from(ZONES), st.integers(DAY_MIN, DAY_MAX - 2))
@example("Europe/Prague", day_of(dt.date(2024, 3, 31)))
@example("Europe/Prague", day_of(dt.date(2024, 10, 27)))
@example("Asia/Shanghai", day_of(dt.date(1991, 4, 14)))
def test_a_day_begins_and_ends_where_the_zone_says(zone, day):
    """The first and the last millisecond of a day are of that day, their neighbours are not."""
    table = zone_table(zone)
    assert [business_day(day_start_ms(day, zone) + k, *table) for k in (-1, 0)] == [day - 1, day]
    assert [business_day(day_end_ms(day, zone) + k, *table) for k in (0, 1)] == [day, day + 1]


@pytest.mark.parametrize("text", ["2024-02-30", "24-02-01", "", "2024-13-01", "yesterday"])
def test_no_date(text):
    """What is no ISO date is refused."""
    with pytest.raises(ValueError):
        parse_day(text)
