"""Business days with holidays and days worked in their stead, against counting them one by one."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from streams.calendar import date_of
from streams.workdays import FRIDAY, business_days

DAYS = st.integers(19_000, 19_060)


@given(DAYS, DAYS, st.dictionaries(DAYS, st.booleans()))
def test_counted_one_by_one(first, last, known):
    """Any span, any calendar."""
    slow = sum(known.get(day, date_of(day).weekday() <= FRIDAY) for day in range(first, last + 1))
    assert business_days(first, last, known) == slow


def test_golden_week():
    """2026-10-01 to 07 are holidays, Saturday 2026-10-10 is worked: from the 30th to the 10th there are four."""
    day = (dt.date(2026, 9, 30) - dt.date(1970, 1, 1)).days
    known = dict.fromkeys(range(day + 1, day + 8), False) | {day + 10: True}
    assert business_days(day, day + 10, known) == 4
