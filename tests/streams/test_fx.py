"""Rates: which one counts on a day, and the prefix sums the kernels use."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.alerts.outflow import weight
from streams.calendar import DAY_MAX, DAY_MIN
from streams.fields import BAD_DATE, BAD_RATE, BAD_VERSION
from streams.fx import RATE_MICRO_MAX, Rates
from streams.money import AMOUNT_MAX, CURRENCIES, EXPONENTS, NANO, scaled
from tests.twins.events import rate
from tests.twins.ledger import SlowLedger

USD, JPY, KWD = (CURRENCIES.index(c) for c in ("USD", "JPY", "KWD"))
events = st.lists(
    st.builds(
        rate,
        st.sampled_from(("USD", "JPY", "KWD")),
        st.integers(1, 2_500_000),
        st.integers(20_000, 20_020),
        st.integers(1, 3),
    ),
    max_size=12,
    unique_by=lambda e: e["event_id"],
)


def put(rates: Rates, event) -> int:
    """Gives a rate event to the table."""
    code = CURRENCIES.index(event["currency"])
    return rates.put(code, event["rate_date"], event["rate_micro"], event["version"], event["event_id"])


@given(events, st.data())
def test_weights_are_sums_of_daily_rates(chosen, data):
    """The weight of a span is the sum over its days of the rate in force, 0 before the first one."""
    rates, slow = Rates("CNY"), SlowLedger()
    for event in data.draw(st.permutations(chosen)):
        assert put(rates, event) == 0
        slow.add(event)
    first = data.draw(st.integers(19_990, 20_030))
    last = data.draw(st.integers(first, 20_040))
    for currency in ("USD", "JPY", "KWD"):
        expected = sum((slow.rate(currency, day) or Fraction(0)) for day in range(first, last + 1))
        assert Fraction(int(weight(rates.table(), CURRENCIES.index(currency), first, last)), NANO) == expected


@given(events, st.integers(19_990, 20_030))
def test_pruned_rates_are_those_no_later_day_needs(chosen, before):
    """What is forgotten changes no day from `before` on; what is kept builds the same table again."""
    rates, whole = Rates("CNY"), Rates("CNY")
    for event in chosen:
        put(rates, event)
        put(whole, event)
    rates.prune(before)
    again = Rates("CNY")
    for item in rates.items():
        again.put(*item)
    for currency in (USD, JPY, KWD):
        for day in range(before, 20_035):
            values = [weight(r.table(), currency, day, day) for r in (rates, whole, again)]
            assert values[0] == values[1] == values[2]


REFUSED = [
    (20_000, 0, 1, BAD_RATE), (20_000, -1, 1, BAD_RATE), (20_000, 250_000_001, 1, BAD_RATE),
    (20_000, RATE_MICRO_MAX, 1, BAD_RATE),
    (20_000, 7_000_000, -1, BAD_VERSION), (DAY_MIN - 1, 7_000_000, 1, BAD_DATE), (DAY_MAX, 7_000_000, 1, BAD_DATE),
]  # fmt: skip


@pytest.mark.parametrize(("day", "micro", "version", "reason"), REFUSED)
def test_no_rate(day, micro, version, reason):
    """A rate that is not positive, or absurd in number, version or date, is refused and changes nothing."""
    rates = Rates("CNY")
    assert rates.put(USD, day, micro, version, "x") == reason
    assert rates.items() == []


YEAR_DAYS = 366


@given(
    st.sampled_from(CURRENCIES), st.sampled_from(CURRENCIES), st.integers(-AMOUNT_MAX, AMOUNT_MAX),
    st.integers(1, 10 * RATE_MICRO_MAX) | st.none(), st.integers(1, YEAR_DAYS), st.sampled_from((DAY_MIN, 20_000, DAY_MAX - 1)),
)  # fmt: skip
@example("CNY", "USD", AMOUNT_MAX, None, YEAR_DAYS, 20_000)
@example("CNY", "JPY", -AMOUNT_MAX, None, YEAR_DAYS, 20_000)
@example("BHD", "JPY", -AMOUNT_MAX, None, YEAR_DAYS, 20_000)
@example("JPY", "BHD", AMOUNT_MAX, None, YEAR_DAYS, DAY_MIN)
def test_no_amount_at_no_rate_leaves_int64(base, currency, amount, micro, days, since):
    """Whatever rate is taken, the highest (None) too, far from others: every amount over a year is exact as Python has it."""
    rates, code = Rates(base), CURRENCIES.index(currency)
    micro = rates.micro_max(code) if micro is None else micro
    taken = rates.put(code, since, micro, 1, "x") == 0
    assert taken == (micro <= rates.micro_max(code))
    if not taken:
        return
    rates.put(code, DAY_MIN, rates.micro_max(code), 1, "y")
    rates.put(code, DAY_MAX - 1, micro, 1, "z")
    first = max(since, DAY_MIN + 1)
    of = weight(rates.table(), code, first, first + days - 1)
    exact = Fraction(micro * days, 10**6) * Fraction(10) ** (EXPONENTS[base] - EXPONENTS[currency])
    if since != DAY_MIN:
        assert Fraction(int(of), NANO) == exact
    units, nano = scaled(amount, of)
    assert int(units) * NANO + int(nano) == amount * int(of)
    assert abs(int(units)) < 1 << 63


def test_rates_many_years_apart():
    """A rate dated far ahead, by mistake or not, keeps no other one out and counts from its day only."""
    for order in (1, -1):
        rates = Rates("CNY")
        for day, micro in [(DAY_MAX - 1, 9_000_000), (20_000, 7_000_000), (DAY_MIN, 8_000_000)][::order]:
            assert rates.put(USD, day, micro, 1, str(day)) == 0
        assert [weight(rates.table(), USD, d, d) for d in (DAY_MIN, 19_999, 20_000, DAY_MAX - 1)] == [
            8_000_000_000, 8_000_000_000, 7_000_000_000, 9_000_000_000,
        ]  # fmt: skip


def test_exponents_are_part_of_the_weight():
    """A yen has no decimals, a dinar three: the weight is per minor unit."""
    assert (EXPONENTS["JPY"], EXPONENTS["CNY"], EXPONENTS["KWD"]) == (0, 2, 3)
    rates = Rates("CNY")
    rates.put(JPY, 20_000, 46_125, 1, "j")
    rates.put(KWD, 20_000, 23_000_000, 1, "k")
    assert weight(rates.table(), JPY, 20_000, 20_000) == 4_612_500_000  # 4.6125 fen a yen
    assert weight(rates.table(), KWD, 20_000, 20_000) == 2_300_000_000  # 2.3 fen a fils
