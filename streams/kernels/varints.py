"""Zigzag varints, as Avro and the records of Kafka have them, written and read by kernels, in an array or at a pointer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import numba as nb
import numpy as np

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])
_compiled: Final[Callable[[_Kernel], _Kernel]] = nb.njit(cache=True, nogil=True, forceinline=True)


@_compiled
def write_long(out: Any, at: int, value: Any) -> int:
    """Writes an int64, at most 10 bytes; the place behind it."""
    z = (np.uint64(value) << np.uint64(1)) ^ np.uint64(value >> 63)
    while z > np.uint64(127):
        out[at] = np.uint8((z & np.uint64(127)) | np.uint64(128))
        at += 1
        z >>= np.uint64(7)
    out[at] = np.uint8(z)
    return at + 1


@_compiled
def long_bytes(value: Any) -> int:
    """How many bytes `write_long` writes."""
    z, n = (np.uint64(value) << np.uint64(1)) ^ np.uint64(value >> 63), 1
    while z > np.uint64(127):
        z >>= np.uint64(7)
        n += 1
    return n


@_compiled
def long_at(raw: Any, at: int) -> tuple[Any, int]:
    """The int64 that `write_long` wrote, and the place behind it."""
    z, shift = np.uint64(0), np.uint64(0)
    while True:
        byte = np.uint64(raw[at])
        at += 1
        z |= (byte & np.uint64(127)) << shift
        if byte < np.uint64(128):
            return np.int64(z >> np.uint64(1)) ^ -np.int64(z & np.uint64(1)), at
        shift += np.uint64(7)
