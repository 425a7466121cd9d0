"""The cases of a month in figures: how many, how soon they were answered, and what has become of the money. Pure.

docs/alerts.md#report defines each figure; tests/evaluation/slow_case_report.py says the same slowly.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from schemas.codec.records import RecordError, decode_one
from schemas.nulls import with_nulls
from services.views.projections import plain_day
from streams.alerts.acts import ACKNOWLEDGE, CASE_OUTCOMES, ENDED, ESCALATE, RESOLVE, STEPS_OF_ACTS
from streams.alerts.lifecycle import RAISED
from streams.vocabulary.terms import OUTFLOW
from tidegauge.evaluation.score import quantile
from tidegauge.evaluation.steps import ENDS, RETRACTED, TOLD

if TYPE_CHECKING:
    from schemas.codec.blocks import LogEntry
    from schemas.registry import Registry

CASES_TOPIC: Final = "rm-alerts"
MONTH_CASES_MAX: Final = 200_000
"""Cases of a month that are held at a time."""

STILL_OPEN: Final = "open"
RESOLVED: Final = STEPS_OF_ACTS[RESOLVE]
OUTCOMES: Final = (*CASE_OUTCOMES, RETRACTED, *sorted(ENDS - {RESOLVED, RETRACTED}), STILL_OPEN)
"""What has become of a case: how people resolved it, how it ended by itself, or that it has not ended."""

_HALF, _NINE_TENTHS = 50, 90


class TooManyCasesError(Exception):
    """A month has more than MONTH_CASES_MAX cases."""


class Delay(NamedTuple):
    """Times since cases were first told, of those of which there is one; ms, None where there is none.

    slowest_ms: within which nine tenths were; the slowest tenth took as long or longer.
    """

    cases: int
    median_ms: int | None
    slowest_ms: int | None


class CaseGroup(NamedTuple):
    """Cases that have something in common, by its name; None: no owner, or all of them.

    told: steps raised and deepened. taken_back: retracted. net_minor: what had left, net, over resolved cases of kind outflow, in
    minor units of the base currency; None where none of them is one.
    """

    name: str | None
    cases: int
    told: int
    escalations: int
    acknowledged: Delay
    resolved: Delay
    still_open: int
    taken_back: int
    net_minor: int | None


class CaseReport(NamedTuple):
    """A month. rules, owners: those with the most cases first. outcomes: each of OUTCOMES, also without a case."""

    total: CaseGroup
    rules: list[CaseGroup]
    owners: list[CaseGroup]
    outcomes: list[CaseGroup]


@dataclass(slots=True)
class ReportedCase:
    """A case as its steps have left it. Instants: when the log took a step, ms since 1970."""

    rule: str = ""
    owner: str | None = None
    branch: str = ""
    outcome: str = STILL_OPEN
    net_minor: int | None = None
    told: int = 0
    told_ms: int | None = None
    escalations: int = 0
    acknowledged_ms: int | None = None
    resolved_ms: int | None = None
    _seen: set[str] = field(default_factory=set)

    def note(self, step: Mapping[str, Any], at_ms: int) -> None:
        """Takes a step; one that has come before changes nothing."""
        if step["event_id"] in self._seen:
            return
        self._seen.add(step["event_id"])
        status = step["status"]
        self.rule, self.owner, self.branch = step["rule"], step["rm_id"], step["branch"]
        self.net_minor = step["outflow_minor"] if step["kind"] == OUTFLOW else None
        if status in TOLD:
            self.told += 1
            self.told_ms = at_ms if self.told_ms is None else self.told_ms
        elif status == STEPS_OF_ACTS[ESCALATE]:
            self.escalations += 1
        elif status == STEPS_OF_ACTS[ACKNOWLEDGE] and self.acknowledged_ms is None:
            self.acknowledged_ms = at_ms
        self._stand(status, step, at_ms)

    def _stand(self, status: str, step: Mapping[str, Any], at_ms: int) -> None:
        """How the case stands after a step: a figure that is corrected later leaves an end as it was."""
        if status in ENDS:
            self.outcome = step["outcome"] or status if status == RESOLVED else status
            self.resolved_ms = at_ms if status == RESOLVED else None
        elif step["attention"] != ENDED:
            self.outcome, self.resolved_ms = STILL_OPEN, None


class CaseMonth:
    """The cases that were raised on a day of [first, last], day numbers; steps come in the order of the log."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self.cases: dict[str, ReportedCase] = {}

    def read(self, entries: Iterable[LogEntry], registry: Registry) -> int:
        """Takes records of the topic; how many of them nobody can read. TooManyCasesError."""
        unreadable = 0
        for entry in entries:
            try:
                step = decode_one(entry.value or b"", registry, name=CASES_TOPIC)
            except RecordError:
                unreadable += 1
                continue
            self.note(with_nulls(CASES_TOPIC, step), entry.at)
        return unreadable

    def note(self, step: Mapping[str, Any], at_ms: int) -> None:
        """Takes a step of rm-alerts. An alert of a pack without cases is none."""
        known = self.cases.get(step["alert_id"])
        if known is None:
            if step["status"] != RAISED or (step["told_step"] is None and step["gross_minor"] is None):
                return
            if not self.first <= plain_day(step["raised_day"]) <= self.last:
                return
            if len(self.cases) >= MONTH_CASES_MAX:
                raise TooManyCasesError
            known = self.cases[step["alert_id"]] = ReportedCase()
        known.note(step, at_ms)

    def report(self, keeps: Callable[[str], bool] = lambda _branch: True) -> CaseReport:
        """The figures of the cases whose branch is kept."""
        found = [case for case in self.cases.values() if keeps(case.branch)]
        others = sorted({case.outcome for case in found} - set(OUTCOMES))
        by_outcome = _grouped(found, lambda case: case.outcome)
        outcomes = [_group(name, by_outcome.get(name, [])) for name in (*OUTCOMES, *others)]
        return CaseReport(
            _group(None, found),
            _largest(found, lambda case: case.rule),
            _largest(found, lambda case: case.owner),
            outcomes,
        )


