"""The decode kernel: raw Kafka v2 record batches to columns in one pass, without a Python object per record.

Every datum is decoded inside the bounds that its record's framing gives, so a damaged one can't touch its neighbours.
Framing is read with checks of its own, since a producer may have sent nonsense with a right CRC.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.bounds import RECORD_BYTES_MAX
from schemas.codec import primitives as k
from schemas.codec.pointers import Pointer, bytes_at, longs_at
from schemas.codec.primitives import compiled, inlined, read_bytes, read_checked_text, read_long, skip
from schemas.codec.status import Status

Bytes = npt.NDArray[np.uint8]
Shorts = npt.NDArray[np.int16]
Longs = npt.NDArray[np.int64]

BATCH_HEADER: Final = 61
VALUE_HEADER: Final = 5  # magic byte and schema id
LENGTH_AT: Final = 8
ATTRIBUTES_AT: Final = 22
LAST_DELTA_AT: Final = 23
COUNT_AT: Final = 57
RECORD_MIN: Final = 7  # bytes of the smallest record, its length included
CONTROL: Final = 1 << 5

STATUS_OK: Final = int(Status.OK)
TOMBSTONE: Final = int(Status.TOMBSTONE)
MARK_STATUS: Final = int(Status.MARK)
BAD_MAGIC: Final = int(Status.BAD_MAGIC)
UNKNOWN_SCHEMA: Final = int(Status.UNKNOWN_SCHEMA)
INCOMPATIBLE: Final = int(Status.INCOMPATIBLE)
TRAILING: Final = int(Status.TRAILING)
TOO_LARGE: Final = int(Status.TOO_LARGE)
BAD_BLOCK: Final = int(Status.BAD_BLOCK)

BAD_SCALE: Final = int(Status.BAD_SCALE)
ISO_BYTES: Final = 3  # of a currency
SCALED: Final = -2  # as `out` less a field: the check of its scale

# Columns of the table of writers.
W_ID: Final = 0
W_START: Final = 1  # first row of the program, -1 = the schema doesn't fit the reader
W_STOP: Final = 2  # behind the last one; of a schema that doesn't fit the field at fault, or -1
W_MARK: Final = 3  # 1 = a close mark
W_DELETED: Final = 4  # first row of the program that reads whether the row was deleted, -1 = nothing says so
W_DELETED_STOP: Final = 5
WRITER: Final = 6  # numbers a writer


@inlined
def big_endian(b: Pointer, p: int, n: int) -> Any:
    """n bytes at p as a signed number for n = 8, else unsigned."""
    r = np.int64(0)
    for i in range(n):
        r = (r << 8) | np.int64(b[p + i])
    return r


@inlined
def pack(p: int, n: int) -> int:
    """A packed reference; what is longer than a reference can say is cut."""
    return (p << k.REF_BITS) | min(n, k.LENGTH_MAX)


@compiled
def _value(rows: Pointer, tables: Pointer, row: int, b: Pointer, p: int, end: int, tail: int) -> tuple[Any, Any]:
    """One field: (its column value, next position or -status)."""
    kind, a, count = rows[4 * row], rows[4 * row + 1], rows[4 * row + 2]
    if kind == k.K_UNION:
        n, p = read_long(b, p, end)
        if p < 0:
            return 0, p
        if not 0 <= n < count or tables[a + n] < 0:
            return 0, -k.BAD_UNION
        row = tables[a + n]
        kind, a, count = rows[4 * row], rows[4 * row + 1], rows[4 * row + 2]
    if kind == k.K_TEXT:
        at, p = read_checked_text(b, p, end, a, count)
        return pack(at, p - at), p
    if kind == k.K_STRING or kind == k.K_BYTES:
        at, p = read_bytes(b, p, end, kind == k.K_STRING)
        return pack(at, p - at), p
    if kind == k.K_LONG or kind == k.K_INT:
        n, p = read_long(b, p, end)
        if p >= 0 and (n == k.NULL or (kind == k.K_INT and not k.INT_MIN <= n <= k.INT_MAX)):
            return 0, -k.UNREADABLE_NUMBER
        return n, p
    if kind == k.K_NULL:
        return k.NULL, p
    if kind == k.K_ENUM:
        n, p = read_long(b, p, end)
        if p < 0:
            return 0, p
        return (tables[a + n], p) if 0 <= n < count and tables[a + n] >= 0 else (0, -k.BAD_ENUM)
    if kind == k.K_BOOLEAN:
        if p >= end:
            return 0, -k.TRUNCATED
        return np.int64(b[p]), (p + 1 if b[p] <= 1 else -k.BAD_BOOLEAN)
    if kind == k.K_CONST:
        return a, p
    if kind == k.K_CONST_REF:
        return pack(tail + a, count), p
    if kind >= k.K_TEXT_ENUM:
        return _changed(kind, a, count, tables, b, p, end, tail)
    at, p = p, skip(rows, tables, a if kind == k.K_REF else row, b, p, end)
    return pack(at, p - at), p


@compiled
def _same(b: Pointer, at: int, other: int, n: int) -> bool:
    """Whether the same n bytes stand at both places."""
    for i in range(n):
        if b[at + i] != b[other + i]:
            return False
    return True


@compiled
def _changed(
    kind: int, a: int, count: int, tables: Pointer, b: Pointer, p: int, end: int, tail: int
) -> tuple[Any, Any]:
    """A value that a writer says in another way than our contracts: (its column value, next position or -status)."""
    if kind == k.K_TEXT_ENUM:
        at, p = read_bytes(b, p, end, True)
        if p < 0:
            return 0, p
        for n in range(count):
            ref = tables[a + n]
            if p - at == ref & k.LENGTH_MAX and _same(b, at, tail + (ref >> k.REF_BITS), p - at):
                return np.int64(n), p
        return 0, -k.BAD_ENUM
    if kind == k.K_MICROS:
        n, p = read_long(b, p, end)
        return (0, p) if p < 0 else (n // 1000, p)
    if kind == k.K_DECIMAL:
        return k.read_decimal(b, p, end, a, count)
    return k.NULL, p


@compiled
def _scale_taken(tables: Pointer, a: int, count: int, b: Pointer, data: Pointer, at: int, field: int) -> bool:
    """Whether a decimal has the scale of its record's currency; null has none."""
    if data[at + field] == k.NULL:
        return True
    ref = data[at + tables[a]]
    if ref == k.NULL or ref & k.LENGTH_MAX != ISO_BYTES:
        return False
    code = big_endian(b, ref >> k.REF_BITS, ISO_BYTES)
    for n in range(1, count):
        if tables[a + n] == code:
            return True
    return False


