"""Flow of one customer: what is external, what takes what back, and which legs belong together (docs/alerts.md#nature).

Postings are looked at anew each time, so that the answer follows from the set of them, in whatever order they came. A
pair counts from the day on which it is complete: before that day its first posting is what it looks like.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np

from streams.accounts.entries import HORIZON_DAYS
from streams.accounts.reversals import partners
from streams.accounts.store import (
    FLOWLESS,
    LATE_BITS,
    OLD,
    POSTING,
    REF_BITS,
    REF_MASK,
    Array,
    Index,
    Long,
    Store,
)
from streams.alerts.outflow import EXTERNAL_CODE, Fx, in_base
from streams.alerts.reference import closes_before, highest_closes
from streams.calendar import business_day
from streams.money import NANO
from streams.vocabulary import terms

PAIR_DAYS_LEAST = HORIZON_DAYS - 7  # where nothing is settled, or the most days that a pack may settle in
NOT_COMPLETE = 2**62
NO_FLOW, OUTSIDE, LEG, OPEN_NATURE = 0, 1, 2, 3  # what a posting is by itself: no flow, external, a leg, or not known
LARGE_THIRDS = 2  # a debit of so many thirds of the AUM is told at once, even if it may be a leg of an own movement ...
EMPTYING_FIFTHS = 4  # ... and of so many fifths of what its account held
ALONE, IN_DAYS = 1, 2
ONE_DAY, TWO_DAYS = 0, 1  # nature of an entry of flow
BANK_OUTSIDE, BANK_OWN, BANK_INTERNAL = 0, 1, 2  # what a pack says of a counterparty's code
UNKNOWN_CODE = terms.NATURES.index("unknown")
MOVING_CODES = tuple(terms.NATURES.index(name) for name in terms.MOVING)
FIRST_MOVING, LAST_MOVING = min(MOVING_CODES), max(MOVING_CODES)


class CustomerMoves(NamedTuple):
    """A customer's postings held one by one, a row each, in the order of their pairing. int64[n] where nothing is said."""

    account: Array
    place: Array  # of its entry
    booked: Array
    amount: Array  # minor units of the account's currency
    booked_day: Array
    day: Array  # on which it counts
    is_a: Array  # NO_FLOW, OUTSIDE, LEG or OPEN_NATURE
    bank: Array  # the outside bank's code, -1 for none
    units: Array  # |amount| in base minor units at the day's rate, and billionths; 0 out of scope
    nano: Array
    scope: Array  # ALONE: in scope; IN_DAYS: in scope, and it came so late that it counts in sums of days only
    complete: Array  # the day on which its pair is complete, NOT_COMPLETE without one
    partner: Array  # its row, -1 without one


@nb.njit(cache=True, nogil=True, forceinline=True)
def flow_day(e: Any, booked_day: int) -> Long:
    """The day on which a posting counts: of its booking, or of the close it came before if it came late."""
    return booked_day + (np.int64(e.flags) >> LATE_BITS)


@nb.njit(cache=True, nogil=True, forceinline=True)
def seen_as(nature: int, bank: int, banks: Array) -> int:
    """What a posting is by its nature and its counterparty's code."""
    if nature == UNKNOWN_CODE:
        if bank < 0:
            return OPEN_NATURE
        known = banks[bank] if bank < len(banks) else BANK_OUTSIDE
        return OUTSIDE if known == BANK_OUTSIDE else NO_FLOW if known == BANK_INTERNAL else OPEN_NATURE
    if nature == EXTERNAL_CODE:
        return OUTSIDE
    return LEG if FIRST_MOVING <= nature <= LAST_MOVING else NO_FLOW


@nb.njit(cache=True, nogil=True)
def _id_before(s: Store, one: int, other: int) -> int:
    """-1, 0 or 1: whether an account's id comes before another's."""
    if one == other:
        return 0
    a, b = s.account_ids.ref[one], s.account_ids.ref[other]
    arena = s.account_ids.arena
    for i in range(min(a & REF_MASK, b & REF_MASK)):
        x, y = arena[(a >> REF_BITS) + i], arena[(b >> REF_BITS) + i]
        if x != y:
            return -1 if x < y else 1
    return -1 if (a & REF_MASK) < (b & REF_MASK) else 1


@nb.njit(cache=True, nogil=True)
def _before(s: Store, account: Array, place: Array, one: int, other: int) -> bool:
    """By booking, account, nature (unknown is first) and payload."""
    e, f = s.entries[place[one]], s.entries[place[other]]
    if e.booked != f.booked:
        return e.booked < f.booked
    ids = _id_before(s, account[one], account[other])
    if ids != 0:
        return ids < 0
    if e.nature != f.nature:
        return e.nature < f.nature
    return e.print < f.print


