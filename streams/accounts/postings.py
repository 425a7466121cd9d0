"""The sequential kernels: postings and snapshots of a block into the columns, an event at a time, in log order."""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

from streams.accounts.entries import (
    CLOSED,
    HORIZON_DAY,
    LEAST,
    OLD_DAYS,
    OPEN,
    RING_FROM,
    SETTLE,
    add_delta,
    add_value,
    entry_day,
    journal_add,
    journal_has,
    snapshot_after,
)
from streams.accounts.store import (
    ENTRY,
    HAS_CASE,
    ID_BYTES_MAX,
    LATE_BITS,
    NULL,
    OLD,
    POSTING,
    REF_BITS,
    REF_MASK,
    REVERSAL,
    SOURCES_MAX,
    Array,
    Index,
    Long,
    Store,
    add,
    append,
    find,
    hash_bytes,
    mark_dirty,
    most_ids,
    new_account,
    new_customer,
    room_for,
    same,
    shared_id,
)
from streams.alerts.outflow import EXTERNAL_CODE, Candidates, Fx, Rules, outflow, widen_bound
from streams.fields import (
    BAD_CLASS,
    BAD_CURRENCY,
    BAD_ID,
    BAD_INSTANT,
    BAD_SOURCE,
    CONFLICT,
    DUPLICATE,
    OK,
    OTHER_CLASS,
    OTHER_CURRENCY,
    P_ACCOUNT,
    P_AMOUNT,
    P_BANK,
    P_BOOKED,
    P_CLASS,
    P_CURRENCY,
    P_CUSTOMER,
    P_DAY,
    P_INITIATED,
    P_NATURE,
    P_NUMBER,
    P_REVERSES,
    P_SOURCE,
    TOO_FRAGMENTED,
    TOO_OLD,
)
from streams.kernels.prefetch import LINE_BYTES, prefetch
from streams.kernels.refcounts import borrowed
from streams.validity import posting_fault

BOOKED_AHEAD_DAYS = 400  # of the last closed day
CLASSES_MAX, NAMES_MAX = 62, 1 << 20
NAMES_BYTES_MAX = 1 << 18  # of a list of names: all of them are one row, and JSON may take six bytes for one
NO_ROOM = -2  # for a slot
ENTRIES_AN_EVENT = 12  # that one event can add at most
DUPLICATES, BEYOND_HORIZON = 0, 1  # places in the counters
COUNTED = (
    2  # that are counted; behind them by source the newest booking instant, of those before the one at BOOKED_UNTIL
)
BOOKED_UNTIL, NEWEST = 2, 3
COUNTERS = NEWEST + SOURCES_MAX
OF_CASES = -1  # in place of a rule
AHEAD = 8  # rows between the steps of looking ahead
SEEN = 4 * AHEAD  # rows looked at ahead
ENTRY_END = ENTRY.itemsize - 1


class Lookups(NamedTuple):
    """Short texts with codes."""

    currencies: Index
    listed: Index  # the contract's classes of assets; `classes` are those met so far
    classes: Index
    sources: Index
    banks: Index


class Zone(NamedTuple):
    """The bank's zone as calendar.zone_table gives it."""

    starts: Array
    offsets: Array


@nb.njit(cache=True, nogil=True, forceinline=True)
def mix(h: int, value: int) -> Long:
    """One more value into a fingerprint."""
    x = np.uint64(h) ^ np.uint64(value)
    x *= np.uint64(0x9E3779B97F4A7C15)
    return np.int64(x ^ (x >> np.uint64(29)))


@nb.njit(cache=True, nogil=True, forceinline=True)
def name_code(ix: Index, raw: Array, ref: int, most: int, fixed: bool) -> int:
    """The code of a text; -1 if it is empty, too long, unknown in a fixed list, or one too many."""
    position, length = ref >> REF_BITS, ref & REF_MASK
    if ref == NULL or length == 0 or length > ID_BYTES_MAX:
        return -1
    code = find(ix, raw, position, length)
    if code >= 0 or fixed or ix.meta[0] >= most or ix.meta[1] + length > NAMES_BYTES_MAX:
        return code
    return add(ix, raw, position, length)


