"""Whose a row of a block is: the customers' slots of many references at once."""

from __future__ import annotations

import numba as nb
import numpy as np

from streams.accounts.store import REF_BITS, REF_MASK, Array, Index, find


@nb.njit(cache=True, nogil=True)
def _owners(ids: Index, raw: Array, refs: Array, out: Array) -> None:
    for k in range(len(refs)):
        out[k] = find(ids, raw, refs[k] >> REF_BITS, refs[k] & REF_MASK)


def owners(ids: Index, raw: Array, refs: Array) -> Array:
    """int64[n]: the slot behind each reference into `raw`, -1 for an id that is not known."""
    out = np.empty(len(refs), np.int64)
    _owners(ids, raw, refs, out)
    return out
