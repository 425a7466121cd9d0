"""Canonical files in: NDJSON, CSV and Parquet, one topic a file (or, in NDJSON, a `topic` in each line).

A bad line is reported with file, line and field, and reading goes on with the next: whoever imports decides where
reports go. docs/formats.md describes the files; `layout` has their fields.
"""

import csv
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from connectors.formats.events import SPLIT, Event, InputError, Report, refuse
from connectors.formats.fields import FieldError
from connectors.formats.json_text import read_json
from connectors.formats.layout import FIELDS, event, row_fields
from connectors.formats.parquet_rows import parquet_rows
from connectors.loading.file_validation import ReadLine, judged
from schemas import bounds
from schemas.bounded import open_bounded
from schemas.letters import Original

LINE_BYTES_MAX: Final = 1_000_000
LABELS_FILE: Final = "labels.csv"  # beside the files of a labelled world: no events
FILE_SUFFIXES: Final = {"ndjson": (".ndjson", ".jsonl"), "csv": (".csv",), "parquet": (".parquet",)}
csv.field_size_limit(LINE_BYTES_MAX)  # the line is the bound: a policy pack in a cell may be longer than csv's 128 KB
_BOM = b"\xef\xbb\xbf"

_Row = tuple[int, str | None, dict[str, Any], bytes]  # line, topic (None: the file's), fields, the line as it stood


def data_files(path: Path, form: str) -> list[Path]:
    """The data files of a format under a path: itself, or those of a folder, by name. InputError if there are none."""
    if path.is_file():
        return [path]
    files = path.glob("*") if path.is_dir() else ()
    found = sorted(file for file in files if file.suffix in FILE_SUFFIXES[form] and file.name != LABELS_FILE)
    if len(found) > bounds.FILES_MAX:
        raise InputError(str(path), 0, None, f"{len(found):,} files, at most {bounds.FILES_MAX:,} are taken: {SPLIT}")
    if not found:
        raise InputError(str(path), 0, None, f"no {form} file ({', '.join(FILE_SUFFIXES[form])}) here")
    return found


def topic_in_name(file: Path) -> str | None:
    """The topic that a file's name states: `balances.csv`, `balances-2026-01-31.csv`, `balances.agency.csv`."""
    stem = file.name.partition(".")[0]
    matches = [topic for topic in FIELDS if stem == topic or stem.startswith(f"{topic}-")]
    return max(matches, key=len, default=None)


def read_file(path: Path, form: str, zone: str, report: Report = refuse) -> Iterator[Event]:
    """Events of one file, in its order. Lines that cannot be taken go to `report`.

    `zone` is the bank's time zone: of instants without an offset, and of dates that stand for a day's end.
    """
    return judged(str(path), zone, lambda told: _events(path, form, zone, told), report)


def _events(path: Path, form: str, zone: str, report: Report) -> Iterator[ReadLine]:
    stated = topic_in_name(path)
    for line, named, fields, original in _READERS[form](path, report):
        try:
            yield ReadLine(line, event(_topic(named, stated), fields, zone), fields, original)
        except FieldError as problem:
            report(InputError(str(path), line, problem.field, problem.reason, original))


def _topic(named: str | None, stated: str | None) -> str:
    topic = named or stated
    if topic is None:
        raise FieldError("topic", f"neither the line nor the file's name says which of {', '.join(FIELDS)}")
    if topic not in FIELDS:
        raise FieldError("topic", f"{topic!r} is none of {', '.join(FIELDS)}")
    return topic


def raw_lines(stream: BinaryIO, path: Path, report: Report) -> Iterator[tuple[int, bytes]]:
    """(line number, bytes with the line's end) of a text file; lines that are too long are reported."""
    number = 0
    while raw := stream.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(raw) > LINE_BYTES_MAX:
            whole, size, rest = hashlib.sha256(raw), len(raw), raw
            while not rest.endswith(b"\n") and (rest := stream.readline(LINE_BYTES_MAX)):
                whole.update(rest)
                size += len(rest)
            original = Original.of(raw)._replace(size=size, sha256=whole.hexdigest())
            report(InputError(str(path), number, None, f"longer than {LINE_BYTES_MAX} bytes", original))
            continue
        yield number, raw