@nb.njit(cache=True, nogil=True, forceinline=True)
def bad_id(ref: int) -> bool:
    """Whether an id is missing, empty or too long."""
    return ref == NULL or (ref & REF_MASK) == 0 or (ref & REF_MASK) > ID_BYTES_MAX


@nb.njit(cache=True, nogil=True)
def _add_shared(s: Store, raw: Array, customer: int, account: int) -> Long:
    key = shared_id(raw, customer, account)
    return add(s.account_ids, key, 0, len(key))


@nb.njit(cache=True, nogil=True)
def _find_shared(s: Store, raw: Array, customer: int, account: int) -> Long:
    """The slot of an account under a customer who is not its first, -1 if it is new there; NO_ROOM for a new one."""
    key = shared_id(raw, customer, account)
    slot = find(s.account_ids, key, 0, len(key))
    if slot < 0 and s.account_ids.meta[1] + len(key) > len(s.account_ids.arena):
        return np.int64(NO_ROOM)
    return slot


@nb.njit(cache=True, nogil=True)
def unlisted(names: Lookups, raw: Array, kind: int, currency: int, otherwise: int) -> int:
    """Which of an account's attributes the contract doesn't know: a reason that comes before what the state says."""
    if name_code(names.currencies, raw, currency, 0, True) < 0:
        return BAD_CURRENCY
    return BAD_CLASS if name_code(names.listed, raw, kind, 0, True) < 0 else otherwise


@nb.njit(cache=True, nogil=True)
def kind_field(bad: int, currency: int, asset_class: int) -> int:
    """Which of the two fields a reason is about."""
    return currency if bad == BAD_CURRENCY or bad == OTHER_CURRENCY else asset_class


@nb.njit(cache=True, nogil=True, forceinline=True)
def account_for(
    s: Store, names: Lookups, clock: Array, raw: Array, slot: int, customer: int, account: int, kind: int, currency: int
) -> tuple[int, int]:
    """(slot, OK) of an account whose attributes fit, made if `slot` is -1; else (-1 or slot, reason).

    `slot` is what known_account gives. A new account's attributes are listed ones.
    """
    if slot >= 0:
        a = s.accounts[slot]
        if not same(
            raw, currency >> REF_BITS, currency & REF_MASK, names.currencies.arena, names.currencies.ref[a.currency]
        ):
            return slot, unlisted(names, raw, kind, currency, OTHER_CURRENCY)
        if not same(raw, kind >> REF_BITS, kind & REF_MASK, names.classes.arena, names.classes.ref[a.asset_class]):
            return slot, unlisted(names, raw, kind, currency, OTHER_CLASS)
        return slot, OK
    money = name_code(names.currencies, raw, currency, 0, True)
    asset_class = name_code(names.classes, raw, kind, CLASSES_MAX, False)
    if asset_class < 0:
        return -1, BAD_CLASS
    known = s.customer_ids.meta[0]
    owner = add(s.customer_ids, raw, customer >> REF_BITS, customer & REF_MASK)
    if owner == known:
        new_customer(s, owner)
    held = s.account_ids.meta[0]
    slot = add(s.account_ids, raw, account >> REF_BITS, account & REF_MASK)
    if slot < held:  # another customer's already
        slot = _add_shared(s, raw, customer, account)
    new_account(s, slot, owner, asset_class, money)
    s.accounts[slot].rolled, s.accounts[slot].folded = clock[OPEN], clock[CLOSED]
    return slot, OK


@nb.njit(cache=True, nogil=True, forceinline=True)
def too_far_ahead(clock: Array, booked_day: int) -> bool:
    """Whether something is booked so long after the last closed day that it can't be."""
    return clock[CLOSED] >= 0 and booked_day > clock[CLOSED] + BOOKED_AHEAD_DAYS


