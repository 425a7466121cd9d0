"""What a day close does to the columns: the clock moves, months open, old entries are folded, breaks are found."""

from __future__ import annotations

import numba as nb
import numpy as np

from streams.accounts.entries import (
    BASE,
    CLOCK_SIZE,
    CLOSED,
    HORIZON_DAY,
    HORIZON_DAYS,
    HORIZON_MS,
    KEEP_DAYS,
    KEEP_FROM,
    OPEN,
    OPEN_END,
    OPEN_START,
    RING_FROM,
)
from streams.accounts.store import (
    BREAK,
    DELTA,
    FLOW,
    JOURNAL,
    LATE,
    POSTING,
    REVERSAL,
    RING,
    SNAPSHOT,
    Array,
    Store,
    append,
    mark_dirty,
    piece,
    remove,
    room_for,
)
from streams.calendar import day_start_ms, month_of, month_start

SMALLEST_CLASS_TO_SHRINK = 2
FLOW_DAYS = 102  # before the last closed day: a window with its edge, and the days that are folded again
FLOW_BLOCK = 16  # days of flow, from a multiple on, that share entries: forgotten together, with the last of them


def new_clock(base_currency: int) -> Array:
    """The clock before the first close: no day is late, no month is open."""
    clock = np.full(CLOCK_SIZE, -1, np.int64)
    clock[HORIZON_MS] = -(1 << 62)
    clock[BASE] = base_currency
    return clock


def moved_clock(clock: Array, day: int, zone: str) -> Array:
    """The clock after the close of `day`."""
    out = clock.copy()
    opened = int(month_of(day + 1))
    out[CLOSED], out[OPEN] = day, opened
    out[OPEN_START], out[OPEN_END] = int(month_start(opened)), int(month_start(opened + 1)) - 1
    out[HORIZON_DAY] = day - HORIZON_DAYS
    out[HORIZON_MS] = day_start_ms(day - HORIZON_DAYS, zone)
    out[KEEP_FROM] = day - KEEP_DAYS
    out[RING_FROM] = int(month_start(opened - RING + 1))
    return out


@nb.njit(cache=True, nogil=True)
def roll(s: Store, clock: Array) -> None:
    """Opens the months up to the clock's: their sums are what they give if nothing more is posted."""
    opened = clock[OPEN]
    for slot in range(s.account_ids.meta[0]):
        a = s.accounts[slot]
        if a.rolled >= opened:
            continue
        if a.currency == clock[BASE]:
            for m in range(max(a.rolled + 1, opened - RING + 1), opened + 1):
                first, last = month_start(m), month_start(m + 1) - 1
                total = a.base * (last - first + 1)
                for at in range(a.head, a.head + a.count):
                    e = s.entries[at]
                    if (e.kind == POSTING or e.kind == DELTA) and e.day <= last:
                        total += e.amount * (last - max(np.int64(e.day), first) + 1)
                a.sums[m % RING] = total
        a.rolled = opened


@nb.njit(cache=True, nogil=True)
def _anchor(s: Store, slot: int, horizon_ms: int) -> int:
    """The newest snapshot before the horizon, -1 if there is none."""
    a, best = s.accounts[slot], -1
    for at in range(a.head, a.head + a.count):
        e = s.entries[at]
        if e.kind == SNAPSHOT and e.booked < horizon_ms and (best < 0 or e.booked > s.entries[best].booked):
            best = at
    return best


@nb.njit(cache=True, nogil=True)
def _merge(s: Store, head: int, kept: int, day: int, amount: int) -> int:
    """Adds a movement to the one of the same day among the first `kept` entries, or as a new one; the new `kept`."""
    for at in range(head, head + kept):
        e = s.entries[at]
        if e.kind == DELTA and e.day == day:
            e.amount += amount
            return kept
    e = s.entries[head + kept]
    e.booked, e.amount, e.day, e.kind = 0, amount, day, DELTA
    e.print, e.extra, e.nature, e.flags = 0, 0, 0, 0
    return kept + 1


@nb.njit(cache=True, nogil=True)
def _compact(s: Store, clock: Array, slot: int) -> None:
    a = s.accounts[slot]
    horizon_ms = clock[HORIZON_MS]
    keep_from = clock[KEEP_FROM] if a.currency == clock[BASE] else clock[RING_FROM]
    anchor, after = -1, np.int64(1 << 62)
    if a.snapshots:
        anchor = _anchor(s, slot, horizon_ms)
    if anchor >= 0:
        after = s.entries[anchor].booked
        for at in range(a.head, a.head + a.count):  # what the anchor has to explain from now on
            e = s.entries[at]
            if e.kind == POSTING and after < e.booked < horizon_ms:
                s.entries[anchor].amount += e.amount
    kept, reversals = 0, 0
    for at in range(a.head, a.head + a.count):
        e = s.entries[at]
        kind, day, amount, booked = e.kind, np.int64(e.day), e.amount, e.booked
        if (
            kind == LATE
            or (kind == FLOW and (day | FLOW_BLOCK - 1) < clock[CLOSED] - FLOW_DAYS)
            or (kind == BREAK and booked < horizon_ms)
            or (kind == SNAPSHOT and booked < min(after, horizon_ms))
        ):
            continue
        if kind == DELTA or (kind == POSTING and booked < horizon_ms):
            if day < keep_from:
                a.base += amount
            else:
                kept = _merge(s, a.head, kept, day, amount)
            continue
        if kind == POSTING and e.flags & REVERSAL != 0:
            reversals = 1
        s.entries[a.head + kept] = s.entries[at]
        kept += 1
    a.count, a.reversals = kept, reversals


