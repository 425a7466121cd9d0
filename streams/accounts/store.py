"""Columns of one partition: ids to slots, account and customer rows, and one heap of small entries.

Everything is a numpy array, so that a kernel sees no Python object. `Store` is what kernels get; `Columns` owns and
grows the arrays. An account's entries lie together in the heap, in a piece of 2 << size_class entries.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Long = Any  # an int64 inside a kernel, where mypy sees numpy's scalar and numba none
NULL = -(1 << 63)
REF_BITS, REF_MASK = 20, (1 << 20) - 1  # a packed reference: position << 20 | length
RING = 16  # month sums held: the open month and the 15 closed before it
ID_BYTES_MAX = 128
EVENT_ID_BYTES_MAX = 512  # of those that are kept
SOURCES_MAX = 256  # names of sources that a partition tells apart
SHARED_ID_BYTES_MAX = 2 * ID_BYTES_MAX + 1
GROWTH = 4  # times as much room when an array is full
SIZE_CLASSES = 20  # up to 2 << 19 entries: a million an account
DIRTY = 1 + SIZE_CLASSES  # place in the heap's numbers
UNCHANGED, CHANGED, WRITTEN = 0, 1, 2  # since its row was written; WRITTEN: with another's, before its turn in the list

# Kinds of entries
POSTING, DELTA, SNAPSHOT, LATE, JOURNAL, BREAK, FLOW = 1, 2, 3, 4, 5, 6, 7
INITIATED, REVERSAL, SETTLED = 1, 2, 4  # flags of a posting; SETTLED: a reversal whose partner was asked for at a close
HAS_CASE = 1 << 61
FLOWLESS = 8  # ... that takes no part in flow any more: it, or what it was a pair with, has been folded into a day
OLD = 16  # ... that came so late that it counts in sums of days only
LATE_BITS = 8  # ... whose upper bits say how many days after its booking it counts

ENTRY = np.dtype(
    [
        # POSTING: booking instant; SNAPSHOT, BREAK: cut-off instant; JOURNAL: lowest number; FLOW: amount of the earlier day
        ("booked", np.int64),
        # minor units; SNAPSHOT: the balance; BREAK: the amount reported; JOURNAL: highest number; FLOW: below 0 went out
        ("amount", np.int64),
        (
            "day",
            np.int32,
        ),  # value date; SNAPSHOT: business day; JOURNAL: source; FLOW: the later day on which it counts
        ("print", np.uint32),  # fingerprint of the payload (POSTING) or of the event id (SNAPSHOT)
        # POSTING: counterparty bank; SNAPSHOT: version; DELTA: customer-initiated postings in it; FLOW: the earlier day
        ("extra", np.int32),
        ("kind", np.uint8),
        ("nature", np.uint8),
        # SNAPSHOT: opened_on as a day number, 0 if unknown; POSTING: INITIATED | REVERSAL | SETTLED
        ("flags", np.uint16),
    ]
)
ACCOUNT = np.dtype(
    [
        ("ref", np.int64),  # id in the arena
        ("base", np.int64),  # what has been folded out of the entries, minor units
        ("posted", np.int64),  # sum of postings that snapshots have to explain, minor units
        ("journal_low", np.int64),  # the highest interval of journal numbers; empty: low > high
        ("journal_high", np.int64),
        ("sums", np.int64, (RING,)),  # month % RING: sum of the closes of the month's days, base currency only
        ("customer", np.int32),
        ("following", np.int32),  # next account of the customer, -1 at the end
        ("head", np.int32),
        ("count", np.int32),
        ("journal_source", np.int32),
        ("rolled", np.int32),  # the open month up to which `sums` hold; -1 before the first close
        ("first_day", np.int32),  # smallest value date seen
        ("touched", np.int32),  # last closed day when an event last changed the account
        ("folded", np.int32),  # the last close that has folded the entries: a row says how far it has come
        ("asset_class", np.int16),
        ("currency", np.int16),
        ("size_class", np.int8),
        ("snapshots", np.uint8),  # 1: has had a snapshot
        ("partial", np.uint8),  # 1: opened before the first snapshot on an unknown day
        ("dirty", np.uint8),
        ("reversals", np.uint8),  # 1: may hold a reversal one by one
    ],
    align=True,  # fields lie so in any case; a length that is a multiple of eight keeps every account aligned
)
CUSTOMER = np.dtype(
    [
        ("ref", np.int64),
        # at least the outflow of any window ended now, base minor units; HAS_CASE more where there is, or was, a case
        ("outflow_bound", np.int64),
        ("head", np.int32),
        ("tier_day", np.int32, (3,)),  # in force from; newest first
        ("branch", np.int32),
        ("rm", np.int32),
        ("card", np.int32),
        ("tier", np.int8, (3,)),
        ("customer_class", np.int8),
        ("published", np.int8),  # queue class last published, -1 none
        ("dirty", np.uint8),
    ]
)


class Index(NamedTuple):
    """Open addressing from id bytes to slot numbers; ids lie in `arena`, `ref` has their packed references."""

    table: Array  # int32[2**k], -1 empty
    tag: Array  # uint32[2**k], the hash's upper half
    arena: Array  # uint8
    ref: Array  # int64[slots]
    meta: Array  # int64[2]: slots in use, arena bytes in use


class Store(NamedTuple):
    """What a kernel sees of a partition."""

    accounts: Array
    customers: Array
    entries: Array
    heap: Array  # int64[2 + SIZE_CLASSES]: entries in use, first free piece of each class or -1, dirty accounts
    dirty: Array  # int32[accounts]: slots of dirty accounts, the first heap[DIRTY]
    account_ids: Index  # an account under a second customer has an id of its own here, see shared_id
    customer_ids: Index


@nb.njit(cache=True, nogil=True, forceinline=True)
def hash_bytes(raw: Array, position: int, length: int) -> Any:
    """FNV-1a with a final mix, 64 bits."""
    h = np.uint64(14_695_981_039_346_656_037)
    for i in range(position, position + length):
        h = (h ^ np.uint64(raw[i])) * np.uint64(1_099_511_628_211)
    h ^= h >> np.uint64(32)
    h *= np.uint64(0x9E3779B97F4A7C15)
    return h ^ (h >> np.uint64(29))


@nb.njit(cache=True, nogil=True, forceinline=True)
def same(raw: Array, position: int, length: int, arena: Array, ref: int) -> bool:
    """Whether raw[position:position+length] is the id of `ref`."""
    if (ref & REF_MASK) != length:
        return False
    other = ref >> REF_BITS
    for i in range(length):
        if raw[position + i] != arena[other + i]:
            return False
    return True


@nb.njit(cache=True, nogil=True, forceinline=True)
def find(ix: Index, raw: Array, position: int, length: int) -> Long:
    """The slot of an id, -1 if it is not there."""
    h = hash_bytes(raw, position, length)
    tag, mask = np.uint32(h >> np.uint64(32)), len(ix.table) - 1
    at = np.int64(h & np.uint64(mask))
    while ix.table[at] >= 0:
        slot = np.int64(ix.table[at])
        if ix.tag[at] == tag and same(raw, position, length, ix.arena, ix.ref[slot]):
            return slot
        at = (at + 1) & mask
    return -1


@nb.njit(cache=True, nogil=True)
def add(ix: Index, raw: Array, position: int, length: int) -> Long:
    """The slot of an id, made if it is not there. The caller has reserved room."""
    h = hash_bytes(raw, position, length)
    tag, mask = np.uint32(h >> np.uint64(32)), len(ix.table) - 1
    at = np.int64(h & np.uint64(mask))
    while ix.table[at] >= 0:
        known = np.int64(ix.table[at])
        if ix.tag[at] == tag and same(raw, position, length, ix.arena, ix.ref[known]):
            return known
        at = (at + 1) & mask
    slot, top = ix.meta[0], ix.meta[1]
    for i in range(length):
        ix.arena[top + i] = raw[position + i]
    ix.table[at], ix.tag[at], ix.ref[slot] = slot, tag, (top << REF_BITS) | length
    ix.meta[0], ix.meta[1] = slot + 1, top + length
    return slot


@nb.njit(cache=True, nogil=True)
def shared_id(raw: Array, customer: int, account: int) -> Array:
    """The id by which an account is kept under a customer who is not its first (packed references into `raw`).

    What comes under a customer counts for that customer, whoever else has the account. The id is that of the account,
    filled up with zeros, its length, and the customer: longer than ID_BYTES_MAX, so that it is no other account's.
    """
    size, more = account & REF_MASK, customer & REF_MASK
    out = np.zeros(ID_BYTES_MAX + 1 + more, np.uint8)
    for i in range(size):
        out[i] = raw[(account >> REF_BITS) + i]
    out[ID_BYTES_MAX] = size
    for i in range(more):
        out[ID_BYTES_MAX + 1 + i] = raw[(customer >> REF_BITS) + i]
    return out


@nb.njit(cache=True, nogil=True)
def _rehash(ix: Index, table: Array, tag: Array) -> None:
    mask = len(table) - 1
    for slot in range(ix.meta[0]):
        ref = ix.ref[slot]
        h = hash_bytes(ix.arena, ref >> REF_BITS, ref & REF_MASK)
        at = np.int64(h & np.uint64(mask))
        while table[at] >= 0:
            at = (at + 1) & mask
        table[at], tag[at] = slot, np.uint32(h >> np.uint64(32))


@nb.njit(cache=True, nogil=True, forceinline=True)
def piece(size_class: int) -> int:
    """Entries in a piece of a size class."""
    return 2 << size_class


@nb.njit(cache=True, nogil=True, forceinline=True)
def mark_dirty(s: Store, account: int) -> None:
    """The account's row has to be written."""
    a = s.accounts[account]
    if a.dirty == UNCHANGED:
        s.dirty[s.heap[DIRTY]] = account
        s.heap[DIRTY] += 1
    a.dirty = CHANGED


