"""Columns to wire format in bulk: the decoder's other way, for outputs such as `standings`.

Writer(contract) → data int64[n, writer.width] + raw → encode_columns → one buffer and where each value ends
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from schemas.avro_types import Type, parse
from schemas.codec import primitives as k
from schemas.codec.kernel import Bytes, Longs
from schemas.codec.pointers import Pointer, bytes_at, longs_at
from schemas.codec.primitives import compiled, is_utf8, skip
from schemas.codec.program import VALUE_KINDS, CodecProgram, nested
from schemas.codec.records import HEADER_BYTES
from schemas.codec.status import REASONS, Status
from schemas.registry import Registry, file_registry
from streams.kernels.varints import write_long

LONG_BYTES_MAX: Final = 10
ITEMS_MAX: Final = 4096
ROW: Final = 5  # numbers a row: kind, a, b, first column, which branch of a union is null (-1 = no union)
LONGS: Final = k.K_ARRAY  # a = items, each in a column of its own; the union is that of an item
NOT_NULL: Final = int(Status.BAD_UNION)
BAD_REF: Final = int(Status.BAD_LENGTH)


class EncodeError(ValueError):
    """A column holds what its field can't."""


class Writer:
    """How columns become records of the version of a contract that is written; `index` gives a field's (first) column.

    Columns are as the decoder makes them: strings, bytes and fixed as packed references, NULL for null, booleans 0 and
    1, enums by index, dates and instants as numbers. An array of long or int, or null, named in `arrays` takes that many
    columns and has always that length; any other nested field takes a reference to its Avro bytes. There are `width`
    columns.
    """

    def __init__(
        self, contract: str, registry: Registry | None = None, arrays: Mapping[str, int] | None = None
    ) -> None:
        registry = registry if registry is not None else file_registry()
        self.contract, self.schema_id = contract, registry.id_of(contract)
        self.type: Type = parse(registry.schema(self.schema_id))
        self.fields = tuple(f.name for f in self.type.fields)
        self.index: dict[str, int] = {}
        self.width = 0
        self.refs: list[int] = []  # columns that hold references
        self._skips = CodecProgram()
        left, rows = dict(arrays or {}), []
        for f in self.type.fields:
            self.index[f.name] = self.width
            items = left.pop(f.name, None)
            rows.append(self._longs(f.name, f.type, items) if items is not None else self._row(f.name, f.type))
            self.width += 1 if items is None else items
        if left:
            raise ValueError(f"{contract} has no {', '.join(left)}")
        self.rows = np.array(rows, np.int64)
        self.skip_rows = np.array(self._skips.rows, np.int64).reshape(-1, 4)
        self.tables = np.array(self._skips.tables, np.int64)

    def _longs(self, name: str, t: Type, items: int) -> tuple[int, int, int, int, int]:
        inner, null = _inner(t.items[0]) if t.kind == "array" else (t, -1)
        if inner.kind not in ("long", "int") or not 0 <= items <= ITEMS_MAX:
            raise ValueError(f"{name}: not an array of long of at most {ITEMS_MAX} items")
        return LONGS, items, int(inner.kind == "int"), self.width, null

    def _row(self, name: str, t: Type) -> tuple[int, int, int, int, int]:
        inner, null = _inner(t)
        if nested(inner):
            self.refs.append(self.width)
            return k.K_REF, self._skips.passing(inner), 0, self.width, null
        if inner.kind not in VALUE_KINDS or inner.kind == "null":
            raise ValueError(f"{name}: no column for {inner.kind}")
        if inner.kind in ("string", "bytes", "fixed"):
            self.refs.append(self.width)
        return VALUE_KINDS[inner.kind], inner.size, len(inner.symbols), self.width, null


def _inner(t: Type) -> tuple[Type, int]:
    """The type beside null, and which branch null is; the type itself and -1 where it can't be null."""
    if not t.nullable:
        return t, -1
    return t.nullable, next(i for i, branch in enumerate(t.items) if branch.kind == "null")


