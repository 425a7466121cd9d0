"""Flow that is older than the postings held: by days of an account, two in an entry, and what may still leave with it.

Before a close forgets a posting, what it was is settled: its flow goes into the day's entry, and what it was a pair
with takes no part any more. The entries stay until no window of a day that may be folded again begins before them.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from streams.accounts.day_close import FLOW_BLOCK
from streams.accounts.entries import BASE, CLOSED, HORIZON_MS
from streams.accounts.store import FLOW, FLOWLESS, HAS_CASE, POSTING, Array, Index, Store, append, mark_dirty, remove
from streams.alerts.cases import CaseRules, pair_days
from streams.alerts.flow import (
    LEG,
    NOT_COMPLETE,
    OPEN_NATURE,
    OUTSIDE,
    TWO_DAYS,
    days_of_flow,
    flow_day,
    is_flow,
    moves,
    seen_as,
)
from streams.alerts.outflow import Fx, in_base
from streams.calendar import business_day
from streams.kernels.refcounts import borrowed

ROOM = 1 << 10  # for what leaves an account; more is asked for where an account needs it


@nb.njit(cache=True, nogil=True)
def _leaves(s: Store, clock: Array, customer: int) -> bool:
    """Whether the close forgets a posting of the customer that matters here; a row that has the close behind it is left."""
    slot = s.customers[customer].head
    while slot >= 0:
        a = s.accounts[slot]
        if a.folded < clock[CLOSED]:
            for at in range(a.head, a.head + a.count):
                e = s.entries[at]
                if e.kind == POSTING and e.booked < clock[HORIZON_MS] and e.flags & FLOWLESS == 0:
                    return True
        slot = a.following
    return False


@nb.njit(cache=True, nogil=True)
def _put(days: Array, amounts: Array, n: int, day: int, amount: int) -> int:
    """Adds an amount to the side of its day among the first n, which stay in order, what went out first; the new n."""
    if amount == 0:
        return n
    k = n
    while k > 0 and (days[k - 1] > day or (days[k - 1] == day and amounts[k - 1] > 0 > amount)):
        k -= 1
    if k > 0 and days[k - 1] == day and (amounts[k - 1] < 0) == (amount < 0):
        amounts[k - 1] += amount
        return n
    for i in range(n, k, -1):
        days[i], amounts[i] = days[i - 1], amounts[i - 1]
    days[k], amounts[k] = day, amount
    return n + 1


@nb.njit(cache=True, nogil=True)
def add_flows(s: Store, account: int, more_days: Array, more: Array, days: Array, amounts: Array) -> None:
    """Adds signed amounts to an account's days of flow; there is room for an entry each.

    Two days, or sides of one, lie in an entry, none beside one of another block. So the entries follow from what they hold
    alone, in whatever order it came. days and amounts are room for twice the account's entries and as many as come.
    """
    a, n = s.accounts[account], 0
    for at in range(a.head, a.head + a.count):
        if s.entries[at].kind == FLOW:
            before, amount_before, day, amount = days_of_flow(s.entries[at])
            n = _put(days, amounts, n, before, amount_before)
            n = _put(days, amounts, n, day, amount)
    for i in range(len(more)):
        n = _put(days, amounts, n, more_days[i], more[i])
    at = written = 0
    while at < a.count:
        if s.entries[a.head + at].kind != FLOW:
            at += 1
        elif written < n:
            written = _write_days(s, a.head + at, days, amounts, written, n)
            at += 1
        else:
            remove(s, account, a.head + at)
    while written < n:
        written = _write_days(s, append(s, account, 0, 0, 0, FLOW), days, amounts, written, n)


@nb.njit(cache=True, nogil=True)
def _write_days(s: Store, place: int, days: Array, amounts: Array, first: int, n: int) -> int:
    """An entry of day `first` of n, and the one behind it if that is of the same block; the day that comes next."""
    e, two = s.entries[place], first + 1 < n and days[first] // FLOW_BLOCK == days[first + 1] // FLOW_BLOCK
    later = first + 1 if two else first
    e.day, e.amount, e.nature = days[later], amounts[later], TWO_DAYS
    e.extra, e.booked = days[first] if two else 0, amounts[first] if two else 0
    return later + 1


@nb.njit(cache=True, nogil=True)
def _fits(s: Store, customer: int) -> bool:
    """Whether there is room for a day of flow beside each entry of the customer, in pieces of any size up to the next."""
    need, slot = 0, s.customers[customer].head
    while slot >= 0:
        need += 8 * (s.accounts[slot].count + 1)
        slot = s.accounts[slot].following
    return s.heap[0] + need <= len(s.entries)


@nb.njit(cache=True, nogil=True)
def _has_no_pairs(s: Store, banks: Array, customer: int) -> bool:
    """Whether no two postings of the customer can be a pair: no reversals, and no legs of both signs.

    False too where an account's postings did not come in the order of their booking: `moves` sorts them.
    """
    slot, out, into = s.customers[customer].head, False, False
    while slot >= 0:
        a, last = s.accounts[slot], np.int64(-1)
        if a.reversals:
            return False
        for at in range(a.head, a.head + a.count):
            e = s.entries[at]
            if e.kind != POSTING or e.flags & FLOWLESS:
                continue
            if e.booked <= last:
                return False
            last = e.booked
            is_a = seen_as(np.int64(e.nature), np.int64(e.extra), banks)
            if is_a == LEG or is_a == OPEN_NATURE:
                out |= e.amount < 0
                into |= e.amount >= 0
        slot = a.following
    return not (out and into)


@nb.njit(cache=True, nogil=True)
def _room(room: Array, count: int) -> Array:
    """int64[4, at least 3 * count]: the room that there is, or more; for what leaves an account of so many entries."""
    return room if 3 * count <= room.shape[1] else np.empty((4, 3 * count), np.int64)


@nb.njit(cache=True, nogil=True)
def _fold_alone(
    s: Store, starts: Array, offsets: Array, rules: CaseRules, clock: Array, customer: int, room: Array
) -> None:  # fmt: skip
    """The same as `fold_flow` of one customer who has no pairs, without working out all his moves. room: see `_room`."""
    slot = s.customers[customer].head
    while slot >= 0:
        a = s.accounts[slot]
        if a.folded < clock[CLOSED]:
            in_scope, n = rules.scope[0] >> a.asset_class & 1, 0
            room = _room(room, a.count)
            for at in range(a.head, a.head + a.count):
                e = s.entries[at]
                if e.kind != POSTING or e.flags & FLOWLESS or e.booked >= clock[HORIZON_MS]:
                    continue
                e.flags |= FLOWLESS
                is_a = seen_as(np.int64(e.nature), np.int64(e.extra), rules.banks)
                if in_scope and (is_a == OUTSIDE or (is_a == OPEN_NATURE and e.amount < 0)):
                    room[0, n], room[1, n] = flow_day(e, business_day(e.booked, starts, offsets)), e.amount
                    n += 1
            if n > 0:
                add_flows(s, slot, room[0, :n], room[1, :n], room[2], room[3])
        slot = s.accounts[slot].following


@nb.njit(cache=True, nogil=True)
def fold_flow(
    store: Store, names: Index, starts: Array, offsets: Array, fx: Fx, given: CaseRules, clock: Array, slots: Array,
    first: int,
) -> int:  # fmt: skip
    """Settles what the close on the clock forgets, of customers slots[first:]; the place of the first who did not fit.

    Before streams.accounts.day_close.compact of the same clock.
    """
    s, rules, room = borrowed(store), borrowed(given), np.empty((4, ROOM), np.int64)
    for k in range(first, len(slots)):
        customer = slots[k]
        if not _leaves(s, clock, customer):
            continue
        if not _fits(s, customer):
            return k
        if _has_no_pairs(s, rules.banks, customer):
            _fold_alone(s, starts, offsets, rules, clock, customer, room)
            continue
        m = moves(
            s, names, starts, offsets, fx, clock[BASE], rules.scope[0], rules.banks, rules.settle_ms[0], pair_days(rules),
            customer,
        )  # fmt: skip
        leaving = np.zeros(len(m.day), np.bool_)
        for i in range(len(m.day)):
            leaving[i] = m.booked[i] < clock[HORIZON_MS] and s.accounts[m.account[i]].folded < clock[CLOSED]
            if leaving[i]:  # rows that are older would be settled otherwise, since others of the customer may be newer
                s.entries[m.place[i]].flags |= FLOWLESS
                mark_dirty(s, m.account[i])
                if m.partner[i] >= 0:
                    s.entries[m.place[m.partner[i]]].flags |= FLOWLESS
                    mark_dirty(s, m.account[m.partner[i]])
        for i in range(len(m.day)):  # only now: entries may move to larger pieces
            leaving[i] &= is_flow(m, i) and m.complete[i] == NOT_COMPLETE
        slot = s.customers[customer].head
        while slot >= 0:
            mine = leaving & (m.account == slot)
            if mine.any():
                room = _room(room, s.accounts[slot].count)
                add_flows(s, slot, m.day[mine], m.amount[mine], room[2], room[3])
            slot = s.accounts[slot].following
    return len(slots)


@nb.njit(cache=True, nogil=True)
def case_bounds(
    store: Store, starts: Array, offsets: Array, fx: Fx, given: CaseRules, clock: Array, slots: Array, watched: Array,
    kept: Array, oldest: Array, foreign: Array,
) -> None:  # fmt: skip
    """Sets the bounds of customers `slots` to all that is held of what may be debits of flow; after a close or a recovery.

    watched[customer]: there is a debit on a day that is not settled yet. kept[customer]: there is, or was, a case.
    oldest[customer]: the first booking of a posting that a close will have to settle. foreign[customer]: rates are part of
    the bound.
    """
    s, rules = borrowed(store), borrowed(given)
    base, scope, unsettled = clock[BASE], rules.scope[0], clock[CLOSED] - rules.settle_days[0]
    for c in slots:
        bound, account, first, is_watched, is_foreign = np.int64(0), s.customers[c].head, NOT_COMPLETE, False, False
        while account >= 0:
            a = s.accounts[account]
            in_scope = scope >> a.asset_class & 1
            for at in range(a.head, a.head + a.count):
                e = s.entries[at]
                amount, day = np.int64(0), np.int64(e.day)
                if e.kind == POSTING and e.flags & FLOWLESS == 0:
                    first = min(first, e.booked)
                    if not in_scope or e.amount >= 0:
                        continue
                    is_a = seen_as(np.int64(e.nature), np.int64(e.extra), rules.banks)
                    if is_a != OUTSIDE and is_a != OPEN_NATURE:
                        continue
                    amount, day = -e.amount, flow_day(e, business_day(e.booked, starts, offsets))
                    is_watched |= day > unsettled
                elif e.kind == FLOW and in_scope:
                    before, amount_before, _, amount = days_of_flow(e)
                    amount, amount_before = max(-amount, np.int64(0)), max(-amount_before, np.int64(0))
                    if amount_before > 0:
                        u, n = in_base(fx, base, a.currency, before, amount_before)
                        bound += u + (1 if n > 0 else 0)
                if amount > 0:
                    u, n = in_base(fx, base, a.currency, day, amount)
                    bound += u + (1 if n > 0 else 0)
            is_foreign |= in_scope and a.currency != base
            account = a.following
        watched[c], oldest[c], foreign[c] = is_watched, first, is_foreign
        s.customers[c].outflow_bound = bound + (HAS_CASE if kept[c] else 0)
