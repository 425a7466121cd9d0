"""Business days of the bank: Monday to Friday, less its holidays, and the weekend days that are worked in their stead."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

FRIDAY = 4


def business_days(first: int, last: int, known: Mapping[int, bool]) -> int:
    """How many of the days [first, last] are business days; `known` says of single days whether the bank is open."""
    if last < first:
        return 0
    count = int(np.busday_count(np.datetime64(first, "D"), np.datetime64(last + 1, "D")))
    return count + sum(is_open - weekday(day) for day, is_open in known.items() if first <= day <= last)


def business_day_after(day: int, count: int, known: Mapping[int, bool]) -> int:
    """The count-th business day after a day; `known` says of single days whether the bank is open."""
    while count:
        day += 1
        count -= known.get(day, weekday(day))
    return day


def weekday(day: int) -> bool:
    """Whether a day is one from Monday to Friday (1970-01-01 was a Thursday)."""
    return (day + 3) % 7 <= FRIDAY
