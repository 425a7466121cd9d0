"""The outlook against its slow twin: any metric, any closes, at the ends of months, quarters and years, in leap years."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.averages import outlook
from streams.calendar import NO_DAY
from streams.money import NANO
from streams.vocabulary import metrics as vocabulary
from streams.vocabulary.metrics import period
from tests.twins.definitions import date_of
from tests.twins.events import day
from tests.twins.outlook import is_close, slow_outlook

SLIDING = tuple(m.name for m in vocabulary.METRICS if not m.family.monthly)
LONG = ("year_avg", "months_mean_12", "month_avg[12]")
METRICS = (*SLIDING, "month_avg[0]", "month_avg[1]", "quarter_avg", *LONG)
EVERY = ("continuous", "day", "month", "quarter", "year")
NOTABLE = (
    "2024-02-28",
    "2024-02-29",
    "2023-02-28",
    "2023-12-30",
    "2023-12-31",
    "2024-01-01",
    "2024-03-30",
    "2024-03-31",
)
REACH_DAYS = 800  # behind today, more than any period at the next yearly close looks back


class Series:
    """AUM day by day as (units, nano), from changes [(days before today, amount)]."""

    def __init__(self, as_of: int, changes: list[tuple[int, Fraction]]) -> None:
        self.as_of, total, self.days = as_of, Fraction(0), {}
        by_day: dict[int, Fraction] = {}
        for back, amount in changes:
            by_day[as_of - back] = by_day.get(as_of - back, Fraction(0)) + amount
        for at in range(as_of - REACH_DAYS, as_of + 1):
            total += by_day.get(at, 0)
            self.days[at] = total

    def __call__(self, at: int) -> Fraction:
        return self.days[at]

    def sums(self, spans):
        """As the outlook asks for them."""
        totals = []
        for first, last in spans:
            assert last <= self.as_of
            totals.append(sum((self.days[at] for at in range(first, last + 1)), Fraction(0)))
        units = [total.numerator // total.denominator for total in totals]
        nano = [int((total - whole) * NANO) for total, whole in zip(totals, units, strict=True)]
        return np.array([units]), np.array([nano]), np.zeros((1, len(spans)), np.bool_)


def fast(metric, timing, thresholds, as_of, tier, sums):
    """The outlook of one customer in the twin's words."""
    found = outlook.foresee(metric, outlook.Timing(*timing), np.array(thresholds), as_of, np.array([tier]), sums)
    to_hold = [None if h == outlook.UNREACHABLE else h for h in found.to_hold[0].tolist()]
    lost = int(found.lost_close[0])
    values = int(found.projected[0]), int(found.value[0]), to_hold, None if lost == NO_DAY else lost
    assert int(found.barred[0]) == sum(1 << i for i, h in enumerate(to_hold) if h is None)
    return found.next_close, *values


def agree(metric, timing, thresholds, as_of, tier, series):
    """Both say the same."""
    horizon = 95 if metric in SLIDING else 160 if metric not in LONG else 430
    horizon = 800 if "year" in timing else horizon + 100 if "quarter" in timing else horizon
    slow = slow_outlook(metric, timing, thresholds, as_of, tier, series, horizon)
    assert slow is not None
    said = slow.next_close, slow.projected, slow.value, slow.to_hold, slow.lost_close
    assert fast(metric, timing, thresholds, as_of, tier, series.sums) == said


amounts = st.builds(
    lambda units, nano: units + Fraction(nano, NANO),
    st.integers(-3000, 4000),
    st.sampled_from((0, 0, 1, 333_333_333, 500_000_000, 999_999_999)),
)
changes = st.lists(st.tuples(st.sampled_from((0, 1, 2, 6, 20, 29, 31, 45, 80, 95, 200, 400)), amounts), max_size=6)
days = st.one_of(st.sampled_from(NOTABLE).map(day), st.integers(day("2023-01-01"), day("2025-02-28")))


