"""The sequential kernels: postings and snapshots of a block into the columns, an event at a time, in log order."""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

from streams.calendar import DAY_MAX, DAY_MIN, business_day
from streams.entries import (
    CLOSED,
    HORIZON_DAY,
    HORIZON_MS,
    OPEN,
    RING_FROM,
    add_delta,
    add_value,
    apply_entries,
    entry_day,
    journal_add,
    journal_has,
    snapshot_after,
    snapshot_at,
    snapshot_before,
)
from streams.money import AMOUNT_MAX
from streams.outflow import EXTERNAL, Fx, Rules, outflow
from streams.store import (
    ID_BYTES_MAX,
    NULL,
    POSTING,
    REF_BITS,
    REF_MASK,
    REVERSAL,
    SNAPSHOT,
    Array,
    Index,
    Store,
    add,
    append,
    find,
    hash_bytes,
    new_account,
    new_customer,
    room_for,
    same,
)

# Reasons for dead letters; the codec's own lie below 40.
OK, DUPLICATE = 0, 3
BAD_ID, BAD_CURRENCY, BAD_CLASS, BAD_AMOUNT, BAD_DATE, BAD_INSTANT, BAD_NUMBER, BAD_SOURCE = 40, 41, 42, 43, 44, 45, 46, 47
OTHER_OWNER, OTHER_CURRENCY, OTHER_CLASS, CONFLICT, TOO_OLD, TOO_FRAGMENTED, BAD_VERSION = 48, 49, 50, 51, 52, 53, 54
REASONS = {
    BAD_ID: "id empty or too long",
    BAD_CURRENCY: "unknown currency",
    BAD_CLASS: "asset class empty or too many",
    BAD_AMOUNT: "amount out of range",
    BAD_DATE: "date out of range",
    BAD_INSTANT: "instant out of range",
    BAD_NUMBER: "journal number negative",
    BAD_SOURCE: "source empty or too many",
    OTHER_OWNER: "account belongs to another customer",
    OTHER_CURRENCY: "account has another currency",
    OTHER_CLASS: "account has another asset class",
    CONFLICT: "different payload under a known identity",
    TOO_OLD: "too old",
    TOO_FRAGMENTED: "too many holes in the account's journal",
    BAD_VERSION: "version out of range",
}
# Fields in the order of the contracts; the agent checks them against the schemas.
POSTING_FIELDS = (
    "event_id source journal_seq customer_id account_id asset_class currency amount_minor value_date booked_at nature "
    "customer_initiated branch channel counterparty_bank counterparty_ref reverses"
).split()
P_SOURCE, P_NUMBER, P_CUSTOMER, P_ACCOUNT, P_CLASS, P_CURRENCY, P_AMOUNT, P_DAY, P_BOOKED = range(1, 10)
P_NATURE, P_INITIATED, P_BRANCH, P_BANK, P_REVERSES = 10, 11, 12, 14, 16
SNAPSHOT_FIELDS = (
    "event_id source customer_id account_id asset_class currency balance_minor cutoff_at business_day version opened_on branch"
).split()
S_EVENT, S_SOURCE, S_CUSTOMER, S_ACCOUNT, S_CLASS, S_CURRENCY, S_BALANCE, S_INSTANT, S_DAY, S_VERSION, S_OPENED = range(11)
VALUE_AHEAD_DAYS, BOOKED_AHEAD_DAYS = 400, 400
CLASSES_MAX, NAMES_MAX = 62, 1 << 20
# Counters, int64[COUNTERS]
DUPLICATES, BEYOND_HORIZON, LATE_VALUES, HOT = 0, 1, 2, 3
COUNTERS = 4


class Lookups(NamedTuple):
    """Short texts with codes."""

    currencies: Index
    classes: Index
    sources: Index
    banks: Index
    branches: Index


class Zone(NamedTuple):
    """The bank's zone as calendar.zone_table gives it."""

    starts: Array
    offsets: Array


class Candidates(NamedTuple):
    """Rows where an outflow rule is met: event, customer, rule, outflow and reference AUM in base minor units."""

    count: Array  # int64[1]
    row: Array
    customer: Array
    rule: Array
    outflow: Array
    reference: Array


@nb.njit(cache=True, nogil=True)
def mix(h: int, value: int) -> int:
    """One more value into a fingerprint."""
    x = np.uint64(h) ^ np.uint64(value)
    x *= np.uint64(0x9E3779B97F4A7C15)
    return np.int64(x ^ (x >> np.uint64(29)))


