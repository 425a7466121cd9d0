"""A month's cases as docs/alerts.md#report says it, slowly: every figure looks at all steps again."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from streams.alerts.acts import CASE_OUTCOMES

ENDS: Final = ("resolved", "retracted", "expired", "closed")
WAYS: Final = (*CASE_OUTCOMES, "retracted", "closed", "expired", "open")


class Taken(NamedTuple):
    """A step, and when the log took it."""

    step: dict[str, Any]
    at: int


def slow_report(log: Sequence[Taken], days: range, keeps: Callable[[str], bool]) -> dict[str, list[tuple[Any, ...]]]:
    """Rows in the order of CaseGroup's fields, by what groups them."""
    cases = [case for name in sorted({one.step["alert_id"] for one in log}) if (case := steps_of(log, name, days))]
    cases = [case for case in cases if keeps(case[-1].step["branch"])]
    rules, owners = ({case[-1].step[name] for case in cases} for name in ("rule", "rm_id"))
    others = sorted({outcome(case) for case in cases} - {*WAYS})
    return {
        "total": [row(None, cases)],
        "rules": ranked(row(name, [case for case in cases if case[-1].step["rule"] == name]) for name in rules),
        "owners": ranked(row(name, [case for case in cases if case[-1].step["rm_id"] == name]) for name in owners),
        "outcomes": [row(name, [case for case in cases if outcome(case) == name]) for name in (*WAYS, *others)],
    }


def ranked(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Most cases first, then by name; nobody last."""
    named = sorted(rows, key=lambda one: str(one[0]))
    by_size = sorted(named, key=lambda one: one[1], reverse=True)
    return [one for one in by_size if one[0] is not None] + [one for one in by_size if one[0] is None]


def steps_of(log: Sequence[Taken], name: str, days: range) -> list[Taken]:
    """A case's steps from the one on that makes it one of the month, each once."""
    own = [one for one in log if one.step["alert_id"] == name]
    begins = [
        place for place, (step, _) in enumerate(own)
        if step["status"] == "raised" and step["raised_day"] in days
        and (step["told_step"] is not None or step["gross_minor"] is not None)
    ]  # fmt: skip
    if not begins:
        return []
    own = own[begins[0] :]
    ids = [one.step["event_id"] for one in own]
    return [one for place, one in enumerate(own) if ids.index(one.step["event_id"]) == place]


def end_of(case: list[Taken]) -> Taken | None:
    """The last step that ends it, unless a later one says that it goes on."""
    for one in reversed(case):
        if one.step["status"] in ENDS:
            return one
        if one.step["attention"] != "ended":
            return None
    return None


def outcome(case: list[Taken]) -> str:
    """What has become of it."""
    end = end_of(case)
    if end is None:
        return "open"
    status = str(end.step["status"])
    return str(end.step["outcome"] or status) if status == "resolved" else status


def first(case: list[Taken], *statuses: str) -> list[int]:
    """When the first step of these came; none, or one."""
    return [one.at for one in case if one.step["status"] in statuses][:1]


def resolved(case: list[Taken]) -> list[int]:
    """When it was resolved, if it ended so; none, or one."""
    end = end_of(case)
    return [] if end is None or end.step["status"] != "resolved" else [end.at]


def delay(pairs: Iterable[tuple[int, int]]) -> tuple[int, int | None, int | None]:
    """Count, median, and the least value that nine tenths are not above."""
    spans = [max(0, until - since) for since, until in pairs]
    if not spans:
        return 0, None, None
    enough = [one for one in spans if 10 * sum(other <= one for other in spans) >= 9 * len(spans)]
    return len(spans), statistics.median_low(spans), min(enough)


def row(name: str | None, cases: list[list[Taken]]) -> tuple[Any, ...]:
    """A group."""
    statuses = [one.step["status"] for case in cases for one in case]
    done = [case[-1].step for case in cases if resolved(case)]
    nets = [step["outflow_minor"] for step in done if step["kind"] == "outflow" and step["outflow_minor"] is not None]
    told = ("raised", "deepened")
    return (
        name, len(cases), sum(one in told for one in statuses), statuses.count("escalated"),
        delay((a, b) for case in cases for a in first(case, *told) for b in first(case, "acknowledged")),
        delay((a, b) for case in cases for a in first(case, *told) for b in resolved(case)),
        sum(outcome(case) == "open" for case in cases), sum(outcome(case) == "retracted" for case in cases),
        sum(nets) if nets else None,
    )  # fmt: skip
