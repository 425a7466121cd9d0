"""What the closes ahead will give if today's balances stay (docs/outlook.md#how-it-is-computed): exact, in closed form.

From tomorrow on every day has the AUM of today, at the rates of today; postings valued later are no part of today's
balance. The sum of a period is then that of its past days, which are known, plus its days to come times today's AUM.
A metric stands still once its period holds days to come only, so that few closes decide what will ever be: one for each
month of a period, or one for each day where a period slides from day to day.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from streams.accounts.store import Array
from streams.calendar import NO_DAY, month_of, month_start
from streams.money import NANO
from streams.vocabulary.metrics import months_of_mean, period

OUTLOOK_CLOSES = ("continuous", "day", "month", "quarter", "half_year", "year")
MONTHS_A_CLOSE = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}  # other closes: every day
LCM = 377_580  # of 28, 29, 30 and 31, the lengths of months
UNREACHABLE = -1
UP, SAME, DOWN = 1, 0, -1
# (first day, last day) of spans that end by today -> units, nano and held of each customer, [n, K]
Sums = Callable[[list[tuple[int, int]]], tuple[Array, Array, Array]]


@dataclass(frozen=True, slots=True)
class Timing:
    """When tiers are evaluated, and when changes take effect: continuous, day, month, quarter, half_year or year.

    A change takes effect at a close that evaluates and is of its own kind too. Upgrades and downgrades that wait for
    something else (an application, a review) come about at no close.
    """

    close: str
    upgrades: str
    downgrades: str


@dataclass(frozen=True, slots=True)
class Projection:
    """A metric at K closes ahead for n customers: (units + part / one) / divisor, in base minor units."""

    closes: Array  # int64[K] days
    divisor: Array  # int64[K]
    weight: Array  # int64[K]: what one unit held from tomorrow on adds to the units, in 1 / (one // NANO)
    one: int
    units: Array  # int64[n, K]
    part: Array  # int64[n, K], 0 <= part < one
    held: Array  # bool[n, K]
    aum: Array  # int64[n]: what is assumed to stay, half-even

    def rounded(self, k: int) -> Array:
        """int64[n]: the metric at close k, half-even."""
        return _half_even(self.units[:, k], self.part[:, k], self.one, int(self.divisor[k]))

    def tiers(self, k: int, thresholds: Array) -> Array:
        """int64[n]: the tier that close k gives."""
        return np.searchsorted(thresholds * self.divisor[k], self.units[:, k], side="right")

    def to_hold(self, k: int, threshold: int) -> Array:
        """int64[n]: the least amount that, held from tomorrow to close k besides, lifts the metric to a threshold."""
        short = threshold * int(self.divisor[k]) - self.units[:, k]
        weight, scale = int(self.weight[k]), self.one // NANO
        if weight == 0:
            return np.where(short > 0, UNREACHABLE, 0)
        whole, rest = np.divmod(short, weight)  # in two steps: short * scale may pass 63 bits
        least = whole * scale - (self.part[:, k] // NANO - rest * scale) // weight
        return np.where(short > 0, least, 0)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What n customers have to expect. Tiers are indices; a tier in row i of `to_hold` is column + 1."""

    as_of: int
    next_close: int
    tier: Array  # int64[n]: as decided up to today
    projected: Array  # int64[n]: what the next close will leave
    value: Array  # int64[n]: the metric at the next close, base minor units, half-even
    to_hold: Array  # int64[n, T - 1]: more to hold from tomorrow until the next close for each tier, or UNREACHABLE
    lost_close: Array  # int64[n]: the close that takes the present tier, NO_DAY: none ever will
    held: Array  # bool[n]: a rate is missing, nothing else is known
    aum: Array  # int64[n]: today's, which is assumed to stay, half-even

    @property
    def shift(self) -> Array:
        """int64[n]: how many tiers the next close moves."""
        return self.projected - self.tier

    @property
    def barred(self) -> Array:
        """int64[n]: bit i set where no amount reaches tier i + 1 by the next close."""
        bits = 1 << np.arange(self.to_hold.shape[1], dtype=np.int64)
        return (self.to_hold == UNREACHABLE) @ bits


def _half_even(units: Array, part: Array, one: int, divisor: int) -> Array:
    quotient, rest = np.divmod(units, divisor)
    twice = 2 * (rest * one + part)
    return quotient + ((twice > divisor * one) | ((twice == divisor * one) & (quotient % 2 == 1)))


def next_close(every: str, day: int) -> int:
    """The first close after a day."""
    if every not in MONTHS_A_CLOSE:
        return day + 1
    month = int(month_of(day + 1))
    return int(month_start(month + -(month + 1) % MONTHS_A_CLOSE[every] + 1)) - 1


def closes_ahead(metric: str, every: str, as_of: int) -> list[int]:
    """The closes after `as_of` whose periods differ, up to the first that looks at days to come only."""
    close = next_close(every, as_of)
    out = [close]
    while period(metric, close)[0] <= as_of:
        close = next_close(every, close)
        if period(metric, close) != period(metric, out[-1]):
            out.append(close)
    return out