@nb.njit(cache=True, nogil=True)
def _name(ix: Index, raw: Array, ref: int, most: int, fixed: bool) -> int:
    """The code of a short text; -1 if it is empty, too long, unknown in a fixed list, or one too many."""
    position, length = ref >> REF_BITS, ref & REF_MASK
    if ref == NULL or length == 0 or length > ID_BYTES_MAX:
        return -1
    code = find(ix, raw, position, length)
    if code >= 0 or fixed or ix.meta[0] >= most:
        return code
    return add(ix, raw, position, length)


@nb.njit(cache=True, nogil=True)
def _bad_id(ref: int) -> bool:
    return ref == NULL or (ref & REF_MASK) == 0 or (ref & REF_MASK) > ID_BYTES_MAX


@nb.njit(cache=True, nogil=True)
def _account(s: Store, names: Lookups, clock: Array, raw: Array, customer: int, account: int, asset_class: int, currency: int) -> tuple[int, int]:
    """(slot, OK) of an account whose attributes fit, made if it is new; else (-1 or slot, reason)."""
    slot = find(s.account_ids, raw, account >> REF_BITS, account & REF_MASK)
    if slot >= 0:
        a = s.accounts[slot]
        if not same(raw, customer >> REF_BITS, customer & REF_MASK, s.customer_ids.arena, s.customers[a.customer].ref):
            return slot, OTHER_OWNER
        if not same(raw, currency >> REF_BITS, currency & REF_MASK, names.currencies.arena, names.currencies.ref[a.currency]):
            return slot, OTHER_CURRENCY
        if not same(raw, asset_class >> REF_BITS, asset_class & REF_MASK, names.classes.arena, names.classes.ref[a.asset_class]):
            return slot, OTHER_CLASS
        return slot, OK
    money = _name(names.currencies, raw, currency, 0, True)
    if money < 0:
        return -1, BAD_CURRENCY
    kind = _name(names.classes, raw, asset_class, CLASSES_MAX, False)
    if kind < 0:
        return -1, BAD_CLASS
    known = s.customer_ids.meta[0]
    owner = add(s.customer_ids, raw, customer >> REF_BITS, customer & REF_MASK)
    if owner == known:
        new_customer(s, owner)
    slot = add(s.account_ids, raw, account >> REF_BITS, account & REF_MASK)
    new_account(s, slot, owner, kind, money)
    s.accounts[slot].rolled = clock[OPEN]
    return slot, OK


@nb.njit(cache=True, nogil=True)
def _check_dates(clock: Array, day: int, booked_day: int) -> int:
    """OK, or which of value date and booking cannot be right."""
    if booked_day < DAY_MIN or booked_day >= DAY_MAX or (clock[CLOSED] >= 0 and booked_day > clock[CLOSED] + BOOKED_AHEAD_DAYS):
        return BAD_INSTANT
    if day < DAY_MIN or day >= DAY_MAX or day > booked_day + VALUE_AHEAD_DAYS:
        return BAD_DATE
    return OK


@nb.njit(cache=True, nogil=True)
def _same_payload(s: Store, account: int, booked: int, amount: int, print_: int) -> bool:
    a = s.accounts[account]
    for at in range(a.head, a.head + a.count):
        e = s.entries[at]
        if e.kind == POSTING and e.booked == booked and e.amount == amount and e.print == print_:
            return True
    return False