@nb.njit(cache=True, nogil=True)
def _same_payload(s: Store, account: int, booked: int, amount: int, print_: int) -> bool:
    a = s.accounts[account]
    for at in range(a.head, a.head + a.count):
        e = s.entries[at]
        if e.kind == POSTING and e.booked == booked and e.amount == amount and e.print == print_:
            return True
    return False


@nb.njit(cache=True, nogil=True, forceinline=True)
def _checked(zone: Zone, d: Array) -> tuple[int, int, int]:
    """(OK or reason, field at fault, business day of the booking) of a posting by itself."""
    if bad_id(d[P_CUSTOMER]):
        return BAD_ID, P_CUSTOMER, 0
    if bad_id(d[P_ACCOUNT]):
        return BAD_ID, P_ACCOUNT, 0
    return posting_fault(zone.starts, zone.offsets, d)


@nb.njit(cache=True, nogil=True, forceinline=True)
def _posting(
    s: Store, names: Lookups, zone: Zone, clock: Array, raw: Array, d: Array, slot: int, counters: Array
) -> tuple[int, int, int, int]:
    """One posting: (status, field at fault or -1, account, business day of the booking)."""
    amount, day, booked, number = d[P_AMOUNT], d[P_DAY], d[P_BOOKED], d[P_NUMBER]
    bad, field, booked_day = _checked(zone, d)
    if bad != OK:
        return bad, field, -1, 0
    far = too_far_ahead(clock, booked_day)
    if slot < 0 or far:
        bad = unlisted(names, raw, d[P_CLASS], d[P_CURRENCY], BAD_INSTANT if far else OK)
        if bad != OK:
            return bad, P_BOOKED if bad == BAD_INSTANT else kind_field(bad, P_CURRENCY, P_CLASS), -1, 0
    source = name_code(names.sources, raw, d[P_SOURCE], SOURCES_MAX, False)
    if source < 0:
        return BAD_SOURCE, P_SOURCE, -1, 0
    old = clock[OPEN] >= 0 and booked_day < clock[RING_FROM]
    if old and slot < 0:
        return TOO_OLD, P_BOOKED, -1, 0
    account, bad = account_for(s, names, clock, raw, slot, d[P_CUSTOMER], d[P_ACCOUNT], d[P_CLASS], d[P_CURRENCY])
    if bad != OK:
        return bad, kind_field(bad, P_CURRENCY, P_CLASS), -1, 0
    if s.accounts[account].folded > clock[CLOSED]:  # a replay meets a row that has this event behind it
        return DUPLICATE, -1, account, booked_day
    print_ = np.uint32(mix(mix(mix(number, day), d[P_NATURE]), source) >> 20 & 0xFFFFFFFF)
    beyond = clock[OPEN] >= 0 and booked_day < clock[HORIZON_DAY]
    if journal_has(s, account, source, number):
        if not beyond and not _same_payload(s, account, booked, amount, print_):
            return CONFLICT, P_NUMBER, account, booked_day
        counters[DUPLICATES] += 1
        return DUPLICATE, -1, account, booked_day
    if old:
        return TOO_OLD, P_BOOKED, account, booked_day
    if not journal_add(s, account, source, number):
        return TOO_FRAGMENTED, P_NUMBER, account, booked_day
    touch(s, clock, account)
    if counters[NEWEST + source] < booked < counters[BOOKED_UNTIL]:
        counters[NEWEST + source] = booked
    s.accounts[account].first_day = min(s.accounts[account].first_day, day)
    _book(s, names, clock, raw, d, account, booked_day, print_, counters)
    return OK, -1, account, booked_day


