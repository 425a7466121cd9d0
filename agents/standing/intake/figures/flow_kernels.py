"""Kernels of flows: which postings of a block belong to which, and the values of customers as rows and back."""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

from streams.accounts.store import NULL, REF_BITS, REF_MASK, Array, Index, Long, find
from streams.calendar import business_day
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
from streams.kernels.varints import long_at, write_long

M_ROW, M_SLOT, M_DAY, M_FLOW, M_CURRENCY, M_AMOUNT, M_BACK, M_STRICT = range(8)  # columns of a match
MATCH_COLUMNS = 8
FLOW_VALUE_BYTES_MAX = 32  # of one value in a row, with its head


class FlowRules(NamedTuple):
    """Flows, F of them, for the kernel. Texts lie one behind the other in `arena`; a list without any takes all."""

    sign: Array  # int64[F]: 1 in, -1 out
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


@nb.njit(cache=True, nogil=True)
def flow_matches(
    raw: Array, data: Array, status: Array, first: Long, last: Long, rules: FlowRules, customers: Index,
    currencies: Index, starts: Array, offsets: Array, out: Array,
) -> Long:  # fmt: skip
    """Pairs of posting and flow of rows [first, last) that the ledger has taken, into `out`; how many.

    M_AMOUNT is that of what it adds, below 0 for a reversal (M_BACK). A reversal belongs to a flow by what it takes back: one
    whose own nature is another than the flow's is given too, M_STRICT 0.
    """
    n = 0
    for row in range(first, last):
        if status[row] != 0:
            continue
        slot, currency, day = -1, -1, -1
        amount, back = data[row, P_AMOUNT], data[row, P_REVERSES] != NULL
        what = -amount if back else amount
        for f in range(len(rules.sign)):
            if what * rules.sign[f] <= 0:
                continue
            of_nature = rules.natures[f] >> data[row, P_NATURE] & 1
            if not of_nature and not back:
                continue
            c, end = rules.channels[f]
            if c < end and not _is_one(raw, data[row, P_CHANNEL], rules, c, end):
                continue
            c, end = rules.counterparties[f]
            if c < end and not (
                _is_one(raw, data[row, P_BANK], rules, c, end) or _is_one(raw, data[row, P_COUNTERPARTY], rules, c, end)
            ):
                continue
            if slot < 0:
                ref = data[row, P_CUSTOMER]
                slot = find(customers, raw, ref >> REF_BITS, ref & REF_MASK)
                ref = data[row, P_CURRENCY]
                currency = find(currencies, raw, ref >> REF_BITS, ref & REF_MASK)
                day = business_day(data[row, P_BOOKED], starts, offsets)
            out[n, M_ROW], out[n, M_SLOT], out[n, M_DAY], out[n, M_FLOW], out[n, M_CURRENCY] = (
                row,
                slot,
                day,
                f,
                currency,
            )
            out[n, M_AMOUNT] = -abs(amount) if back else abs(amount)
            out[n, M_BACK], out[n, M_STRICT] = back, of_nature
            n += 1
    return n


@nb.njit(cache=True, nogil=True)
def encode_flows(values: Array, order: Array, heads: Array, slots: Array, out: Array, ends: Array) -> Long:
    """Into `out` each customer's values other than 0; bytes written.

    values: int64[K, slots]; heads: int64[K, 3], flow, currency and month of each; `order` has them ascending. Values of
    one flow and currency stand together as long as their months follow each other: flow, currency, the first month and
    how many months, then a value a month.
    """
    at = 0
    for i in range(len(slots)):
        slot, place = slots[i], 0
        while place < len(order):
            k = order[place]
            if values[k, slot] == 0:
                place += 1
                continue
            end = place + 1  # behind the last of the group that is not 0
            for other in range(place + 1, len(order)):
                if heads[order[other], 0] != heads[k, 0] or heads[order[other], 1] != heads[k, 1]:
                    break
                if heads[order[other], 2] != heads[order[other - 1], 2] + 1:
                    break  # a gap would be written month by month, and there is room for the columns alone
                if values[order[other], slot] != 0:
                    end = other + 1
            first = heads[k, 2]
            months = heads[order[end - 1], 2] - first + 1
            for number in (heads[k, 0], heads[k, 1], first, months):
                at = write_long(out, at, number)
            for month in range(first, first + months):
                value = np.int64(0)
                if place < end and heads[order[place], 2] == month:
                    value = values[order[place], slot]
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
