"""A read model in memory, and the slow twin that says what it has to hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from schemas.codec.records import decode_one
from schemas.partitioner import partition_of
from schemas.registry import Registry
from schemas.topics import MARK_KEY
from schemas.validation.columns import InputCheck
from services.readmodel.projector import Moved, OtherLogError, OvertakenError
from services.readmodel.rows import RowChange, changes_of
from services.views.projections import TopicRecord

Rows = dict[str, dict[str, tuple[Any, ...]]]


class KilledError(Exception):
    """The process has ended here."""


class MemoryReadStore:
    """Tables in dictionaries. fate: asked at each transaction whether the process ends `before` or `after` it, or not ("")."""

    def __init__(self, fate: Callable[[], str] = lambda: "") -> None:
        self.fate = fate
        self.world: dict[str, str] | None = None
        self.positions: dict[str, int | None] = {}
        self.rows: Rows = {}
        self.behind: dict[str, int] = {}

    def settle(self, world: Mapping[str, str]) -> dict[str, int | None]:
        if self.world not in (None, dict(world)):
            raise OtherLogError
        self.world = dict(world)
        return dict(self.positions)

    def apply(self, changes: Sequence[RowChange], moved: Moved) -> None:
        if any(self.positions.get(name) != before for name, (before, _) in moved.items()):
            raise OvertakenError
        fate = self.fate()
        if fate == "before":
            raise KilledError
        put(self.rows, changes)
        self.positions |= {name: end for name, (_, end) in moved.items()}
        if fate == "after":
            raise KilledError

    def note_behind(self, behind: Mapping[str, int]) -> None:
        self.behind |= behind


def put(rows: Rows, changes: Sequence[RowChange]) -> None:
    """One change after the other."""
    for change in changes:
        table = rows.setdefault(change.table, {})
        if change.row is None:
            table.pop(change.key, None)
        else:
            table[change.key] = change.row


def twin(logs: Mapping[str, Sequence[TopicRecord]], registry: Registry) -> Rows:
    """What the topics say, record by record; what can't be read says nothing, and so does a profile that is none for a worker."""
    rows: Rows = {}
    partitions = sum(name.startswith("customers:") for name in logs)
    for log in logs.values():
        for record in log:
            if record.key == MARK_KEY:
                continue
            try:
                value = None if record.value is None else decode_one(record.value, registry, name=record.topic)
                if record.topic == "customers" and not counts(record, value, partitions):
                    continue
                put(rows, changes_of(record, value))
            except ValueError:
                continue
    return rows


def touched(log: Sequence[TopicRecord], registry: Registry) -> set[tuple[str, str]]:
    """(table, key) of every row that a partition's records write or delete."""
    found = set()
    for record in log:
        with suppress(ValueError):
            value = None if record.value is None else decode_one(record.value, registry, name=record.topic)
            found |= {(change.table, change.key) for change in changes_of(record, value)}
    return found


def counts(record: TopicRecord, value: dict[str, Any] | None, partitions: int) -> bool:
    """Whether a profile counts: under its customer's key, in the partition of that, and good by itself."""
    if record.key is None or partition_of(record.key, partitions) != record.partition:
        return False
    if value is None:
        return True
    return record.key.decode() == value["customer_id"] and InputCheck("customers", "UTC").verdicts([value]) == [None]


def filled(rows: Rows) -> Rows:
    """Without tables that are empty."""
    return {name: table for name, table in rows.items() if table}
