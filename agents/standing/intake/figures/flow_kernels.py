"""Kernels of flows: which postings of a block belong to which, and the values of customers as rows and back."""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

from streams.accounts.store import NULL, REF_BITS, REF_MASK, Array, Index, Long, find, hash_bytes, same
from streams.calendar import business_day, month_of
from streams.fields import (
    P_AMOUNT,
    P_BANK,
    P_BOOKED,
    P_CHANNEL,
    P_COUNTERPARTY,
    P_CURRENCY,
    P_CUSTOMER,
    P_NATURE,
    P_REVERSES,
)
from streams.kernels.prefetch import LINE_BYTES, prefetch
from streams.kernels.refcounts import borrowed
from streams.kernels.varints import long_at, write_long

R_ROW, R_SLOT, R_MONTH, R_FLOW, R_CURRENCY, R_STRICT = range(6)  # columns of a reversal that a flow looks at
REVERSAL_COLUMNS = 6
NOT_LOOKED_UP, NOT_HELD = -1, -2  # in place of a column: nobody has looked yet; what falls into the month is in no flow
FLOW_VALUE_BYTES_MAX = 32  # of one value in a row, with its head
MARK_FLOW = -1  # in place of a flow: the next number is the row's mark
AHEAD = 8  # rows between the steps of looking ahead
SEEN = 3 * AHEAD  # rows looked at ahead
KEPT = 4 * AHEAD  # of rows what was seen is kept


class FlowRules(NamedTuple):
    """Flows, F of them, for the kernel; a set of them is a bit for each. Side 0 is in, 1 out.

    Texts lie one behind the other in `arena`, those of channels first; the flows without a list take any.
    """

    counted: Array  # bool[F]: postings are counted, not added up
    sides: Array  # int64[2]: the flows of a side
    natures: Array  # int64[2, N]: those of them that a nature belongs to
    texts: Array  # int64[T, 2]: position and length
    listing: Array  # int64[T]: the flows that list a text
    arena: Array  # uint8
    channels: int  # texts that are channels
    any_channel: int  # flows without a list of channels
    any_party: int  # flows without a list of counterparties


class FlowMonths(NamedTuple):
    """Where the values of months are: of each currency and month a row."""

    heads: Array  # int64[K, 2]: currency, month
    cells: Array  # int64[K, F]: the column of each flow, NOT_LOOKED_UP or NOT_HELD


class CountedAgain(NamedTuple):
    """What a replay counts: of a customer and of a flow the postings from an offset on. Both are empty where all count."""

    marks: Array  # int64[slots]
    begun: Array  # int64[F]


@nb.njit(cache=True, nogil=True, forceinline=True)
def _listing(raw: Array, ref: Long, rules: FlowRules, first: Long, end: Long) -> Long:
    """The flows that list a text as one of texts [first, end)."""
    found = np.int64(0)
    if ref == NULL:
        return found
    at, size = ref >> REF_BITS, ref & REF_MASK
    for t in range(first, end):
        if rules.texts[t, 1] == size:
            equal, start = True, rules.texts[t, 0]
            for j in range(size):
                if raw[at + j] != rules.arena[start + j]:
                    equal = False
                    break
            if equal:
                found |= rules.listing[t]
    return found


@nb.njit(cache=True, nogil=True, forceinline=True)
def _of(raw: Array, data: Array, row: Long, rules: FlowRules, flows: Long) -> Long:
    """Those of the flows that a posting belongs to by its channel and its counterparties."""
    if flows & ~rules.any_channel:
        flows &= rules.any_channel | _listing(raw, data[row, P_CHANNEL], rules, 0, rules.channels)
    if flows & ~rules.any_party:
        first, end = rules.channels, len(rules.texts)
        bank = _listing(raw, data[row, P_BANK], rules, first, end)
        flows &= rules.any_party | bank | _listing(raw, data[row, P_COUNTERPARTY], rules, first, end)
    return np.int64(flows)


@nb.njit(cache=True, nogil=True, forceinline=True)
def _head_of(months: FlowMonths, recent: Long, currency: Long, month: Long) -> Long:
    """The row of a currency and month; -1 if it has none. recent: the one found last."""
    if recent >= 0 and months.heads[recent, 0] == currency and months.heads[recent, 1] == month:
        return np.int64(recent)
    for k in range(len(months.heads)):
        if months.heads[k, 0] == currency and months.heads[k, 1] == month:
            return np.int64(k)
    return np.int64(-1)