@nb.njit(cache=True, nogil=True, forceinline=True)
def room_for(s: Store, account: int, more: int) -> bool:
    """Whether `more` entries can be appended without growing the heap."""
    a = s.accounts[account]
    need, count, size_class = 0, a.count + more, a.size_class
    while size_class < 0 or piece(size_class) < count:
        size_class += 1
        need += piece(size_class)
    return s.heap[0] + need <= len(s.entries)


@nb.njit(cache=True, nogil=True)
def enlarge(s: Store, account: int, size_class: int) -> None:
    """Moves an account's entries to a piece of a larger size; the old piece is free. The caller has checked `room_for`."""
    a = s.accounts[account]
    free = s.heap[1 + size_class]
    if free >= 0:
        s.heap[1 + size_class] = s.entries[free].booked
    else:
        free = s.heap[0]
        s.heap[0] += piece(size_class)
    for i in range(a.count):
        s.entries[free + i] = s.entries[a.head + i]
    if a.size_class >= 0:
        s.entries[a.head].booked = s.heap[1 + a.size_class]
        s.heap[1 + a.size_class] = a.head
    a.head, a.size_class = free, size_class


@nb.njit(cache=True, nogil=True, forceinline=True)
def append(s: Store, account: int, booked: int, amount: int, day: int, kind: int) -> int:
    """A new entry of an account with its other fields 0; returns its place. The caller has checked `room_for`."""
    a = s.accounts[account]
    if a.size_class < 0 or a.count == piece(a.size_class):
        enlarge(s, account, a.size_class + 1)
    at = a.head + a.count
    a.count += 1
    e = s.entries[at]
    e.booked, e.amount, e.day, e.kind = booked, amount, day, kind
    e.print, e.extra, e.nature, e.flags = 0, 0, 0, 0
    return at