@compiled
def _deleted(b: Pointer, p: int, end: int, tail: int, rows: Pointer, tables: Pointer, start: int, stop: int) -> bool:
    """Whether a row says that it was deleted; what it holds beside that need not be readable."""
    value = np.int64(0)
    for row in range(start, stop):
        value, p = _value(rows, tables, row, b, p, end, tail)
        if p < 0:
            return False
    return value == 1


@compiled
def _explain(b: Pointer, at: int, n: int, status: int, data: Pointer, i: int, width: int) -> None:
    """What stands in data[i:] where there is no datum: NULL, and in front what the status says."""
    first = data[i] if status == MARK_STATUS else k.NULL
    if status == TOO_LARGE or status == BAD_BLOCK:
        first = n
    elif status == UNKNOWN_SCHEMA or status == INCOMPATIBLE:
        first = big_endian(b, at + 1, 4)
    for j in range(width):
        data[i + j] = k.NULL
    data[i] = first


@inlined
def _datum(
    b: Pointer, p: int, end: int, tail: int, writers: Pointer, writers_n: int, rows: Pointer, tables: Pointer,
    data: Pointer, at: int,
) -> tuple[int, int]:  # fmt: skip
    """Decodes the framed value [p, end) into data[at:]: (status, index of the field it stumbled over or -1)."""
    if end - p < VALUE_HEADER or b[p] != 0:
        return (BAD_MAGIC if p < end and b[p] != 0 else k.TRUNCATED), -1
    schema_id, p, w = big_endian(b, p + 1, 4), p + VALUE_HEADER, 0
    while w < writers_n and writers[WRITER * w + W_ID] != schema_id:
        w += 1
    if w == writers_n:
        return UNKNOWN_SCHEMA, -1
    start, stop = writers[WRITER * w + W_START], writers[WRITER * w + W_STOP]
    deleted = writers[WRITER * w + W_DELETED]
    if deleted >= 0 and _deleted(b, p, end, tail, rows, tables, deleted, writers[WRITER * w + W_DELETED_STOP]):
        return TOMBSTONE, -1
    if start < 0:
        return INCOMPATIBLE, stop
    for row in range(start, stop):
        value, p = _value(rows, tables, row, b, p, end, tail)
        out = rows[4 * row + 3]
        if p < 0:
            return -p, out
        if out >= 0:
            data[at + out] = value
        elif out <= SCALED and not _scale_taken(
            tables, rows[4 * row + 1], rows[4 * row + 2], b, data, at, SCALED - out
        ):
            return BAD_SCALE, SCALED - out
    if p != end:
        return TRAILING, -1
    return (MARK_STATUS if writers[WRITER * w + W_MARK] else STATUS_OK), -1