@nb.njit(cache=True, nogil=True, forceinline=True)
def _book(
    s: Store,
    names: Lookups,
    clock: Array,
    raw: Array,
    d: Array,
    account: int,
    booked_day: int,
    print_: int,
    counters: Array,
) -> None:
    """What a posting does to its account (docs/aum.md#postings)."""
    a, amount, day, booked = s.accounts[account], d[P_AMOUNT], d[P_DAY], d[P_BOOKED]
    if clock[OPEN] >= 0 and booked_day < clock[HORIZON_DAY]:
        counters[BEYOND_HORIZON] += 1
        add_delta(s, clock, account, day, amount)
        if a.snapshots:
            add_delta(s, clock, account, booked_day, -amount)
        else:
            a.posted += amount
        return
    add_value(s, clock, account, day, amount)
    held = snapshot_after(s, account, booked) if a.snapshots else -1
    if held >= 0:  # the snapshot has this posting already: its own entry shrinks by as much
        add_delta(s, clock, account, entry_day(s, account, held), -amount)
    a.posted += amount
    e = s.entries[append(s, account, booked, amount, day, POSTING)]
    e.print, e.nature, e.extra = print_, d[P_NATURE], -1
    e.flags = d[P_INITIATED]
    if d[P_REVERSES] != NULL:
        e.flags, a.reversals = e.flags | REVERSAL, 1
    if clock[SETTLE] >= 0 and clock[CLOSED] >= 0 and booked_day <= clock[CLOSED] - clock[SETTLE]:
        e.flags |= (clock[CLOSED] + 1 - booked_day) << LATE_BITS | (OLD if booked_day < clock[CLOSED] - OLD_DAYS else 0)
    if d[P_BANK] != NULL:
        e.extra = name_code(names.banks, raw, d[P_BANK], NAMES_MAX, False)


@nb.njit(cache=True, nogil=True, forceinline=True)
def touch(s: Store, clock: Array, account: int) -> None:
    """An event has changed the account."""
    a = s.accounts[account]
    a.touched = clock[CLOSED]
    mark_dirty(s, account)


@nb.njit(cache=True, nogil=True, forceinline=True)
def known_account(s: Store, raw: Array, customer: int, account: int) -> Long:
    """The slot of the account an event names, as its customer's own; -1 if it is new there or an id is none.

    NO_ROOM: it is new, and its id does not fit.
    """
    if bad_id(account) or bad_id(customer):
        return np.int64(-1)
    slot = find(s.account_ids, raw, account >> REF_BITS, account & REF_MASK)
    if slot >= 0:
        owner = s.customers[s.accounts[slot].customer].ref
        if not same(raw, customer >> REF_BITS, customer & REF_MASK, s.customer_ids.arena, owner):
            return _find_shared(s, raw, customer, account)
    return slot


@nb.njit(cache=True, nogil=True, forceinline=True)
def look_ahead(s: Store, raw: Array, data: Array, status: Array, i: int, first: int, last: int, seen: Array) -> None:
    """Asks for the memory that the rows behind row i need, in steps: each finds what the step before it asked for.

    seen int64[SEEN] keeps what a step has found for the next one: the hash of a row's account, then its slot.
    """
    ids = s.account_ids
    j = i + 4 * AHEAD
    if j < last:
        ref = data[j, P_ACCOUNT]
        usable = status[j] == OK and not bad_id(ref)
        seen[j % SEEN] = np.int64(hash_bytes(raw, ref >> REF_BITS, ref & REF_MASK)) if usable else np.int64(0)
        cell = seen[j % SEEN] & (len(ids.table) - 1)
        prefetch(ids.table, cell, 0)
        prefetch(ids.tag, cell, 0)
    j = i + 3 * AHEAD
    if first <= j < last:
        slot = np.int64(ids.table[seen[j % SEEN] & (len(ids.table) - 1)])
        seen[j % SEEN] = slot
        for line in range(4):
            prefetch(s.accounts, slot, line * LINE_BYTES)
        prefetch(ids.ref, slot, 0)
    j = i + 2 * AHEAD
    if first <= j < last and seen[j % SEEN] >= 0:
        a = s.accounts[seen[j % SEEN]]
        prefetch(s.customers, a.customer, 0)
        prefetch(s.entries, a.head + a.count, 0)
        prefetch(s.entries, a.head + a.count, ENTRY_END)
        prefetch(ids.arena, ids.ref[seen[j % SEEN]] >> REF_BITS, 0)
    j = i + AHEAD
    if first <= j < last and seen[j % SEEN] >= 0:
        owner = s.customers[s.accounts[seen[j % SEEN]].customer].ref
        prefetch(s.customer_ids.arena, owner >> REF_BITS, 0)


