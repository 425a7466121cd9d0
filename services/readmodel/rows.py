"""What a record of a topic changes in the read model: pure functions from a record to rows.

A row that PostgreSQL would not take is refused here, so that one record never holds up those behind it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from typing import Any, Final, NamedTuple

from schemas.nulls import with_nulls
from services.access.decision import owner_of
from services.readmodel.tables import (
    CASE_STEPS_TABLE,
    CASES_TABLE,
    COMMAND_RESULTS_TABLE,
    CUSTOMERS_TABLE,
    OUTLOOKS_TABLE,
    RESTATEMENTS_TABLE,
    STANDINGS_TABLE,
    TIER_CHANGES_TABLE,
    ReadTable,
)
from services.views.projections import TopicRecord, plain_day
from streams.calendar import date_of

WORD_BYTES_MAX: Final = 1024
"""Of a text by which rows are looked for: an index takes no longer ones."""

_ISO: Final = frozenset({"date"})


class RowChange(NamedTuple):
    """A row as it is from now on, in the order of the table's columns; None: there is none any more."""

    table: str
    key: str
    row: tuple[Any, ...] | None


def _customer(_record: TopicRecord, value: dict[str, Any]) -> list[RowChange]:
    return [_put(CUSTOMERS_TABLE, value | {"unit": "/".join(owner_of(value["branch"]))})]


def _standing(_record: TopicRecord, value: dict[str, Any]) -> list[RowChange]:
    return [_put(STANDINGS_TABLE, value)]


def _outlook(_record: TopicRecord, value: dict[str, Any]) -> list[RowChange]:
    return [_put(OUTLOOKS_TABLE, value)]


def _tier_change(record: TopicRecord, value: dict[str, Any]) -> list[RowChange]:
    evidence = {"metrics": value["metrics"], "thresholds": value["thresholds"]}
    return [_put(TIER_CHANGES_TABLE, value | {"evidence": _json(evidence), "position": record.offset})]


def _restatement(record: TopicRecord, value: dict[str, Any]) -> list[RowChange]:
    return [_put(RESTATEMENTS_TABLE, value | {"position": record.offset})]


def _alert(record: TopicRecord, value: dict[str, Any]) -> list[RowChange]:
    more = {"case_id": value["alert_id"], "position": record.offset, "counterparties": _json(value["counterparties"])}
    return [_put(CASES_TABLE, value | more), _put(CASE_STEPS_TABLE, value | more)]


def _result(record: TopicRecord, value: dict[str, Any]) -> list[RowChange]:
    return [_put(COMMAND_RESULTS_TABLE, value | {"position": record.offset})]


PROJECTED: Final[dict[str, Callable[[TopicRecord, dict[str, Any]], list[RowChange]]]] = {
    "customers": _customer, "standings": _standing, "outlooks": _outlook, "tier-changes": _tier_change,
    "restatements": _restatement, "rm-alerts": _alert, "command-results": _result,
}  # fmt: skip
"""The topics of the read model."""

_STATES: Final = {"customers": CUSTOMERS_TABLE, "standings": STANDINGS_TABLE, "outlooks": OUTLOOKS_TABLE}
"""Topics whose last record of a key counts; a tombstone takes the row away."""


def changes_of(record: TopicRecord, value: dict[str, Any] | None) -> list[RowChange]:
    """What a decoded record changes, or a tombstone (None). ValueError for what is no row."""
    if value is None:
        table = _STATES.get(record.topic)
        return [] if table is None else [RowChange(table.name, _word(table.key, (record.key or b"").decode()), None)]
    return PROJECTED[record.topic](record, with_nulls(record.topic, value))


def _put(table: ReadTable, value: dict[str, Any]) -> RowChange:
    """The row of a table out of a record's fields. ValueError where a field can't stand there."""
    row = tuple(_fitting(name, kind, value[name]) for name, kind in table.columns.items())
    return RowChange(table.name, value[table.key], row)


def _fitting(name: str, kind: str, given: Any) -> Any:
    if given is None:
        return None
    if kind in _ISO:
        return _day(name, given)
    if isinstance(given, str):
        return _json_fits(name, given) if kind.startswith("jsonb") else _word(name, given)
    if isinstance(given, list):
        return [_word(name, one) if isinstance(one, str) else one for one in given]
    return given


def _day(name: str, given: Any) -> date:
    try:
        return date_of(plain_day(given))
    except (ValueError, OverflowError) as problem:
        raise ValueError(f"{name}: no day of the calendar") from problem


def _word(name: str, text: str) -> str:
    if "\0" in text:
        raise ValueError(f"{name}: holds a zero")
    if name != "note" and len(text.encode()) > WORD_BYTES_MAX:
        raise ValueError(f"{name}: has more than {WORD_BYTES_MAX} bytes")
    return text


def _json(given: Any) -> str:
    return json.dumps(given, ensure_ascii=False, default=_plain)


def _plain(given: Any) -> str:
    """A day of a record in a record."""
    return date_of(plain_day(given)).isoformat()


def _json_fits(name: str, text: str) -> str:
    if "\\u0000" in text:
        raise ValueError(f"{name}: holds a zero")
    return text