@nb.njit(cache=True, nogil=True, forceinline=True)
def _unknown(months: FlowMonths, head: Long, flows: Long, count: Long) -> Long:
    """Those of the flows whose column nobody has looked up."""
    if head < 0:
        return flows
    found = np.int64(0)
    for f in range(count):
        if flows >> f & 1 and months.cells[head, f] == NOT_LOOKED_UP:
            found |= np.int64(1) << f
    return found


@nb.njit(cache=True, nogil=True, forceinline=True)
def _counted_again(replayed: CountedAgain, slot: Long, offset: Long, flows: Long) -> Long:
    """Those of a posting's flows that a replay counts it in."""
    if offset < replayed.marks[slot]:
        return np.int64(0)
    for f in range(len(replayed.begun)):
        if offset < replayed.begun[f]:
            flows &= ~(np.int64(1) << f)
    return np.int64(flows)


@nb.njit(cache=True, nogil=True, forceinline=True)
def _look_ahead(
    ids: Index, raw: Array, data: Array, status: Array, i: Long, first: Long, last: Long, values: Array, column: Long, seen: Array
) -> None:  # fmt: skip
    """Asks for the memory that the rows behind row i need, as streams.accounts.postings does: values from a column on.

    seen int64[KEPT] keeps what a step has found for the next one: the place of a row's customer in the table, then his slot.
    """
    j = i + SEEN
    if j < last:
        seen[j % KEPT] = -1
        if status[j] == 0:
            ref = data[j, P_CUSTOMER]
            h = hash_bytes(raw, ref >> REF_BITS, ref & REF_MASK)
            cell = np.int64(h & np.uint64(len(ids.table) - 1))
            seen[j % KEPT] = cell
            prefetch(ids.table, cell, 0)
            prefetch(ids.tag, cell, 0)
    j = i + 2 * AHEAD
    if first <= j < last and seen[j % KEPT] >= 0:
        slot = np.int64(ids.table[seen[j % KEPT]])
        seen[j % KEPT] = slot
        prefetch(ids.ref, slot, 0)
        prefetch(values, slot, 8 * column)
        prefetch(values, slot, 8 * column + LINE_BYTES - 8)
    j = i + AHEAD
    if first <= j < last and seen[j % KEPT] >= 0:
        prefetch(ids.arena, ids.ref[seen[j % KEPT]] >> REF_BITS, 0)


@nb.njit(cache=True, nogil=True, forceinline=True)
def _owner(ids: Index, raw: Array, ref: Long, likely: Long) -> Long:
    """The slot of a customer that there is; likely: the one at the first place where he may stand, or -1."""
    if likely >= 0 and same(raw, ref >> REF_BITS, ref & REF_MASK, ids.arena, ids.ref[likely]):
        return np.int64(likely)
    return np.int64(find(ids, raw, ref >> REF_BITS, ref & REF_MASK))


