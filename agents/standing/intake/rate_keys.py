"""Keys of `fx-rates`: a record without a value has its key alone to say which version it withdraws."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from streams.fields import BAD_BASE, BAD_CURRENCY, BAD_DATE, BAD_ID, BAD_RATE, BAD_VERSION, TOO_MANY

RATE_FIELDS: Final = {
    BAD_BASE: "base", BAD_CURRENCY: "currency", BAD_RATE: "rate_micro", BAD_VERSION: "version", BAD_DATE: "rate_date",
    BAD_ID: "event_id", TOO_MANY: "rate_date",
}  # fmt: skip
"""The field of a rate that a reason is about."""
_KEY: Final = re.compile(rb"([A-Z]{3})/([A-Z]{3})/(-?[0-9]{1,10})/([0-9]{1,19})")


class RateKey(NamedTuple):
    """A version of a currency's rate to a base on a day."""

    currency: str
    base: str
    day: int
    version: int


def rate_named(key: bytes) -> RateKey | None:
    """The version that a key names, CURRENCY/BASE/DAY/VERSION with the day as a number; None if it names none."""
    if not (found := _KEY.fullmatch(key)):
        return None
    currency, base, day, version = (part.decode() for part in found.groups())
    return RateKey(currency, base, int(day), int(version))