@inlined
def _frame(b: Pointer, p: int, end: int) -> tuple[int, int, int, int, int, int]:
    """Framing of the record at p: (next record or -1, offset delta, key at, key's length, value at, value's length)."""
    broken = (-1, 0, 0, 0, 0, 0)
    n, p = read_long(b, p, end)
    if p < 0 or n < RECORD_MIN - 1 or n > end - p:
        return broken
    end = p + n
    _, p = read_long(b, p + 1, end)  # past the attributes: the time stamp
    if p < 0:
        return broken
    delta, p = read_long(b, p, end)
    if p < 0 or not 0 <= delta <= k.INT_MAX:
        return broken
    key_size, key = read_long(b, p, end)
    if key < 0 or key_size < -1 or key_size > end - key:
        return broken
    value_size, value = read_long(b, key + max(key_size, 0), end)
    if value < 0 or value_size < -1 or value_size > end - value:
        return broken
    return end, delta, key, key_size, value, value_size


@compiled
def decode_block(
    raw_at: int, size: int, start: int, stop: int, writers_at: int, writers_n: int, rows_at: int, tables_at: int,
    data_at: int, width: int, offset: Longs, key: Longs, value: Longs, status: Bytes, field: Shorts,
) -> int:  # fmt: skip
    """Fills the columns from the batches in the first `size` bytes (the defaults' tail lies behind); answers the rows.

    Offsets outside [start, stop) are dropped, and of those that come again the first counts.
    """
    b, data = bytes_at(raw_at), longs_at(data_at)
    writers, rows, tables = longs_at(writers_at), longs_at(rows_at), longs_at(tables_at)
    batch = i = 0
    while batch + BATCH_HEADER <= size:
        base, p, end = big_endian(b, batch, 8), batch + BATCH_HEADER, batch + 12 + big_endian(b, batch + LENGTH_AT, 4)
        if end > size:
            break
        count = big_endian(b, batch + COUNT_AT, 4)
        if (b[batch + ATTRIBUTES_AT] & CONTROL) != 0:
            count, p = 0, end
        before, last = -1, big_endian(b, batch + LAST_DELTA_AT, 4)
        for _ in range(count):
            following, delta, key_at, key_size, at, n = _frame(b, p, end)
            if following < 0 or not before < delta <= last:  # a stray offset would take another record's place
                break
            begin, p, before = p, following, delta
            if not start <= base + delta < stop:
                continue
            start = base + delta + 1
            offset[i] = base + delta
            key[i] = k.NULL if key_size < 0 else pack(key_at, key_size)
            value[i] = k.NULL if n < 0 else pack(at, n)
            if n > k.LENGTH_MAX or key_size > k.LENGTH_MAX or following - begin > RECORD_BYTES_MAX:
                s, f = TOO_LARGE, -1
            elif n < 0:
                s, f = TOMBSTONE, -1
            else:
                s, f = _datum(b, at, at + n, size, writers, writers_n, rows, tables, data, i * width)
            status[i], field[i] = s, f
            if s != STATUS_OK:
                _explain(b, at, n, s, data, i * width, width)
            i += 1
        after = base + last + 1
        if p != end and max(base, start) < min(after, stop):  # what is left can't be told apart: one row for it
            offset[i], key[i], value[i] = max(base, start), k.NULL, pack(p, end - p)
            status[i], field[i] = BAD_BLOCK, -1
            _explain(b, p, end - p, BAD_BLOCK, data, i * width, width)
            if width > 1:
                data[i * width + 1] = after - 1
            i, start = i + 1, after
        batch = end
    return i


@compiled
def scan(
    raw_at: int, p: int, end: int, count: int, before: int, last: int, first: int, room: int, record_max: int
) -> tuple[int, int, int, int, int]:
    """Walks over whole records of at most `record_max` bytes, whose offset deltas rise from `before` on up to `last`.

    Stops at the first that is none, after `count` records, or after `room` bytes of those with a delta of at least `first`.
    Answers (start of those, where it stopped, records passed, those of them from `first` on, the last delta).
    """
    b = bytes_at(raw_at)
    begin, read, kept = p, 0, 0
    while read < count and p - begin < room:
        following, delta, _, _, _, _ = _frame(b, p, end)
        if following < 0 or not before < delta <= last or following - p > record_max:
            break
        p, before, read = following, delta, read + 1
        if delta < first:
            begin = p
        else:
            kept += 1
    return begin, p, read, kept, before


@compiled
def frame_at(raw_at: int, p: int, end: int) -> tuple[int, int, int, int, int, int]:
    """See _frame."""
    return _frame(bytes_at(raw_at), p, end)