def encode_columns(writer: Writer, data: Longs, raw: Bytes) -> tuple[Bytes, Longs]:
    """Encodes n records: (buffer uint8, ends int64[n]); value i is buffer[ends[i-1]:ends[i]], wire header included.

    `data` is int64[n, writer.width], `raw` the uint8 bytes its references point into. Raises EncodeError naming record
    and field for what doesn't fit: NULL where null is not allowed, a number or symbol out of range, a reference out of
    bounds, text that isn't UTF-8.
    """
    if data.ndim != 2 or data.shape[1] != writer.width or data.dtype != np.int64 or raw.dtype != np.uint8:
        raise EncodeError(
            f"{writer.contract}: want int64[n, {writer.width}] and uint8, got {data.dtype}{data.shape}, {raw.dtype}"
        )
    data, raw = np.ascontiguousarray(data), np.ascontiguousarray(raw)
    refs = data[:, writer.refs]
    room = len(data) * (HEADER_BYTES + (LONG_BYTES_MAX + 1) * (writer.width + len(writer.fields)))
    buffer = np.empty(room + int((refs & k.LENGTH_MAX)[refs != k.NULL].sum()), np.uint8)
    ends = np.empty(len(data), np.int64)
    done, field, why = _encode(
        data.ctypes.data, len(data), writer.width, raw.ctypes.data, len(raw), writer.schema_id,
        writer.rows.ctypes.data, len(writer.rows), writer.skip_rows.ctypes.data, writer.tables.ctypes.data,
        buffer.ctypes.data, ends,
    )  # fmt: skip
    if done < len(data):
        reason = "null is not allowed" if why == NOT_NULL else REASONS[Status(why)]
        raise EncodeError(f"{writer.contract}: record {done}, {writer.fields[field]}: {reason}")
    return buffer[: int(ends[-1]) if len(ends) else 0], ends


def values(buffer: Bytes, ends: Longs) -> list[bytes]:
    """The encoded values one by one, for producers that want bytes."""
    data, stops = buffer.tobytes(), ends.tolist()
    return [data[a:b] for a, b in zip([0, *stops], stops, strict=False)]


@compiled
def _write_ref(
    row: Pointer, ref: int, raw: Pointer, size: int, skips: Pointer, tables: Pointer, out: Pointer, p: int
) -> int:
    """Writes the bytes of a reference as the field wants them: next position or -status."""
    kind, at, n = row[0], ref >> k.REF_BITS, ref & k.LENGTH_MAX
    if at < 0 or at + n > size:
        return -BAD_REF
    if kind == k.K_STRING and not is_utf8(raw, at, at + n):
        return -k.BAD_UTF8
    if kind == k.K_FIXED and n != row[1]:
        return -BAD_REF
    if kind == k.K_REF:
        end = skip(skips, tables, row[1], raw, at, at + n)
        if end != at + n:
            return end if end < 0 else -BAD_REF
    if kind == k.K_STRING or kind == k.K_BYTES:
        p = write_long(out, p, n)
    for i in range(n):
        out[p + i] = raw[at + i]
    return p + n


@compiled
def _write(
    row: Pointer, values_: Pointer, raw: Pointer, size: int, skips: Pointer, tables: Pointer, out: Pointer, p: int
) -> int:
    """Writes one field from its columns: next position or -status."""
    kind, a, b, null, value = row[0], row[1], row[2], row[4], values_[0]
    if kind == LONGS:
        p = write_long(out, p, a) if a > 0 else p
        for i in range(a):
            if values_[i] == k.NULL and null >= 0:
                p = write_long(out, p, null)
                continue
            if values_[i] == k.NULL or (b and not k.INT_MIN <= values_[i] <= k.INT_MAX):
                return -k.UNREADABLE_NUMBER
            p = write_long(out, p, 1 - null) if null >= 0 else p
            p = write_long(out, p, values_[i])
        return write_long(out, p, 0)
    if value == k.NULL:
        return -NOT_NULL if null < 0 else write_long(out, p, null)
    if null >= 0:
        p = write_long(out, p, 1 - null)
    if kind == k.K_LONG:
        return write_long(out, p, value)
    if kind == k.K_INT:
        return write_long(out, p, value) if k.INT_MIN <= value <= k.INT_MAX else -k.UNREADABLE_NUMBER
    if kind == k.K_ENUM:
        return write_long(out, p, value) if 0 <= value < b else -k.BAD_ENUM
    if kind == k.K_BOOLEAN:
        out[p] = np.uint8(value & 1)
        return p + 1 if 0 <= value <= 1 else -k.BAD_BOOLEAN
    return _write_ref(row, value, raw, size, skips, tables, out, p)


@compiled
def _encode(
    data_at: int, n: int, width: int, raw_at: int, size: int, schema_id: int,
    rows_at: int, rows_n: int, skips_at: int, tables_at: int, out_at: int, ends: Longs,
) -> tuple[int, int, int]:  # fmt: skip
    """Writes all records: (how many were written, field and reason of the one that stopped it)."""
    raw, out, skips, tables = bytes_at(raw_at), bytes_at(out_at), longs_at(skips_at), longs_at(tables_at)
    p = 0
    for i in range(n):
        out[p] = np.uint8(0)
        for j in range(4):
            out[p + 1 + j] = np.uint8((schema_id >> (24 - 8 * j)) & 255)
        p += HEADER_BYTES
        for j in range(rows_n):
            row = longs_at(rows_at + 8 * ROW * j)
            p = _write(row, longs_at(data_at + 8 * (i * width + row[3])), raw, size, skips, tables, out, p)
            if p < 0:
                return i, j, -p
        ends[i] = p
    return n, 0, 0