@nb.njit(cache=True, nogil=True)
def remove(s: Store, account: int, at: int) -> None:
    """Drops an entry; the last one takes its place."""
    a = s.accounts[account]
    a.count -= 1
    last = a.head + a.count
    if at != last:
        s.entries[at] = s.entries[last]


@nb.njit(cache=True, nogil=True)
def new_account(s: Store, slot: int, customer: int, asset_class: int, currency: int) -> None:
    """Makes row `slot` an empty account and puts it first in its customer's list."""
    a, c = s.accounts[slot], s.customers[customer]
    a.ref, a.customer, a.asset_class, a.currency = s.account_ids.ref[slot], customer, asset_class, currency
    a.following, c.head = c.head, slot
    a.head, a.count, a.size_class, a.rolled, a.journal_source = -1, 0, -1, -1, -1
    a.journal_low, a.journal_high, a.first_day, a.touched, a.folded = 0, -1, 1 << 30, -1, -1


@nb.njit(cache=True, nogil=True)
def new_customer(s: Store, slot: int) -> None:
    """Makes row `slot` a customer without accounts."""
    c = s.customers[slot]
    c.ref, c.head, c.branch, c.rm, c.card, c.published = s.customer_ids.ref[slot], -1, -1, -1, -1, -1
    c.customer_class = 0
    for i in range(3):
        c.tier_day[i], c.tier[i] = -1, 0


def _grown(array: Array, need: int, used: int) -> Array:
    """A copy of the first `used` rows with room for at least `need`; what is not used stays untouched memory.

    The system gives pages, and takes time for them, only when they are touched: so room is cheap, copies are not.
    """
    fresh = np.zeros(max(need, GROWTH * len(array)), array.dtype)
    # As bytes: numpy copies structs field by field, in 5 to 9 times the time.
    fresh[:used].view(np.uint8)[:] = array[:used].view(np.uint8)
    return fresh


