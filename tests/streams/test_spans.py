"""Sums of AUM over spans of days, exact: closed months, parts of months, days that slide, with rates and late postings."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.accounts.store import Array
from streams.averages.outlook import Timing, foresee
from streams.averages.spans import span_sums
from streams.calendar import last_ended_month, month_start
from streams.money import NANO
from tests.streams.fast import Fast, unshrunk
from tests.streams.test_against_twin import told
from tests.twins.ledger import SlowLedger
from tests.twins.outlook import slow_outlook
from tests.twins.strategies import banks, feeds


def sums_of(fast: Fast, spans: list[tuple[int, int]], slots: Array) -> tuple[Array, Array, Array]:
    """As the job asks."""
    ledger = fast.ledger
    return span_sums(ledger.store, ledger.rates.table(), ledger.clock, fast.scope, ledger.closed, spans, slots)


def spans_of(data, as_of: int) -> list[tuple[int, int]]:
    """Closed months, a month and more to today, sliding windows, today, and nothing."""
    closed = int(last_ended_month(as_of))
    newest = data.draw(st.integers(0, 11))
    oldest = data.draw(st.integers(newest, 11))
    month = int(month_start(closed - oldest))
    return [
        (month, int(month_start(closed - newest + 1)) - 1),
        (month, as_of),
        (int(month_start(closed + 1)), as_of),
        (as_of - data.draw(st.integers(0, 89)), as_of),
        (as_of, as_of),
        (as_of + 5, as_of),
    ]


@pytest.mark.slow
@settings(unshrunk, max_examples=25)
@given(st.data())
def test_sums_of_spans(data):
    """Every span of every customer, against the AUM of each day added up."""
    bank = data.draw(banks(days=data.draw(st.sampled_from((20, 70)))))
    slow, fast = told(data.draw(feeds(bank)))
    as_of = fast.ledger.closed
    spans = spans_of(data, as_of)
    units, nano, held = sums_of(fast, spans, np.arange(fast.ledger.columns.customer_count))
    for slot in range(fast.ledger.columns.customer_count):
        customer = fast.ledger.customer_id(slot)
        for k, (first, last) in enumerate(spans):
            days = slow.daily_aum(customer, first, last) if last >= first else []
            assert held[slot, k] or None not in days
            if None not in days:
                assert Fraction(int(units[slot, k])) + Fraction(int(nano[slot, k]), NANO) == sum(days, Fraction(0))


@pytest.mark.slow
@settings(unshrunk, max_examples=20)
@given(
    st.data(),
    st.sampled_from(("quarter_avg", "month_avg[0]", "trailing_avg[30]", "month_to_date_avg", "week_avg[0]", "aum")),
)
def test_outlook_of_a_ledger(data, metric):
    """The outlook of a bank of events, late ones too, is what living through the days to come gives."""
    bank = data.draw(banks(days=70, customers=2))
    slow, fast = told(data.draw(feeds(bank)))
    as_of, count = fast.ledger.closed, fast.ledger.columns.customer_count
    slots, tier = np.arange(count), np.array([data.draw(st.integers(0, 2)) for _ in range(count)], np.int64)
    thresholds = sorted(data.draw(st.lists(st.integers(0, 10**7), min_size=2, max_size=2, unique=True)))
    close = data.draw(st.sampled_from(("day", "month", "quarter")))
    close = "month" if metric == "quarter_avg" else close
    found = foresee(
        metric,
        Timing(close, close, close),
        np.array(thresholds),
        as_of,
        tier,
        lambda spans: sums_of(fast, spans, slots),
    )
    for slot in range(count):
        past = _past(slow, fast.ledger.customer_id(slot), as_of)
        twin = slow_outlook(metric, (close,) * 3, thresholds, as_of, int(tier[slot]), past, 230)
        assert bool(found.held[slot]) == (twin is None)
        if twin is not None:
            assert int(found.projected[slot]) == twin.projected
            assert int(found.value[slot]) == twin.value
            assert [None if h < 0 else h for h in found.to_hold[slot].tolist()] == twin.to_hold
            assert int(found.lost_close[slot]) == (-1 if twin.lost_close is None else twin.lost_close)


def _past(slow: SlowLedger, customer: str, as_of: int):
    first = as_of - 500
    days = slow.daily_aum(customer, first, as_of)
    return lambda day: days[day - first]
