"""Page headers of a Parquet file: what its pages unpack to, whatever the footer says of them.

A reader makes room for a page by its own header, and lets it unpack to no more. pyarrow shows no page headers, so they are
read here: Thrift's compact protocol, as far as `PageHeader` of parquet.thrift needs it.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

PAGES_MAX: Final = 1 << 17
"""Of a column in a row group; writers make pages of a megabyte or of 20,000 rows."""

_DEPTH_MAX: Final = 4
_VARINT_BYTES_MAX: Final = 10
_TRUE, _FALSE, _BYTE, _I16, _I64, _DOUBLE, _BINARY, _STRUCT = 1, 2, 3, 4, 6, 7, 8, 12
_UNPACKED, _PACKED, _DATA, _DICTIONARY, _DATA_V2 = 2, 3, 5, 7, 8  # fields of PageHeader
_ENCODING: Final = {_DATA: 2, _DICTIONARY: 2, _DATA_V2: 4}  # where a page's own header has its encoding
_Fields = dict[int, Any]


class Page(NamedTuple):
    """Bytes of a page unpacked, and its encoding by the number it has in parquet.thrift; None where it has none."""

    unpacked: int
    encoding: int | None


def pages(path: Path, start: int, size: int) -> Iterator[Page]:
    """The pages of a column chunk: `size` bytes from `start` on. ValueError where they are no pages."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        yield from pages_of(raw, start, size)


def pages_of(raw: mmap.mmap | bytes, start: int, size: int) -> Iterator[Page]:
    """`pages` of a file in memory."""
    end, at = start + size, start
    if not 0 <= start <= end <= len(raw):
        raise ValueError("a column lies beyond the file's end")
    for _ in range(PAGES_MAX):
        if at >= end:
            return
        header, at = _struct(raw, at, end, 1)
        packed, unpacked = header.get(_PACKED), header.get(_UNPACKED)
        if not isinstance(packed, int) or not isinstance(unpacked, int) or packed < 0 or unpacked < 0:
            raise ValueError("a page without a size")
        own = next((name for name in _ENCODING if isinstance(header.get(name), dict)), None)
        yield Page(unpacked, None if own is None else header[own].get(_ENCODING[own]))
        at += packed
    raise ValueError(f"more than {PAGES_MAX} pages in a column of a row group")


def _struct(raw: mmap.mmap | bytes, at: int, end: int, depth: int) -> tuple[_Fields, int]:
    """Numbers and structs of a struct by field; all else is passed over."""
    if depth > _DEPTH_MAX:
        raise ValueError("a page header is nested too deep")
    fields: _Fields = {}
    name = 0
    while True:
        byte, at = _byte(raw, at, end)
        if byte == 0:
            return fields, at
        kind = byte & 15
        if byte >> 4:
            name += byte >> 4
        else:
            name, at = _number(raw, at, end)
        if kind in (_TRUE, _FALSE):
            continue
        fields[name], at = _value(raw, at, end, kind, depth)


def _value(raw: mmap.mmap | bytes, at: int, end: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind == _BYTE:
        return None, at + 1
    if _I16 <= kind <= _I64:
        return _number(raw, at, end)
    if kind == _DOUBLE:
        return None, at + 8
    if kind == _BINARY:
        size, at = _varint(raw, at, end)
        return None, at + size
    if kind == _STRUCT:
        return _struct(raw, at, end, depth + 1)
    raise ValueError(f"a page header with a field of kind {kind}")  # none of those that there are has a list or a map


def _number(raw: mmap.mmap | bytes, at: int, end: int) -> tuple[int, int]:
    z, at = _varint(raw, at, end)
    return (z >> 1) ^ -(z & 1), at


def _varint(raw: mmap.mmap | bytes, at: int, end: int) -> tuple[int, int]:
    z = 0
    for place in range(_VARINT_BYTES_MAX):
        byte, at = _byte(raw, at, end)
        z |= (byte & 127) << 7 * place
        if byte < 128:
            return z, at
    raise ValueError("a page header with a number of more than 64 bits")


def _byte(raw: mmap.mmap | bytes, at: int, end: int) -> tuple[int, int]:
    if not at < end:
        raise ValueError("a page header beyond its column")
    return raw[at], at + 1
