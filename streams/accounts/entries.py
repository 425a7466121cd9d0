"""How one account changes: value dates into month sums, journal numbers into intervals, snapshots into entries.

All of it is linear or a set operation, so the order of events does not matter (docs/aum.md#set-law).
"""

from __future__ import annotations

import numba as nb
import numpy as np

from streams.accounts.store import (
    DELTA,
    JOURNAL,
    LATE,
    POSTING,
    RING,
    SNAPSHOT,
    Array,
    Long,
    Store,
    append,
    remove,
)
from streams.calendar import month_of, month_start

# The clock of a partition, int64[CLOCK_SIZE]; moved only by day closes.
CLOSED, OPEN, OPEN_START, OPEN_END, HORIZON_DAY, HORIZON_MS, KEEP_FROM, RING_FROM, BASE, SETTLE, LEAST = range(11)
CLOCK_SIZE = 11
OLD_DAYS = 28  # a posting booked longer before the last closed day is in no alert case by itself
HORIZON_DAYS = 35  # arrival horizon: days of booking before the last closed day
KEEP_DAYS = 160  # daily deltas held before the last closed day
JOURNAL_INTERVALS_MAX = 1024  # an account; a journal with more holes than that is a broken source
NEW, KNOWN, FULL = 0, 1, 2


@nb.njit(cache=True, nogil=True)
def _add_late_value(s: Store, clock: Array, account: int, day: int, amount: int) -> None:
    a, opened = s.accounts[account], clock[OPEN]
    if a.currency == clock[BASE]:
        first = month_start(max(month_of(day), opened - RING + 1))
        for m in range(max(month_of(day), opened - RING + 1), opened + 1):
            following = month_start(m + 1)
            a.sums[m % RING] += amount * (following - max(first, day))
            first = following
    for at in range(a.head, a.head + a.count):
        e = s.entries[at]
        if e.kind == LATE and e.day == day:
            e.amount += amount
            return
    append(s, account, 0, amount, day, LATE)


@nb.njit(cache=True, nogil=True, forceinline=True)
def add_value(s: Store, clock: Array, account: int, day: int, amount: int) -> None:
    """Counts `amount` from `day` on in the month sums, and remembers what it changes in closed months."""
    opened = clock[OPEN]
    if opened < 0 or day > clock[OPEN_END]:
        return
    if day < clock[OPEN_START]:
        _add_late_value(s, clock, account, day, amount)
    elif s.accounts[account].currency == clock[BASE]:
        s.accounts[account].sums[opened % RING] += amount * (clock[OPEN_END] - day + 1)


@nb.njit(cache=True, nogil=True)
def add_delta(s: Store, clock: Array, account: int, day: int, amount: int) -> None:
    """A movement of which only value date and amount are kept: an adjusting entry, or a posting beyond the horizon."""
    if amount == 0:
        return
    add_value(s, clock, account, day, amount)
    a = s.accounts[account]
    if clock[OPEN] >= 0 and day < (clock[KEEP_FROM] if a.currency == clock[BASE] else clock[RING_FROM]):
        a.base += amount
        return
    for at in range(a.head, a.head + a.count):
        e = s.entries[at]
        if e.kind == DELTA and e.day == day:
            e.amount += amount
            return
    append(s, account, 0, amount, day, DELTA)


@nb.njit(cache=True, nogil=True)
def _journal_has(s: Store, account: int, source: int, number: int) -> bool:
    a = s.accounts[account]
    if a.journal_source == source and a.journal_low <= number <= a.journal_high:
        return True
    for at in range(a.head, a.head + a.count):
        e = s.entries[at]
        if e.kind == JOURNAL and e.day == source and e.booked <= number <= e.amount:
            return True
    return False


@nb.njit(cache=True, nogil=True, forceinline=True)
def journal_has(s: Store, account: int, source: int, number: int) -> bool:
    """Whether a journal number of a source is already held."""
    a = s.accounts[account]
    if a.journal_source == source and number > a.journal_high:
        return False
    return _journal_has(s, account, source, number)


