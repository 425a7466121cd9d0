"""Open cases as a clock sees them, and what is due on each: pure, but for what it is told (docs/alerts.md#the-clock).

What is due follows from the steps on rm-alerts and their instants in the log alone, so every clock that has read them knows
the same commands, with the same keys.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from policies.model.pack import Escalation
from services.staff.responsibility import LINE
from services.views.projections import plain_day
from streams.alerts.acts import CLOCK_LOOKS_AT, ESCALATE, SNOOZED, WAKE
from streams.calendar import DAY_MAX, DAY_MIN, day_start_ms
from streams.working_time import WORK_HOUR_MS, UnknownYearError, WorkingTime

LEVELS_MAX: Final = len(LINE) - 1
"""Levels of a case: each is told one person further up the line."""

CASES_MAX: Final = 500_000
"""Open cases that are watched."""


class CaseState(NamedTuple):
    """How a case stands. step: the one told last. until: last day of a snooze. since_ms: the instant since which it stands so."""

    case: str
    step: str
    severity: str
    attention: str
    until: int | None
    level: int
    owner: str | None
    pack: tuple[str, int]
    since_ms: int

    @classmethod
    def of(cls, record: Mapping[str, Any], at_ms: int) -> CaseState | None:
        """After a step of rm-alerts; None where there is nothing to wait for."""
        if record["told_step"] is None or record["attention"] not in CLOCK_LOOKS_AT:
            return None
        until = record["snoozed_until"]
        return cls(
            record["alert_id"], record["told_step"], record["severity"], record["attention"],
            None if until is None else plain_day(until), record["level"] or 0, record["rm_id"],
            (record["pack_id"], record["pack_version"]), at_ms,
        )  # fmt: skip

    def stands_as(self, other: CaseState) -> bool:
        """Whether people have made the same of it."""
        mine, theirs = ((one.step, one.attention, one.until, one.level, one.owner) for one in (self, other))
        return mine == theirs


class DueCommand(NamedTuple):
    """A command, and from when on it is to be sent, in ms since 1970. level: of an escalation, else 0.

    since_ms: the instant since which the case has stood so that this is due.
    """

    due_ms: int
    action: str
    case: str
    step: str
    level: int
    since_ms: int

    @property
    def key(self) -> str:
        """Of the command: the same for every clock.

        The step is in it, since a deepening starts the levels anew; the instant, since a case that was snoozed meanwhile is
        to be escalated, or woken, once more.
        """
        return f"{self.action}/{self.case}/{self.step}/{self.level}/{self.since_ms}"


def next_command(
    case: CaseState, terms: Escalation | None, is_open: Callable[[int], bool], zone: str
) -> DueCommand | None:
    """What is due next if nobody does anything; None: nothing. UnknownYearError."""
    if case.attention == SNOOZED:
        if case.until is None or not DAY_MIN <= case.until < DAY_MAX:
            return None
        return DueCommand(day_start_ms(case.until + 1, zone), WAKE, case.case, case.step, 0, case.since_ms)
    hours = None if terms is None else terms.hours.get(case.severity)
    if terms is None or hours is None or not 0 <= case.level < LEVELS_MAX:
        return None
    working = WorkingTime(terms.opens, terms.closes, zone, is_open)
    due_ms = working.after(case.since_ms, hours * WORK_HOUR_MS)
    return DueCommand(due_ms, ESCALATE, case.case, case.step, case.level + 1, case.since_ms)


@dataclass(slots=True)
class OpenCases:
    """The open cases. terms: of a pack's id and version. is_open: of a day; UnknownYearError."""

    terms: Callable[[tuple[str, int]], Escalation | None]
    is_open: Callable[[int], bool]
    zone: str
    cases: dict[str, CaseState] = field(default_factory=dict)
    unplanned: dict[str, int] = field(default_factory=dict)  # case -> the year that nobody knows
    left_out: int = 0  # cases beyond CASES_MAX
    _planned: dict[str, DueCommand] = field(default_factory=dict)
    _heap: list[DueCommand] = field(default_factory=list)

    def note(self, record: Mapping[str, Any], at_ms: int) -> None:
        """Takes a step of rm-alerts. One that changes nothing of how the case stands leaves its time as it was."""
        name = record["alert_id"]
        found, known = CaseState.of(record, at_ms), self.cases.get(name)
        if found is None:
            self.drop(name)
        elif known is None and len(self.cases) >= CASES_MAX:
            self.left_out += 1
        elif known is None or not known.stands_as(found):
            self.cases[name] = found
            self._plan(found)
        elif (
            same := found._replace(since_ms=known.since_ms)
        ) != known:  # another severity, or a newer version of the pack
            self.cases[name] = same
            self._plan(same)

    def drop(self, name: str) -> None:
        """A case is over."""
        for known in (self.cases, self._planned, self.unplanned):
            known.pop(name, None)

    def replan(self) -> None:
        """The calendar or a pack is another one now."""
        self._heap.clear()
        for case in self.cases.values():
            self._plan(case)

    def _plan(self, case: CaseState) -> None:
        self._planned.pop(case.case, None)
        self.unplanned.pop(case.case, None)
        try:
            found = next_command(case, self.terms(case.pack), self.is_open, self.zone)
        except UnknownYearError as problem:
            self.unplanned[case.case] = problem.year
            return
        if found is not None:
            self._planned[case.case] = found
            heapq.heappush(self._heap, found)

    def take_due(self, now_ms: int) -> list[DueCommand]:
        """What is due by now, the earliest first, each once; what could not be sent comes back by `again`."""
        found = []
        while self._heap and self._heap[0].due_ms <= now_ms:
            command = heapq.heappop(self._heap)
            if self._planned.get(command.case) == command:
                found.append(command)
                del self._planned[command.case]
        return found

    def again(self, commands: Iterable[DueCommand], at_ms: int) -> None:
        """Commands that are to be sent at another instant, unless their cases stand otherwise by then."""
        for command in commands:
            if command.case in self.cases and command.case not in self._planned:
                later = command._replace(due_ms=at_ms)
                self._planned[command.case] = later
                heapq.heappush(self._heap, later)
