"""Files of a branch's day: tickets, counters and profiles in, who was called when out. CSV with a line of column names.

Times are whole seconds from the opening. A value that cannot be taken is an InputError with file, line and column.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from connectors.formats.events import InputError
from connectors.formats.fields import show
from schemas import bounds
from schemas.bounded import read_bounded
from streams.queue.simulation import HallCounter, HallTicket

TICKET_COLUMNS: Final = ("ticket", "arrives_at", "class", "service_seconds", "changes")
COUNTER_COLUMNS: Final = ("counter", "opens_at", "closes_at", "classes")
PROFILE_COLUMNS: Final = ("hour", "class", "arrivals", "service_seconds")
CALL_COLUMNS: Final = ("ticket", "called_at", "counter", "overtaken_by")

SECONDS_MAX: Final = 10**9
HOUR_MAX: Final = 23
ARRIVALS_MAX: Final = 10_000
NAME_CHARS_MAX: Final = 64
LIST: Final = ";"  # between the parts of a list in a cell

_WHOLE: Final = re.compile(r"[0-9]{1,10}")
_COUNT: Final = re.compile(r"[0-9]{1,5}(\.[0-9]{1,2})?")
_Made = TypeVar("_Made")


class _CellError(ValueError):
    """A cell that cannot be taken: its column and why."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(column, reason)
        self.column, self.reason = column, reason


class ProfileRow(NamedTuple):
    """What comes of a class in an hour: a hundred times the mean number of arrivals, and the mean seconds of a service."""

    hour: int
    queue_class: int
    arrivals_hundredths: int
    service_s: int


def read_tickets(path: Path, classes: Sequence[str]) -> dict[str, HallTicket]:
    """Tickets by name, in the order of issue. `classes`: ids of the pack's queue classes, by code."""

    def made(cells: dict[str, str]) -> HallTicket:
        seconds = _whole("service_seconds", cells, 1)
        return HallTicket(
            _whole("arrives_at", cells),
            _class("class", cells["class"], classes),
            seconds,
            tuple(_changes(cells, classes)),
        )

    return _named(path, TICKET_COLUMNS, made, bounds.HALL_TICKETS_MAX)


def read_counters(path: Path, classes: Sequence[str]) -> dict[str, HallCounter]:
    """Counters by name, in the order in which they call at one instant. Without classes a counter takes all."""

    def made(cells: dict[str, str]) -> HallCounter:
        opens_s, closes_s = _whole("opens_at", cells), _whole("closes_at", cells)
        if closes_s < opens_s:
            raise _CellError("closes_at", f"{closes_s} is before opens_at, {opens_s}")
        listed = cells["classes"].split(LIST) if cells["classes"] else list(classes)
        codes = sorted(_class("classes", one, classes) for one in listed)
        if len(set(codes)) < len(codes):
            raise _CellError("classes", "names a class twice")
        return HallCounter(opens_s, closes_s, tuple(codes))

    return _named(path, COUNTER_COLUMNS, made, bounds.HALL_COUNTERS_MAX)


def read_profile(path: Path, classes: Sequence[str]) -> list[ProfileRow]:
    """A day's profile: arrivals by the hour and class."""
    found: dict[tuple[int, int], ProfileRow] = {}
    for line, cells in _rows(path, PROFILE_COLUMNS):
        try:
            hour = _whole("hour", cells, most=HOUR_MAX)
            code = _class("class", cells["class"], classes)
            row = ProfileRow(hour, code, _hundredths("arrivals", cells), _whole("service_seconds", cells, 1))
            if (hour, code) in found:
                raise _CellError("class", f"hour {hour} has class {cells['class']} twice")
        except _CellError as problem:
            raise InputError(str(path), line, problem.column, problem.reason) from None
        found[hour, code] = row
    return list(found.values())


def calls_text(rows: Sequence[Sequence[str]]) -> str:
    """The file of who was called: rows of CALL_COLUMNS."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CALL_COLUMNS)
    writer.writerows(rows)
    return out.getvalue()


def _named(path: Path, columns: Sequence[str], made: Callable[[dict[str, str]], _Made], most: int) -> dict[str, _Made]:
    """What the rows of a file stand for, by the name in the first column, which is there once."""
    found: dict[str, _Made] = {}
    for line, cells in _rows(path, columns):
        name = cells[columns[0]]
        try:
            if not name or len(name) > NAME_CHARS_MAX or LIST in name or not name.isprintable():
                raise _CellError(columns[0], f"{show(name)} is no name of 1 to {NAME_CHARS_MAX} characters without `;`")
            if name in found:
                raise _CellError(columns[0], f"{show(name)} is there twice")
            if len(found) == most:
                raise InputError(str(path), line, None, f"more than {most:,} rows: split it")
            found[name] = made(cells)
        except _CellError as problem:
            raise InputError(str(path), line, problem.column, problem.reason) from None
    if not found:
        raise InputError(str(path), 0, None, f"holds no {columns[0]}s")
    return found


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, cells by column) of a file; blank lines are passed over."""
    try:
        text = read_bounded(path, bounds.HALL_FILE_BYTES_MAX, "split it by days").decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise InputError(str(path), 0, None, f"no UTF-8 at byte {problem.start + 1}: save it as UTF-8") from problem
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next((row for row in reader if row), [])
        if sorted(header) != sorted(columns):
            raise InputError(str(path), 1, None, f"the columns have to be {','.join(columns)}")
        for row in reader:
            if len(row) not in (0, len(header)):
                reason = f"{len(row)} values, the columns are {len(header)}"
                raise InputError(str(path), reader.line_num, None, reason)
            if row:
                yield reader.line_num, dict(zip(header, row, strict=True))
    except csv.Error as problem:
        raise InputError(str(path), reader.line_num, None, f"no CSV: {problem}") from problem


def _whole(column: str, cells: dict[str, str], least: int = 0, most: int = SECONDS_MAX) -> int:
    return _number(column, cells[column], least, most)


def _number(column: str, text: str, least: int = 0, most: int = SECONDS_MAX) -> int:
    if not _WHOLE.fullmatch(text) or not least <= int(text) <= most:
        raise _CellError(column, f"{show(text)} is no whole number from {least} to {most}")
    return int(text)


def _hundredths(column: str, cells: dict[str, str]) -> int:
    text = cells[column]
    whole, _, rest = text.partition(".")
    if not _COUNT.fullmatch(text) or int(whole) >= ARRIVALS_MAX:
        raise _CellError(column, f"{show(text)} is no number below {ARRIVALS_MAX} with at most two decimals")
    return int(whole) * 100 + int(rest.ljust(2, "0"))


def _class(column: str, text: str, classes: Sequence[str]) -> int:
    if text not in classes:
        raise _CellError(column, f"{show(text)} is no queue class of the pack: {', '.join(classes)}")
    return classes.index(text)


def _changes(cells: dict[str, str], classes: Sequence[str]) -> Iterator[tuple[int, int]]:
    """`at:class;at:class`, in any order of time; at one second the last counts."""
    for part in cells["changes"].split(LIST) if cells["changes"] else ():
        at, colon, name = part.partition(":")
        if not colon:
            raise _CellError("changes", f"{show(part)} is no at:class, such as 600:{classes[0]}")
        yield _number("changes", at), _class("changes", name, classes)