@nb.njit(cache=True, nogil=True)
def _posting(s: Store, names: Lookups, zone: Zone, clock: Array, raw: Array, d: Array, counters: Array) -> tuple[int, int, int]:
    """One posting: (status, field at fault or -1, account)."""
    if _bad_id(d[P_CUSTOMER]):
        return BAD_ID, P_CUSTOMER, -1
    if _bad_id(d[P_ACCOUNT]):
        return BAD_ID, P_ACCOUNT, -1
    amount, day, booked, number = d[P_AMOUNT], d[P_DAY], d[P_BOOKED], d[P_NUMBER]
    if amount > AMOUNT_MAX or amount < -AMOUNT_MAX:
        return BAD_AMOUNT, P_AMOUNT, -1
    if number < 0 or number >= 1 << 62:
        return BAD_NUMBER, P_NUMBER, -1
    if booked < -(1 << 45) or booked > 1 << 45:
        return BAD_INSTANT, P_BOOKED, -1
    booked_day = business_day(booked, zone.starts, zone.offsets)
    bad = _check_dates(clock, day, booked_day)
    if bad != OK:
        return bad, P_DAY if bad == BAD_DATE else P_BOOKED, -1
    source = _name(names.sources, raw, d[P_SOURCE], NAMES_MAX, False)
    if source < 0:
        return BAD_SOURCE, P_SOURCE, -1
    known = find(s.account_ids, raw, d[P_ACCOUNT] >> REF_BITS, d[P_ACCOUNT] & REF_MASK) >= 0
    old = clock[OPEN] >= 0 and booked_day < clock[RING_FROM]
    if old and not known:
        return TOO_OLD, P_BOOKED, -1
    account, bad = _account(s, names, clock, raw, d[P_CUSTOMER], d[P_ACCOUNT], d[P_CLASS], d[P_CURRENCY])
    if bad != OK:
        field = P_CUSTOMER if bad == OTHER_OWNER else P_CURRENCY if bad in (OTHER_CURRENCY, BAD_CURRENCY) else P_CLASS
        return bad, field, -1
    print_ = np.uint32(mix(mix(mix(number, day), d[P_NATURE]), source) >> 20 & 0xFFFFFFFF)
    beyond = clock[OPEN] >= 0 and booked_day < clock[HORIZON_DAY]
    if journal_has(s, account, source, number):
        if not beyond and not _same_payload(s, account, booked, amount, print_):
            return CONFLICT, P_NUMBER, account
        counters[DUPLICATES] += 1
        return DUPLICATE, -1, account
    if old:
        return TOO_OLD, P_BOOKED, account
    if not journal_add(s, account, source, number):
        return TOO_FRAGMENTED, P_NUMBER, account
    a = s.accounts[account]
    a.first_day = min(a.first_day, day)
    if beyond:
        counters[BEYOND_HORIZON] += 1
        add_delta(s, clock, account, day, amount)
        if a.snapshots:
            add_delta(s, clock, account, booked_day, -amount)
        else:
            a.posted += amount
        return OK, -1, account
    add_value(s, clock, account, day, amount)
    held = snapshot_after(s, account, booked) if a.snapshots else -1
    if held >= 0:  # the snapshot has this posting already: its own entry shrinks by as much
        add_delta(s, clock, account, entry_day(s, account, held), -amount)
    a.posted += amount
    e = s.entries[append(s, account, booked, amount, day, POSTING)]
    e.print, e.nature, e.extra = print_, d[P_NATURE], -1
    e.flags = d[P_INITIATED] | (0 if d[P_REVERSES] == NULL else REVERSAL)
    if d[P_BANK] != NULL:
        e.extra = _name(names.banks, raw, d[P_BANK], NAMES_MAX, False)
    return OK, -1, account


@nb.njit(cache=True, nogil=True)
def _touch(s: Store, clock: Array, account: int) -> None:
    a = s.accounts[account]
    a.touched, a.dirty = clock[CLOSED], 1


@nb.njit(cache=True, nogil=True)
def _room(s: Store, names: Lookups, raw: Array, account_ref: int) -> bool:
    """Whether one more event fits whatever it needs; if not, the arrays are grown and the kernel goes on here."""
    if names.classes.meta[0] + 2 > len(names.classes.ref) or names.sources.meta[0] + 2 > len(names.sources.ref):
        return False
    if names.banks.meta[0] + 2 > len(names.banks.ref) or names.branches.meta[0] + 2 > len(names.branches.ref):
        return False
    if s.heap[0] + 64 > len(s.entries):
        return False
    slot = -1
    if account_ref != NULL:
        slot = find(s.account_ids, raw, account_ref >> REF_BITS, account_ref & REF_MASK)
    return slot < 0 or room_for(s, slot, 10)


@nb.njit(cache=True, nogil=True)
def fold_postings(
    first: int,
    last: int,
    s: Store,
    names: Lookups,
    zone: Zone,
    fx: Fx,
    rules: Rules,
    clock: Array,
    raw: Array,
    data: Array,
    status: Array,
    field: Array,
    found: Candidates,
    counters: Array,
    live: bool,
) -> int:
    """Folds rows [first, last) whose status is 0; returns the first row that did not fit (`last` when all did)."""
    for i in range(first, last):
        if status[i] != OK:
            continue
        d = data[i]
        if not _room(s, names, raw, d[P_ACCOUNT]) or found.count[0] + len(rules.window) > len(found.row):
            return i
        status[i], field[i], account = _posting(s, names, zone, clock, raw, d, counters)
        if status[i] != OK:
            continue
        _touch(s, clock, account)
        if d[P_AMOUNT] < 0 and d[P_NATURE] == EXTERNAL and d[P_REVERSES] == NULL:
            booked_day = business_day(d[P_BOOKED], zone.starts, zone.offsets)
            outflow(s, zone.starts, zone.offsets, fx, rules, clock, account, booked_day, -d[P_AMOUNT], i, found, live)
    return last


