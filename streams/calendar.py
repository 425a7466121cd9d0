"""Business days as day numbers, months as month numbers, and the bank's zone as a table.

A day is an int: days since 1970-01-01. A month is an int: year * 12 + month - 1. An instant is an int: milliseconds
since the epoch in UTC. Everything comes from events; nothing here reads a clock.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from zoneinfo import ZoneInfo

import numba as nb
import numpy as np
from numpy.typing import NDArray

EPOCH = dt.date(1970, 1, 1)
DAY_MS = 86_400_000
DAY_MIN = 7_305  # 1990-01-01: the oldest value date or booking taken
DAY_MAX = 47_482  # 2100-01-01: the first day no longer taken
NO_DAY = -1
_INSTANT_LIMIT = 1 << 52  # ms: beyond every date taken, and far from the ends of int64
_ZONE_FROM, _ZONE_TO = 1970, 2101
_FIRST, _LAST = (dt.date.min - EPOCH).days, (dt.date.max - EPOCH).days


def day_of(date: dt.date) -> int:
    """The day number of a date."""
    return (date - EPOCH).days


def date_of(day: int) -> dt.date:
    """The date of a day number; ValueError where the calendar has no such day, which a record may well name."""
    if not _FIRST <= day <= _LAST:
        raise ValueError(f"there is no day {day}")
    return EPOCH + dt.timedelta(days=int(day))


def shown_day(day: int | None) -> str:
    """A day for people: its ISO date, the bare number where the calendar has no such day, `?` for none."""
    if day is None:
        return "?"
    return date_of(day).isoformat() if _FIRST <= day <= _LAST else str(day)


def parse_day(text: str) -> int:
    """The day number of an ISO date; ValueError names what is wrong with it."""
    return day_of(dt.date.fromisoformat(text))


def day_taken(day: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether days are such as are taken: DAY_MIN up to the day before DAY_MAX."""
    return (day >= DAY_MIN) & (day < DAY_MAX)


@nb.njit(cache=True, nogil=True)
def month_of(day: int) -> int:
    """The month number of a day (Hinnant, chrono-compatible low-level date algorithms)."""
    z = day + 719_468
    era = z // 146_097
    doe = z - era * 146_097
    yoe = (doe - doe // 1460 + doe // 36_524 - doe // 146_096) // 365
    mp = (5 * (doe - (365 * yoe + yoe // 4 - yoe // 100)) + 2) // 153
    month0 = mp + 2 if mp < 10 else mp - 10
    return (yoe + era * 400 + (1 if month0 <= 1 else 0)) * 12 + month0


@nb.njit(cache=True, nogil=True)
def month_start(month: int) -> int:
    """The first day of a month number."""
    y, m0 = month // 12, month % 12
    if m0 <= 1:
        y -= 1
    mp = m0 - 2 if m0 >= 2 else m0 + 10
    era = y // 400
    yoe = y - era * 400
    doe = yoe * 365 + yoe // 4 - yoe // 100 + (153 * mp + 2) // 5
    return era * 146_097 + doe - 719_468


@nb.njit(cache=True, nogil=True)
def last_ended_month(day: int) -> int:
    """M of docs/aum.md#metrics: the latest month that has ended by `day`."""
    return month_of(day + 1) - 1


@lru_cache(maxsize=16)
def zone_table(name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(instants from which an offset holds, offsets in ms), 1970 to 2100; ZoneInfoNotFoundError if unknown."""
    zone = ZoneInfo(name)

    def offset_ms(instant_s: int) -> int:
        moment = dt.datetime.fromtimestamp(instant_s, tz=zone)
        delta = moment.utcoffset()
        assert delta is not None
        return int(delta.total_seconds()) * 1000

    step_s, end_s = 7 * 86_400, int(dt.datetime(_ZONE_TO, 1, 1, tzinfo=dt.UTC).timestamp())
    at_s, held = 0, offset_ms(0)
    starts, offsets = [-(1 << 62)], [held]
    while at_s < end_s:
        nxt = at_s + step_s
        if (new := offset_ms(nxt)) != held:
            low, high = at_s, nxt
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset_ms(middle) == held else (low, middle)
            starts.append(high * 1000)
            offsets.append(new)
            held = new
        at_s = nxt
    return np.array(starts, np.int64), np.array(offsets, np.int64)


@nb.njit(cache=True, nogil=True, forceinline=True)
def zone_offset(instant_ms: int, starts: NDArray[np.int64], offsets: NDArray[np.int64]) -> int:
    """The zone's offset in ms at an instant."""
    low, high = 0, len(starts)
    if instant_ms >= starts[high - 1]:
        return offsets[high - 1]
    while high - low > 1:
        middle = (low + high) // 2
        if starts[middle] <= instant_ms:
            low = middle
        else:
            high = middle
    return offsets[low]


@nb.njit(cache=True, nogil=True, forceinline=True)
def business_day(instant_ms: int, starts: NDArray[np.int64], offsets: NDArray[np.int64]) -> int:
    """The day of an instant in the bank's zone."""
    return (instant_ms + zone_offset(instant_ms, starts, offsets)) // DAY_MS


def days_of_instants(
    instants_ms: NDArray[np.int64], starts: NDArray[np.int64], offsets: NDArray[np.int64]
) -> NDArray[np.int64]:
    """As business_day, of many instants; of those beyond every date taken some day beyond them."""
    bounded = np.clip(instants_ms, -_INSTANT_LIMIT, _INSTANT_LIMIT)
    at = np.maximum(np.searchsorted(starts, bounded, "right") - 1, 0)
    return np.asarray((bounded + offsets[at]) // DAY_MS, np.int64)


def day_end_ms(day: int, zone: str) -> int:
    """The last millisecond of a day in a zone: the booking instant of an event that has only a date."""
    return day_start_ms(day + 1, zone) - 1


def day_start_ms(day: int, zone: str) -> int:
    """The first millisecond of a day in a zone."""
    starts, offsets = zone_table(zone)
    guess = day * DAY_MS
    start = guess - int(zone_offset(guess, starts, offsets))
    return guess - int(zone_offset(start, starts, offsets))
