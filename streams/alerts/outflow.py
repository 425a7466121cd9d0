"""Outflow of a customer in windows of 1 to 30 days of booking, absolute and as a share of AUM (docs/alerts.md#outflow).

Outflow is what external postings take out; what comes in is no part of it. A posting that is reversed, and its reversal, are
none of it; a reversal without a partner is a posting like others (streams.accounts.reversals).
The reference is the AUM at the close of the day before the window.
"""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

from streams.accounts.entries import BASE, CLOSED
from streams.accounts.reversals import partners
from streams.accounts.store import DELTA, POSTING, Array, Index, Store
from streams.calendar import business_day
from streams.money import NANO, scaled
from streams.vocabulary import terms

LATE_DAYS = 7  # a debit booked longer before the last closed day raises nothing: it is history
WINDOW_DAYS_MAX = 30  # postings are held one by one for 35 days
SHARE_ONE = 10_000  # basis points
NEVER = 2**63 - 1
EXTERNAL_CODE = terms.NATURES.index(terms.EXTERNAL)


class Fx(NamedTuple):
    """Rates as prefix sums: prefix[c, k] = sum of the nano rates of currency c on the k days from `first` on.

    A nano rate is base minor units per minor unit of the currency * 10**9. `since` is the first day with a rate.
    """

    first: Array  # int64[1]
    prefix: Array  # int64[currencies, days + 1]
    since: Array  # int64[currencies]


class Rules(NamedTuple):
    """R outflow rules over T tiers as columns, amounts in base minor units.

    A rule fires when outflow >= absolute, or outflow >= floor and outflow >= share of the reference AUM; NEVER switches
    a test off. Every test has an amount, which makes most debits cheap to pass over.
    """

    window: Array  # [R] days; 0 = the single posting
    absolute: Array  # [R, T]
    share_bp: Array  # [R, T]
    floor: Array  # [R, T]
    debits: Array  # [R] at least so many debits in the window, 0 = not asked
    each_max: Array  # [R] count only debits up to this amount, NEVER = all
    scope: Array  # int64[1]: bit mask of asset classes


class Candidates(NamedTuple):
    """Rows where an outflow rule is met: event, customer, rule, outflow and reference AUM in base minor units."""

    found: Array  # int64[1]: rows in use
    row: Array
    customer: Array
    rule: Array
    outflow: Array
    reference: Array


@nb.njit(cache=True, nogil=True)
def _until(fx: Fx, currency: int, day: int) -> int:
    """Sum of the nano rates of all days before `day`; the last rate goes on for ever."""
    most, at = fx.prefix.shape[1] - 1, day - fx.first[0]
    if at <= most:
        return fx.prefix[currency, max(at, 0)]
    last = fx.prefix[currency, most]
    return last + (at - most) * (last - fx.prefix[currency, most - 1])


@nb.njit(cache=True, nogil=True)
def weight(fx: Fx, currency: int, first: int, last: int) -> int:
    """Sum of the nano rates of the days [first, last]; 0 for days before the first rate."""
    return _until(fx, currency, last + 1) - _until(fx, currency, first)


@nb.njit(cache=True, nogil=True)
def in_base(fx: Fx, base: int, currency: int, day: int, amount: int) -> tuple[int, int]:
    """`amount` of a currency in base minor units at the rate of a day, exact."""
    if currency == base:
        return amount, 0
    return scaled(amount, weight(fx, currency, day, day))


@nb.njit(cache=True, nogil=True)
def close_of(s: Store, account: int, day: int) -> int:
    """close(account, day) in minor units of the account's currency (docs/aum.md#set-law)."""
    a = s.accounts[account]
    total = a.base
    for at in range(a.head, a.head + a.count):
        e = s.entries[at]
        if (e.kind == POSTING or e.kind == DELTA) and e.day <= day:
            total += e.amount
    return total


@nb.njit(cache=True, nogil=True)
def _window(
    s: Store,
    banks: Index,
    starts: Array,
    offsets: Array,
    fx: Fx,
    rules: Rules,
    base: int,
    customer: int,
    booked_day: int,
    days: int,
    each_max: int,
) -> tuple[int, int, int]:
    """(outflow, number of debits, reference AUM) of the `days` ended with `booked_day`, base minor units, floored."""
    units, nano, aum, aum_nano, debits = 0, 0, 0, 0, 0
    account = s.customers[customer].head
    while account >= 0:
        a = s.accounts[account]
        if rules.scope[0] >> a.asset_class & 1:
            u, n = in_base(fx, base, a.currency, booked_day - days, close_of(s, account, booked_day - days))
            aum, aum_nano = aum + u, aum_nano + n
            pairs = partners(s, account, starts, offsets, banks) if a.reversals else np.zeros(0, np.int64)
            for at in range(a.head, a.head + a.count):
                e = s.entries[at]
                if e.kind != POSTING or e.nature != EXTERNAL_CODE or e.amount >= 0:
                    continue
                if a.reversals and pairs[at - a.head] >= 0:
                    continue
                on = business_day(e.booked, starts, offsets)
                if booked_day - days < on <= booked_day:
                    u, n = in_base(fx, base, a.currency, on, -e.amount)
                    if u > each_max:
                        continue
                    debits += 1
                    units, nano = units + u, nano + n
        account = a.following
    return units + nano // NANO, debits, aum + aum_nano // NANO


