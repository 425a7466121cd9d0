"""Days, rounding, settings and results of the slow twin.

Days are ints since 1970-01-01, instants are ms since the epoch UTC, money is minor units. What the definitions of AUM
leave open is a `Rules` field with the reading as its default.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fractions import Fraction

Event = Mapping[str, Any]
EPOCH = dt.date(1970, 1, 1)
DECIMALS = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "XAF": 0, "KWD": 3, "BHD": 3, "OMR": 3, "JOD": 3, "TND": 3}
IN_SCOPE = frozenset(
    {
        "deposit_demand",
        "deposit_time",
        "savings",
        "wealth",
        "fund",
        "insurance",
        "bond",
        "trust",
        "am_plan",
        "in_transit",
    }
)
TRAILING = (7, 30, 90)
WEEKS = 5


def day_of(date: dt.date) -> int:
    """The day number of a date."""
    return (date - EPOCH).days


def date_of(day: int) -> dt.date:
    """The date of a day number."""
    return EPOCH + dt.timedelta(days=day)


def month_first(day: int, back: int = 0) -> int:
    """The first day of the month `back` months before the month of `day`."""
    date = date_of(day)
    month = date.year * 12 + date.month - 1 - back
    return day_of(dt.date(month // 12, month % 12 + 1, 1))


def after_last_ended_month(as_of: int) -> int:
    """The day after M, the latest month that has ended by `as_of`: the first day of the month that tomorrow is in."""
    return month_first(as_of + 1)


def last_sunday(as_of: int) -> int:
    """The last day of the latest week, Monday to Sunday, that has ended by `as_of`."""
    return as_of - (date_of(as_of).weekday() + 1) % 7


def half_even(value: Fraction) -> int:
    """To the nearest whole number; a tie goes to the even one (what is published)."""
    return round(value)


def fingerprint(event_id: str) -> int:
    """The 32 bits of an event id that decide between snapshots of one cut-off and version (docs/aum.md#snapshots)."""
    h = 0xCBF29CE484222325
    for byte in event_id.encode():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    h = (h ^ h >> 32) * 0x9E3779B97F4A7C15 % 2**64
    return (h ^ h >> 29) >> 32


def counting_event(events: list[Event]) -> Event:
    """The tie rule between equal versions: snapshots by the fingerprint of the event id, rates by the event id itself."""
    return max(events, key=lambda e: fingerprint(e["event_id"]) if "cutoff_at" in e else e["event_id"])


@dataclass(frozen=True)
class Rules:
    """Settings of the bank, and the readings where the definitions leave room."""

    base: str = "CNY"
    zone: str = "Asia/Shanghai"
    scope: frozenset[str] = IN_SCOPE
    horizon_days: int = 35  # a posting booked before last closed day - 35 is beyond the horizon
    months_held: int = 15  # closed months; booked before them: too old
    restated_closes: int = 13  # month closes whose three months are still among the 15
    external: frozenset[str] = frozenset({"external"})  # natures that are flow at the customer


@dataclass(frozen=True)
class TierScheme:
    """Tiers lowest first with the minimum (minor units) of one metric; the first minimum is not looked at."""

    tiers: tuple[tuple[str, int], ...]
    metric: str = "quarter_avg"

    def tier_of(self, value: Fraction) -> str:
        """The highest tier whose minimum the exact value reaches."""
        reached = self.tiers[0][0]
        for tier, minimum in self.tiers[1:]:
            if value >= minimum:
                reached = tier
        return reached


ROLLING_QUARTER = TierScheme(
    (
        ("ordinary", 0),
        ("gold", 10_000_000),
        ("platinum", 50_000_000),
        ("diamond", 100_000_000),
        ("private", 600_000_000),
    )
)


@dataclass(frozen=True, order=True)
class Break:
    """A provisional break: the snapshot of this cut-off says something that the postings don't explain."""

    account_id: str
    day: int
    cutoff_at: int
    amount_minor: int


@dataclass(frozen=True, order=True)
class Restatement:
    """What a month close that was given once would give now. Values are exact; None where a rate was missing."""

    customer_id: str
    restated_day: int
    previous: Fraction | None
    current: Fraction | None
    previous_tier: str
    current_tier: str


@dataclass(frozen=True)
class Entry:
    """A movement of an account: what, from which day on, and why."""

    account_id: str
    day: int
    amount: int
    cause: str  # posting | opening | adjusting | horizon
