"""Single values: what is exact is taken, everything else is refused with a reason."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.formats import fields
from connectors.formats.fields import FieldError
from streams.calendar import day_of
from streams.money import AMOUNT_MAX, EXPONENTS

SHANGHAI = "Asia/Shanghai"


@given(st.integers(-AMOUNT_MAX, AMOUNT_MAX), st.sampled_from(sorted(EXPONENTS)))
def test_money_round_trip(minor, code):
    """The decimal text of an amount, by the currency's exponent, gives the amount back."""
    text = format(Decimal(minor).scaleb(-EXPONENTS[code]), "f")
    assert fields.money("amount", text, code) == minor
    assert fields.money("amount", Decimal(text), code) == minor


@pytest.mark.parametrize(
    ("text", "code", "minor"),
    [("12", "CNY", 1200), ("-0.5", "CNY", -50), ("+7.10", "CNY", 710), ("1.500", "CNY", 150), ("100.00", "JPY", 100)],
)
def test_money_forms(text, code, minor):
    """Signs, missing decimals and zeros behind the last one are no inexactness."""
    assert fields.money("amount", text, code) == minor


@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "nan",
        "Infinity",
        "1e3",
        "1,000.00",
        "12.345",
        "",
        " 1",
        "--1",
        "1.",
        ".5",
        "0x10",
        "١٢",
        12.5,
        None,
        True,
        "99999999999999999",
        Decimal("NaN"),
        Decimal("0.001"),
        "1" * 400,
    ],
)
def test_money_refused(value):
    """No NaN, no floats, no separators, no third decimal, no foreign digits, no number beyond 64 bits."""
    with pytest.raises(FieldError) as found:
        fields.money("amount", value, "CNY")
    assert found.value.field == "amount"
    assert found.value.reason
    with pytest.raises(FieldError, match="number out of range"):
        fields.money("amount", "9999999999999999", "KWD")


@pytest.mark.parametrize("value", ["2026-02-30", "0001-01-01", "9999-12-31", "20260131", "31.01.2026", "", 20000, None])
def test_dates_refused(value):
    """A day outside of the calendar or of the century is a typing error."""
    with pytest.raises(FieldError):
        fields.business_date("value_date", value)


def test_instants():
    """An offset counts; without one the bank's zone does; a date alone is the day's last millisecond."""
    at = datetime(2026, 1, 31, 1, 30, tzinfo=UTC).timestamp() * 1000
    for text in ("2026-01-31T09:30:00+08:00", "2026-01-31T01:30:00Z", "2026-01-31T09:30:00", "2026-01-31 09:30"):
        assert fields.instant("booked_at", text, SHANGHAI) == at
    end = fields.instant("booked_at", "2026-01-31", SHANGHAI)
    assert end == datetime(2026, 1, 31, 15, 59, 59, 999000, tzinfo=UTC).timestamp() * 1000
    assert fields.day_at(end, SHANGHAI) == day_of(date(2026, 1, 31))
    assert fields.day_at(end + 1, SHANGHAI) == day_of(date(2026, 2, 1))


@pytest.mark.parametrize("value", ["2026-01-31T25:00:00", "noon", 5, "2026-01-31T09:30:00.0001"])
def test_instants_refused(value):
    """No hour 25, nothing finer than a millisecond."""
    with pytest.raises(FieldError):
        fields.instant("booked_at", value, SHANGHAI)


@pytest.mark.parametrize("value", [-1, "-1", "1.0", "x", True, 2**60, None])
def test_counts_refused(value):
    """A sequence number is a whole number, not negative."""
    with pytest.raises(FieldError):
        fields.count("journal_seq", value)


@pytest.mark.parametrize("value", ["\ud800", "a\udfff", None, True, 1.5, []])
def test_text_refused(value):
    """Text is what UTF-8 can hold; whether it is a right one is judged with its record (test_one_validation)."""
    with pytest.raises(FieldError):
        fields.text("customer_id", value)


def test_other_kinds():
    """Ids may be numbers, rates have six decimals, truth has two words."""
    assert fields.text("customer_id", 42) == "42"
    assert fields.text("name", "王\u3000小明") == "王\u3000小明"
    assert fields.rate_decimal("rate", "0.048150") == 48_150
    for bad in ("0.0000001", "NaN", "1e5"):
        with pytest.raises(FieldError):
            fields.rate_decimal("rate", bad)
    assert fields.boolean("b", "true") is True
    assert fields.boolean("b", False) is False
    with pytest.raises(FieldError):
        fields.boolean("b", "yes")
    with pytest.raises(FieldError):
        fields.one_of("nature", "gift", ["external"])