class StoreColumns:
    """Owns the arrays of a partition and grows them between kernel calls."""

    def __init__(self, slots: int = 1024) -> None:
        heap = np.full(2 + SIZE_CLASSES, -1, np.int64)
        heap[0] = heap[DIRTY] = 0
        self.store = Store(
            np.zeros(slots, ACCOUNT),
            np.zeros(slots, CUSTOMER),
            np.zeros(slots * 8, ENTRY),
            heap,
            np.zeros(slots, np.int32),
            index(slots),
            index(slots),
        )

    @property
    def account_count(self) -> int:
        """Accounts held."""
        return int(self.store.account_ids.meta[0])

    @property
    def customer_count(self) -> int:
        """Customers held."""
        return int(self.store.customer_ids.meta[0])

    def reserve(self, rows: int, id_bytes: int, entries: int) -> None:
        """Room for `rows` more accounts and customers with `id_bytes` of ids each, and `entries` more entries."""
        s = self.store
        s = s._replace(
            account_ids=reserve_index(s.account_ids, rows, id_bytes),
            customer_ids=reserve_index(s.customer_ids, rows, id_bytes),
        )
        if (need := self.account_count + rows) > len(s.accounts):
            count, changed = self.account_count, int(s.heap[DIRTY])
            s = s._replace(accounts=_grown(s.accounts, need, count), dirty=_grown(s.dirty, need, changed))
        if (need := self.customer_count + rows) > len(s.customers):
            s = s._replace(customers=_grown(s.customers, need, self.customer_count))
        if (need := int(s.heap[0]) + entries) > len(s.entries):
            s = s._replace(entries=_grown(s.entries, need, int(s.heap[0])))
        self.store = s


def index(slots: int = 64) -> Index:
    """An empty index."""
    cells = 1 << (4 * slots - 1).bit_length()
    return Index(
        np.full(cells, -1, np.int32),
        np.zeros(cells, np.uint32),
        np.zeros(slots * 16, np.uint8),
        np.zeros(slots, np.int64),
        np.zeros(2, np.int64),
    )


def reserve_index(ix: Index, rows: int, id_bytes: int) -> Index:
    """The index with room for `rows` more ids of `id_bytes` bytes in all."""
    slots, top = int(ix.meta[0]) + rows, int(ix.meta[1]) + id_bytes
    if slots > len(ix.ref):
        ix = ix._replace(ref=_grown(ix.ref, slots, int(ix.meta[0])))
    if top > len(ix.arena):
        ix = ix._replace(arena=_grown(ix.arena, top, int(ix.meta[1])))
    if 2 * slots > len(ix.table):
        cells = 1 << (2 * slots - 1).bit_length()
        table, tag = np.full(cells, -1, np.int32), np.zeros(cells, np.uint32)
        _rehash(ix, table, tag)
        ix = ix._replace(table=table, tag=tag)
    return ix


@nb.njit(cache=True, nogil=True)
def most_ids(ix: Index) -> Long:
    """How many ids there may be before the index has to grow, however long: by its slots, its table and its arena."""
    left = (len(ix.arena) - ix.meta[1]) // ID_BYTES_MAX
    return min(len(ix.ref), len(ix.table) // 2, ix.meta[0] + left)


def id_bytes_of(ix: Index, slot: int) -> bytes:
    """The id of a slot as it is kept."""
    ref = int(ix.ref[slot])
    return bytes(ix.arena[ref >> REF_BITS : (ref >> REF_BITS) + (ref & REF_MASK)])


def id_of(ix: Index, slot: int) -> str:
    """The id of a slot as text; of an account the bank's own, whoever has it."""
    key = id_bytes_of(ix, slot)
    return (key if len(key) <= ID_BYTES_MAX else key[: key[ID_BYTES_MAX]]).decode()


class Names:
    """A growing list of short texts with codes, such as branches and banks; the codes go into rows."""

    def __init__(self, first: tuple[str, ...] = ()) -> None:
        self.index = index(256)
        for text in first:
            self.code(text)

    def __len__(self) -> int:
        return int(self.index.meta[0])

    def code(self, text: str) -> int:
        """The code of a text, new if it was not known."""
        raw = np.frombuffer(text.encode() or b"\0", np.uint8)
        self.reserve(1, len(raw))
        return int(add(self.index, raw, 0, len(text.encode())))

    def text(self, code: int) -> str:
        """The text of a code."""
        return id_of(self.index, code)

    def all(self) -> list[str]:
        """Every text, in the order of their codes."""
        return [self.text(i) for i in range(len(self))]

    def reserve(self, rows: int, id_bytes: int) -> None:
        """Room for `rows` more texts of `id_bytes` bytes in all."""
        self.index = reserve_index(self.index, rows, id_bytes)
