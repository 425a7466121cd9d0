"""Customer rows of the changelog as bytes, and back: varints and short texts, without a Python object a customer.

A row: number of tiers remembered, each as (tier's id, day in force from); customer class; queue class published + 1;
branch, manager, card; and behind them JSON of what few customers have (alerts), or nothing. Texts stand as length + 1
and bytes, absent ones as 0: their codes live in memory only.
"""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

from schemas.codec.primitives import read_long
from streams.accounts.store import ID_BYTES_MAX, REF_BITS, REF_MASK, Array, Index, add, find, most_ids
from streams.kernels.refcounts import borrowed
from streams.kernels.varints import write_long
from streams.tiers import HISTORY

_TEXTS = HISTORY + 3  # at most, in a row
ROW_BYTES_MAX = _TEXTS * (ID_BYTES_MAX + 2) + 10 * (HISTORY + 3)
DONE, UNKNOWN_TIER, NEEDS_ROOM, MALFORMED = 0, 1, 2, 3


class Texts(NamedTuple):
    """The lists behind the codes."""

    tiers: Index
    branches: Index
    people: Index
    cards: Index


@nb.njit(cache=True, nogil=True)
def _put_text(ix: Index, code: int, out: Array, at: int) -> int:
    if code < 0:
        return write_long(out, at, 0)
    position, length = ix.ref[code] >> REF_BITS, ix.ref[code] & REF_MASK
    at = write_long(out, at, length + 1)
    for i in range(length):
        out[at + i] = ix.arena[position + i]
    return int(at + length)


@nb.njit(cache=True, nogil=True)
def encode_profiles(
    customers: Array, slots: Array, texts: Texts, rest: Array, rest_end: Array, out: Array, ends: Array
) -> int:
    """Rows of customers into `out` (ROW_BYTES_MAX each, and `rest`), where each ends into `ends`; bytes written.

    rest[rest_end[i-1]:rest_end[i]] is the JSON behind row i.
    """
    customers, slots, texts, out = borrowed(customers), borrowed(slots), borrowed(texts), borrowed(out)
    at = 0
    for i in range(len(slots)):
        c = customers[slots[i]]
        held = 0
        for k in range(HISTORY):
            held += c.tier_day[k] != -1
        at = write_long(out, at, held)
        for k in range(HISTORY):
            if c.tier_day[k] != -1:
                at = _put_text(texts.tiers, c.tier[k], out, at)
                at = write_long(out, at, c.tier_day[k])
        at = write_long(out, at, c.customer_class)
        at = write_long(out, at, c.published + 1)
        at = _put_text(texts.branches, c.branch, out, at)
        at = _put_text(texts.people, c.rm, out, at)
        at = _put_text(texts.cards, c.card, out, at)
        for j in range(rest_end[i - 1] if i > 0 else 0, rest_end[i]):
            out[at] = rest[j]
            at += 1
        ends[i] = at
    return at


@nb.njit(cache=True, nogil=True)
def _get_text(ix: Index, raw: Array, at: int, end: int) -> tuple[int, int]:
    """(code, -1 for an absent text; next position): a text not known yet gets a code."""
    size, at = read_long(raw, at, end)
    if size <= 0 or size - 1 > end - at:
        return -1, at
    return add(ix, raw, at, size - 1), at + size - 1


def tiers_of(row: bytes) -> list[str]:
    """The ids of the tiers that a row remembers."""
    raw, out = np.frombuffer(row, np.uint8), []
    held, at = read_long(raw, 0, len(raw))
    for _ in range(held):
        size, at = read_long(raw, at, len(raw))
        out.append(row[at : at + size - 1].decode())
        _, at = read_long(raw, at + size - 1, len(raw))
    return out


@nb.njit(cache=True, nogil=True)
def load_profiles(
    customers: Array, ids: Index, texts: Texts, raw: Array, key: Array, key_end: Array, value: Array, value_end: Array,
    first: int, slots: Array, rest: Array,
) -> tuple[int, int]:  # fmt: skip
    """Puts rows [first, …) into the columns, later ones over earlier ones: (row reached, DONE or why it stopped).

    slots[i] is the customer of row i, rest[i] where the JSON behind it begins. NEEDS_ROOM: a list of texts needs room.
    """
    customers, ids, texts, raw = borrowed(customers), borrowed(ids), borrowed(texts), borrowed(raw)
    for i in range(first, len(key)):
        for ix in (texts.branches, texts.people, texts.cards):
            if ix.meta[0] >= most_ids(ix):
                return i, NEEDS_ROOM
        known = ids.meta[0]
        slot = add(ids, raw, key[i], key_end[i] - key[i])
        c = customers[slot]
        if slot == known:
            c.ref, c.head = ids.ref[slot], -1
        for k in range(HISTORY):
            c.tier[k], c.tier_day[k] = 0, -1
        end = value_end[i]
        held, at = read_long(raw, value[i], end)
        for k in range(held):
            size, at = read_long(raw, at, end)
            tier = find(texts.tiers, raw, at, size - 1)
            if tier < 0:
                return i, UNKNOWN_TIER
            c.tier[k] = tier
            c.tier_day[k], at = read_long(raw, at + size - 1, end)
        c.customer_class, at = read_long(raw, at, end)
        published, at = read_long(raw, at, end)
        c.published = published - 1
        c.branch, at = _get_text(texts.branches, raw, at, end)
        c.rm, at = _get_text(texts.people, raw, at, end)
        c.card, at = _get_text(texts.cards, raw, at, end)
        if at < 0:
            return i, MALFORMED
        slots[i], rest[i] = slot, at
    return len(key), DONE