@nb.njit(cache=True, nogil=True, forceinline=True)
def most_names(names: Lookups) -> tuple[int, int, int]:
    """How many classes, sources and banks there may be before their lists have to grow."""
    return most_ids(names.classes), most_ids(names.sources), most_ids(names.banks)


@nb.njit(cache=True, nogil=True, forceinline=True)
def has_room(s: Store, names: Lookups, most: tuple[int, int, int], slot: int) -> bool:
    """Whether one more event fits whatever it needs; if not, the arrays are grown and the kernel goes on here."""
    if names.classes.meta[0] >= most[0] or names.sources.meta[0] >= most[1] or names.banks.meta[0] >= most[2]:
        return False
    if s.heap[0] + ENTRIES_AN_EVENT > len(s.entries):
        return False
    return slot < 0 or room_for(s, slot, ENTRIES_AN_EVENT)


@nb.njit(cache=True, nogil=True, forceinline=True)
def _watch(
    s: Store, fx: Fx, clock: Array, account: int, booked_day: int, d: Array, row: int, met: Candidates, live: bool
) -> None:
    """Appends to `met` a customer whose cases want a look now that a posting of his is folded.

    That is a debit which may be flow, if enough may have left; or any posting of a customer who has, or had, a case.
    """
    customer = s.accounts[account].customer
    debit = d[P_AMOUNT] < 0 and d[P_NATURE] <= EXTERNAL_CODE  # an unknown nature is watched too
    if debit:
        widen_bound(s, fx, clock, account, booked_day, -d[P_AMOUNT])
    bound = s.customers[customer].outflow_bound
    if not live or bound < clock[LEAST] or not (debit or bound >= HAS_CASE):
        return
    if clock[OPEN] < 0 or booked_day >= clock[HORIZON_DAY]:
        k = met.found[0]
        met.row[k], met.customer[k], met.rule[k] = row, customer, OF_CASES
        met.found[0] = k + 1


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
    met: Candidates,
    counters: Array,
    live: bool,
) -> int:
    """Folds rows [first, last) whose status is 0; returns the first row that did not fit (`last` when all did)."""
    s, names, zone, fx, rules, met = (
        borrowed(s),
        borrowed(names),
        borrowed(zone),
        borrowed(fx),
        borrowed(rules),
        borrowed(met),
    )
    clock, raw, data, counters = borrowed(clock), borrowed(raw), borrowed(data), borrowed(counters)
    status, field = borrowed(status), borrowed(field)
    seen, most = np.zeros(SEEN, np.int64), most_names(names)
    for i in range(first - SEEN, last):
        look_ahead(s, raw, data, status, i, first, last, seen)
        if i < first or status[i] != OK:
            continue
        d = data[i]
        slot = known_account(s, raw, d[P_CUSTOMER], d[P_ACCOUNT])
        if slot == NO_ROOM or not has_room(s, names, most, slot) or met.found[0] + len(rules.window) > len(met.row):
            return i
        status[i], field[i], account, booked_day = _posting(s, names, zone, clock, raw, d, slot, counters)
        if status[i] != OK:
            continue
        if clock[SETTLE] >= 0:
            _watch(s, fx, clock, account, booked_day, d, i, met, live)
        elif d[P_AMOUNT] < 0 and d[P_NATURE] == EXTERNAL_CODE:
            outflow(
                s, names.banks, zone.starts, zone.offsets, fx, rules, clock, account, booked_day, -d[P_AMOUNT], i, met, live
            )  # fmt: skip
    return last
