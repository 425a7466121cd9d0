"""Lists of units, staff and absences, as the bank's directory sends them (docs/formats.md#staff-units-and-absences).

A list is full, and then says so in a manifest beside it, or it holds changes, and then has a column `change`. Every line
that can't be taken is named with its field; who reads a list with one takes nothing of it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple

from schemas import bounds
from schemas.bounded import read_bounded
from services.access.decision import HEAD_OFFICE, PEOPLE, UNIT_DEPTH_MAX

TEXT_BYTES_MAX: Final = 128
QUOTED_CHARS_MAX: Final = 60
CHANGE: Final = "change"
SET, END = "set", "end"
CONTROL: Final = 0x20


class RefusedLine(NamedTuple):
    """Why a line of a list is not taken. `line` 0: the list as a whole."""

    file: str
    line: int
    field: str
    reason: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.field}: {self.reason}" if self.field else f"{where}: {self.reason}"


class RefusedListError(Exception):
    """A list that is not taken, with each reason."""

    def __init__(self, problems: list[RefusedLine]) -> None:
        super().__init__(str(problems[0]))
        self.problems = problems


class ListKind(NamedTuple):
    """A kind of list: its columns, of which the first `keys` say what a line is about."""

    name: str
    table: str
    columns: tuple[str, ...]
    keys: int

    @property
    def key(self) -> tuple[str, ...]:
        """What a line is about."""
        return self.columns[: self.keys]

    @property
    def values(self) -> tuple[str, ...]:
        """What it says of that."""
        return self.columns[self.keys :]


LIST_KINDS: Final = (
    ListKind("units", "access.units", ("unit", "name"), 1),
    ListKind("staff", "access.staff", ("staff_id", "login", "name", "role", "unit"), 1),
    ListKind("absences", "access.absences", ("staff_id", "first_day", "last_day", "substitute"), 2),
)


class ListRow(NamedTuple):
    """A line: its number in the file, whether it ends what it is about, and a value for each column."""

    line: int
    ends: bool
    values: tuple[Any, ...]


class StaffList(NamedTuple):
    """A list whose lines are good by themselves. `as_of`: of a full list."""

    kind: ListKind
    as_of: date | None
    rows: list[ListRow]
    sha256: str
    file: str

    @property
    def full(self) -> bool:
        """Whether what it lacks has ended."""
        return self.as_of is not None


def read_list(path: Path) -> StaffList:
    """A list with its manifest. RefusedListError, TooLargeError, OSError."""
    data = read_bounded(path, bounds.STAFF_FILE_BYTES_MAX, "send the changes alone")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise _refused(path, "", f"no UTF-8 at byte {problem.start + 1}: save it as UTF-8") from problem
    lines = text.splitlines()
    if len(lines) > bounds.STAFF_LINES_MAX:
        raise _refused(path, "", f"{len(lines):,} lines, at most {bounds.STAFF_LINES_MAX:,} are taken")
    long = [number for number, line in enumerate(lines, 1) if len(line.encode()) > bounds.STAFF_LINE_BYTES_MAX]
    if long:
        raise RefusedListError([_long(path, number) for number in long])
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        header, cells = next(reader, []), [(reader.line_num, values) for values in reader]
    except csv.Error as problem:
        raise _refused(path, "", f"no CSV: {problem}") from problem
    kind, changes = _kind(path, header)
    rows = list(_rows(path, kind, header, cells))
    as_of = _manifest(path, kind, len(rows), hashlib.sha256(data).hexdigest(), changes=changes)
    return StaffList(kind, as_of, rows, hashlib.sha256(data).hexdigest(), str(path))


def _kind(path: Path, header: list[str]) -> tuple[ListKind, bool]:
    changes = CHANGE in header
    names = [name for name in header if name != CHANGE]
    for kind in LIST_KINDS:
        if sorted(names) == sorted(kind.columns) and len(set(header)) == len(header):
            return kind, changes
    wanted = "; ".join(f"{kind.name}: {','.join(kind.columns)}" for kind in LIST_KINDS)
    raise RefusedListError([RefusedLine(str(path), 1, "", f"the columns are those of no list ({wanted})")])


def _rows(path: Path, kind: ListKind, header: list[str], cells: list[tuple[int, list[str]]]) -> Iterator[ListRow]:
    """The lines. RefusedListError with all that are wrong."""
    problems: list[RefusedLine] = []
    seen: dict[tuple[Any, ...], int] = {}
    for line, values in cells:
        if not values:
            continue  # an empty line
        if len(values) != len(header):
            problems.append(RefusedLine(str(path), line, "", f"{len(values)} cells, the header has {len(header)}"))
            continue
        row, wrong = _row(kind, dict(zip(header, values, strict=True)))
        problems += [RefusedLine(str(path), line, field, reason) for field, reason in wrong]
        if row is None:
            continue
        key = row.values[: kind.keys]
        if (before := seen.setdefault(key, line)) != line:
            problems.append(
                RefusedLine(str(path), line, kind.key[0], f"{row.values[0]} stands in line {before} already")
            )
        elif not problems:
            yield row._replace(line=line)
    if not problems and not seen:
        problems.append(RefusedLine(str(path), 0, "", "it has no line"))
    if problems:
        raise RefusedListError(problems)


def _row(kind: ListKind, cells: Mapping[str, str]) -> tuple[ListRow | None, list[tuple[str, str]]]:
    """A line's values, or what is wrong with its fields."""
    change = cells.get(CHANGE, SET)
    if change not in (SET, END):
        return None, [(CHANGE, f"{_quoted(change)} is neither {SET} nor {END}")]
    wanted = kind.key if change == END else kind.columns
    values: dict[str, Any] = dict.fromkeys(kind.columns)
    wrong = []
    for name in wanted:
        try:
            values[name] = _READERS[name](cells[name].strip())
        except ValueError as problem:
            wrong.append((name, str(problem)))
    if not wrong and change == SET and kind.name == "absences":
        wrong += _absence(values)
    return (None, wrong) if wrong else (ListRow(0, change == END, tuple(values.values())), [])