@nb.njit(cache=True, nogil=True)
def _shrink(s: Store, slot: int) -> None:
    """Moves the entries of an account to a smaller piece if there is a free one."""
    a = s.accounts[slot]
    size_class = a.size_class
    while size_class > 0 and piece(size_class - 1) >= a.count:
        size_class -= 1
    if size_class == a.size_class or s.heap[1 + size_class] < 0:
        return
    free = s.heap[1 + size_class]
    s.heap[1 + size_class] = s.entries[free].booked
    for i in range(a.count):
        s.entries[free + i] = s.entries[a.head + i]
    s.entries[a.head].booked = s.heap[1 + a.size_class]
    s.heap[1 + a.size_class] = a.head
    a.head, a.size_class = free, size_class


@nb.njit(cache=True, nogil=True)
def compact(s: Store, clock: Array) -> None:
    """Folds what has left the horizon: postings into days, days into the base, snapshots into the last one."""
    for slot in range(s.account_ids.meta[0]):
        a = s.accounts[slot]
        if a.folded >= clock[CLOSED]:  # a replay meets a row that has this close behind it
            continue
        a.folded = clock[CLOSED]
        if a.count > 0:
            _compact(s, clock, slot)
            if a.size_class > SMALLEST_CLASS_TO_SHRINK:
                _shrink(s, slot)


@nb.njit(cache=True, nogil=True)
def _entry_amounts(s: Store, slot: int, places: Array, amounts: Array) -> int:
    """Snapshots of an account by cut-off, with the entry each makes; how many. The first makes 0 here."""
    a, n = s.accounts[slot], 0
    for at in range(a.head, a.head + a.count):
        if s.entries[at].kind == SNAPSHOT:
            k = n
            while k > 0 and s.entries[places[k - 1]].booked > s.entries[at].booked:
                places[k] = places[k - 1]
                k -= 1
            places[k] = at
            n += 1
    amounts[0] = 0
    for k in range(1, n):
        amounts[k] = s.entries[places[k]].amount - s.entries[places[k - 1]].amount
    for at in range(a.head, a.head + a.count):
        e = s.entries[at]
        if e.kind == POSTING and n > 1 and s.entries[places[0]].booked < e.booked <= s.entries[places[n - 1]].booked:
            low, high = 0, n - 1  # the interval (low, high] that holds the booking
            while high - low > 1:
                middle = (low + high) // 2
                if s.entries[places[middle]].booked < e.booked:
                    low = middle
                else:
                    high = middle
            amounts[high] -= e.amount
    return n


@nb.njit(cache=True, nogil=True)
def _second_snapshot(s: Store, slot: int) -> bool:
    """Whether the account has two snapshots, so that postings have something to explain."""
    a, seen = s.accounts[slot], 0
    for at in range(a.head, a.head + a.count):
        seen += s.entries[at].kind == SNAPSHOT
        if seen > 1:
            return True
    return False


@nb.njit(cache=True, nogil=True)
def find_breaks(
    s: Store, clock: Array, first: int, account: Array, day: Array, instant: Array, before: Array, now: Array
) -> tuple[int, int]:
    """Breaks opened, changed or resolved since the last report, for accounts touched since the last close.

    (account reached, breaks written): stops at an account when the arrays or the heap are full; the caller grows them.
    """
    found, n = 0, s.account_ids.meta[0]
    for slot in range(first, n):
        a = s.accounts[slot]
        if not a.snapshots or a.journal_source < 0 or a.touched != clock[CLOSED] or a.folded > clock[CLOSED]:
            continue
        if not _second_snapshot(s, slot):
            continue
        if found + a.count > len(account) or not room_for(s, slot, a.count):
            return slot, found
        places, amounts = np.empty(a.count, np.int64), np.empty(a.count, np.int64)
        snapshots = _entry_amounts(s, slot, places, amounts)
        instants, days = np.empty(snapshots, np.int64), np.empty(snapshots, np.int64)
        for k in range(snapshots):
            instants[k], days[k] = s.entries[places[k]].booked, s.entries[places[k]].day
        changed = found
        for k in range(1, snapshots):
            known = _reported(s, slot, instants[k])
            reported = s.entries[known].amount if known >= 0 else 0
            if reported == amounts[k]:
                continue
            account[found], day[found], instant[found] = slot, days[k], instants[k]
            before[found], now[found] = reported, amounts[k]
            found += 1
            if amounts[k] == 0:
                remove(s, slot, known)
            elif known >= 0:
                s.entries[known].amount = amounts[k]
            else:
                append(s, slot, instants[k], amounts[k], days[k], BREAK)
        if found > changed:
            mark_dirty(s, slot)
    return n, found


@nb.njit(cache=True, nogil=True)
def _reported(s: Store, slot: int, instant: int) -> int:
    a = s.accounts[slot]
    for at in range(a.head, a.head + a.count):
        if s.entries[at].kind == BREAK and s.entries[at].booked == instant:
            return at
    return -1


@nb.njit(cache=True, nogil=True)
def missing_numbers(s: Store) -> int:
    """Journal numbers that lie in holes: events the sources have not delivered."""
    missing = 0
    for slot in range(s.account_ids.meta[0]):
        a = s.accounts[slot]
        if a.journal_source < 0:
            continue
        low, held, extra = a.journal_low, np.int64(0), False
        for at in range(a.head, a.head + a.count):
            e = s.entries[at]
            if e.kind == JOURNAL and e.day == a.journal_source:
                low, held, extra = min(low, e.booked), held + e.amount - e.booked + 1, True
        if extra:
            missing += a.journal_high - low + 1 - held - (a.journal_high - a.journal_low + 1)
    return missing
