"""The slow twin of the outlook: every day to come lived through one by one, and amounts tried until one is enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from tests.twins.definitions import after_last_ended_month, date_of, half_even, month_first
from tests.twins.ledger import SlowLedger

HORIZON_DAYS = 460  # longer than a year average takes to forget everything
AMOUNT_MAX = 1 << 60
Aum = Callable[[int], Fraction | None]


@dataclass(frozen=True)
class SlowOutlook:
    """What one customer has to expect; None = a rate is missing."""

    next_close: int
    projected: int
    value: int
    to_hold: list[int | None]
    lost_close: int | None


def is_close(every: str, day: int) -> bool:
    """Whether tiers are decided at the end of a day; what waits for an application is never."""
    date, morrow = date_of(day), date_of(day + 1)
    if every in ("month", "quarter", "year"):
        months = {"month": range(1, 13), "quarter": (3, 6, 9, 12), "year": (12,)}[every]
        return morrow.day == 1 and date.month in months
    return every in ("continuous", "day")


def metric_at(metric: str, close: int, aum: Aum) -> Fraction | None:
    """A metric of a day from the AUM of every day."""

    def average(first: int, last: int) -> Fraction | None:
        days = [aum(day) for day in range(first, last + 1)]
        known = [value for value in days if value is not None]
        return sum(known, Fraction(0)) / len(days) if len(known) == len(days) else None

    if metric == "months_mean_12":
        following = after_last_ended_month(close)
        months = [average(month_first(following, k + 1), month_first(following, k) - 1) for k in range(12)]
        known = [value for value in months if value is not None]
        return sum(known, Fraction(0)) / 12 if len(known) == 12 else None
    return average(*SlowLedger.windows(close)[metric])


def slow_outlook(
    metric: str, timing: tuple[str, str, str], thresholds: list[int], as_of: int, tier: int, past: Aum,
    horizon_days: int = HORIZON_DAYS,
) -> SlowOutlook | None:  # fmt: skip
    """The outlook after the close of `as_of`; `timing` says when tiers are evaluated, rise and fall."""
    evaluated, rise, fall = timing
    held = 0

    def aum(day: int) -> Fraction | None:
        if day <= as_of:
            return past(day)
        today = past(as_of)
        return None if today is None else today + held

    def tier_at(close: int) -> int:
        value = metric_at(metric, close, aum)
        assert value is not None
        return sum(value >= minimum for minimum in thresholds)

    days = range(as_of + 1, as_of + horizon_days)
    coming = next(day for day in days if is_close(evaluated, day))
    falls = [day for day in days if is_close(evaluated, day) and is_close(fall, day)]
    if any(metric_at(metric, close, aum) is None for close in [coming, *falls]):
        return None
    value, given = metric_at(metric, coming, aum), tier_at(coming)
    assert value is not None
    projected = tier
    if (given > tier and is_close(rise, coming)) or (given < tier and is_close(fall, coming)):
        projected = given
    lost = next((close for close in falls if tier_at(close) < tier), None)
    to_hold: list[int | None] = []
    for wanted in range(1, len(thresholds) + 1):
        low, high = -1, 1  # low is not enough, high may be
        held = 0
        if tier_at(coming) >= wanted:
            to_hold.append(0)
            continue
        while True:
            held = high
            if tier_at(coming) >= wanted or high > AMOUNT_MAX:
                break
            low, high = high, 2 * high
        while high - low > 1 and high <= AMOUNT_MAX:
            held = (low + high) // 2
            low, high = (low, held) if tier_at(coming) >= wanted else (held, high)
        to_hold.append(high if high <= AMOUNT_MAX else None)
        held = 0
    return SlowOutlook(coming, projected, half_even(value), to_hold, lost)
