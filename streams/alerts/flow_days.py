"""Flow that is older than the postings held: one entry a day and account, and what may still leave with it.

Before a close forgets a posting, what it was is settled: its flow goes into the entry of its day, and what it was a pair
with takes no part any more. The entries stay until no window of a day that may be folded again begins before them.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from streams.accounts.entries import BASE, CLOSED, HORIZON_MS
from streams.accounts.store import FLOW, FLOWLESS, HAS_CASE, POSTING, Array, Index, Store, append
from streams.alerts.cases import CaseRules
from streams.alerts.flow import LEG, NOT_COMPLETE, OPEN_NATURE, OUTSIDE, flow_day, is_flow, moves, seen_as
from streams.alerts.outflow import Fx, in_base
from streams.calendar import business_day


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
def _add_flow(s: Store, account: int, day: int, amount: int) -> None:
    """A signed amount of a day; there is room for an entry."""
    a = s.accounts[account]
    place = -1
    for at in range(a.head, a.head + a.count):
        if s.entries[at].kind == FLOW and s.entries[at].day == day:
            place = at
            break
    if place < 0:
        place = append(s, account, 0, 0, day, FLOW)
    e = s.entries[place]
    if amount < 0:
        e.amount -= amount
    else:
        e.booked += amount


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
def _fold_alone(s: Store, starts: Array, offsets: Array, rules: CaseRules, clock: Array, customer: int) -> None:
    """The same as `fold_flow` of one customer who has no pairs, without working out all his moves."""
    slot = s.customers[customer].head
    while slot >= 0:
        if s.accounts[slot].folded < clock[CLOSED]:
            in_scope = rules.scope[0] >> s.accounts[slot].asset_class & 1
            for i in range(s.accounts[slot].count):
                e = s.entries[s.accounts[slot].head + i]  # anew each time: entries may move to larger pieces
                if e.kind != POSTING or e.flags & FLOWLESS or e.booked >= clock[HORIZON_MS]:
                    continue
                e.flags |= FLOWLESS
                is_a = seen_as(np.int64(e.nature), np.int64(e.extra), rules.banks)
                if in_scope and (is_a == OUTSIDE or (is_a == OPEN_NATURE and e.amount < 0)):
                    _add_flow(s, slot, flow_day(e, business_day(e.booked, starts, offsets)), e.amount)
        slot = s.accounts[slot].following


@nb.njit(cache=True, nogil=True)
def fold_flow(
    s: Store, names: Index, starts: Array, offsets: Array, fx: Fx, rules: CaseRules, clock: Array, slots: Array, first: int
) -> int:  # fmt: skip
    """Settles what the close on the clock forgets, of customers slots[first:]; the place of the first who did not fit.

    Before streams.accounts.day_close.compact of the same clock.
    """
    for k in range(first, len(slots)):
        customer = slots[k]
        if not _leaves(s, clock, customer):
            continue
        if not _fits(s, customer):
            return k
        if _has_no_pairs(s, rules.banks, customer):
            _fold_alone(s, starts, offsets, rules, clock, customer)
            continue
        m = moves(s, names, starts, offsets, fx, clock[BASE], rules.scope[0], rules.banks, rules.settle_ms[0], customer)
        leaving = np.zeros(len(m.day), np.bool_)
        for i in range(len(m.day)):
            leaving[i] = m.booked[i] < clock[HORIZON_MS] and s.accounts[m.account[i]].folded < clock[CLOSED]
            if leaving[i]:
                s.entries[m.place[i]].flags |= FLOWLESS
                if m.partner[i] >= 0:
                    s.entries[m.place[m.partner[i]]].flags |= FLOWLESS
        for i in range(len(m.day)):  # only now: entries may move to larger pieces
            if leaving[i] and is_flow(m, i) and m.complete[i] == NOT_COMPLETE:
                _add_flow(s, m.account[i], m.day[i], m.amount[i])
    return len(slots)


@nb.njit(cache=True, nogil=True)
def case_bounds(
    s: Store, starts: Array, offsets: Array, fx: Fx, rules: CaseRules, clock: Array, watched: Array, kept: Array,
    oldest: Array,
) -> None:  # fmt: skip
    """Sets every customer's bound to all that is held of what may be debits of flow; after a close or a recovery.

    watched[customer]: there is a debit on a day that is not settled yet. kept[customer]: there is, or was, a case.
    oldest[customer]: the first booking of a posting that a close will have to settle.
    """
    base, scope = clock[BASE], rules.scope[0]
    unsettled = clock[CLOSED] - rules.settle_days[0]
    for c in range(s.customer_ids.meta[0]):
        bound, account = 0, s.customers[c].head
        watched[c], oldest[c] = False, NOT_COMPLETE
        while account >= 0:
            a = s.accounts[account]
            for at in range(a.head, a.head + a.count):
                e = s.entries[at]
                if e.kind == POSTING and e.flags & FLOWLESS == 0:
                    oldest[c] = min(oldest[c], e.booked)
            if scope >> a.asset_class & 1:
                for at in range(a.head, a.head + a.count):
                    e = s.entries[at]
                    amount = e.amount if e.kind == FLOW else -e.amount if e.kind == POSTING and e.amount < 0 else 0
                    if e.kind == POSTING and amount > 0:
                        is_a = seen_as(e.nature, e.extra, rules.banks)
                        if is_a != OUTSIDE and is_a != OPEN_NATURE:
                            continue
                        if flow_day(e, business_day(e.booked, starts, offsets)) > unsettled:
                            watched[c] = True
                    if amount > 0:
                        day = (
                            np.int64(e.day) if e.kind == FLOW else flow_day(e, business_day(e.booked, starts, offsets))
                        )
                        u, n = in_base(fx, base, a.currency, day, amount)
                        bound += u + (1 if n > 0 else 0)
            account = a.following
        s.customers[c].outflow_bound = bound + (HAS_CASE if kept[c] else 0)
