"""What a close will do, before it does it: the days of its run, and what about it is beyond the ordinary. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from streams.calendar import NO_DAY, date_of, shown_day
from streams.closing import GAP_DAYS_MAX, NOTHING_LEFT_OUT, Run, is_set_aside
from streams.workdays import business_days

AHEAD_MAX: Final = 7  # business days past the last close, and past the newest booked day, that need no force
RUN_DAYS_MAX: Final = 366  # days of one run


class Closed(NamedTuple):
    """A record of `business-days`: the day that it closes, the import that closed it if one did, and what its run was.

    `retracts`: it closes nothing, but takes back the runs that asked for that day and were set aside.
    """

    day: int
    source: str | None
    asked: int | None = None
    last_closed: int | None = None
    force_reason: str | None = None
    retracts: int | None = None

    @property
    def run(self) -> Run:
        """Its run."""
        return Run.of(self.day, self.asked, self.last_closed)


class History(NamedTuple):
    """What the log says: the closes that count, oldest first, and the days asked for by runs that are set aside.

    A run that was taken back, or whose days have been closed since, is not among them.
    """

    applied: list[Closed]
    aside: list[int]

    @property
    def last(self) -> int | None:
        """The last close that counts."""
        return self.applied[-1].day if self.applied else None


class Known(NamedTuple):
    """What the workers know: the newest day on which a posting is booked (None: they know of none), days of the calendar.

    Of `sources` an event has come; `aside` has the days of marks that are set aside. left_out: closes that don't count, of the
    log's identity.
    """

    booked: int | None = None
    calendar: Mapping[int, bool] = {}
    sources: frozenset[str] = frozenset()
    aside: Mapping[str, int] = {}
    left_out: frozenset[Run] = NOTHING_LEFT_OUT


NOTHING_KNOWN: Final = Known()


class RunPlan(NamedTuple):
    """The days that a run closes, none where the day asked for is closed already, and why it needs force, if it does."""

    asked: int
    last: int | None
    days: range
    unusual: tuple[str, ...]


def applied(records: Iterable[Closed], left_out: frozenset[Run] = NOTHING_LEFT_OUT) -> History:
    """Which closes count, by the worker's rule; records in the order of the log. `left_out` don't."""
    closes, aside, last = list[Closed](), dict[int, None](), NO_DAY
    for record in records:
        if record.retracts is not None:
            aside.pop(record.retracts, None)
        elif record.day <= last or record.run in left_out:
            continue
        elif is_set_aside(record.asked, record.last_closed, last, forced=record.force_reason is not None):
            aside[record.asked or record.day] = None
        else:
            closes.append(record)
            last = record.day
    return History(closes, [asked for asked in aside if asked > last])


def plan_run(asked: int, last: int | None, known: Known, *, own: bool = False) -> RunPlan:
    """The run that closes a day and the days between. `own`: days of an import, which nobody has typed.

    The first close of all closes its day alone.
    """
    if last is not None and asked <= last:
        return RunPlan(asked, last, range(0), ())
    days = range(asked if last is None else last + 1, asked + 1)
    return RunPlan(asked, last, days, tuple(_unusual(asked, last, known, own=own)))


def _unusual(asked: int, last: int | None, known: Known, *, own: bool) -> Iterable[str]:
    if last is not None:
        yield from _ahead(asked, last, known, "the last close")
        if asked - last > GAP_DAYS_MAX:
            yield f"it is {asked - last} days past the last close: workers set that aside, where it is not forced"
    if known.booked is not None and not own:
        yield from _ahead(asked, known.booked, known, "the newest booked day")


def _ahead(asked: int, since: int, known: Known, what: str) -> Iterable[str]:
    ahead = business_days(since + 1, asked, known.calendar)
    if ahead > AHEAD_MAX:
        yield f"{date_of(asked)} is {ahead} business days past {what}, {shown_day(since)}; up to {AHEAD_MAX} are ordinary"
