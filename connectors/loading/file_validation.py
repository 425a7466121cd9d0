"""Events of files judged as records of their topics are (schemas.validation), many at a time, in the order of the file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from connectors.formats.events import Event, InputError, Report
from connectors.formats.layout import name_in_row
from schemas.validation.columns import InputCheck

LINES_AT_ONCE: Final = 1024
BYTES_AT_ONCE: Final = 4 << 20
"""Of the lines as they stood in the file."""


class ReadLine(NamedTuple):
    """An event and where it was read: the fields by the names that the file has for them, and the line as it stood."""

    line: int
    event: Event
    row: Mapping[str, Any]
    original: bytes


def judged(file: str, zone: str, lines: Callable[[Report], Iterable[ReadLine]], report: Report) -> Iterator[Event]:
    """The good ones among what `lines` reads; the others go to `report`, in one order with what `lines` reports itself."""
    waiting: list[ReadLine | InputError] = []
    size = 0
    try:
        for one in lines(waiting.append):
            waiting.append(one)
            size += len(one.original)
            if len(waiting) >= LINES_AT_ONCE or size >= BYTES_AT_ONCE:
                yield from _settled(file, zone, waiting, report)
                size = 0
    except InputError:  # the file cannot be read on; what came before it stands
        yield from _settled(file, zone, waiting, report)
        raise
    yield from _settled(file, zone, waiting, report)


def _settled(file: str, zone: str, waiting: list[ReadLine | InputError], report: Report) -> Iterator[Event]:
    """Judges what waits, and takes it off the list."""
    taken = waiting.copy()
    waiting.clear()
    records = defaultdict(list)
    for one in taken:
        if isinstance(one, ReadLine):
            records[one.event.topic].append(one.event.record)
    verdicts = {topic: iter(_check(topic, zone).verdicts(found)) for topic, found in records.items()}
    for one in taken:
        if isinstance(one, InputError):
            report(one)
        elif (why := next(verdicts[one.event.topic])) is None:
            yield one.event
        else:
            name = None if why.field is None else name_in_row(one.event.topic, why.field, one.row)
            report(InputError(file, one.line, name, why.reason, one.original))


@lru_cache(maxsize=64)
def _check(topic: str, zone: str) -> InputCheck:
    return InputCheck(topic, zone)
