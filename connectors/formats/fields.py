"""Strict reading of single values: money, dates, instants, numbers, text. What is not certain is refused, by reason.

Each parser takes what a file gave (text, or a typed value of JSON or Parquet) and returns the Avro value, or raises
FieldError. JSON numbers arrive as their literal text (see `canonical`), so no binary float ever touches an amount.
"""

import re
from collections.abc import Collection
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from schemas import bounds
from streams.calendar import DAY_MAX, DAY_MIN, business_day, date_of, day_end_ms, day_of, zone_table
from streams.money import AMOUNT_MAX, EXPONENTS, parse_minor

_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
MS: Final = timedelta(milliseconds=1)
PROFILE_DAY_MIN: Final = day_of(date(1850, 1, 1))  # births reach further back than business
COUNT_MAX: Final = 2**53
RATE_MICRO_MAX: Final = 10**12
RATE_PLACES_MAX: Final = 6
TEXT_BYTES_MAX: Final = 512

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class FieldError(ValueError):
    """A value that its field cannot take; the reader adds file and line."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason


def show(value: object) -> str:
    """A value as an error message quotes it: short, and safe to print."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    quoted = ascii(value[:60] if isinstance(value, str | bytes) else value)
    return quoted if len(quoted) <= 60 else f"{quoted[:57]}..."


def day_at(instant_ms: int, zone: str) -> int:
    """The business day of an instant (ms) in a zone."""
    return int(business_day(instant_ms, *zone_table(zone)))


def money(field: str, value: object, currency_code: str) -> int:
    """Minor units of a decimal such as `-12.34`; more decimals than the currency has are refused, zeros excepted."""
    return bounded(field, _scaled(field, value, EXPONENTS[currency_code]), AMOUNT_MAX)


def minor_units(field: str, value: object) -> int:
    """An amount that is given in minor units."""
    return bounded(field, integer(field, value), AMOUNT_MAX)


def rate_decimal(field: str, value: object) -> int:
    """Millionths of a positive decimal rate with at most six decimals."""
    return rate_micro(field, _scaled(field, value, RATE_PLACES_MAX))


def rate_micro(field: str, value: object) -> int:
    """A positive rate that is given in millionths."""
    micro = integer(field, value)
    if not 0 < micro <= RATE_MICRO_MAX:
        raise FieldError(field, f"a rate of {micro} millionths is out of bounds (1 to {RATE_MICRO_MAX})")
    return micro


def _scaled(field: str, value: object, places: int) -> int:
    """Integer of a decimal number, times 10**places. A float is refused: it has lost the text it was made from."""
    if isinstance(value, Decimal):
        value = format(value, "f")
    if not isinstance(value, str):
        raise FieldError(field, f"{show(value)} is no decimal number as text")
    if not value.isascii() or value != value.strip():
        raise FieldError(field, f"{show(value)} is no decimal number")
    try:
        return parse_minor(value, places)
    except ValueError as problem:
        raise FieldError(field, str(problem)) from None


def bounded(field: str, value: int, most: int) -> int:
    """Refuse a magnitude above `most`."""
    if not -most <= value <= most:
        raise FieldError(field, f"{value} is out of bounds (at most {most} either way)")
    return value


def integer(field: str, value: object) -> int:
    """An integer, given as such or as its decimal text."""
    if isinstance(value, str) and _INTEGER.match(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise FieldError(field, f"{show(value)} is no whole number")
    return bounded(field, value, COUNT_MAX)


def count(field: str, value: object) -> int:
    """An integer that is not negative: sequence numbers and versions."""
    number = integer(field, value)
    if number < 0:
        raise FieldError(field, f"{number} is negative")
    return number


def business_date(field: str, value: object) -> int:
    """Day number of an ISO date on which something can have happened at the bank."""
    return _day(field, value, DAY_MIN)


def profile_date(field: str, value: object) -> int:
    """Day number of an ISO date in a customer's life."""
    return _day(field, value, PROFILE_DAY_MIN)


def _day(field: str, value: object, least: int) -> int:
    if isinstance(value, str) and _DATE.match(value):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            raise FieldError(field, f"{show(value)} is not in the calendar") from None
    if isinstance(value, datetime) or not isinstance(value, date):
        raise FieldError(field, f"{show(value)} is no date such as 2026-01-31")
    day = day_of(value)
    if not least <= day < DAY_MAX:
        raise FieldError(field, f"{value} is out of bounds ({date_of(least)} to {date_of(DAY_MAX - 1)})")
    return day


def instant(field: str, value: object, zone: str) -> int:
    """Milliseconds of an ISO date and time; without an offset in the bank's zone; a date alone is that day's end."""
    if isinstance(value, str) and not _DATE.match(value):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise FieldError(field, f"{show(value)} is no instant such as 2026-01-31T09:30:00+08:00") from None
    if not isinstance(value, datetime):
        return day_end_ms(_day(field, value, DAY_MIN), zone)
    _day(field, value.date(), DAY_MIN)
    ms, rest = divmod((value if value.tzinfo else value.replace(tzinfo=ZoneInfo(zone))) - _EPOCH, MS)
    if rest:
        raise FieldError(field, f"{value} is finer than a millisecond")
    return ms


def text(field: str, value: object, bytes_max: int = TEXT_BYTES_MAX) -> str:
    """Text without control characters, not empty; a whole number is taken as its digits, so ids may stand unquoted."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise FieldError(field, f"{show(value)} is no text")
    if not value or value != value.strip():
        raise FieldError(field, f"{show(value)} is empty or has spaces around it")
    if _CONTROL.search(value):
        raise FieldError(field, f"{show(value)} has control characters")
    if len(value) > bytes_max or len(value.encode()) > bytes_max:
        raise FieldError(field, f"longer than {bytes_max} bytes")
    return value


def body(field: str, value: object) -> str:
    """A text of several lines, such as a policy pack."""
    if not isinstance(value, str):
        raise FieldError(field, f"{show(value)} is no text")
    text(field, value.translate({9: " ", 10: " ", 13: " "}).strip(), bounds.PACK_BYTES_MAX)
    return value


def currency(field: str, value: object) -> str:
    """An ISO 4217 code that is taken."""
    if not isinstance(value, str) or value not in EXPONENTS:
        raise FieldError(field, f"{show(value)} is no known currency")
    return value


def boolean(field: str, value: object) -> bool:
    """True or false."""
    if value is True or value == "true":
        return True
    if value is False or value == "false":
        return False
    raise FieldError(field, f"{show(value)} is neither true nor false")


def one_of(field: str, value: object, allowed: Collection[str]) -> str:
    """One word of a closed list."""
    if isinstance(value, str) and value in allowed:
        return value
    raise FieldError(field, f"{show(value)} is none of {', '.join(sorted(allowed))}")