@nb.njit(cache=True, nogil=True)
def share_of(reference: int, share_bp: int) -> int:
    """The least amount that is at least the share of a positive reference; 0 otherwise."""
    if reference <= 0:
        return 0
    high, low = reference // SHARE_ONE, reference % SHARE_ONE
    return high * share_bp + (low * share_bp + SHARE_ONE - 1) // SHARE_ONE


@nb.njit(cache=True, nogil=True)
def widen_bound(s: Store, fx: Fx, clock: Array, account: int, booked_day: int, debit: int) -> None:
    """Adds a debit to what may have left a customer; `debit` > 0 in the account's currency."""
    u, n = in_base(fx, clock[BASE], s.accounts[account].currency, booked_day, debit)
    s.customers[s.accounts[account].customer].outflow_bound += u + (1 if n > 0 else 0)


@nb.njit(cache=True, nogil=True)
def outflow(
    s: Store,
    banks: Index,
    starts: Array,
    offsets: Array,
    fx: Fx,
    rules: Rules,
    clock: Array,
    account: int,
    booked_day: int,
    debit: int,
    row: int,
    met: Candidates,
    live: bool,
) -> None:
    """Appends to `met` every rule that a debit just folded meets. `debit` > 0 in the account's currency."""
    a, base = s.accounts[account], clock[BASE]
    c = s.customers[a.customer]
    u, n = in_base(fx, base, a.currency, booked_day, debit)
    debit_base = u + (1 if n > 0 else 0)
    c.outflow_bound += debit_base
    if not live or not rules.scope[0] >> a.asset_class & 1 or booked_day <= clock[CLOSED] - LATE_DAYS:
        return
    tier = c.tier[0]
    for r in range(len(rules.window)):
        absolute, share_bp, floor = rules.absolute[r, tier], rules.share_bp[r, tier], rules.floor[r, tier]
        least = min(absolute, floor if share_bp != NEVER else NEVER)
        if (debit_base if rules.window[r] == 0 else c.outflow_bound) < least:
            continue
        if a.reversals and partners(s, account, starts, offsets, banks)[a.count - 1] >= 0:  # it was appended last
            return
        days = max(rules.window[r], 1)
        out, debits, reference = _window(
            s, banks, starts, offsets, fx, rules, base, a.customer, booked_day, days, rules.each_max[r]
        )
        if rules.window[r] == 0:
            out, debits = u, 1
        if out < least or debits < rules.debits[r]:
            continue
        if out < absolute and not (share_bp != NEVER and out >= floor and out >= share_of(reference, share_bp)):
            continue
        k = met.found[0]
        met.row[k], met.customer[k], met.rule[k] = row, a.customer, r
        met.outflow[k], met.reference[k] = out, reference
        met.found[0] = k + 1


@nb.njit(cache=True, nogil=True)
def refresh_bounds(s: Store, starts: Array, offsets: Array, fx: Fx, clock: Array) -> None:
    """Sets every customer's bound to the external debits of the last 30 days held; after a close or a recovery."""
    from_day = clock[CLOSED] - WINDOW_DAYS_MAX
    for c in range(s.customer_ids.meta[0]):
        bound, account = 0, s.customers[c].head
        while account >= 0:
            a = s.accounts[account]
            for at in range(a.head, a.head + a.count):
                e = s.entries[at]
                if e.kind == POSTING and e.nature == EXTERNAL_CODE and e.amount < 0:
                    on = business_day(e.booked, starts, offsets)
                    if on > from_day:
                        u, n = in_base(fx, clock[BASE], a.currency, on, -e.amount)
                        bound += u + (1 if n > 0 else 0)
            account = a.following
        s.customers[c].outflow_bound = bound


def no_rules(scope: int = -1) -> Rules:
    """No rule at all; every class in scope."""
    none, table = np.zeros(0, np.int64), np.zeros((0, 1), np.int64)
    return Rules(none, table, table, table, none, none, np.array([scope], np.int64))