@nb.njit(cache=True, nogil=True)
def _journal_add(s: Store, account: int, source: int, number: int) -> bool:
    a = s.accounts[account]
    below, above, intervals = -1, -1, 0
    for at in range(a.head, a.head + a.count):
        e = s.entries[at]
        if e.kind == JOURNAL:
            intervals += 1
            if e.day == source:
                if e.amount == number - 1:
                    below = at
                elif e.booked == number + 1:
                    above = at
    if a.journal_source == source and number == a.journal_low - 1:
        a.journal_low = number
        if below >= 0:
            a.journal_low = s.entries[below].booked
            remove(s, account, below)
        return True
    if below >= 0:
        s.entries[below].amount = number
        if above >= 0:
            s.entries[below].amount = s.entries[above].amount
            remove(s, account, above)
        return True
    if above >= 0:
        s.entries[above].booked = number
        return True
    if intervals >= JOURNAL_INTERVALS_MAX:
        return False
    if a.journal_source == source and number > a.journal_high:
        append(s, account, a.journal_low, a.journal_high, source, JOURNAL)
        a.journal_low, a.journal_high = number, number
    else:
        append(s, account, number, number, source, JOURNAL)
    return True


@nb.njit(cache=True, nogil=True, forceinline=True)
def journal_add(s: Store, account: int, source: int, number: int) -> bool:
    """Takes a number that is not held; False after too many intervals. The highest interval is in the row."""
    a = s.accounts[account]
    if a.journal_source < 0:
        a.journal_source, a.journal_low, a.journal_high = source, number, number
        return True
    if a.journal_source == source and number == a.journal_high + 1:
        a.journal_high = number
        return True
    return _journal_add(s, account, source, number)


@nb.njit(cache=True, nogil=True)
def snapshot_at(s: Store, account: int, instant: int) -> int:
    """The place of the snapshot with this cut-off instant, -1 if there is none."""
    a = s.accounts[account]
    for at in range(a.head, a.head + a.count):
        if s.entries[at].kind == SNAPSHOT and s.entries[at].booked == instant:
            return at
    return -1


@nb.njit(cache=True, nogil=True)
def snapshot_after(s: Store, account: int, instant: int) -> int:
    """The first snapshot with a cut-off at or after an instant, -1 if there is none."""
    a, best = s.accounts[account], -1
    for at in range(a.head, a.head + a.count):
        e = s.entries[at]
        if e.kind == SNAPSHOT and e.booked >= instant and (best < 0 or e.booked < s.entries[best].booked):
            best = at
    return best


@nb.njit(cache=True, nogil=True)
def snapshot_before(s: Store, account: int, instant: int) -> int:
    """The last snapshot with a cut-off before an instant, -1 if there is none."""
    a, best = s.accounts[account], -1
    for at in range(a.head, a.head + a.count):
        e = s.entries[at]
        if e.kind == SNAPSHOT and e.booked < instant and (best < 0 or e.booked > s.entries[best].booked):
            best = at
    return best


@nb.njit(cache=True, nogil=True)
def posted_between(s: Store, account: int, after: int, until: int) -> int:
    """Sum of the postings held one by one that were booked in (after, until]."""
    a, total = s.accounts[account], 0
    for at in range(a.head, a.head + a.count):
        e = s.entries[at]
        if e.kind == POSTING and after < e.booked <= until:
            total += e.amount
    return total


LAST_INSTANT = np.int64(1 << 62)


@nb.njit(cache=True, nogil=True)
def entry_amount(s: Store, account: int, at: int) -> int:
    """The adjusting entry that a snapshot makes; the opening balance for the first (docs/aum.md#snapshots)."""
    e = s.entries[at]
    before = snapshot_before(s, account, e.booked)
    if before < 0:
        return e.amount - (s.accounts[account].posted - posted_between(s, account, e.booked, LAST_INSTANT))
    p = s.entries[before]
    return e.amount - p.amount - posted_between(s, account, p.booked, e.booked)


@nb.njit(cache=True, nogil=True)
def entry_day(s: Store, account: int, at: int) -> Long:
    """The value date of the entry that a snapshot makes: for the first, the opening day where it is known."""
    e = s.entries[at]
    if e.flags > 0 and snapshot_before(s, account, e.booked) < 0:
        return np.int64(e.flags)
    return np.int64(e.day)


@nb.njit(cache=True, nogil=True)
def apply_entries(s: Store, clock: Array, account: int, instant: int, sign: int, horizon: int) -> None:
    """Adds or takes away the entries of the snapshot at `instant` and of the one after it.

    A snapshot before the horizon is the anchor: its own entry is final.
    """
    at = snapshot_after(s, account, instant)
    for _ in range(2):
        if at < 0:
            return
        booked = s.entries[at].booked
        if booked >= horizon:
            add_delta(s, clock, account, entry_day(s, account, at), sign * entry_amount(s, account, at))
        if booked != instant:
            return
        at = snapshot_after(s, account, instant + 1)