some = st.sampled_from(("day", "month", "quarter", "application"))
timings = st.tuples(st.sampled_from(EVERY[1:4]), some, some)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(METRICS), st.sampled_from(EVERY), days, changes, st.integers(0, 3),
    st.lists(st.integers(-500, 5000), min_size=3, max_size=3),
)  # fmt: skip
@example("quarter_avg", "month", day("2024-03-30"), [(45, Fraction(3000)), (0, Fraction(-3000))], 3, [10, 900, 1000])
@example("trailing_avg[7]", "day", day("2024-03-01"), [(2, Fraction(70)), (0, Fraction(-70))], 1, [10, 15, 20])
def test_any_outlook(metric, every, as_of, held, tier, thresholds):
    """One close for everything."""
    if metric in LONG and every in ("day", "continuous"):
        every = "month"  # the twin would take too long; see the test below
    agree(metric, (every,) * 3, sorted(thresholds), as_of, tier, Series(as_of, held))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from((*SLIDING, "month_avg[0]", "quarter_avg")), timings, days,
    changes, st.integers(0, 2),
)  # fmt: skip
def test_tiers_that_rise_and_fall_at_different_closes(metric, timing, as_of, held, tier):
    """Evaluated monthly, risen daily, fallen quarterly, or on application only."""
    agree(metric, timing, [500, 1500], as_of, tier, Series(as_of, held))


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.sampled_from(METRICS), st.sampled_from(("month", "quarter", "year")), days, changes, st.data())
def test_thresholds_that_are_just_met(metric, every, as_of, held, data):
    """A threshold equal to what a close will give, or one more: reached or not, to the minor unit."""
    series = Series(as_of, held)
    closes = outlook.closes_ahead(metric, every, as_of)
    ahead = outlook.project(metric, as_of, closes, series.sums)
    k = data.draw(st.integers(0, len(closes) - 1))
    whole = int(ahead.units[0, k]) // int(ahead.divisor[k])
    agree(metric, (every,) * 3, sorted((whole, whole + 1)), as_of, data.draw(st.integers(0, 2)), series)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(METRICS), st.sampled_from(("month", "quarter")), days, changes, st.integers(1, 6000))
def test_the_amount_is_enough_and_one_less_is_not(metric, every, as_of, held, threshold):
    """Held from tomorrow the amount lifts the metric to the threshold; a unit less does not."""
    series = Series(as_of, held)
    ahead = outlook.project(metric, as_of, [outlook.next_close(every, as_of)], series.sums)
    amount, weight = int(ahead.to_hold(0, threshold)[0]), Fraction(int(ahead.weight[0]), ahead.one // NANO)
    value = Fraction(int(ahead.units[0, 0])) + Fraction(int(ahead.part[0, 0]), ahead.one)
    goal = threshold * int(ahead.divisor[0])
    if amount == outlook.UNREACHABLE:
        assert weight == 0 and value < goal
    else:
        assert value + amount * weight >= goal
        assert amount == 0 or value + (amount - 1) * weight < goal


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("every", EVERY)
def test_closes_ahead_are_closes(metric, every):
    """Each is a close of its kind; the last looks at days to come only; a period slides or stands still."""
    for text in NOTABLE:
        as_of = day(text)
        closes = outlook.closes_ahead(metric, every, as_of)
        assert closes == sorted(set(closes)) and closes[0] == outlook.next_close(every, as_of)
        assert all(is_close(every, close) for close in closes)
        assert period(metric, closes[-1])[0] > as_of
        assert len({period(metric, close) for close in closes}) == len(closes)
        assert len(closes) <= 91


def test_a_metric_that_is_no_average():
    """What is not computed from AUM has no outlook."""
    with pytest.raises(ValueError, match="txn_count"):
        period("txn_count[3]", day("2024-03-31"))


def test_large_amounts_stay_exact():
    """A hundred billion short, in a mean of months whose common denominator takes 19 bits more."""
    as_of, thresholds = day("2024-06-29"), [10**13]
    series = Series(as_of, [(300, Fraction(10**12)), (3, Fraction(1, 3))])
    for metric in ("months_mean_12", "year_avg"):
        slow = slow_outlook(metric, ("month",) * 3, thresholds, as_of, 0, lambda at: Fraction(int(series(at))), 40)
        whole = Series(as_of, [(300, Fraction(10**12))])
        assert slow is not None and fast(metric, ("month",) * 3, thresholds, as_of, 0, whole.sums)[3] == slow.to_hold
        assert date_of(slow.next_close).isoformat() == "2024-06-30"
