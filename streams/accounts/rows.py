"""Account rows as bytes for the changelog, and back: varints, sparse, no Python object per field.

Codes of names (currencies, classes, sources, banks) are those of the dictionaries that travel beside them.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from streams.accounts.store import (
    ACCOUNT,
    CHANGED,
    DIRTY,
    ENTRY,
    POSTING,
    REF_BITS,
    REF_MASK,
    REVERSAL,
    RING,
    UNCHANGED,
    WRITTEN,
    Array,
    Store,
    add,
    enlarge,
    find,
    hash_bytes,
    new_account,
    new_customer,
    piece,
    room_for,
)
from streams.kernels.prefetch import LINE_BYTES, prefetch
from streams.kernels.refcounts import borrowed
from streams.kernels.varints import long_at, write_long

AHEAD, ENTRIES_AHEAD = 4, 32  # rows between the steps of looking ahead; entries of a row that are asked for
LOAD_AHEAD = 8  # the same where rows are read: more of them fit into a wait
SEEN = 3 * LOAD_AHEAD  # rows looked at ahead
ENTRY_BYTES = ENTRY.itemsize
_OWNER, _MARK = (dict(ACCOUNT.fields or {})[name][1] for name in ("customer", "dirty"))
FIXED_BYTES_MAX, ENTRY_BYTES_MAX = 600, 64  # of one row without its entries, and of one entry


@nb.njit(cache=True, nogil=True)
def _encode_row(s: Store, slot: int, out: Array, at: int) -> int:
    a = s.accounts[slot]
    ref = s.customers[a.customer].ref
    at = write_long(out, at, ref & REF_MASK)
    for i in range(ref & REF_MASK):
        out[at + i] = s.customer_ids.arena[(ref >> REF_BITS) + i]
    at += ref & REF_MASK
    at = write_long(out, at, a.asset_class)
    at = write_long(out, at, a.currency)
    at = write_long(out, at, a.snapshots | a.partial << 1)
    at = write_long(out, at, a.base)
    at = write_long(out, at, a.posted)
    at = write_long(out, at, a.journal_source)
    at = write_long(out, at, a.journal_high)
    at = write_long(out, at, a.journal_high - a.journal_low)
    at = write_long(out, at, a.rolled)
    at = write_long(out, at, a.first_day)
    at = write_long(out, at, a.touched)
    at = write_long(out, at, a.folded)
    for k in range(RING):
        at = write_long(out, at, a.sums[k])
    at = write_long(out, at, a.count)
    booked, day = np.int64(0), np.int64(0)
    for place in range(a.head, a.head + a.count):
        e = s.entries[place]
        at = write_long(out, at, np.int64(e.kind) | np.int64(e.nature) << 3)
        at = write_long(out, at, e.booked - booked)
        at = write_long(out, at, e.amount)
        at = write_long(out, at, e.day - day)
        at = write_long(out, at, e.print)
        at = write_long(out, at, e.extra)
        at = write_long(out, at, e.flags)
        booked, day = e.booked, np.int64(e.day)
    return at


@nb.njit(cache=True, nogil=True, forceinline=True)
def _look_ahead(s: Store, slots: Array, i: int) -> None:
    """Asks for the memory of the rows behind row i, in steps: each finds what the step before it asked for."""
    if i + 3 * AHEAD < len(slots):
        for line in range(4):
            prefetch(s.accounts, slots[i + 3 * AHEAD], line * LINE_BYTES)
    if i + 2 * AHEAD < len(slots):
        a = s.accounts[slots[i + 2 * AHEAD]]
        prefetch(s.customers, a.customer, 0)
        for at in range(0, min(a.count, ENTRIES_AHEAD) * ENTRY_BYTES, LINE_BYTES):
            prefetch(s.entries, a.head, at)
    if i + AHEAD < len(slots):
        owner = s.customers[s.accounts[slots[i + AHEAD]].customer].ref
        prefetch(s.customer_ids.arena, owner >> REF_BITS, 0)


@nb.njit(cache=True, nogil=True)
def take_changed(store: Store, first: int, rows_max: int, taken: Array) -> tuple[int, int]:
    """Slots to write into `taken`, in no order: of the list's first `first`, each with all changed ones of its owner.

    (How many, how much of the list is done.) It ends with the customer who brings them to rows_max. Which postings are a pair
    is settled over all accounts of a customer (streams.alerts.flow_days): half of that, written alone, would be settled
    otherwise after a crash. Those that are taken before it is their turn stay in the list.
    """
    s, n, listed = borrowed(store), 0, store.heap[DIRTY]
    left = first  # taken from the back, so that what fills the gap is no longer than it
    while left > 0 and (n < rows_max or s.accounts[s.dirty[left - 1]].dirty != CHANGED):
        left -= 1
        if left >= 2 * LOAD_AHEAD:
            prefetch(s.accounts, s.dirty[left - 2 * LOAD_AHEAD], _OWNER)
            prefetch(s.accounts, s.dirty[left - 2 * LOAD_AHEAD], _MARK)
        if left >= LOAD_AHEAD:
            prefetch(s.customers, s.accounts[s.dirty[left - LOAD_AHEAD]].customer, 0)
        a = s.accounts[s.dirty[left]]
        changed, a.dirty = a.dirty == CHANGED, UNCHANGED
        if not changed:
            continue
        taken[n] = s.dirty[left]
        n += 1
        slot = s.customers[a.customer].head
        while slot >= 0:
            other = s.accounts[slot]
            if other.dirty == CHANGED:
                other.dirty = WRITTEN
                taken[n] = slot
                n += 1
            slot = other.following
    moved = min(first - left, listed - first)
    for k in range(moved):
        s.dirty[left + k] = s.dirty[listed - moved + k]
    s.heap[DIRTY] = listed - (first - left)
    return n, first - left


@nb.njit(cache=True, nogil=True)
def encode_rows(store: Store, slots: Array, first: int, buffer: Array, ends: Array) -> tuple[int, int]:
    """Rows of slots[first:] into `buffer`, where each ends into `ends`; (first not written, bytes)."""
    s, out, at = borrowed(store), borrowed(buffer), 0
    for i in range(first, len(slots)):
        _look_ahead(s, slots, i)
        a = s.accounts[slots[i]]
        if at + FIXED_BYTES_MAX + ENTRY_BYTES_MAX * a.count > len(out):
            return i, at
        at = _encode_row(s, slots[i], out, at)
        ends[i] = at
    return len(slots), at


@nb.njit(cache=True, nogil=True, forceinline=True)
def _look_ahead_loading(s: Store, raw: Array, key: Array, key_end: Array, i: int, first: int, seen: Array) -> None:
    """Asks for the memory that the rows behind row i go to, in steps; seen int64[SEEN] hands what is found on."""
    ids = s.account_ids
    mask = len(ids.table) - 1
    j = i + 3 * LOAD_AHEAD
    if j < len(key):
        cell = np.int64(hash_bytes(raw, key[j], key_end[j] - key[j]) & np.uint64(mask))
        seen[j % SEEN] = cell
        prefetch(ids.table, cell, 0)
        prefetch(ids.tag, cell, 0)
    j = i + 2 * LOAD_AHEAD
    if first <= j < len(key):
        slot = np.int64(ids.table[seen[j % SEEN]])
        seen[j % SEEN] = slot
        if slot >= 0:
            prefetch(ids.ref, slot, 0)
            for line in range(4):
                prefetch(s.accounts, slot, line * LINE_BYTES)
    j = i + LOAD_AHEAD
    if first <= j < len(key) and seen[j % SEEN] >= 0:
        a = s.accounts[seen[j % SEEN]]
        prefetch(ids.arena, ids.ref[seen[j % SEEN]] >> REF_BITS, 0)
        for at in range(0, min(a.count, ENTRIES_AHEAD) * ENTRY_BYTES, LINE_BYTES):
            prefetch(s.entries, a.head, at)


@nb.njit(cache=True, nogil=True)
def _loaded_account(s: Store, raw: Array, key: int, key_end: int, at: int) -> tuple[int, int]:
    """(slot of a row's account, made if it is not there, and where the row goes on behind owner, class and currency)."""
    length, at = long_at(raw, at)
    owner = at
    asset_class, at = long_at(raw, at + length)
    currency, at = long_at(raw, at)
    slot = find(s.account_ids, raw, key, key_end - key)
    if slot < 0:  # else its owner is known too
        known = s.customer_ids.meta[0]
        customer = add(s.customer_ids, raw, owner, length)
        if customer == known:
            new_customer(s, customer)
        slot = add(s.account_ids, raw, key, key_end - key)
        new_account(s, slot, customer, asset_class, currency)
    return slot, at


@nb.njit(cache=True, nogil=True)
def load_rows(store: Store, buffer: Array, key: Array, key_end: Array, value: Array, first: int) -> int:
    """Puts rows [first, …) into the columns, later ones over earlier ones; the first that did not fit."""
    s, raw, seen = borrowed(store), borrowed(buffer), np.zeros(SEEN, np.int64)
    for i in range(first - SEEN, len(key)):
        _look_ahead_loading(s, raw, key, key_end, i, first, seen)
        if i < first:
            continue
        slot, at = _loaded_account(s, raw, key[i], key_end[i], value[i])
        a = s.accounts[slot]
        flags, at = long_at(raw, at)
        a.snapshots, a.partial = flags & 1, flags >> 1
        a.base, at = long_at(raw, at)
        a.posted, at = long_at(raw, at)
        a.journal_source, at = long_at(raw, at)
        a.journal_high, at = long_at(raw, at)
        span, at = long_at(raw, at)
        a.journal_low = a.journal_high - span
        a.rolled, at = long_at(raw, at)
        a.first_day, at = long_at(raw, at)
        a.touched, at = long_at(raw, at)
        a.folded, at = long_at(raw, at)
        for k in range(RING):
            a.sums[k], at = long_at(raw, at)
        count, at = long_at(raw, at)
        a.count = 0
        if not room_for(s, slot, count):
            return i
        _load_entries(s, raw, slot, count, at)
    return len(key)


@nb.njit(cache=True, nogil=True)
def _load_entries(s: Store, raw: Array, slot: int, count: int, at: int) -> None:
    """The entries of a row, in a piece that is large enough from the start."""
    a = s.accounts[slot]
    size_class = a.size_class
    while count > 0 and (size_class < 0 or piece(size_class) < count):
        size_class += 1
    if size_class > a.size_class:
        enlarge(s, slot, size_class)
    a.count = count
    booked, day = np.int64(0), np.int64(0)
    a.reversals = 0
    for place in range(a.head, a.head + count):
        kind, at = long_at(raw, at)
        moved, at = long_at(raw, at)
        amount, at = long_at(raw, at)
        days, at = long_at(raw, at)
        booked, day = booked + moved, day + days
        e = s.entries[place]
        e.booked, e.amount, e.day, e.kind, e.nature = booked, amount, day, kind & 7, kind >> 3
        e.print, at = long_at(raw, at)
        e.extra, at = long_at(raw, at)
        e.flags, at = long_at(raw, at)
        if e.kind == POSTING and e.flags & REVERSAL != 0:
            a.reversals = 1
