"""Strict reading of single values: money, dates, instants, numbers, text. What is not certain is refused, by reason.

Whether a value that can be read is a right one is judged for files and topics alike (schemas.validation). Each parser takes
what a file gave (text, or a typed value of JSON or Parquet) and returns the Avro value, or raises FieldError. JSON numbers
arrive as their literal text (see `canonical`), so no binary float ever touches an amount.
"""

import re
from collections.abc import Collection
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from schemas.codec.status import REASONS, Status
from streams.calendar import DAY_MAX, DAY_MIN, business_day, date_of, day_end_ms, day_of, zone_table
from streams.money import EXPONENTS, parse_minor

_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
MS: Final = timedelta(milliseconds=1)
COUNT_MAX: Final = 2**53
RATE_PLACES_MAX: Final = 6

_INTEGER = re.compile(r"[+-]?[0-9]{1,40}\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_SURROGATE = re.compile("[\ud800-\udfff]")


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
    """Minor units of a decimal such as `-12.34`; more decimals than the currency has are refused, zeros excepted.

    Of a currency that isn't taken nobody knows them: 0, as its record is refused.
    """
    places = EXPONENTS.get(currency_code)
    return 0 if places is None else _scaled(field, value, places)


def rate_decimal(field: str, value: object) -> int:
    """Millionths of a decimal rate with at most six decimals."""
    return _scaled(field, value, RATE_PLACES_MAX)


def _scaled(field: str, value: object, places: int) -> int:
    """Integer of a decimal number, times 10**places. A float is refused: it has lost the text it was made from."""
    if isinstance(value, Decimal):
        value = format(value, "f")
    if not isinstance(value, str):
        raise FieldError(field, f"{show(value)} is no decimal number as text")
    if not value.isascii() or value != value.strip():
        raise FieldError(field, f"{show(value)} is no decimal number")
    try:
        return integer(field, parse_minor(value, places))
    except FieldError:
        raise
    except ValueError as problem:
        raise FieldError(field, str(problem)) from None


def integer(field: str, value: object) -> int:
    """An integer that a record can hold, given as such or as its decimal text."""
    if isinstance(value, str) and _INTEGER.match(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise FieldError(field, f"{show(value)} is no whole number")
    if not -(2**63) < value < 2**63:
        raise FieldError(field, REASONS[Status.BAD_NUMBER])
    return value


def count(field: str, value: object) -> int:
    """An integer that is not negative and not absurd."""
    number = integer(field, value)
    if not 0 <= number <= COUNT_MAX:
        raise FieldError(field, f"{number} is negative or above {COUNT_MAX}")
    return number


def calendar_date(field: str, value: object) -> int:
    """Day number of an ISO date."""
    if isinstance(value, str) and _DATE.match(value):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            raise FieldError(field, f"{show(value)} is not in the calendar") from None
    if isinstance(value, datetime) or not isinstance(value, date):
        raise FieldError(field, f"{show(value)} is no date such as 2026-01-31")
    return day_of(value)


def business_date(field: str, value: object) -> int:
    """The same, of a day on which something can have happened at the bank."""
    day = calendar_date(field, value)
    if not DAY_MIN <= day < DAY_MAX:
        raise FieldError(field, f"{date_of(day)} is out of bounds ({date_of(DAY_MIN)} to {date_of(DAY_MAX - 1)})")
    return day


def instant(field: str, value: object, zone: str) -> int:
    """Milliseconds of an ISO date and time; without an offset in the bank's zone; a date alone is that day's end."""
    if isinstance(value, str) and not _DATE.match(value):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise FieldError(field, f"{show(value)} is no instant such as 2026-01-31T09:30:00+08:00") from None
    if not isinstance(value, datetime):
        return day_end_ms(calendar_date(field, value), zone)
    ms, rest = divmod((value if value.tzinfo else value.replace(tzinfo=ZoneInfo(zone))) - _EPOCH, MS)
    if rest:
        raise FieldError(field, f"{value} is finer than a millisecond")
    return ms


def text(field: str, value: object) -> str:
    """A text that UTF-8 can hold; a whole number is taken as its digits, so ids may stand unquoted."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise FieldError(field, f"{show(value)} is no text")
    if not value.isascii() and _SURROGATE.search(value):
        raise FieldError(field, REASONS[Status.BAD_UTF8])
    return value


def boolean(field: str, value: object) -> bool:
    """True or false."""
    if value is True or value == "true":
        return True
    if value is False or value == "false":
        return False
    raise FieldError(field, f"{show(value)} is neither true nor false")


def one_of(field: str, value: object, allowed: Collection[str]) -> str:
    """One symbol of an enumeration."""
    if isinstance(value, str) and value in allowed:
        return value
    raise FieldError(field, REASONS[Status.BAD_ENUM])
