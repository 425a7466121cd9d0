"""Cases of customers whose money leaves, folded by days (docs/alerts.md#cases).

A case as of a day follows from the case as of an earlier one and from what is known of the days between, so that a fold
can be done again when more is known. Amounts are minor units of the base currency.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np

from streams.accounts.entries import BASE, CLOSED
from streams.accounts.store import FLOW, Array, Index, Long, Store
from streams.alerts.flow import (
    ALONE,
    NO_FLOW,
    NOT_COMPLETE,
    OPEN_NATURE,
    CustomerMoves,
    days_of_flow,
    is_flow,
    moves,
)
from streams.alerts.outflow import NEVER, Fx, in_base, share_of
from streams.alerts.reference import highest_closes
from streams.kernels.refcounts import borrowed
from streams.money import NANO

FLOW_WINDOW_DAYS_MAX = 90
EXPIRE_DAYS = 90  # without a new peak
OWN_PART = 50  # of its amount a rule needs from the day itself: a window that only slides on fires nothing
EDGE_DAYS = 4  # that the start of a window of net flow may move back: from a Friday, when money comes in, to a Tuesday
LARGE_THIRDS = 2  # a debit of so many thirds of the AUM is told at once, even if it may be a leg of an own movement
FOLD_DAYS_MAX = 60  # folded at once: after a longer pause of closes the days before are left out
LIVE_DAYS_MAX = 31  # after the last close: what is booked later waits for its close
SINGLE_WORKDAYS, _WORKDAYS_A_WEEK = 3, 5  # Monday to Friday; 1970-01-01 was a Thursday
IS_NONE, IS_OPEN, CASE_RETRACTED, CASE_EXPIRED, CASE_RESOLVED = 0, 1, 2, 3, 4  # state of a case
NO_END = -(1 << 30)

CASE = np.dtype(
    [
        ("state", np.int64),
        ("opened", np.int64),
        ("start", np.int64),  # its flow counts from the day after
        ("net", np.int64),
        ("peak", np.int64),
        ("peak_day", np.int64),
        ("told_net", np.int64),
        ("severity", np.int64),
        ("reference", np.int64),
        ("rules", np.int64),  # bit of each rule met
        ("gross", np.int64),  # 1: met by rules without credits alone
        ("ended", np.int64),  # the day on which a case of the customer last ended, NO_END for never
        ("number", np.int64),  # of cases so far
    ]
)


class CaseRules(NamedTuple):
    """R rules over T tiers as columns, and what holds for all. NEVER switches a test off.

    `odd_days`: sorted days that are open on a weekend or closed on a weekday, by the bank's calendar.
    """

    window: Array  # [R] days, 0: the single posting
    gross: Array  # [R] 1: credits are no part of it
    one_bank: Array  # [R] 1: to one bank
    absolute: Array  # [R, T]
    share_bp: Array  # [R, T]
    floor: Array  # [R, T]
    debits: Array  # [R] so many debits ...
    each_max: Array  # [R] ... of at most so much; 0: not asked
    cool_down: Array  # [R] days
    severity: Array  # [R]
    banks: Array  # by code of a counterparty: streams.alerts.flow.BANK_OUTSIDE, BANK_OWN, BANK_INTERNAL
    scope: Array  # int64[1]: bit mask of asset classes
    return_days: Array  # int64[1]
    settle_days: Array  # int64[1]: -1 where a pack has no cases
    settle_ms: Array  # int64[1]
    odd_days: Array


class FlowDays(NamedTuple):
    """Flow of a customer by days from `first[0]` on, of what has no partner; sums up to and with each day."""

    first: Array  # int64[1]
    out: Array  # int64[days, 2]: units and billionths
    come: Array


def new_cases(count: int) -> Array:
    """So many customers without any case."""
    found = np.zeros(count, CASE)
    found["ended"] = NO_END
    return found


@nb.njit(cache=True, nogil=True, forceinline=True)
def _add_day(fx: Fx, base: int, currency: int, d: FlowDays, last: int, day: int, amount: int) -> None:
    """Adds a signed amount of a currency to its day, if that is one of them."""
    if amount != 0 and d.first[0] <= day <= last:
        side = d.out if amount < 0 else d.come
        u, b = in_base(fx, base, currency, day, abs(amount))
        side[day - d.first[0], 0] += u
        side[day - d.first[0], 1] += b


@nb.njit(cache=True, nogil=True)
def _days(s: Store, fx: Fx, base: int, scope: int, customer: int, m: CustomerMoves, first: int, last: int) -> FlowDays:
    n = last - first + 1
    d = FlowDays(np.array([first], np.int64), np.zeros((n, 2), np.int64), np.zeros((n, 2), np.int64))
    for i in range(len(m.day)):
        if m.complete[i] == NOT_COMPLETE and first <= m.day[i] <= last and is_flow(m, i):
            side = d.out if m.amount[i] < 0 else d.come
            side[m.day[i] - first, 0] += m.units[i]
            side[m.day[i] - first, 1] += m.nano[i]
    slot = s.customers[customer].head
    while slot >= 0:
        a = s.accounts[slot]
        if scope >> a.asset_class & 1:
            for at in range(a.head, a.head + a.count):
                e = s.entries[at]
                if e.kind != FLOW:
                    continue
                day_before, amount_before, day, amount = days_of_flow(e)
                _add_day(fx, base, a.currency, d, last, day_before, amount_before)
                _add_day(fx, base, a.currency, d, last, day, amount)
        slot = a.following
    for k in range(1, n):
        for side in (d.out, d.come):
            side[k, 0] += side[k - 1, 0]
            side[k, 1] += side[k - 1, 1]
    return d


@nb.njit(cache=True, nogil=True, forceinline=True)
def _sum(side: Array, first: int, start: int, day: int) -> tuple[Long, Long]:
    """Units and billionths of the days (start, day]."""
    low, high = start - first, day - first
    if high < 0:
        return np.int64(0), np.int64(0)
    if low < 0:
        return side[high, 0], side[high, 1]
    return side[high, 0] - side[low, 0], side[high, 1] - side[low, 1]


@nb.njit(cache=True, nogil=True)
def _out(m: CustomerMoves, d: FlowDays, start: int, day: int, gross: bool) -> Long:
    """What went out in (start, day] as `day` knows it, less what came in unless `gross`; never below 0."""
    units, nano = _sum(d.out, d.first[0], start, day)
    if not gross:
        u, b = _sum(d.come, d.first[0], start, day)
        units, nano = units - u, nano - b
    for i in range(len(m.day)):
        if day < m.complete[i] < NOT_COMPLETE and start < m.day[i] <= day and is_flow(m, i):
            if m.amount[i] < 0:
                units, nano = units + m.units[i], nano + m.nano[i]
            elif not gross:
                units, nano = units - m.units[i], nano - m.nano[i]
    return max(np.int64(0), units + nano // NANO)


@nb.njit(cache=True, nogil=True)
def _single(m: CustomerMoves, day: int, limit: int) -> Long:
    """The largest debit of a day that is at most twice `limit`."""
    most = np.int64(0)
    for i in range(len(m.day)):
        alone = m.scope[i] == ALONE and m.complete[i] > day and is_flow(m, i)
        if alone and m.day[i] == day and m.amount[i] < 0 and m.units[i] <= 2 * limit:
            most = max(most, m.units[i])
    return most


@nb.njit(cache=True, nogil=True)
def _small_debits(m: CustomerMoves, start: int, day: int, each_max: int) -> Long:
    count = 0
    for i in range(len(m.day)):
        alone = m.scope[i] == ALONE and m.complete[i] > day and is_flow(m, i)
        if alone and start < m.day[i] <= day and m.amount[i] < 0:
            count += m.units[i] <= each_max
    return count


@nb.njit(cache=True, nogil=True)
def _to_one_bank(m: CustomerMoves, start: int, day: int) -> Long:
    """The most that went to one bank."""
    n, most = len(m.day), np.int64(0)
    for i in range(n):
        if not (start < m.day[i] <= day and m.amount[i] < 0 and m.bank[i] >= 0):
            continue
        units, nano, first = np.int64(0), np.int64(0), True
        for j in range(n):
            if m.bank[j] == m.bank[i] and start < m.day[j] <= day and m.amount[j] < 0:
                if j < i:
                    first = False
                    break
                if m.complete[j] > day and is_flow(m, j):
                    units, nano = units + m.units[j], nano + m.nano[j]
        if first:
            most = max(most, units + nano // NANO)
    return most


@nb.njit(cache=True, nogil=True)
def highest_tier(s: Store, customer: int, first: int, last: int, tiers: int) -> Long:
    """The highest tier in force on a day of [first, last], of those that are remembered.

    Of the first `tiers` codes: those of a former pack, which lie behind them, have no thresholds.
    """
    c, best, until = s.customers[customer], np.int64(0), np.int64(1 << 40)
    for k in range(3):
        since, tier = np.int64(c.tier_day[k]), np.int64(c.tier[k])
        if since <= last and until >= first and since <= until and tier < tiers:
            best = max(best, tier)
        until = min(until, since - 1)
    return best


@nb.njit(cache=True, nogil=True)
def _least_start(m: CustomerMoves, d: FlowDays, start: int, day: int, ended: int) -> Long:
    """Of the starts up to EDGE_DAYS before `start`, none before `ended`, the latest from which the least net went out.

    Else money that came in on the day before a window would be missed in it, and what it paid for would be a loss.
    """
    best, least = np.int64(start), _out(m, d, start, day, False)
    for since in range(start - 1, max(start - EDGE_DAYS, ended) - 1, -1):
        net = _out(m, d, since, day, False)
        if net < least:
            best, least = np.int64(since), net
    return best


@nb.njit(cache=True, nogil=True)
def _met(
    s: Store, r: int, rules: CaseRules, customer: int, m: CustomerMoves, d: FlowDays, highs: Array, day: int, start: int,
    ended: int,
) -> tuple[Long, Long, Long]:  # fmt: skip
    """(flow, reference, its start) of a rule that is met on a day, else 0 all. `ended`: the day on which the last case did.

    highs[k]: the highest close of the k days before `day`. highs[0] is -1 until they are needed; then the flow is -1, and
    the rule is asked again.
    """
    gross = rules.gross[r] == 1 or rules.one_bank[r] == 1
    none = np.int64(0), np.int64(0), np.int64(0)
    own = _out(m, d, day - 1, day, gross)
    if own <= 0:
        return none
    tier = highest_tier(s, customer, start, day, rules.absolute.shape[1])
    absolute, share_bp, floor = rules.absolute[r, tier], rules.share_bp[r, tier], rules.floor[r, tier]
    least = absolute if share_bp == NEVER else min(absolute, floor)
    flow, counted = _out(m, d, start, day, gross), np.int64(start)
    if flow < least and rules.window[r] > 0:
        return none
    if rules.window[r] == 0:
        flow = _single(m, day, flow)
    elif rules.one_bank[r] == 1:
        flow = _to_one_bank(m, start, day)
    elif not gross:
        counted = _least_start(m, d, start, day, ended)
        flow = _out(m, d, counted, day, False)
    if flow <= 0 or flow < least or (rules.debits[r] == 0 and own * OWN_PART < flow):
        return none
    if rules.debits[r] > 0 and _small_debits(m, start, day, rules.each_max[r]) < rules.debits[r]:
        return none
    if highs[0] < 0:
        return np.int64(-1), np.int64(0), np.int64(0)
    reference = highs[min(day - start, len(highs) - 1)] if start < day else np.int64(0)
    by_share = share_bp != NEVER and flow >= floor and reference > 0 and flow >= share_of(reference, share_bp)
    if flow >= absolute or by_share:
        return flow, reference, counted
    return none


@nb.njit(cache=True, nogil=True)
def workdays_before(day: int, odd_days: Array) -> Long:
    """The day before the last SINGLE_WORKDAYS working days up to `day`."""
    seen, at = 0, np.int64(day)
    while True:
        k = np.searchsorted(odd_days, at)
        odd = k < len(odd_days) and odd_days[k] == at
        seen += ((at + 3) % 7 < _WORKDAYS_A_WEEK) != odd
        at -= 1
        if seen == SINGLE_WORKDAYS or day - at > FLOW_WINDOW_DAYS_MAX:
            return at


@nb.njit(cache=True, nogil=True)
def _moved(m: CustomerMoves, d: FlowDays, case: Any, day: int, return_days: int) -> Long:
    """What a day adds to the net of an open case; a pair complete on it takes away what its first posting has added."""
    until = case.peak_day + return_days
    units, nano = _sum(d.out, d.first[0], day - 1, day)
    if day <= until:
        u, b = _sum(d.come, d.first[0], day - 1, day)
        units, nano = units - u, nano - b
    for i in range(len(m.day)):
        if m.day[i] > day or m.complete[i] == NOT_COMPLETE or not is_flow(m, i):
            continue
        sign = 0
        if m.day[i] == day and m.complete[i] > day:
            sign = 1 if m.amount[i] < 0 else -1 if day <= until else 0
        elif m.complete[i] == day and case.start < m.day[i] < day:
            if m.amount[i] < 0:
                sign = -1
            elif m.day[i] <= until and (case.gross == 0 or m.day[i] > case.opened):
                sign = 1
        units, nano = units + sign * m.units[i], nano + sign * m.nano[i]
    return units + nano // NANO


@nb.njit(cache=True, nogil=True)
def _fold_day(
    s: Store,
    rules: CaseRules,
    customer: int,
    m: CustomerMoves,
    d: FlowDays,
    highs: Array,
    case: Any,
    day: int,
    fires: bool,
) -> bool:
    """One day further, in place; False: the reference is needed first, and nothing has changed.

    `fires`: there is a debit on the day, without which no rule is met.
    """
    net, peak, peak_day = case.net, case.peak, case.peak_day
    if case.state == IS_OPEN:
        net += _moved(m, d, case, day, rules.return_days[0])
        if net > peak:
            peak, peak_day = net, day
        if 4 * net < peak or day - peak_day >= EXPIRE_DAYS:
            case.state, case.ended = CASE_RETRACTED if 4 * net < peak else CASE_EXPIRED, day
            case.net, case.peak, case.peak_day = net, peak, peak_day
            return True
    met, severity, reference, all_gross = np.int64(0), np.int64(-1), np.int64(0), True
    start = start_net = np.int64(1 << 40)
    for r in range(len(rules.window) if fires else 0):
        since = max(day - rules.window[r] if rules.window[r] > 0 else workdays_before(day, rules.odd_days), case.ended)
        flow, high, counted = _met(s, r, rules, customer, m, d, highs, day, since, case.ended)
        if flow < 0:
            return False
        if flow == 0:
            continue
        cool = case.state != IS_OPEN and day - case.ended < rules.cool_down[r]
        if cool and rules.severity[r] <= case.severity and flow < case.peak:
            continue
        if case.state == IS_OPEN and case.rules >> r & 1:
            severity = max(severity, rules.severity[r])
            continue
        met, severity, reference = met | 1 << r, max(severity, rules.severity[r]), max(reference, high)
        start = min(start, counted)
        if rules.gross[r] == 0 and rules.one_bank[r] == 0:
            all_gross, start_net = False, min(start_net, counted)
    if case.state != IS_OPEN:
        if met != 0:
            case.start = start if all_gross else start_net
            net = _out(m, d, case.start, day, all_gross)
            case.state, case.opened, case.net, case.peak, case.peak_day = IS_OPEN, day, net, net, day
            case.told_net, case.severity, case.reference, case.rules = net, severity, reference, met
            case.gross, case.number = 1 if all_gross else 0, case.number + 1
        return True
    case.net, case.peak, case.peak_day = net, peak, peak_day
    if met != 0 or severity > case.severity or 2 * net >= 3 * case.told_net:
        case.told_net, case.severity = net, max(case.severity, severity)
        case.rules, case.reference = case.rules | met, max(case.reference, reference)
    return True


@nb.njit(cache=True, nogil=True, forceinline=True)
def _is_among(values: Array, value: int) -> bool:
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
        if sent and m.account[m.partner[j]] != m.account[j] and not _is_among(found[:k], m.account[j]):
            found[k] = m.account[j]
            k += 1
    return found[:k]


@nb.njit(cache=True, nogil=True)
def _let_legs_wait(
    s: Store, starts: Array, offsets: Array, fx: Fx, base: int, scope: int, customer: int, m: CustomerMoves, settle_ms: int,
    highs: Array,
) -> None:  # fmt: skip
    """Takes out debits that may still turn out to be legs, so that only a close looks at them.

    Those of an account that has sent such a leg, of the postings held; the others where they are together less than two
    thirds of the AUM of the day before. `highs` is room for it.
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
        unusual[i] = not _is_among(senders, m.account[i])
        if unusual[i]:
            units, nano, day = units + m.units[i], nano + m.nano[i], max(day, m.day[i])
    if day >= 0:
        highest_closes(s, starts, offsets, fx, base, scope, customer, day, highs)
        if 3 * (units + nano // NANO) >= LARGE_THIRDS * highs[1]:
            waits &= ~unusual
    for i in range(n):
        if waits[i]:
            m.is_a[i] = NO_FLOW


@nb.njit(cache=True, nogil=True)
def _days_with_debits(m: CustomerMoves, d: FlowDays, first: int, last: int) -> Array:
    """bool[days of first … last]: whether a debit counts on the day that may be flow."""
    found = np.zeros(max(last - first + 1, 0), np.bool_)
    for i in range(len(m.day)):
        if first <= m.day[i] <= last and m.amount[i] < 0 and is_flow(m, i):
            found[m.day[i] - first] = True
    for k in range(len(found)):
        units, nano = _sum(d.out, d.first[0], first + k - 1, first + k)
        found[k] |= units > 0 or nano > 0
    return found


@nb.njit(cache=True, nogil=True)
def latest_day(m: CustomerMoves, ahead_max: Long, otherwise: Long) -> Long:
    """The latest day on which a posting of the customer counts, none beyond `ahead_max`."""
    found = otherwise
    for i in range(len(m.day)):
        if m.day[i] <= ahead_max:
            found = max(found, m.day[i])
    return found


@nb.njit(cache=True, nogil=True)
def fold_cases(
    store: Store, names: Index, starts: Array, offsets: Array, fx: Fx, given: CaseRules, clock: Array, slots: Array, cases: Array,
    anchors: Array, anchored: int, anchor_day: int, last: Array, resolved: Array, gross: Array,
) -> None:  # fmt: skip
    """Folds customers slots[i] from cases[i], as of the day `anchored` (NO_END: none), up to last[i], in place.

    last[i] below 0 becomes the customer's latest day, of postings and of `resolved`. anchors[i] becomes the case as of
    `anchor_day`, where that is one of the days. resolved[i]: days at whose end acts have ended a case, NO_END for none.
    gross[i]: the debits since the start of the case, of the last 90 days.
    """
    s, rules = borrowed(store), borrowed(given)
    base, scope, closed = clock[BASE], rules.scope[0], clock[CLOSED]
    highs = np.empty(FLOW_WINDOW_DAYS_MAX + 2, np.int64)
    for i in range(len(slots)):
        m = moves(s, names, starts, offsets, fx, base, scope, rules.banks, rules.settle_ms[0], slots[i])
        if last[i] < 0:
            _let_legs_wait(s, starts, offsets, fx, base, scope, slots[i], m, rules.settle_ms[0], highs)
            ahead_max = closed + LIVE_DAYS_MAX if closed >= 0 else np.int64(1 << 40)
            last[i] = latest_day(m, ahead_max, closed)
            for day in resolved[i]:
                if day <= ahead_max:
                    last[i] = max(last[i], day)
        first = max(last[i] - FOLD_DAYS_MAX + 1, anchored + 1)
        d = _days(s, fx, base, scope, slots[i], m, first - FLOW_WINDOW_DAYS_MAX - EDGE_DAYS, max(last[i], first))
        case, has_debit = cases[i], _days_with_debits(m, d, first, last[i])
        for day in range(first, last[i] + 1):
            highs[0] = -1
            if case.state != IS_OPEN and not has_debit[day - first]:
                pass  # no rule fires
            elif not _fold_day(s, rules, slots[i], m, d, highs, case, day, has_debit[day - first]):
                highest_closes(s, starts, offsets, fx, base, scope, slots[i], day, highs)
                _fold_day(s, rules, slots[i], m, d, highs, case, day, True)
            if case.state == IS_OPEN and _is_among(resolved[i], day):
                case.state, case.ended = CASE_RESOLVED, day
            if day == anchor_day:
                anchors[i] = cases[i]
        since = max(case.start, last[i] - FLOW_WINDOW_DAYS_MAX)
        gross[i] = _out(m, d, since, last[i], True) if case.number > 0 else 0
