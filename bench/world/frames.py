"""Kafka v2 record batches in bulk, for blocks that never see a broker: keys and values in, one uncompressed batch out."""

from __future__ import annotations

import struct
from typing import Any

import numba as nb
import numpy as np
from aiokafka.record.util import calc_crc32c
from numpy.typing import NDArray

from streams.kernels.varints import long_bytes, write_long

Array = NDArray[Any]
HEADER = struct.Struct(">qiibIhiqqqhii")
CRC_FROM = 21
RECORD_BYTES_MAX = 40  # of a record without key and value


@nb.njit(cache=True, nogil=True)
def _records(rows: Array, keys: Array, width: int, values: Array, ends: Array, out: Array) -> int:
    at = 0
    for i in range(len(rows)):
        row = rows[i]
        first = ends[row - 1] if row > 0 else 0
        size = ends[row] - first
        at = write_long(out, at, 3 + long_bytes(i) + long_bytes(width) + width + long_bytes(size) + size)
        out[at], out[at + 1] = 0, 0  # attributes, timestamp delta
        at = write_long(out, at + 2, i)
        at = write_long(out, at, width)
        out[at : at + width] = keys[row]
        at = write_long(out, at + width, size)
        out[at : at + size] = values[first : first + size]
        at += size
        out[at] = 0  # headers
        at += 1
    return at


def batch(base_offset: int, rows: Array, keys: Array, values: Array, ends: Array, appended: int = 0) -> bytes:
    """A batch of the given rows, offsets from `base_offset` on, appended at an instant in ms.

    keys uint8[n, width]; value of row i = values[ends[i-1]:ends[i]], as schemas.codec.encoder gives it.
    """
    sizes = np.diff(ends, prepend=0)[rows]
    out = np.empty(int(sizes.sum()) + len(rows) * (RECORD_BYTES_MAX + keys.shape[1]), np.uint8)
    size = _records(rows, keys, keys.shape[1], values, ends, out)
    body = out[:size].tobytes()
    n = len(rows)
    fields = (base_offset, HEADER.size - 12 + size, 0, 2, 0, 0, n - 1, appended, appended, -1, -1, -1, n)
    head = HEADER.pack(*fields)
    crc = calc_crc32c(head[CRC_FROM:] + body)
    return HEADER.pack(*fields[:4], crc, *fields[5:]) + body
