"""Which closes and marks of sources apply (docs/architecture.md#closes-set-aside): the worker's rule, and the closer's."""

from __future__ import annotations

from typing import Final, NamedTuple

from streams.calendar import NO_DAY, date_of

GAP_DAYS_MAX: Final = 31  # calendar days from the last applied close to the day that an ordinary run asks for
# Values of a source's mark of completeness; any other is as an ordinary one.
MARK_ORDINARY: Final = 1
MARK_FORCED: Final = 2  # counts however far ahead it is
MARK_RETRACTS: Final = -1  # takes back one of its day that was set aside


class Run(NamedTuple):
    """A run of closes: the day that it asked for, and the last one closed before it (None: none, or not said in its records)."""

    asked: int
    last_closed: int | None

    @classmethod
    def of(cls, day: int, asked: int | None, last_closed: int | None) -> Run:
        """The run of a record. Records of before there were runs are one each."""
        return cls(day, None) if asked is None else cls(asked, last_closed)


NOTHING_LEFT_OUT: Final[frozenset[Run]] = frozenset()
"""Of the runs that a log's identity names as not to count, whatever they are."""


def covers(run: Run, day: int) -> bool:
    """Whether a run closes a day, where it counts: the day that it asked for, and those since the last close before it."""
    return run.asked == day or (run.last_closed is not None and run.last_closed < day < run.asked)


def close_name(day: int, left_out: frozenset[Run]) -> str:
    """How ids name the close of a day: by its date, and from the second close of that day on by its number.

    A day is closed again where an earlier run that had closed it is left out. What that one gave is told already, under its
    ids, and those who drop what comes again by its id must not drop what the day gives now.
    """
    before = sum(covers(run, day) for run in left_out)
    return f"{date_of(day)}/{before + 1}" if before else str(date_of(day))


def is_set_aside(asked: int | None, last_closed: int | None, applied: int, *, forced: bool) -> bool:
    """Whether a close that is next, or a mark, does not count: it asks for a day too far behind the last applied close.

    `asked` and `last_closed` are the record's, `applied` is the last close that counts (NO_DAY: none). Where none does, as in
    a log whose beginning is gone, the record says what was closed before it. A record of before there were these fields
    always counts.
    """
    since = last_closed if applied == NO_DAY else applied
    return asked is not None and not forced and since is not None and asked - since > GAP_DAYS_MAX