def project(metric: str, as_of: int, closes: list[int], sums: Sums) -> Projection:
    """The metric at closes ahead. `sums` gives exact sums of AUM over days up to `as_of`."""
    if months_of_mean(metric) is not None:
        return _mean_of_months(as_of, closes, sums)
    periods = [period(metric, close) for close in closes]
    units, nano, held = sums([(as_of, as_of), *((first, min(last, as_of)) for first, last in periods)])
    coming = np.array([max(last - max(first, as_of + 1) + 1, 0) for first, last in periods], np.int64)
    part = nano[:, 1:] + nano[:, :1] * coming
    return Projection(
        np.array(closes, np.int64), np.array([last - first + 1 for first, last in periods], np.int64), coming, NANO,
        units[:, 1:] + units[:, :1] * coming + part // NANO, part % NANO, held[:, 1:] | (held[:, :1] & (coming > 0)),
        _half_even(units[:, 0], nano[:, 0], NANO, 1),
    )  # fmt: skip


def _mean_of_months(as_of: int, closes: list[int], sums: Sums) -> Projection:
    """The mean of twelve monthly averages: every month by its own length, so parts are in 1 / (LCM * NANO)."""
    periods = [tuple(int(month_of(day)) for day in period("months_mean_12", close)) for close in closes]
    months = np.arange(periods[0][0], periods[-1][1] + 1)
    starts = [int(month_start(month)) for month in (*months.tolist(), int(months[-1]) + 1)]
    ends = [start - 1 for start in starts[1:]]
    spans = [(first, min(last, as_of)) for first, last in zip(starts[:-1], ends, strict=True)]
    units, nano, held = sums([(as_of, as_of), *spans])
    days = np.diff(starts)
    coming = np.array(ends, np.int64) - np.maximum(np.array(starts[:-1], np.int64), as_of + 1) + 1
    coming = np.clip(coming, 0, days)
    part = nano[:, 1:] + nano[:, :1] * coming
    whole, rest = np.divmod(units[:, 1:] + units[:, :1] * coming + part // NANO, days)
    part = (rest * NANO + part % NANO) * (LCM // days)
    missing = held[:, 1:] | (held[:, :1] & (coming > 0))

    def added(columns: Array) -> Array:
        """Of each close's twelve months together."""
        return np.stack([columns[..., a - months[0] : b - months[0] + 1].sum(-1) for a, b in periods], -1)

    one, parts = LCM * NANO, added(part)
    return Projection(
        np.array(closes, np.int64), np.full(len(closes), 12, np.int64), added(coming * (LCM // days)), one,
        added(whole) + parts // one, parts % one, added(missing) > 0, _half_even(units[:, 0], nano[:, 0], NANO, 1),
    )  # fmt: skip


def _coming_and_falls(metric: str, timing: Timing, as_of: int) -> tuple[int, list[int]]:
    """The next close, and the closes ahead that may take a tier."""
    rarer = max(timing.close, timing.downgrades, key=lambda every: MONTHS_A_CLOSE.get(every, 0))
    falls = closes_ahead(metric, rarer, as_of) if timing.downgrades in OUTLOOK_CLOSES else []
    return next_close(timing.close, as_of), falls


def past_spans(metric: str, timing: Timing, as_of: int) -> list[tuple[int, int]]:
    """The spans of days up to `as_of` that an outlook looks at: a rate that is missing in one of them holds it."""
    coming, falls = _coming_and_falls(metric, timing, as_of)
    periods = [period(metric, close) for close in dict.fromkeys((coming, *falls))]
    return [(as_of, as_of), *((first, min(last, as_of)) for first, last in periods if first <= as_of)]


def foresee(metric: str, timing: Timing, thresholds: Array, as_of: int, tier: Array, sums: Sums) -> Outlook:
    """The outlook of n customers after the close of `as_of`.

    `tier` is int64[n] as decided up to that close, `thresholds` the minimums of the tiers above the lowest, ascending.
    """
    coming, falls = _coming_and_falls(metric, timing, as_of)
    closes = falls if coming in falls else [coming, *falls]
    ahead = project(metric, as_of, closes, sums)
    given = ahead.tiers(0, thresholds)
    low = given if coming in falls else tier
    high = given if timing.upgrades in OUTLOOK_CLOSES and next_close(timing.upgrades, coming - 1) == coming else tier
    lost = np.full(len(tier), NO_DAY, np.int64)
    for k in reversed(range(len(closes) - len(falls), len(closes))):
        lost[ahead.tiers(k, thresholds) < tier] = closes[k]
    to_hold = np.empty((len(tier), len(thresholds)), np.int64)
    for i, threshold in enumerate(thresholds.tolist()):
        to_hold[:, i] = ahead.to_hold(0, threshold)
    projected = np.where(given < tier, low, high)
    held: Array = np.logical_or.reduce(ahead.held, axis=1)
    return Outlook(as_of, coming, tier, projected, ahead.rounded(0), to_hold, lost, held, ahead.aum)


def turns(shift_before: Array, lost_before: Array, now: Outlook) -> tuple[Array, Array]:
    """(upgrade, downgrade_risk), bool[n]: whose outlook has just turned that way, or further than it had.

    `shift_before` and `lost_before` (NO_DAY: none) are those of the outlook told last. An upgrade comes into sight at the
    next close; a risk is a tier that is lost at any close ahead, again when it will be lost sooner than was told.
    """
    upgrade = ~now.held & (now.shift > np.maximum(shift_before, 0))
    sooner = (lost_before == NO_DAY) | (now.lost_close < lost_before) | (now.shift < np.minimum(shift_before, 0))
    return upgrade, ~now.held & (now.lost_close != NO_DAY) & sooner
