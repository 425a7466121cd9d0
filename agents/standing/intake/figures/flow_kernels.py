"""Kernels of flows: which postings of a block belong to which, and the values of customers as rows and back."""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

from streams.accounts.store import NULL, REF_BITS, REF_MASK, Array, Index, Long, find
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
from streams.kernels.refcounts import borrowed
from streams.kernels.varints import long_at, write_long

R_ROW, R_SLOT, R_MONTH, R_FLOW, R_CURRENCY, R_STRICT = range(6)  # columns of a reversal that a flow looks at
REVERSAL_COLUMNS = 6
K_FLOW, K_CURRENCY, K_MONTH, K_COLUMN = range(4)  # columns of the table of months
NOT_HELD = -1  # in place of a column: what falls into the month is in no flow
FLOW_VALUE_BYTES_MAX = 32  # of one value in a row, with its head


class FlowRules(NamedTuple):
    """Flows, F of them, for the kernel. Texts lie one behind the other in `arena`; a list without any takes all."""

    sign: Array  # int64[F]: 1 in, -1 out
    counted: Array  # bool[F]: postings are counted, not added up
    natures: Array  # int64[F]: a bit for each
    channels: Array  # int64[F, 2]: the first of its texts, and behind the last
    counterparties: Array  # int64[F, 2]
    texts: Array  # int64[T, 2]: position and length
    arena: Array  # uint8


@nb.njit(cache=True, nogil=True, forceinline=True)
def _is_one(raw: Array, ref: Long, rules: FlowRules, first: Long, end: Long) -> bool:
    if ref == NULL:
        return False
    at, size = ref >> REF_BITS, ref & REF_MASK
    for t in range(first, end):
        if rules.texts[t, 1] == size:
            same, start = True, rules.texts[t, 0]
            for j in range(size):
                if raw[at + j] != rules.arena[start + j]:
                    same = False
                    break
            if same:
                return True
    return False


@nb.njit(cache=True, nogil=True, forceinline=True)
def _is_of(raw: Array, data: Array, row: Long, rules: FlowRules, f: Long) -> bool:
    """Whether a posting has one of a flow's channels and of its counterparties, where it names any."""
    first, end = rules.channels[f]
    if first < end and not _is_one(raw, data[row, P_CHANNEL], rules, first, end):
        return False
    first, end = rules.counterparties[f]
    if first >= end or _is_one(raw, data[row, P_BANK], rules, first, end):
        return True
    return bool(_is_one(raw, data[row, P_COUNTERPARTY], rules, first, end))


@nb.njit(cache=True, nogil=True, forceinline=True)
def _known_at(known: Array, recent: Array, f: Long, currency: Long, month: Long) -> Long:
    """The row of a flow's month in the table of months; -1 if it has none. recent: of each flow the one found last."""
    last = recent[f]
    if last >= 0 and known[last, K_CURRENCY] == currency and known[last, K_MONTH] == month:
        return np.int64(last)
    for k in range(len(known)):
        if known[k, K_FLOW] == f and known[k, K_CURRENCY] == currency and known[k, K_MONTH] == month:
            recent[f] = k
            return np.int64(k)
    return np.int64(-1)


@nb.njit(cache=True, nogil=True)
def count_flows(
    block_raw: Array, block_data: Array, status: Array, first: Long, last: Long, flow: Long, rules: FlowRules,
    customers: Index, currencies: Index, starts: Array, offsets: Array, known: Array, held: Array, changes: Array,
    reversals: Array, noted: Long,
) -> tuple[Long, Long, Long, Long, Long, Long]:  # fmt: skip
    """Adds postings of rows [first, last) that the ledger has taken to the flows that they belong to; from `flow` on in `first`.

    known: int64[K, 4], the months that are held, and those that are known not to be; held: int64[slots, columns], changes:
    uint8[slots]. Returns (last, 0, 0, 0, reversals noted, postings in months that are not held), or (row, flow, currency,
    month, …) where it stopped: at a month that `known` does not name.

    A reversal belongs to a flow by what it takes back: into `reversals` goes one whose own nature is another than the flow's
    too, R_STRICT 0.
    """
    raw, data, values, changed = borrowed(block_raw), borrowed(block_data), borrowed(held), borrowed(changes)
    recent, late = np.full(len(rules.sign), -1, np.int64), np.int64(0)
    for row in range(first, last):
        if status[row] != 0:
            flow = 0
            continue
        slot, currency, month = np.int64(-1), np.int64(-1), np.int64(-1)
        amount, back = data[row, P_AMOUNT], data[row, P_REVERSES] != NULL
        what = -amount if back else amount
        for f in range(flow, len(rules.sign)):
            if what * rules.sign[f] <= 0:
                continue
            of_nature = rules.natures[f] >> data[row, P_NATURE] & 1
            if (not of_nature and not back) or not _is_of(raw, data, row, rules, f):
                continue
            if slot < 0:
                ref = data[row, P_CUSTOMER]
                slot = find(customers, raw, ref >> REF_BITS, ref & REF_MASK)
                ref = data[row, P_CURRENCY]
                currency = find(currencies, raw, ref >> REF_BITS, ref & REF_MASK)
                month = np.int64(month_of(business_day(data[row, P_BOOKED], starts, offsets)))
            if of_nature:
                k = _known_at(known, recent, f, currency, month)
                if k < 0:
                    return np.int64(row), np.int64(f), currency, month, noted, late
                if known[k, K_COLUMN] == NOT_HELD:
                    late += 1
                else:
                    one = np.int64(1) if rules.counted[f] else abs(amount)
                    values[slot, known[k, K_COLUMN]] += -one if back else one
                    changed[slot] = 1
            if back:
                reversals[noted, R_ROW], reversals[noted, R_SLOT], reversals[noted, R_MONTH] = row, slot, month
                reversals[noted, R_FLOW], reversals[noted, R_CURRENCY] = f, currency
                reversals[noted, R_STRICT] = of_nature
                noted += 1
        flow = 0
    return np.int64(last), np.int64(0), np.int64(0), np.int64(0), noted, late


@nb.njit(cache=True, nogil=True)
def encode_flows(values: Array, order: Array, heads: Array, slots: Array, out: Array, ends: Array) -> Long:
    """Into `out` each customer's values other than 0; bytes written.

    values: int64[slots, K]; heads: int64[K, 3], flow, currency and month of each; `order` has them ascending. Values of
    one flow and currency stand together as long as their months follow each other: flow, currency, the first month and
    how many months, then a value a month.
    """
    at = 0
    for i in range(len(slots)):
        slot, place = slots[i], 0
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
def decode_flows(raw: Array, starts: Array, ends: Array, out: Array) -> Long:
    """Rows back: (row, flow, currency, month, value) of each value other than 0 into `out`; how many."""
    n = 0
    for i in range(len(starts)):
        at = starts[i]
        while at < ends[i]:
            flow, at = long_at(raw, at)
            currency, at = long_at(raw, at)
            first, at = long_at(raw, at)
            months, at = long_at(raw, at)
            for month in range(first, first + months):
                value, at = long_at(raw, at)
                if value != 0:
                    out[n, 0], out[n, 1], out[n, 2], out[n, 3], out[n, 4] = i, flow, currency, month, value
                    n += 1
    return n
