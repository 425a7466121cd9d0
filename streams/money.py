"""Money as int64 minor units, and exact values as a pair (units, nano): units + nano / 10**9, 0 <= nano < 10**9."""

from __future__ import annotations

import re

import numba as nb

NANO = 1_000_000_000
AMOUNT_MAX = 10**14  # minor units of one posting or balance: a trillion yuan; the int64 sums of a year then hold

# ISO 4217 minor-unit exponents of the currencies taken.
EXPONENTS = {
    **dict.fromkeys(
        "AED AUD BRL CAD CHF CNH CNY CZK DKK EGP EUR GBP HKD IDR ILS INR KZT MOP MXN MYR NOK NZD PHP PKR PLN QAR "
        "RON RUB SAR SEK SGD THB TRY TWD USD ZAR".split(),
        2,
    ),
    **dict.fromkeys("CLP JPY KRW VND XAF".split(), 0),
    **dict.fromkeys("BHD JOD KWD OMR TND".split(), 3),
}
CURRENCIES = tuple(sorted(EXPONENTS))
_DECIMAL = re.compile(r"([+-]?)(\d{1,16})(?:\.(\d{1,9}))?")


def exponent(currency: str) -> int:
    """The number of decimals of a currency; KeyError if it is not taken."""
    return EXPONENTS[currency]


def parse_minor(text: str, decimals: int) -> int:
    """Minor units of a decimal text ("-12.3", two decimals: -1230); ValueError where it is no exact amount."""
    if not (found := _DECIMAL.fullmatch(text.strip())):
        raise ValueError(f"not a decimal amount: {text[:40]!r}")
    sign, whole, fraction = found.group(1), found.group(2), (found.group(3) or "").rstrip("0")
    if len(fraction) > decimals:
        raise ValueError(f"more than {decimals} decimals: {text[:40]!r}")
    minor = int(whole) * 10**decimals + int(fraction.ljust(decimals, "0") or "0")
    return -minor if sign == "-" else minor


def format_minor(minor: int, decimals: int) -> str:
    """The decimal text of minor units."""
    sign, minor = ("-" if minor < 0 else ""), abs(minor)
    whole, fraction = divmod(minor, 10**decimals)
    return f"{sign}{whole}.{fraction:0{decimals}d}" if decimals else f"{sign}{whole}"


@nb.njit(cache=True, nogil=True)
def half_even(units: int, nano: int, days: int) -> int:
    """(units + nano / 10**9) / days rounded half-even to whole units (docs/aum.md#money). days > 0."""
    quotient, rest = units // days, units % days
    twice, one = 2 * (rest * NANO + nano), days * NANO
    if twice > one or (twice == one and quotient % 2 != 0):
        quotient += 1
    return quotient


@nb.njit(cache=True, nogil=True)
def scaled(amount: int, weight_nano: int) -> tuple[int, int]:
    """amount * weight_nano / 10**9 as (units, nano), exact; |amount| < 9 * 10**15, units within int64.

    They are for AMOUNT_MAX at every rate that is taken, over a year (streams.fx.RATE_NANO_MAX). The product passes 63 bits, so
    the amount is split at 10**6 and the weight at 10**9.
    """
    weight, fraction = weight_nano // NANO, weight_nano % NANO
    high, low = amount // 1_000_000, amount % 1_000_000
    # amount * fraction = high * fraction * 10**6 + low * fraction; high * fraction stays below 9 * 10**9 * 10**9
    part = high * fraction
    units = amount * weight + part // 1000
    rest = (part % 1000) * 1_000_000 + low * fraction
    return units + rest // NANO, rest % NANO
