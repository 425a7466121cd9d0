"""Whose a row of a block is: slots of many references at once, the last row of some ids; and accounts of several owners."""

from __future__ import annotations

import numba as nb
import numpy as np

from streams.accounts.store import REF_BITS, REF_MASK, Array, Index, find, hash_bytes, same

_ENDS = 4096


@nb.njit(cache=True, nogil=True)
def _owners(ids: Index, raw: Array, refs: Array, out: Array) -> None:
    for k in range(len(refs)):
        out[k] = find(ids, raw, refs[k] >> REF_BITS, refs[k] & REF_MASK)


def owners(ids: Index, raw: Array, refs: Array) -> Array:
    """int64[n]: the slot behind each reference into `raw`, -1 for an id that is not known."""
    out = np.empty(len(refs), np.int64)
    _owners(ids, raw, refs, out)
    return out


@nb.njit(cache=True, nogil=True, inline="always")
def _end(raw: Array, ref: int) -> int:
    """A number below _ENDS out of the last four bytes of an id, to pass over most rows without hashing them."""
    end, length, number = (ref >> REF_BITS) + (ref & REF_MASK), min(ref & REF_MASK, 4), 0
    for back in range(1, length + 1):
        number = number * 37 + raw[end - back]
    return number & (_ENDS - 1)


@nb.njit(cache=True, nogil=True)
def last_rows(raw: Array, refs: Array, good: Array, ids: Array, wanted: Array, found: Array) -> None:
    """Sets found[k] to the last row whose reference into `raw` reads as wanted[k], a reference into `ids`.

    Rows that are not good are passed over, and every k whose row is known already. One pass, whatever their number.
    """
    ends = np.zeros(_ENDS, np.bool_)
    size = 4
    while size < 2 * len(wanted):
        size *= 2
    cells, mask, missing = np.full(size, -1, np.int64), size - 1, 0
    for k in range(len(wanted)):
        if found[k] < 0:
            at = np.int64(hash_bytes(ids, wanted[k] >> REF_BITS, wanted[k] & REF_MASK) >> np.uint64(1)) & mask
            while cells[at] >= 0:
                at = (at + 1) & mask
            cells[at], ends[_end(ids, wanted[k])] = k, True
            missing += 1
    for i in range(len(refs) - 1, -1, -1):
        if missing == 0:
            return
        if not (good[i] and ends[_end(raw, refs[i])]):
            continue
        position, length = refs[i] >> REF_BITS, refs[i] & REF_MASK
        at = np.int64(hash_bytes(raw, position, length) >> np.uint64(1)) & mask
        while cells[at] >= 0:
            k = cells[at]
            if same(raw, position, length, ids, wanted[k]):
                if found[k] < 0:
                    found[k] = i
                    missing -= 1
                break
            at = (at + 1) & mask


@nb.njit(cache=True, nogil=True)
def note_owners(
    table: Array, used: int, raw: Array, accounts: Array, customers: Array, good: Array, out: Array
) -> tuple[int, int]:
    """Owners of accounts into a table uint64[cells, 2] of hashes; references into `raw`, rows that are not good are left out.

    (accounts in the table, how many rows of an account that is another customer's are in `out`).
    """
    mask, found = len(table) - 1, 0
    for i in range(len(accounts)):
        if not good[i]:
            continue
        account = hash_bytes(raw, accounts[i] >> REF_BITS, accounts[i] & REF_MASK) | np.uint64(1)  # 0: an empty cell
        customer = hash_bytes(raw, customers[i] >> REF_BITS, customers[i] & REF_MASK)
        at = np.int64(account >> np.uint64(1)) & mask
        while table[at, 0] != 0 and table[at, 0] != account:
            at = (at + 1) & mask
        if table[at, 0] == 0:
            table[at, 0], table[at, 1] = account, customer
            used += 1
        elif table[at, 1] != customer:
            out[found] = i
            found += 1
    return used, found


@nb.njit(cache=True, nogil=True)
def more_cells(old: Array, new: Array) -> None:
    """A table into a larger one that is empty."""
    mask = len(new) - 1
    for i in range(len(old)):
        if old[i, 0] != 0:
            at = np.int64(old[i, 0] >> np.uint64(1)) & mask
            while new[at, 0] != 0:
                at = (at + 1) & mask
            new[at, 0], new[at, 1] = old[i, 0], old[i, 1]
