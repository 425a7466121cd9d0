"""Kafka's default partition of many keys of one width at once; the same numbers as connectors.loading.partitioner."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

M = np.uint32(0x5BD1E995)


@nb.njit(cache=True, nogil=True)
def _murmur2(key: NDArray[Any]) -> Any:
    n = len(key)
    h = np.uint32(0x9747B28C) ^ np.uint32(n)
    at = 0
    while at + 4 <= n:
        k = np.uint32(key[at]) | np.uint32(key[at + 1]) << np.uint32(8)
        k |= np.uint32(key[at + 2]) << np.uint32(16) | np.uint32(key[at + 3]) << np.uint32(24)
        k = np.uint32(k * M)
        k = np.uint32((k ^ (k >> np.uint32(24))) * M)
        h = np.uint32(h * M) ^ k
        at += 4
    for i in range(n - at - 1, -1, -1):
        h ^= np.uint32(key[at + i]) << np.uint32(8 * i)
        if i == 0:
            h = np.uint32(h * M)
    h = np.uint32((h ^ (h >> np.uint32(13))) * M)
    return np.uint32(h ^ (h >> np.uint32(15)))


@nb.njit(cache=True, nogil=True)
def partitions_of(keys: NDArray[Any], partitions: int) -> NDArray[Any]:
    """Partition of each key; keys uint8[n, width], int64[n] back."""
    out = np.empty(len(keys), np.int64)
    for i in range(len(keys)):
        out[i] = np.int64(_murmur2(keys[i]) & np.uint32(0x7FFFFFFF)) % partitions
    return out
