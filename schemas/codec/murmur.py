"""Kafka's default partition of many keys at once, and of a key within a block. Its slow twin is schemas.partitioner."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.codec.pointers import Pointer, bytes_at
from schemas.codec.primitives import LENGTH_MAX, REF_BITS, compiled
from schemas.partitioner import SEED

M: Final = np.uint32(0x5BD1E995)


@compiled
def key_partition(b: Pointer, p: int, n: int, partitions: int) -> int:
    """Partition of the key of n bytes at p."""
    h = np.uint32(SEED) ^ np.uint32(n)
    at, end = p, p + n
    while at + 4 <= end:
        k = np.uint32(b[at]) | np.uint32(b[at + 1]) << np.uint32(8)
        k |= np.uint32(b[at + 2]) << np.uint32(16) | np.uint32(b[at + 3]) << np.uint32(24)
        k = np.uint32(k * M)
        k = np.uint32((k ^ (k >> np.uint32(24))) * M)
        h = np.uint32(h * M) ^ k
        at += 4
    for i in range(end - at - 1, -1, -1):
        h ^= np.uint32(b[at + i]) << np.uint32(8 * i)
        if i == 0:
            h = np.uint32(h * M)
    h = np.uint32((h ^ (h >> np.uint32(13))) * M)
    h = np.uint32(h ^ (h >> np.uint32(15)))
    return int((h & np.uint32(0x7FFFFFFF)) % np.uint32(partitions))  # of 32 bits: the division takes a fraction


@compiled
def _fill(keys_at: int, width: int, partitions: int, out: npt.NDArray[np.int64]) -> None:
    b = bytes_at(keys_at)
    for i in range(len(out)):
        out[i] = key_partition(b, i * width, width, partitions)


@compiled
def _fill_of_texts(raw_at: int, refs: npt.NDArray[np.int64], partitions: int, out: npt.NDArray[np.int64]) -> None:
    b = bytes_at(raw_at)
    for i in range(len(out)):
        out[i] = key_partition(b, refs[i] >> REF_BITS, refs[i] & LENGTH_MAX, partitions)


def partitions_of_texts(
    raw: npt.NDArray[np.uint8], refs: npt.NDArray[np.int64], partitions: int
) -> npt.NDArray[np.int64]:
    """Partition of each text that a packed reference into `raw` names; int64[n] back."""
    out = np.empty(len(refs), np.int64)
    _fill_of_texts(raw.ctypes.data, refs, partitions, out)
    return out


def partitions_of(keys: npt.NDArray[Any], partitions: int) -> npt.NDArray[np.int64]:
    """Partition of each key; keys uint8[n, width], int64[n] back."""
    keys, out = np.ascontiguousarray(keys, np.uint8), np.empty(len(keys), np.int64)
    _fill(keys.ctypes.data, keys.shape[1], partitions, out)
    return out