def _grouped(
    cases: Iterable[ReportedCase], name_of: Callable[[ReportedCase], str | None]
) -> dict[str | None, list[ReportedCase]]:
    found: dict[str | None, list[ReportedCase]] = defaultdict(list)
    for case in cases:
        found[name_of(case)].append(case)
    return found


def _largest(cases: Iterable[ReportedCase], name_of: Callable[[ReportedCase], str | None]) -> list[CaseGroup]:
    """A group for each name, the largest first, then by name; that without a name last."""
    groups = (_group(name, members) for name, members in _grouped(cases, name_of).items())
    return sorted(groups, key=lambda one: (one.name is None, -one.cases, one.name or ""))


def _group(name: str | None, cases: list[ReportedCase]) -> CaseGroup:
    stand = Counter(case.outcome for case in cases)
    nets = [case.net_minor for case in cases if case.resolved_ms is not None and case.net_minor is not None]
    return CaseGroup(
        name, len(cases), sum(case.told for case in cases), sum(case.escalations for case in cases),
        _delay((case.told_ms, case.acknowledged_ms) for case in cases),
        _delay((case.told_ms, case.resolved_ms) for case in cases),
        stand[STILL_OPEN], stand[RETRACTED], sum(nets) if nets else None,
    )  # fmt: skip


def _delay(spans: Iterable[tuple[int | None, int | None]]) -> Delay:
    """Of pairs of instants; a log whose clock was set back gives 0."""
    ordered = sorted(max(0, until - since) for since, until in spans if since is not None and until is not None)
    if not ordered:
        return Delay(0, None, None)
    return Delay(len(ordered), quantile(ordered, _HALF), quantile(ordered, _NINE_TENTHS))
