"""The metrics of balances: their names, the days each looks at, and their columns in the kernels and in files.

A metric is named as packs spell it, `month_avg[3]`. Its column in files is `month_avg_3`; its column in the kernels is its
place in METRICS. Days are day numbers, a period is a first and a last day.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from streams.calendar import last_ended_month, month_of, month_start

MONTHS: Final = 13  # monthly averages that are held
SUNDAY: Final = 3  # 1970-01-04
Period = tuple[int, int]


def _months(oldest: int, newest: int, as_of: int) -> Period:
    """Ended months, counted back from the latest, which is 0."""
    last = int(last_ended_month(as_of))
    return int(month_start(last - oldest)), int(month_start(last - newest + 1)) - 1


def _week(back: int, as_of: int) -> Period:
    """A week, Monday to Sunday, counted back from the latest that has ended, which is 0."""
    sunday = as_of - (as_of - SUNDAY) % 7 - 7 * back
    return sunday - 6, sunday


class Family(NamedTuple):
    """Metrics that differ in a number, or one metric without any.

    `period` takes the number (0 without one) and the day as of which it is asked. `monthly`: it is ended months, whole
    ones. `is_list`: a standing has all of them in one field. `in_files`: standings in files have it.
    """

    name: str
    period: Callable[[int, int], Period]
    numbers: tuple[int, ...] = ()
    monthly: bool = False
    is_list: bool = False
    in_files: bool = True


FAMILIES: Final[tuple[Family, ...]] = (
    Family("aum", lambda _, day: (day, day)),
    Family("month_avg", lambda k, day: _months(k, k, day), tuple(range(MONTHS)), monthly=True, is_list=True),
    Family("quarter_avg", lambda _, day: _months(2, 0, day), monthly=True),
    Family("year_avg", lambda _, day: _months(11, 0, day), monthly=True),
    Family("trailing_avg", lambda n, day: (day - n + 1, day), (7, 30, 90)),
    Family("month_to_date_avg", lambda _, day: (int(month_start(int(month_of(day)))), day), in_files=False),
    Family("week_avg", _week, tuple(range(5)), is_list=True),
)


class Metric(NamedTuple):
    """One metric; `number` is 0 where its family has one metric only."""

    family: Family
    number: int

    @property
    def name(self) -> str:
        """As packs and records spell it."""
        return f"{self.family.name}[{self.number}]" if self.family.numbers else self.family.name

    @property
    def column(self) -> str:
        """Its column in files."""
        return f"{self.family.name}_{self.number}" if self.family.numbers else self.family.name

    def period(self, as_of: int) -> Period:
        """First and last day that it looks at."""
        return self.family.period(self.number, as_of)


METRICS: Final = tuple(Metric(family, number) for family in FAMILIES for number in family.numbers or (0,))
NAMES: Final = tuple(metric.name for metric in METRICS)
COLUMNS: Final = tuple(metric.column for metric in METRICS)  # in files
INDEX: Final = {name: place for place, name in enumerate(NAMES)}

# Means of the latest monthly averages are derived from them and have no column. `months_mean_12` is `months_mean[12]` by
# the name that can be foreseen.
MEAN_OF_YEAR: Final = "months_mean_12"
MEANS: Final = (2, 12)
MEANS_PATTERN: Final = r"months_mean\[([2-9]|1[0-2])\]"
_MEAN: Final = re.compile(MEANS_PATTERN)


def months_of_mean(metric: str) -> int | None:
    """How many monthly averages a mean is taken over; None for any other metric."""
    if metric == MEAN_OF_YEAR:
        return 12
    found = _MEAN.fullmatch(metric)
    return None if found is None else int(found[1])


def parts(metric: str) -> tuple[str, ...]:
    """The metrics with columns that a metric is made of: itself, or the months of a mean, newest first."""
    count = months_of_mean(metric)
    return (metric,) if count is None else tuple(f"month_avg[{k}]" for k in range(count))


@lru_cache(maxsize=1 << 12)
def period(metric: str, as_of: int) -> Period:
    """First and last day that a metric or a mean looks at. ValueError for one that is no average of AUM."""
    if metric not in INDEX and months_of_mean(metric) is None:
        raise ValueError(f"{metric} is no average of AUM")
    spans = [METRICS[INDEX[part]].period(as_of) for part in parts(metric)]
    return spans[-1][0], spans[0][1]
