"""A simulated bank, from a seed: events in the order in which they reach the topics, and seven planted stories.

>>> from connectors.simulate import simulate
>>> next(simulate(seed=1, customers=50)).topic
'fx-rates'
"""

from collections.abc import Iterator
from datetime import date
from typing import Final

from connectors.formats.events import DayEnd, Event
from connectors.simulate.bank import Bank
from connectors.simulate.stories import STORY_KINDS, STORY_MONTHS, Story, planted_stories
from streams.calendar import day_of

START: Final = day_of(date(2026, 1, 1))
ZONE: Final = "Asia/Shanghai"
CUSTOMERS_MAX: Final = 800_000

__all__ = ["START", "STORY_KINDS", "STORY_MONTHS", "Story", "simulate", "stories"]


def simulate(
    seed: int, customers: int = 500, months: int = STORY_MONTHS, start: int = START, zone: str = ZONE
) -> Iterator[Event | DayEnd]:
    """A bank's events in order of arrival, with a DayEnd behind each calendar day. Base currency CNY.

    `start` is the day number of the first of a month. The same arguments give the same events. Beside `customers` there
    are the seven of the stories. ValueError for arguments that make no bank.
    """
    if not 1 <= customers <= CUSTOMERS_MAX or months < 1:
        raise ValueError(f"1 to {CUSTOMERS_MAX} customers and at least one month, not {customers} and {months}")
    return Bank(seed, customers, months, start, zone).days()


def stories(seed: int, start: int = START) -> dict[str, Story]:
    """The seven stories that a seed plants, by kind (STORY_KINDS)."""
    return planted_stories(seed, start)