def _lines(stream: BinaryIO, path: Path, report: Report) -> Iterator[tuple[int, str, bytes]]:
    """(line number, text, bytes) of a text file; lines that are too long or no UTF-8 are reported."""
    for number, raw in raw_lines(stream, path, report):
        content = raw.rstrip(b"\r\n")
        if number == 1:
            content = content.removeprefix(_BOM)
        try:
            text = content.decode()
        except UnicodeDecodeError as problem:
            report(InputError(str(path), number, None, f"no UTF-8 at byte {problem.start + 1} of the line", content))
            continue
        if text.strip():
            yield number, text, content


def _ndjson(path: Path, report: Report) -> Iterator[_Row]:
    with open_bounded(path, bounds.FILE_BYTES_MAX, SPLIT) as stream:
        for number, text, original in _lines(stream, path, report):
            try:
                fields = read_json(text)
                if not isinstance(fields, dict):
                    raise ValueError("no object")  # noqa: TRY004 (handled below with what the decoder raises)
                topic = fields.pop("topic", None)
                if topic is not None and not isinstance(topic, str):
                    raise ValueError("topic is no text")
            except ValueError as problem:
                report(InputError(str(path), number, None, f"no JSON object: {problem}", original))
                continue
            yield number, topic, fields, original


def _csv(path: Path, report: Report) -> Iterator[_Row]:
    """Rows of a CSV file with a header line. An empty cell is an absent field; a cell holds no line break."""
    stated = topic_in_name(path)
    with open_bounded(path, bounds.FILE_BYTES_MAX, SPLIT) as stream:
        lines = _lines(stream, path, report)
        first = next(lines, None)
        if first is None:
            return
        if "\r" in first[1]:
            raise InputError(str(path), 1, None, "lines end with CR alone: write it with LF or CRLF")
        header = _cells(first[1])
        if header is None:
            raise InputError(str(path), 1, None, "broken quotes in the header")
        _check_header(path, header, stated)
        for number, text, original in lines:
            cells = _cells(text)
            if cells is None or len(cells) != len(header):
                got = "broken quotes" if cells is None else f"{len(cells)} cells, the header has {len(header)}"
                report(InputError(str(path), number, None, got, original))
                continue
            yield number, None, {name: cell for name, cell in zip(header, cells, strict=True) if cell}, original


def _cells(text: str) -> list[str] | None:
    try:
        return next(csv.reader((text,), strict=True))
    except csv.Error:
        return None


def _check_header(path: Path, header: Sequence[str], stated: str | None) -> None:
    """A header that is wrong makes every line wrong: refuse the file at once."""
    if stated is None:
        raise InputError(str(path), 0, "topic", f"the file's name has to begin with one of {', '.join(FIELDS)}")
    if len(header) > bounds.COLUMNS_MAX:
        raise InputError(str(path), 1, None, f"{len(header):,} columns, at most {bounds.COLUMNS_MAX} are taken")
    for name in header:
        if header.count(name) > 1:
            raise InputError(str(path), 1, name, "stands twice in the header")
        if name not in row_fields(stated):
            raise InputError(str(path), 1, name, f"is no field of {stated}")


def _parquet(path: Path, report: Report) -> Iterator[_Row]:
    """Rows of a Parquet file; its `line` is the row's number. Money has to be a decimal, an integer or text."""
    stated = topic_in_name(path)
    for number, row in parquet_rows(path, lambda names: _check_header(path, names, stated), report):
        if row is not None:
            yield number, None, row, repr(row).encode(errors="replace")


_READERS: Final[dict[str, Callable[[Path, Report], Iterator[_Row]]]] = {
    "ndjson": _ndjson,
    "csv": _csv,
    "parquet": _parquet,
}
