"""Steps of cases, as a score takes them: read out of what the job publishes, written as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from deploy.printable import spreadsheet_row
from streams.alerts.lifecycle import DEEPENED, RAISED
from streams.calendar import EPOCH, business_day, date_of, day_end_ms, zone_table

RETRACTED: Final = "retracted"
TOLD: Final = frozenset((RAISED, DEEPENED))
ENDS: Final = frozenset((RETRACTED, "expired", "resolved", "closed"))
LINES: Final = TOLD | {RETRACTED}  # what a manager reads: the two, and that it is over
BY_CLOSE: Final = "close/"
ISO_CHARS: Final = 10


class ScoredStep(NamedTuple):
    """A step of a case. `at`: when its cause was booked, ms since the epoch; a close's is the end of its day.

    Days are day numbers, money is in minor units of the base currency and None where a kind has none.
    """

    case_id: str
    customer_id: str
    kind: str
    step: str
    provisional: bool
    severity: str
    at: int
    day: int
    gross_out_minor: int | None
    net_out_minor: int | None
    reference_minor: int
    rule: str
    owner: str | None
    caused_by: str


def scored_step(alert: Mapping[str, Any], booked: Mapping[str, int], zone: str) -> ScoredStep:
    """The step that a record of rm-alerts tells of. `booked`: the instants of postings by their id.

    What neither a close nor one of these postings has caused counts at the end of the day on which the case opened. Fields that
    an older contract doesn't have are what they were then: every outflow provisional, and all of it gross.
    """
    cause = alert["caused_by"]
    if cause.startswith(BY_CLOSE):
        day = date_of_text(cause.removeprefix(BY_CLOSE)[:ISO_CHARS])  # a close of another run has more behind its date
        at = day_end_ms(day, zone)
    else:
        opened = int(alert["raised_day"])
        at = booked.get(cause, day_end_ms(opened, zone))
        day = int(business_day(at, *zone_table(zone))) if cause in booked else opened
    provisional, gross = alert.get("provisional"), alert.get("gross_minor")
    return ScoredStep(
        alert["alert_id"], alert["customer_id"], alert["kind"], alert["status"],
        not cause.startswith(BY_CLOSE) if provisional is None else bool(provisional), alert["severity"], at, day,
        alert["outflow_minor"] if gross is None else gross, alert["outflow_minor"], alert["reference_aum_minor"], alert["rule"],
        alert["rm_id"], cause,
    )  # fmt: skip


def date_of_text(text: str) -> int:
    """The day number of an ISO date."""
    return (datetime.fromisoformat(text).date() - EPOCH).days


def write_steps(path: Path, steps: Iterable[ScoredStep], zone: str) -> int:
    """One row a step, with the fields' names as the header; `at` as ISO with the offset of the zone. How many rows."""
    count, base, where = 0, datetime.fromisoformat("1970-01-01T00:00:00+00:00"), ZoneInfo(zone)
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(ScoredStep._fields)
        for step in steps:
            at = (base + timedelta(milliseconds=step.at)).astimezone(where).isoformat(timespec="milliseconds")
            shown = step._asdict() | {
                "at": at, "day": date_of(step.day).isoformat(), "provisional": "true" if step.provisional else "false",
            }  # fmt: skip
            table.writerow(spreadsheet_row(list(shown.values())))
            count += 1
    return count
