"""The order in which events reach the bank's topics: by business day and booking, with an end after each day.

Also what a test does to that order: shuffling, delays and duplicates, from a seed.
"""

import random
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

from connectors.formats.events import DayEnd, Event, InputError
from connectors.formats.layout import INSTANTS
from streams.calendar import date_of

# A longer silence is taken for a typing error in a date, since closing the days up to it could not be taken back.
SILENCE_DAYS: Final = 120
IDLE_DAYS_MAX: Final = 3660  # days behind the last event, which somebody has asked for: ten years
# What may come in any order: events that carry their own place in it. A profile is simply the last one that came.
LOOSE: Final = frozenset(("transactions", "balances", "fx-rates"))
PERCENT: Final = 100


class SilenceError(InputError):
    """More days without an event than is believed. `hint` says how to say that they are right."""

    def __init__(self, source: str, reason: str, length: int) -> None:
        super().__init__(source, 0, None, reason)
        self.hint = f"if it is, say so: --silence-days {length}"


def in_order(events: Iterable[Event]) -> list[Event]:
    """Events by arrival day; within a day those without an instant (rates, profiles) first, then by instant."""
    return sorted(events, key=_place)


def _place(event: Event) -> tuple[int, int]:
    name = INSTANTS.get(event.topic)
    return event.day, event.record[name] if name else 0


def days(
    events: list[Event], source: str, *, until: int | None = None, silence_days: int = SILENCE_DAYS
) -> Iterator[Event | DayEnd]:
    """Every event of an ordered list, and a DayEnd behind each calendar day from the first to the last, or to `until`.

    Profiles without a day of their own (day 0) come with the first day. InputError if more than `silence_days` days have no
    event between two that have, or if `until` lies more than ten years (or `silence_days`) behind the last event; it comes
    before the first event.
    """
    dated = [event.day for event in events if event.day > 0]
    if not dated:
        yield from events
        return
    _check_silence(dated, source, until, silence_days)
    at = dated[0]
    for event in events:
        while at < event.day:
            yield DayEnd(at)
            at += 1
        yield event if event.day == at else event._replace(day=at)
    yield from map(DayEnd, range(at, max(at, until or at) + 1))


def _check_silence(dated: list[int], source: str, until: int | None, allowed: int) -> None:
    for earlier, later in pairwise(dated):
        if later - earlier > allowed:
            reason = f"nothing between {date_of(earlier)} and {date_of(later)}: is that date right?"
            raise SilenceError(source, reason, later - earlier)
    if until is not None and until - dated[-1] > max(allowed, IDLE_DAYS_MAX):
        reason = f"the last event is of {date_of(dated[-1])}, and {date_of(until)} is asked for: is that day right?"
        raise SilenceError(source, reason, until - dated[-1])


def disturb(
    events: list[Event], seed: int, *, shuffle: bool = False, duplicate_percent: int = 0, late_days_max: int = 0
) -> list[Event]:
    """The same set of events in another order: shuffled within their days, late by some days, and some of them twice.

    Nothing arrives after the last day of the undisturbed list.
    """
    rng = random.Random(seed)  # noqa: S311 (a test's order, nothing secret)
    last = max((event.day for event in events), default=0)
    out: list[tuple[int, int, Event]] = []

    def put(event: Event, place: int) -> None:
        loose = event.topic in LOOSE
        day = min(last, event.day + rng.randint(0, late_days_max)) if loose and event.day else event.day
        out.append((day, rng.getrandbits(60) if loose and shuffle else place, event._replace(day=day)))

    for place, event in enumerate(events):
        put(event, place)
        if event.topic in LOOSE and rng.randrange(PERCENT) < duplicate_percent:
            put(event, place)
    out.sort(key=lambda item: item[:2])
    return [event for _, _, event in out]
