"""Reversals among the postings that an account holds one by one: which posting each takes back (docs/aum.md#reversals).

By booking, each reversal takes back the first posting that is left with the opposite amount and the same value date, is no
reversal itself and was booked on the same day or before. The pairs are found anew whenever they are asked for, so they
follow from the set of postings held, in whatever order they came; and which a reversal takes back does not change by what is
booked after its day.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from streams.accounts.entries import CLOSED
from streams.accounts.store import (
    FLOWLESS,
    POSTING,
    REF_BITS,
    REF_MASK,
    REVERSAL,
    SETTLED,
    Array,
    Index,
    Long,
    Store,
    hash_bytes,
    mark_dirty,
)
from streams.calendar import business_day

SETTLE_DAYS = 3  # after its booking day a reversal without a partner is told
_FILTER_BITS = 12
_BANK, _NATURE, _BOOKED, _DAY, _AMOUNT = 0, 1, 2, 3, 4  # what postings are sorted by, the last counts most
_KEYS = 5


@nb.njit(cache=True, nogil=True, forceinline=True)
def _mark(amount: int, day: int) -> Long:
    """A place for an amount and a value date; others may have the same."""
    mixed = (np.uint64(amount) ^ np.uint64(day) << np.uint64(40)) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64(mixed >> np.uint64(64 - _FILTER_BITS))


@nb.njit(cache=True, nogil=True)
def _in_question(s: Store, account: int, banks: Index) -> tuple[Array, Array]:
    """(int64[n] places from the account's first entry, int64[_KEYS, n]): its reversals and what they may take back.

    Not one that has been settled for alert cases, since what it was a pair with is held no more.

    The amount is that of the posting taken back. Of a day and amount reversals come last. Of the same instant the nature and
    the text of the bank decide, not its code, so that the order of arrival leaves no trace.
    """
    a = s.accounts[account]
    wanted = np.zeros(1 << _FILTER_BITS, np.bool_)
    for at in range(a.head, a.head + a.count):
        e = s.entries[at]
        if e.kind == POSTING and e.flags & REVERSAL != 0 and e.flags & FLOWLESS == 0:
            wanted[_mark(-e.amount, e.day)] = True
    places, keys, n = np.empty(a.count, np.int64), np.empty((_KEYS, a.count), np.int64), 0
    for at in range(a.head, a.head + a.count):
        e = s.entries[at]
        if e.kind != POSTING or e.flags & FLOWLESS != 0:
            continue
        back = e.flags & REVERSAL != 0
        amount = -e.amount if back else e.amount
        if not wanted[_mark(amount, e.day)]:
            continue
        places[n] = at - a.head
        keys[_AMOUNT, n], keys[_DAY, n] = amount, np.int64(e.day) << 1 | back
        keys[_BOOKED, n], keys[_NATURE, n], keys[_BANK, n] = e.booked, e.nature, 0
        if e.extra >= 0:
            ref = banks.ref[e.extra]
            keys[_BANK, n] = np.int64(hash_bytes(banks.arena, ref >> REF_BITS, ref & REF_MASK))
        n += 1
    return places[:n], keys[:, :n]


@nb.njit(cache=True, nogil=True)
def partners(s: Store, account: int, starts: Array, offsets: Array, banks: Index) -> Array:
    """int64[entries of the account]: the place, from its first entry, of a posting's partner; -1 for none."""
    found = np.full(s.accounts[account].count, -1, np.int64)
    if not s.accounts[account].reversals:
        return found
    places, keys = _in_question(s, account, banks)
    order = np.arange(len(places))
    for key in range(_KEYS):
        order = order[np.argsort(keys[key][order], kind="mergesort")]
    first, n = 0, len(order)
    while first < n:
        amount, day = keys[_AMOUNT, order[first]], keys[_DAY, order[first]] >> 1
        back = first  # the first reversal of this amount and value date
        while back < n and keys[_AMOUNT, order[back]] == amount and keys[_DAY, order[back]] == day << 1:
            back += 1
        end = back
        while end < n and keys[_AMOUNT, order[end]] == amount and keys[_DAY, order[end]] >> 1 == day:
            end += 1
        left = first
        for one in range(back, end):
            on = business_day(keys[_BOOKED, order[one]], starts, offsets)
            if left < back and business_day(keys[_BOOKED, order[left]], starts, offsets) <= on:
                posting, reversal = places[order[left]], places[order[one]]
                found[posting], found[reversal] = reversal, posting
                left += 1
        first = end
    return found


@nb.njit(cache=True, nogil=True)
def _twins(s: Store, account: int, at: int, listed: Array, booked: Array, amount: Array, value_day: Array) -> int:
    """How many reversals just like one were asked about at earlier closes, or are among those `listed` now."""
    a, e, like = s.accounts[account], s.entries[at], 0
    for other in range(a.head, a.head + a.count):
        f = s.entries[other]
        if f.kind == POSTING and f.flags & SETTLED != 0:
            like += f.booked == e.booked and f.amount == e.amount and f.day == e.day
    for k in range(len(listed)):
        if listed[k] == account:
            like += booked[k] == e.booked and amount[k] == e.amount and value_day[k] == e.day
    return like


@nb.njit(cache=True, nogil=True)
def settle(
    first: int, s: Store, clock: Array, starts: Array, offsets: Array, banks: Index, day: int, account: Array,
    booked: Array, amount: Array, value_day: Array, twin: Array,
) -> tuple[int, int]:  # fmt: skip
    """Asks once for the partner of each reversal booked SETTLE_DAYS or more before `day`, and lists those without one.

    (account reached, reversals listed): stops where the arrays are full. twin[k]: how many just like it there were before.
    """
    found, n = 0, s.account_ids.meta[0]
    for slot in range(first, n):
        a = s.accounts[slot]
        if not a.reversals or a.folded > clock[CLOSED]:  # a replay meets a row that has this close behind it
            continue
        if found + a.count > len(account):
            return slot, found
        pairs, asked, began = partners(s, slot, starts, offsets, banks), np.zeros(a.count, np.bool_), found
        for at in range(a.head, a.head + a.count):
            e = s.entries[at]
            if e.kind != POSTING or e.flags & REVERSAL == 0 or e.flags & SETTLED != 0:
                continue
            if business_day(e.booked, starts, offsets) + SETTLE_DAYS > day:
                continue
            asked[at - a.head] = True
            if pairs[at - a.head] < 0:
                before = account[began:found], booked[began:found], amount[began:found], value_day[began:found]
                twin[found] = _twins(s, slot, at, *before)
                account[found], booked[found], amount[found], value_day[found] = slot, e.booked, e.amount, e.day
                found += 1
        for place in range(a.count):
            if asked[place]:
                s.entries[a.head + place].flags |= SETTLED
                mark_dirty(s, slot)
    return n, found
