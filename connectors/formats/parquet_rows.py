"""Rows of Parquet files, within bounds: a file of some KB can stand for gigabytes, as a value that repeats is kept once.

Text is read as it lies in the file (each value once, and who has it), and made into rows some MB at a time.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from connectors.formats.events import SPLIT, InputError, Report
from connectors.formats.parquet_pages import pages
from schemas import bounds
from schemas.bounded import check_size

BATCH_ROWS: Final = 8192
ROWS_MAX: Final = bounds.EVENTS_MAX
"""Of a file."""

GROUP_BYTES_MAX: Final = 256 << 20
"""Of a row group, unpacked."""

VALUE_BYTES_MAX: Final = 4096
"""Of a text; the fields themselves take less. LONG_COLUMNS have as much as a line of other files."""

LONG_VALUE_BYTES_MAX: Final = 1_000_000
LONG_COLUMNS: Final = ("body", "details")
TEXT_BYTES_MAX: Final = 8 << 30
"""Of a file: all its texts, each as often as it stands in a row."""

DELTA_BYTE_ARRAY: Final = 7
"""An encoding in which a long text takes a few bytes wherever it stands again; number as in parquet.thrift."""

SLICE_BYTES: Final = 16 << 20
"""So much text is made into Python objects at once."""

PlainRow = dict[str, Any]


def parquet_rows(
    path: Path, check: Callable[[Sequence[str]], None], report: Report
) -> Iterator[tuple[int, PlainRow | None]]:
    """(number from 1, fields) of each row, None for one that was reported; InputError where the file can't be read.

    `check` refuses column names by raising.
    """
    import pyarrow as pa  # here, as only this format needs it and it takes a while to load
    import pyarrow.parquet as pq

    check_size(path, bounds.FILE_BYTES_MAX, SPLIT)
    try:
        _check_footer(path)
        with pq.ParquetFile(path) as plain:
            check(plain.schema_arrow.names)
            texts = _bounded(path, plain)
        number = unpacked = 0
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                unpacked += sum(int(_lengths(column).sum()) for column in batch.columns)
                if unpacked > TEXT_BYTES_MAX:
                    raise InputError(str(path), number, None, f"more than {TEXT_BYTES_MAX >> 30} GB unpacked: split it")
                for row in _rows(batch, path, number, report):
                    number += 1
                    yield number, row
    except (pa.ArrowException, OSError, ValueError) as problem:
        raise InputError(str(path), 0, None, f"no Parquet file, or a damaged one: {problem}") from problem


def _check_footer(path: Path) -> None:
    """InputError for a file that has too much to say of itself: all of that is unpacked before anything can be asked."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8))
        footer = int.from_bytes(file.read(4), "little")
    if bounds.FOOTER_BYTES_MAX < footer < size:
        reason = f"a footer of {footer:,} bytes, at most {bounds.FOOTER_BYTES_MAX:,} are taken: write larger row groups"
        raise InputError(str(path), 0, None, reason)


def _bounded(path: Path, file: Any) -> list[str]:
    """The columns of text; InputError where a file, a row group or a type is out of bounds."""
    import pyarrow as pa

    types = pa.types
    taken = (
        types.is_integer, types.is_floating, types.is_decimal, types.is_boolean, types.is_date, types.is_timestamp,
        types.is_null, *(texts := (types.is_string, types.is_large_string)),
    )  # fmt: skip
    text: list[str] = []
    for field in file.schema_arrow:
        kind = field.type.value_type if types.is_dictionary(field.type) else field.type
        if not any(fits(kind) for fits in taken):
            raise InputError(
                str(path), 0, field.name, f"a column of {str(kind)[:40]}: text, numbers and dates are taken"
            )
        text += [field.name] * any(fits(kind) for fits in texts)
    metadata = file.metadata
    if metadata.num_rows > ROWS_MAX:
        raise InputError(str(path), 0, None, f"{metadata.num_rows:,} rows: a file has at most {ROWS_MAX:,}, split it")
    for index in range(metadata.num_row_groups):
        unpacked = sum(_unpacked(path, metadata.row_group(index)))
        if unpacked > GROUP_BYTES_MAX:
            reason = f"row group {index + 1} has {unpacked >> 20:,} MB unpacked, {GROUP_BYTES_MAX >> 20} are the limit"
            raise InputError(str(path), 0, None, f"{reason}: write smaller ones")
    return text


def _unpacked(path: Path, group: Any) -> Iterator[int]:
    """Bytes of each page of a row group as its header says: what it says binds whoever unpacks it, the footer nobody."""
    for place in range(group.num_columns):
        column = group.column(place)
        start, dictionary = column.data_page_offset, column.dictionary_page_offset
        if dictionary and dictionary < start:
            start = dictionary
        for page in pages(path, start, column.total_compressed_size):
            if page.encoding == DELTA_BYTE_ARRAY:
                name = column.path_in_schema[:40]
                raise InputError(
                    str(path), 0, name, "encoded as DELTA_BYTE_ARRAY, which may unpack to anything: write it plain"
                )
            yield page.unpacked


def _rows(batch: Any, path: Path, before: int, report: Report) -> Iterator[PlainRow | None]:
    """Rows of a record batch."""
    long: dict[int, str] = {}  # rows that are out of bounds, each with a column that makes it so
    sizes = np.zeros(batch.num_rows, np.int64)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        lengths = _lengths(column)
        long |= dict.fromkeys(np.flatnonzero(lengths > _value_bytes_max(name)).tolist(), name)
        sizes += lengths
    sizes[list(long)] = 0
    step = max(1, SLICE_BYTES // (int(sizes.max(initial=0)) + 1))
    for start in range(0, batch.num_rows, step):
        part = batch.slice(start, step)
        try:
            if not long.keys().isdisjoint(range(start, start + part.num_rows)):
                raise ValueError("a row is out of bounds")
            yield from _plain(part)
        except (ValueError, OverflowError):  # a text that is no UTF-8, a date beyond the calendar: find the rows
            for index in range(part.num_rows):
                yield _row(part.slice(index, 1), path, before + start + index + 1, long.get(start + index), report)


def _row(part: Any, path: Path, number: int, long: str | None, report: Report) -> PlainRow | None:
    """The one row of a part; `long` names a column whose value is too long."""
    if long is not None:
        report(InputError(str(path), number, long, f"longer than {_value_bytes_max(long)} bytes"))
        return None
    try:
        return _plain(part)[0]
    except (ValueError, OverflowError) as problem:
        report(InputError(str(path), number, None, f"damaged row: {problem}"))
        return None


def _value_bytes_max(column: str) -> int:
    return LONG_VALUE_BYTES_MAX if column in LONG_COLUMNS else VALUE_BYTES_MAX


def _lengths(column: Any) -> NDArray[np.int64]:
    """Bytes of each row's text; 0 where there is none, and for other columns."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type) or not len(column.dictionary):
        return np.zeros(len(column), np.int64)
    lengths = pc.fill_null(pc.binary_length(pc.cast(column.dictionary, pa.large_binary())), 0)
    rows = pc.fill_null(lengths.take(column.indices), 0)
    return np.asarray(rows.to_numpy(zero_copy_only=False), np.int64)


def _plain(part: Any) -> list[PlainRow]:
    """The rows as Python objects, which are made faster of columns that are no dictionaries."""
    import pyarrow as pa

    columns = [c.dictionary_decode() if pa.types.is_dictionary(c.type) else c for c in part.columns]
    rows: list[PlainRow] = pa.RecordBatch.from_arrays(columns, names=part.schema.names).to_pylist()
    return rows