@nb.njit(cache=True, nogil=True)
def _snapshot(s: Store, names: Lookups, zone: Zone, clock: Array, raw: Array, d: Array) -> tuple[int, int, int]:
    """One balance snapshot: (status, field at fault or -1, account)."""
    if _bad_id(d[S_CUSTOMER]):
        return BAD_ID, S_CUSTOMER, -1
    if _bad_id(d[S_ACCOUNT]):
        return BAD_ID, S_ACCOUNT, -1
    balance, day, instant, version = d[S_BALANCE], d[S_DAY], d[S_INSTANT], d[S_VERSION]
    if balance > AMOUNT_MAX or balance < -AMOUNT_MAX:
        return BAD_AMOUNT, S_BALANCE, -1
    if version < 0 or version >= 1 << 31:
        return BAD_VERSION, S_VERSION, -1
    if instant < -(1 << 45) or instant > 1 << 45:
        return BAD_INSTANT, S_INSTANT, -1
    cut_day = business_day(instant, zone.starts, zone.offsets)
    bad = _check_dates(clock, day, cut_day)
    if bad != OK:
        return bad, S_DAY if bad == BAD_DATE else S_INSTANT, -1
    opened = d[S_OPENED]
    if opened != NULL and (opened < 1 or opened > day or opened >= DAY_MAX):
        return BAD_DATE, S_OPENED, -1
    if _name(names.sources, raw, d[S_SOURCE], NAMES_MAX, False) < 0:
        return BAD_SOURCE, S_SOURCE, -1
    print_ = np.uint32(hash_bytes(raw, d[S_EVENT] >> REF_BITS, d[S_EVENT] & REF_MASK) >> np.uint64(32))
    too_old = clock[OPEN] >= 0 and cut_day < clock[HORIZON_DAY]
    if too_old and find(s.account_ids, raw, d[S_ACCOUNT] >> REF_BITS, d[S_ACCOUNT] & REF_MASK) < 0:
        return TOO_OLD, S_INSTANT, -1
    account, bad = _account(s, names, clock, raw, d[S_CUSTOMER], d[S_ACCOUNT], d[S_CLASS], d[S_CURRENCY])
    if bad != OK:
        field = S_CUSTOMER if bad == OTHER_OWNER else S_CURRENCY if bad in (OTHER_CURRENCY, BAD_CURRENCY) else S_CLASS
        return bad, field, -1
    at, a = snapshot_at(s, account, instant), s.accounts[account]
    if not too_old:
        a.first_day = min(a.first_day, day if opened == NULL else min(day, opened))
    if at >= 0:
        e = s.entries[at]
        if version < e.extra or (version == e.extra and print_ <= e.print):
            return DUPLICATE, -1, account
    if too_old:
        return TOO_OLD, S_INSTANT, account
    apply_entries(s, clock, account, instant, -1, clock[HORIZON_MS])
    if at < 0:
        at = append(s, account, instant, balance, day, SNAPSHOT)
    e = s.entries[at]
    e.amount, e.day, e.extra, e.print = balance, day, version, print_
    e.flags = opened if opened != NULL else 0
    a.snapshots = 1
    apply_entries(s, clock, account, instant, 1, clock[HORIZON_MS])
    if snapshot_before(s, account, instant) < 0:
        a.partial = 1 if e.flags == 0 else 0
    return OK, -1, account


@nb.njit(cache=True, nogil=True)
def fold_snapshots(
    first: int,
    last: int,
    s: Store,
    names: Lookups,
    zone: Zone,
    clock: Array,
    raw: Array,
    data: Array,
    status: Array,
    field: Array,
    counters: Array,
) -> int:
    """Folds balance snapshots in rows [first, last); returns the first row that did not fit."""
    for i in range(first, last):
        if status[i] != OK:
            continue
        if not _room(s, names, raw, data[i, S_ACCOUNT]):
            return i
        status[i], field[i], account = _snapshot(s, names, zone, clock, raw, data[i])
        if status[i] == DUPLICATE:
            counters[DUPLICATES] += 1
        elif status[i] == OK:
            _touch(s, clock, account)
    return last
