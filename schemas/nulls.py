"""Records of versions that have a number where nothing is known, as those of today have them: with null.

A reader of the newest contract still finds the 0 and the -1 that a writer of before had no null for: see
docs/contracts.md#null-for-what-is-not-known.
"""

from __future__ import annotations

from typing import Any, Final

from streams.vocabulary.metrics import METRICS, Metric
from streams.vocabulary.terms import OUTFLOW

HELD_TEXT_CHARS_MAX: Final = 200
"""Of `held_reason`. It names metrics in their order; where it is full, the last of them are missing."""
_MISSING: Final = "no exchange rate for "  # in it, before the metrics by their columns in files
_UNKNOWN_DAYS: Final = ("tier_effective", "first_day")
_NOT_OF_OUTLOOKS: Final = ("window_days", "outflow_minor", "share_bp")

_Record = dict[str, Any]


def with_nulls(topic: str, record: _Record) -> _Record:
    """The record, or one with null in place of numbers that say nothing. It makes no difference to one that has nulls.

    Fields that its writer did not know it has not afterwards either.
    """
    changes = {"standings": _standing, "outlooks": _outlook, "rm-alerts": _alert}.get(topic)
    return record if changes is None else record | {name: x for name, x in changes(record).items() if name in record}


def _standing(record: _Record) -> _Record:
    found: _Record = {name: record.get(name) or None for name in _UNKNOWN_DAYS}
    for metric in _held_metrics(record):
        if not metric.family.is_list:
            found[f"{metric.column}_minor"] = None
            continue
        name, place = f"{metric.family.name}s_minor", metric.family.numbers.index(metric.number)
        values = found.setdefault(name, list(record.get(name, ())))
        values[place : place + 1] = [None] * len(values[place : place + 1])  # there were versions without weeks
    return found


def _held_metrics(record: _Record) -> list[Metric]:
    """What `held_reason` names; where it is full, what comes behind its last whole name too: that may be held."""
    text = record["held_reason"]
    if text is None or record.get("held"):
        return []
    named = text.partition(_MISSING)[2].split(", ")
    if len(text) < HELD_TEXT_CHARS_MAX:
        return [metric for metric in METRICS if metric.column in named]
    whole = [place for place, metric in enumerate(METRICS) if metric.column in named[:-1]]
    return [metric for place, metric in enumerate(METRICS) if place in whole or place > max(whole, default=-1)]


def _outlook(record: _Record) -> _Record:
    held = record["held_reason"] is not None
    return {"to_hold_minor": [None if held else _amount(one) for one in record["to_hold_minor"]]}


def _alert(record: _Record) -> _Record:
    if record.get("kind", OUTFLOW) == OUTFLOW:
        return {}
    return {name: record[name] or None for name in _NOT_OF_OUTLOOKS} | {
        "to_hold_minor": _amount(record["to_hold_minor"])
    }


def _amount(to_hold: int | None) -> int | None:
    return None if to_hold is None or to_hold < 0 else to_hold