@nb.njit(cache=True, nogil=True)
def _in_order(s: Store, customer: int) -> tuple[Array, Array]:
    """(account, place) of the customer's postings that may take part in flow, in the order of their pairing."""
    n, slot = 0, s.customers[customer].head
    while slot >= 0:
        n += s.accounts[slot].count
        slot = s.accounts[slot].following
    account, place, booked, k = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64), 0
    slot = s.customers[customer].head
    while slot >= 0:
        a = s.accounts[slot]
        for at in range(a.head, a.head + a.count):
            e = s.entries[at]
            if e.kind == POSTING and e.flags & FLOWLESS == 0:
                account[k], place[k], booked[k] = slot, at, e.booked
                k += 1
        slot = a.following
    order = np.argsort(booked[:k], kind="mergesort")
    account, place = account[:k][order], place[:k][order]
    for i in range(1, k):  # of the same instant, by the rest
        j = i
        while j > 0 and _before(s, account, place, j, j - 1):
            account[j], account[j - 1] = account[j - 1], account[j]
            place[j], place[j - 1] = place[j - 1], place[j]
            j -= 1
    return account, place


@nb.njit(cache=True, nogil=True)
def moves(
    s: Store, names: Index, starts: Array, offsets: Array, fx: Fx, base: int, scope: int, banks: Array, settle_ms: int,
    pair_days: int, customer: int,
) -> CustomerMoves:  # fmt: skip
    """The customer's postings with nature and pairs. `names` of the banks, `banks`: what a pack says of them.

    `pair_days`: from the booking of one of a pair to the day on which it is complete, at most.
    """
    account, place = _in_order(s, customer)
    n = len(account)
    m = CustomerMoves(
        account, place, np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64),
        np.empty(n, np.int64), np.empty(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64),
        np.empty(n, np.int64), np.full(n, NOT_COMPLETE, np.int64), np.full(n, -1, np.int64),
    )  # fmt: skip
    legs = False
    for i in range(n):
        e, a = s.entries[place[i]], s.accounts[account[i]]
        m.booked[i], m.amount[i] = e.booked, e.amount
        m.booked_day[i] = business_day(e.booked, starts, offsets)
        m.day[i] = flow_day(e, m.booked_day[i])
        m.is_a[i] = seen_as(np.int64(e.nature), np.int64(e.extra), banks)
        m.bank[i] = e.extra if e.extra >= 0 and (e.extra >= len(banks) or banks[e.extra] != BANK_OWN) else -1
        m.scope[i] = scope >> a.asset_class & 1
        if e.flags & OLD:
            m.scope[i], m.bank[i], m.partner[i] = IN_DAYS * m.scope[i], -1, i
        if m.scope[i]:
            m.units[i], m.nano[i] = in_base(fx, base, a.currency, m.day[i], abs(e.amount))
        legs |= m.is_a[i] == OPEN_NATURE
    slot = s.customers[customer].head
    while slot >= 0:
        if s.accounts[slot].reversals:
            _pair_reversals(s, m, starts, offsets, names, pair_days, slot)
        slot = s.accounts[slot].following
    if legs:
        _pair_legs(s, m, settle_ms, pair_days)
    return m


@nb.njit(cache=True, nogil=True, forceinline=True)
def _pair(m: CustomerMoves, one: int, other: int, pair_days: int) -> bool:
    """Makes a pair, unless one of the two may be folded before the day on which it is complete is settled."""
    complete = max(m.day[one], m.day[other])
    if complete - min(m.booked_day[one], m.booked_day[other]) > pair_days:
        return False
    m.partner[one], m.partner[other] = other, one
    m.complete[one] = m.complete[other] = complete
    return True


@nb.njit(cache=True, nogil=True)
def _pair_reversals(
    s: Store, m: CustomerMoves, starts: Array, offsets: Array, names: Index, pair_days: int, account: int
) -> None:
    """The pairs of an account's reversals (streams.accounts.reversals)."""
    head, n = s.accounts[account].head, s.accounts[account].count
    found, row = partners(s, account, starts, offsets, names), np.full(n, -1, np.int64)
    for i in range(len(m.place)):
        if m.account[i] == account:
            row[m.place[i] - head] = i
    for at in range(n):
        if found[at] > at:
            _pair(m, row[at], row[found[at]], pair_days)


@nb.njit(cache=True, nogil=True)
def _pair_legs(s: Store, m: CustomerMoves, settle_ms: int, pair_days: int) -> None:
    """Each leg, earliest first, takes the earliest free one before it on another account, within the minutes of settling."""
    since = 0
    for i in range(len(m.place)):
        while m.booked[i] - m.booked[since] > settle_ms:
            since += 1
        if m.partner[i] >= 0 or (m.is_a[i] != LEG and m.is_a[i] != OPEN_NATURE):
            continue
        currency = s.accounts[m.account[i]].currency
        for j in range(since, i):
            if m.partner[j] >= 0 or m.amount[j] != -m.amount[i] or m.account[j] == m.account[i]:
                continue
            leg = m.is_a[j] == LEG or m.is_a[j] == OPEN_NATURE
            if leg and s.accounts[m.account[j]].currency == currency and _pair(m, j, i, pair_days):
                break


