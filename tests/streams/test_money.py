"""Exact money: texts to minor units and back, products by rates, and the one rounding."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.fx import RATE_NANO_MAX
from streams.money import AMOUNT_MAX, NANO, format_minor, half_even, parse_minor, scaled

WEIGHT_MAX = 366 * RATE_NANO_MAX
amounts = st.integers(-AMOUNT_MAX, AMOUNT_MAX)


@given(amounts, st.integers(0, 3))
def test_text_and_back(minor, decimals):
    """A decimal text of minor units reads back as the same number, and as decimal says."""
    text = format_minor(minor, decimals)
    assert parse_minor(text, decimals) == minor
    assert Decimal(text) == Decimal(minor).scaleb(-decimals)


@pytest.mark.parametrize(
    "text", ["", "1,000.00", "1e3", "NaN", "inf", "--1", "1.", ".5", "0x10", "1.005", "12345678901234567"]
)
def test_no_amount(text):
    """What is no exact amount of the currency is refused: never rounded, never guessed."""
    with pytest.raises(ValueError):
        parse_minor(text, 2)


def test_spare_zeros_are_exact():
    """Zeros beyond the currency's decimals say nothing more."""
    assert parse_minor("+1.500", 2) == 150
    assert parse_minor("-7", 0) == -7
    assert parse_minor("3.000", 0) == 3


@given(amounts, st.integers(0, WEIGHT_MAX))
@example(AMOUNT_MAX, WEIGHT_MAX)
@example(-AMOUNT_MAX, WEIGHT_MAX)
@example(-1, 1)
def test_scaled_is_exact(amount, weight):
    """amount * weight / 10**9 as units and nano, to the last digit, for all amounts and weights taken."""
    units, nano = scaled(amount, weight)
    assert 0 <= nano < NANO
    assert int(units) * NANO + int(nano) == amount * weight


@given(
    st.integers(-(10**17), 10**17),
    st.sampled_from((0, 0, 1, NANO // 2, NANO - 1)) | st.integers(0, NANO - 1),
    st.integers(1, 366),
)
@example(5, 0, 2)
@example(-5, 0, 2)
@example(7, 0, 2)
@example(2, NANO // 2, 1)
def test_half_even_rounds_once(units, nano, days):
    """The average rounded to the nearest unit, a tie to the even one, as fractions do it."""
    assert half_even(units, nano, days) == round(Fraction(units * NANO + nano, NANO * days))