def _absence(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if values["last_day"] < values["first_day"]:
        yield "last_day", f"{values['last_day']} is before {values['first_day']}"
    if values["substitute"] == values["staff_id"]:
        yield "substitute", f"{values['staff_id']} stands in for himself"


def _quoted(value: object) -> str:
    """A value as a message has it: short."""
    text = repr(value)
    return text if len(text) <= QUOTED_CHARS_MAX else f"{text[: QUOTED_CHARS_MAX - 3]}..."


def _text(text: str) -> str:
    if not text:
        raise ValueError("is empty")
    if len(text.encode()) > TEXT_BYTES_MAX:
        raise ValueError(f"has {len(text.encode())} bytes, at most {TEXT_BYTES_MAX} are taken")
    if any(ord(char) < CONTROL or char == "\x7f" for char in text):
        raise ValueError("has control characters")
    return text


def _unit(text: str) -> str:
    parts = _text(text).split("/")
    if parts[0] != HEAD_OFFICE or not all(part and part == part.strip() for part in parts):
        raise ValueError(f"{text!r} is no path from the head office down, such as {HEAD_OFFICE}/east/0102")
    if len(parts) > UNIT_DEPTH_MAX:
        raise ValueError(f"has {len(parts)} levels, a bank has at most {UNIT_DEPTH_MAX}")
    return text


def _role(text: str) -> str:
    if text not in PEOPLE:
        raise ValueError(f"{_quoted(text)} is no role of a person; those are {', '.join(sorted(PEOPLE))}")
    return text


def _day(text: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.isoformat() != text:
        raise ValueError(f"{_quoted(text)} is no date such as 2026-01-31")
    return found


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "unit": _unit, "name": _text, "staff_id": _text, "login": _text, "role": _role, "first_day": _day, "last_day": _day,
    "substitute": lambda text: _text(text) if text else None,
}  # fmt: skip


def _manifest(path: Path, kind: ListKind, rows: int, sha256: str, *, changes: bool) -> date | None:
    """As of which day a full list is, None for changes. RefusedListError where list and manifest don't go together."""
    beside = path.with_name(f"{path.name.removesuffix(path.suffix)}.manifest.json")
    if not beside.exists():
        if changes:
            return None
        raise _refused(path, "", f"a full list needs a manifest, {beside.name}; a list of changes a column `{CHANGE}`")
    if changes:
        raise _refused(path, CHANGE, f"is in a list of changes, and {beside.name} says that it is full")
    try:
        found = json.loads(read_bounded(beside, bounds.SMALL_FILE_BYTES_MAX))
    except (ValueError, RecursionError) as problem:
        raise _refused(beside, "", "no JSON") from problem
    known = {"full_list", "list", "as_of", "rows", "sha256"}
    if not isinstance(found, dict) or found.keys() - known:
        raise _refused(beside, "", f"the fields of a manifest are {', '.join(sorted(known))}")
    for field, right in (("full_list", True), ("list", kind.name), ("rows", rows), ("sha256", sha256)):
        if (field != "sha256" or field in found) and (type(found.get(field)), found.get(field)) != (type(right), right):
            raise _refused(beside, field, f"is {_quoted(found.get(field))}, and of the list it is {right!r}")
    try:
        return _day(str(found.get("as_of")))
    except ValueError as problem:
        raise _refused(beside, "as_of", str(problem)) from problem


def _refused(path: Path, field: str, reason: str) -> RefusedListError:
    return RefusedListError([RefusedLine(str(path), 0, field, reason)])


def _long(path: Path, line: int) -> RefusedLine:
    return RefusedLine(str(path), line, "", f"has more than {bounds.STAFF_LINE_BYTES_MAX:,} bytes")
