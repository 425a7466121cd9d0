"""The sequential kernel of balance snapshots: the other half of ledger_kernels."""

from __future__ import annotations

import numba as nb
import numpy as np

from streams.accounts.entries import CLOSED, HORIZON_DAY, HORIZON_MS, OPEN, apply_entries, snapshot_at, snapshot_before
from streams.accounts.postings import (
    DUPLICATES,
    NO_ROOM,
    Lookups,
    Zone,
    account_for,
    bad_id,
    has_room,
    kind_field,
    known_account,
    most_names,
    name_code,
    too_far_ahead,
    touch,
    unlisted,
)
from streams.accounts.store import (
    NULL,
    REF_BITS,
    REF_MASK,
    SNAPSHOT,
    SOURCES_MAX,
    Array,
    Store,
    append,
    hash_bytes,
    mark_dirty,
)
from streams.fields import (
    BAD_ID,
    BAD_INSTANT,
    BAD_SOURCE,
    DUPLICATE,
    OK,
    S_ACCOUNT,
    S_BALANCE,
    S_CLASS,
    S_CURRENCY,
    S_CUSTOMER,
    S_DAY,
    S_EVENT,
    S_INSTANT,
    S_OPENED,
    S_SOURCE,
    S_VERSION,
    TOO_OLD,
)
from streams.validity import snapshot_fault


@nb.njit(cache=True, nogil=True)
def _checked(zone: Zone, d: Array) -> tuple[int, int, int]:
    """(OK or reason, field at fault, business day of the cut-off) of a snapshot by itself."""
    if bad_id(d[S_CUSTOMER]):
        return BAD_ID, S_CUSTOMER, 0
    if bad_id(d[S_ACCOUNT]):
        return BAD_ID, S_ACCOUNT, 0
    return snapshot_fault(zone.starts, zone.offsets, d)


@nb.njit(cache=True, nogil=True)
def _snapshot(s: Store, names: Lookups, zone: Zone, clock: Array, raw: Array, d: Array, slot: int) -> tuple[int, int]:
    """One balance snapshot: (status, field at fault or -1)."""
    bad, field, cut_day = _checked(zone, d)
    if bad != OK:
        return bad, field
    far = too_far_ahead(clock, cut_day)
    if slot < 0 or far:
        bad = unlisted(names, raw, d[S_CLASS], d[S_CURRENCY], BAD_INSTANT if far else OK)
        if bad != OK:
            return bad, S_INSTANT if bad == BAD_INSTANT else kind_field(bad, S_CURRENCY, S_CLASS)
    if name_code(names.sources, raw, d[S_SOURCE], SOURCES_MAX, False) < 0:
        return BAD_SOURCE, S_SOURCE
    too_old = clock[OPEN] >= 0 and cut_day < clock[HORIZON_DAY]
    if too_old and slot < 0:
        return TOO_OLD, S_INSTANT
    account, bad = account_for(s, names, clock, raw, slot, d[S_CUSTOMER], d[S_ACCOUNT], d[S_CLASS], d[S_CURRENCY])
    if bad != OK:
        return bad, kind_field(bad, S_CURRENCY, S_CLASS)
    if s.accounts[account].folded > clock[CLOSED]:  # a replay meets a row that has this event behind it
        return DUPLICATE, -1
    print_ = np.uint32(hash_bytes(raw, d[S_EVENT] >> REF_BITS, d[S_EVENT] & REF_MASK) >> np.uint64(32))
    at = snapshot_at(s, account, d[S_INSTANT])
    known = at >= 0 and (
        d[S_VERSION] < s.entries[at].extra or (d[S_VERSION] == s.entries[at].extra and print_ <= s.entries[at].print)
    )
    if too_old:
        return (DUPLICATE, -1) if known else (TOO_OLD, S_INSTANT)
    a, seen = s.accounts[account], d[S_DAY] if d[S_OPENED] == NULL else min(d[S_DAY], d[S_OPENED])
    if seen < a.first_day:
        a.first_day = seen
        mark_dirty(s, account)
    if known:
        return DUPLICATE, -1
    touch(s, clock, account)
    _place(s, clock, account, d, print_)
    return OK, -1


@nb.njit(cache=True, nogil=True)
def _place(s: Store, clock: Array, account: int, d: Array, print_: int) -> None:
    """Puts a snapshot among the others; its entry and the next one's follow. Entries move when one is appended."""
    instant = d[S_INSTANT]
    apply_entries(s, clock, account, instant, -1, clock[HORIZON_MS])
    at = snapshot_at(s, account, instant)
    if at < 0:
        at = append(s, account, instant, 0, 0, SNAPSHOT)
    e = s.entries[at]
    e.amount, e.day, e.extra, e.print = d[S_BALANCE], d[S_DAY], d[S_VERSION], print_
    e.flags = max(d[S_OPENED], 1) if d[S_OPENED] != NULL else 0  # of a day before 1970 the first that fits
    s.accounts[account].snapshots = 1
    apply_entries(s, clock, account, instant, 1, clock[HORIZON_MS])
    if snapshot_before(s, account, instant) < 0:
        s.accounts[account].partial = 1 if d[S_OPENED] == NULL else 0


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
    most = most_names(names)
    for i in range(first, last):
        if status[i] != OK:
            continue
        slot = known_account(s, raw, data[i, S_CUSTOMER], data[i, S_ACCOUNT])
        if slot == NO_ROOM or not has_room(s, names, most, slot):
            return i
        status[i], field[i] = _snapshot(s, names, zone, clock, raw, data[i], slot)
        if status[i] == DUPLICATE:
            counters[DUPLICATES] += 1
    return last