@nb.njit(cache=True, nogil=True)
def count_flows(
    block_raw: Array, block_data: Array, status: Array, offset: Array, first: Long, last: Long, rules: FlowRules,
    customers: Index, currencies: Index, starts: Array, offsets: Array, months: FlowMonths, held: Array, changes: Array,
    replayed: CountedAgain, reversals: Array,
) -> tuple[Long, Long, Long, Long, Long, Long]:  # fmt: skip
    """Adds postings of rows [first, last) that the ledger has taken to the flows that they belong to.

    held: int64[slots, columns], changes: uint8[slots]. Returns (last, 0, 0, 0, reversals noted, postings in months that are not
    held), or (row, currency, month, flows, …) where it stopped: before a posting whose month some flows don't know, or, without
    such flows, before one for whose reversals there is no room.

    A reversal belongs to a flow by what it takes back: into `reversals` goes one whose own nature is another than the flow's
    too, R_STRICT 0.
    """
    raw, data, values, changed = borrowed(block_raw), borrowed(block_data), borrowed(held), borrowed(changes)
    rules, customers, currencies, months = borrowed(rules), borrowed(customers), borrowed(currencies), borrowed(months)
    starts, offsets, replayed = borrowed(starts), borrowed(offsets), borrowed(replayed)
    recent, late, noted, count = np.int64(-1), np.int64(0), np.int64(0), len(rules.counted)
    kept, column = np.empty(KEPT, np.int64), np.int64(0)
    seen = borrowed(kept)
    for row in range(first - SEEN, last):
        _look_ahead(customers, raw, data, status, row, first, last, values, column, seen)
        if row < first or status[row] != 0:
            continue
        amount, back = data[row, P_AMOUNT], data[row, P_REVERSES] != NULL
        what = -amount if back else amount
        if what == 0:
            continue
        side = 0 if what > 0 else 1
        own = rules.natures[side, data[row, P_NATURE]]
        may = _of(raw, data, row, rules, rules.sides[side] if back else own)
        if may == 0:
            continue
        slot = _owner(customers, raw, data[row, P_CUSTOMER], seen[row % KEPT])
        if len(replayed.marks):
            may = _counted_again(replayed, slot, offset[row], may)
        ref = data[row, P_CURRENCY]
        currency = find(currencies, raw, ref >> REF_BITS, ref & REF_MASK)
        month = np.int64(month_of(business_day(data[row, P_BOOKED], starts, offsets)))
        recent, own = _head_of(months, recent, currency, month), own & may
        unknown = _unknown(months, recent, own, count)
        if unknown or (back and noted + count > len(reversals)):
            return np.int64(row), currency, month, unknown, noted, late
        if recent >= 0 and months.cells[recent, 0] >= 0:  # of other flows they mostly stand behind it
            column = months.cells[recent, 0]
        for f in range(count):
            if own >> f & 1:
                if months.cells[recent, f] == NOT_HELD:
                    late += 1
                else:
                    one = np.int64(1) if rules.counted[f] else abs(amount)
                    values[slot, months.cells[recent, f]] += -one if back else one
                    changed[slot] = 1
            if back and may >> f & 1:
                reversals[noted, R_ROW], reversals[noted, R_SLOT], reversals[noted, R_MONTH] = row, slot, month
                reversals[noted, R_FLOW], reversals[noted, R_CURRENCY] = f, currency
                reversals[noted, R_STRICT] = own >> f & 1
                noted += 1
    return np.int64(last), np.int64(0), np.int64(0), np.int64(0), noted, late


@nb.njit(cache=True, nogil=True)
def encode_flows(
    held: Array, order: Array, heads: Array, slots: Array, mark: Long, buffer: Array, ends: Array
) -> Long:  # fmt: skip
    """Into `buffer` each customer's mark and values other than 0; bytes written.

    held: int64[slots, K]; heads: int64[K, 3], flow, currency and month of each; `order` has them ascending. Values of
    one flow and currency stand together as long as their months follow each other: flow, currency, the first month and
    how many months, then a value a month.
    """
    values, out, order, heads = borrowed(held), borrowed(buffer), borrowed(order), borrowed(heads)
    at = 0
    for i in range(len(slots)):
        slot, place = slots[i], 0
        at = write_long(out, write_long(out, at, MARK_FLOW), mark)
        while place < len(order):
            k = order[place]
            if values[slot, k] == 0:
                place += 1
                continue
            end = place + 1  # behind the last of the group that is not 0
            for other in range(place + 1, len(order)):
                if heads[order[other], 0] != heads[k, 0] or heads[order[other], 1] != heads[k, 1]:
                    break
                if heads[order[other], 2] != heads[order[other - 1], 2] + 1:
                    break  # a gap would be written month by month, and there is room for the columns alone
                if values[slot, order[other]] != 0:
                    end = other + 1
            first = heads[k, 2]
            months = heads[order[end - 1], 2] - first + 1
            for number in (heads[k, 0], heads[k, 1], first, months):
                at = write_long(out, at, number)
            for month in range(first, first + months):
                value = np.int64(0)
                if place < end and heads[order[place], 2] == month:
                    value = values[slot, order[place]]
                    place += 1
                at = write_long(out, at, value)
            place = end
        ends[i] = at
    return at


@nb.njit(cache=True, nogil=True)
def decode_flows(raw: Array, starts: Array, ends: Array, marks: Array, out: Array) -> Long:
    """Rows back: (row, flow, currency, month, value) of each value other than 0 into `out`; how many. marks: int64[rows]."""
    n = 0
    for i in range(len(starts)):
        at = starts[i]
        while at < ends[i]:
            flow, at = long_at(raw, at)
            if flow == MARK_FLOW:
                marks[i], at = long_at(raw, at)
                continue
            currency, at = long_at(raw, at)
            first, at = long_at(raw, at)
            months, at = long_at(raw, at)
            for month in range(first, first + months):
                value, at = long_at(raw, at)
                if value != 0:
                    out[n, 0], out[n, 1], out[n, 2], out[n, 3], out[n, 4] = i, flow, currency, month, value
                    n += 1
    return n