@nb.njit(cache=True, nogil=True, forceinline=True)
def is_flow(m: CustomerMoves, i: int) -> bool:
    """Whether a posting in scope is flow as long as it has no partner."""
    return m.scope[i] > 0 and (m.is_a[i] == OUTSIDE or (m.is_a[i] == OPEN_NATURE and m.amount[i] < 0))


@nb.njit(cache=True, nogil=True, forceinline=True)
def days_of_flow(e: Any) -> tuple[Long, Long, Long, Long]:
    """(day, amount, day, amount) of an entry of flow, the later day last; what went out is below 0, none is 0.

    Rows of before have one day an entry: `amount` went out, `booked` came in.
    """
    if e.nature == ONE_DAY:
        return np.int64(e.day), -e.amount, np.int64(e.day), e.booked
    return np.int64(e.extra), e.booked, np.int64(e.day), e.amount


@nb.njit(cache=True, nogil=True, forceinline=True)
def is_among(values: Array, value: int) -> bool:
    """Whether a value is one of a few."""
    for one in values:
        if one == value:
            return True
    return False


@nb.njit(cache=True, nogil=True)
def _has_another(s: Store, customer: int, account: int) -> bool:
    """Whether another account of the customer in the account's currency has had postings: a leg may come on it."""
    slot = s.customers[customer].head
    while slot >= 0:
        a = s.accounts[slot]
        if slot != account and a.currency == s.accounts[account].currency and a.journal_low <= a.journal_high:
            return True
        slot = a.following
    return False


@nb.njit(cache=True, nogil=True)
def _leg_senders(m: CustomerMoves) -> Array:
    """int64: the accounts, each once, that have sent a leg of unknown nature to another account."""
    found, k = np.empty(len(m.day), np.int64), 0
    for j in range(len(m.day)):
        sent = m.amount[j] < 0 and m.is_a[j] == OPEN_NATURE and m.partner[j] >= 0
        if sent and m.account[m.partner[j]] != m.account[j] and not is_among(found[:k], m.account[j]):
            found[k] = m.account[j]
            k += 1
    return found[:k]


@nb.njit(cache=True, nogil=True)
def let_legs_wait(
    s: Store, starts: Array, offsets: Array, fx: Fx, base: int, scope: int, customer: int, m: CustomerMoves, settle_ms: int,
    highs: Array,
) -> None:  # fmt: skip
    """Takes out debits that may still turn out to be legs, so that only a close looks at them.

    Those of an account that has sent such a leg, of the postings held; the others where they are together less than two
    thirds of the AUM of the day before, and those of their account less than four fifths of what it held then. `highs` is
    room for it.
    """
    n, latest = len(m.day), np.int64(0)
    for i in range(n):
        latest = max(latest, m.booked[i])
    waits, unusual, senders = np.zeros(n, np.bool_), np.zeros(n, np.bool_), _leg_senders(m)
    units, nano, day = np.int64(0), np.int64(0), np.int64(-1)
    for i in range(n):
        waits[i] = m.is_a[i] == OPEN_NATURE and m.amount[i] < 0 and m.partner[i] < 0 and m.scope[i] > 0
        waits[i] &= m.booked[i] >= latest - settle_ms
        if not waits[i] or not _has_another(s, customer, m.account[i]):
            waits[i] = False
            continue
        unusual[i] = not is_among(senders, m.account[i])
        if unusual[i]:
            units, nano, day = units + m.units[i], nano + m.nano[i], max(day, m.day[i])
    if day >= 0:
        highest_closes(s, starts, offsets, fx, base, scope, customer, day, highs)
        if 3 * (units + nano // NANO) >= LARGE_THIRDS * highs[1]:
            waits &= ~unusual
        _tell_of_emptied(s, starts, offsets, m, unusual, waits)
    for i in range(n):
        if waits[i]:
            m.is_a[i] = NO_FLOW


@nb.njit(cache=True, nogil=True)
def _tell_of_emptied(s: Store, starts: Array, offsets: Array, m: CustomerMoves, unusual: Array, waits: Array) -> None:
    """No longer waits what together takes most of what its account held on the day before."""
    held = np.empty(1, np.int64)
    for i in np.flatnonzero(unusual & waits):
        gone, day = np.int64(0), np.int64(0)
        for j in np.flatnonzero(unusual):
            if m.account[j] == m.account[i]:
                gone, day = gone - m.amount[j], max(day, m.day[j])
        closes_before(s, starts, offsets, m.account[i], day, held)
        if held[0] > 0 and 5 * gone >= EMPTYING_FIFTHS * held[0]:
            waits[i] = False
