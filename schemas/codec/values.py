"""Values without their batches, decoded into columns: for readers whose client library hands out single messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from schemas.codec import kernel
from schemas.codec.blocks import Columns
from schemas.codec.kernel import STATUS_OK
from schemas.codec.pointers import bytes_at, longs_at
from schemas.codec.primitives import NULL, REF_BITS, compiled
from schemas.codec.status import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.codec.blocks import Reader, _Code
    from schemas.codec.kernel import Bytes, Longs, Shorts


def decode_values(values: Sequence[bytes], reader: Reader) -> Columns:
    """The columns of values in wire format, row i for value i; offsets are 0, 1, 2, ... and there are no keys.

    Bad values come as rows with a status; raises RegistryError if the registry doesn't answer.
    """
    raw, ends = b"".join(values), np.cumsum(np.fromiter(map(len, values), np.int64, len(values)))
    code: _Code | None = reader.code
    while True:
        assert code is not None
        columns = _decode(raw, ends, code, len(reader.fields))
        bad = columns.status == Status.UNKNOWN_SCHEMA
        if not bad.any():
            return columns
        code = reader.learn(np.unique(columns.data[bad, 0]).tolist())
        if code is None:
            return columns


def _decode(joined: bytes, ends: Longs, code: _Code, width: int) -> Columns:
    n = len(ends)
    raw = np.frombuffer(joined + code.tail, np.uint8)
    data, value = np.empty((n, width), np.int64), np.empty(n, np.int64)
    status, field = np.empty(n, np.uint8), np.empty(n, np.int16)
    _rows(
        raw.ctypes.data, len(joined), ends, code.writers.ctypes.data, len(code.writers), code.rows.ctypes.data,
        code.tables.ctypes.data, data.ctypes.data, width, value, status, field,
    )  # fmt: skip
    return Columns(n, raw, np.arange(n), np.full(n, NULL), value, data, status, field)


@compiled
def _rows(
    raw_at: int, size: int, ends: Longs, writers_at: int, writers_n: int, rows_at: int, tables_at: int, data_at: int,
    width: int, value: Longs, status: Bytes, field: Shorts,
) -> None:  # fmt: skip
    b, data = bytes_at(raw_at), longs_at(data_at)
    writers, rows, tables = longs_at(writers_at), longs_at(rows_at), longs_at(tables_at)
    start = 0
    for i in range(len(ends)):
        end = ends[i]
        value[i] = kernel.pack(start, end - start)
        if end - start >= 1 << REF_BITS:
            status[i], field[i] = kernel.TOO_LARGE, -1
        else:
            status[i], field[i] = kernel._datum(  # noqa: SLF001 - the same package
                b, start, end, size, writers, writers_n, rows, tables, data, i * width
            )
        if status[i] != STATUS_OK:
            kernel._explain(b, start, end - start, status[i], data, i * width, width)  # noqa: SLF001
        start = end
