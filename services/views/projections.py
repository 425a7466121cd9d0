"""What a record of a topic changes in the view: pure functions from a record to store operations."""

from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Any, Final, NamedTuple

from schemas.codec.batches import Lost
from services.views.keys import Keys
from services.views.store import Drop, IndexEntry, Op, Put
from streams.calendar import date_of, day_of

ALERTS_PER_CUSTOMER_MAX: Final = 200
ALERTS_PER_RM_MAX: Final = 2_000
ALERTS_PER_BRANCH_MAX: Final = 5_000


class TopicRecord(NamedTuple):
    """One record of a topic; `topic` is the catalogue's name, without prefix. `value` None = tombstone.

    `lost`: in place of the value, where that is beyond the bounds or stands for several records. `at_ms`: its instant by the
    log, ms since 1970.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    lost: Lost | None = None
    at_ms: int = 0

    @property
    def end(self) -> int:
        """The next offset to read."""
        return (self.offset if self.lost is None else self.lost.last) + 1


_Projection = Callable[[Keys, TopicRecord, dict[str, Any] | None], list[Op]]


def plain_day(day: date | int) -> int:
    """Days since 1970-01-01 of a date as decoded, with or without its logical type."""
    return day if isinstance(day, int) else day_of(day)


@lru_cache(maxsize=4096)
def iso_day(day: date | int | None) -> str:
    """ISO date of a date as decoded; the empty text for none. ValueError where the calendar has no such day."""
    return "" if day is None else date_of(plain_day(day)).isoformat()


def priority(keys: Keys, record: TopicRecord, value: dict[str, Any] | None) -> list[Op]:
    """The queue class of a customer reference."""
    key = keys.priority(_key(record))
    if value is None:
        return [Drop(key)]
    fields = {
        "queue_class": value["queue_class"],
        "vip_area": "1" if value["vip_area"] else "0",
        "valid_until": iso_day(value["valid_until"]),
    }
    return [Put(key, _version(value["version"]), fields)]


def standing(keys: Keys, record: TopicRecord, value: dict[str, Any] | None) -> list[Op]:
    """The newest standing of a customer, as published."""
    key = keys.standing(_key(record))
    if value is None or record.value is None:
        return [Drop(key)]
    return [Put(key, _version(value["source_seq"]), {"record": record.value})]


def alert(keys: Keys, record: TopicRecord, value: dict[str, Any] | None) -> list[Op]:
    """The newest state of an alert, and where it is listed.

    All records of an alert are in one partition, so the offset is its version. A list may hold an alert that has since
    moved to another manager: the alert's own rm_id counts.
    """
    if value is None or record.value is None:
        return []  # the topic is not compacted: a tombstone means nothing here
    alert_id, day = value["alert_id"], plain_day(value["raised_day"])
    fields = {
        "customer_id": value["customer_id"],
        "status": value["status"],
        "severity": value["severity"],
        "branch": value["branch"],
        "rm_id": value["rm_id"] or "",
        "raised_day": iso_day(day),
        "record": record.value,
    }
    ops: list[Op] = [Put(keys.alert(alert_id), record.offset, fields)]
    ops.append(IndexEntry(keys.alerts("branch", value["branch"]), day, alert_id, ALERTS_PER_BRANCH_MAX))
    if value["rm_id"]:
        ops.append(IndexEntry(keys.alerts("rm", value["rm_id"]), day, alert_id, ALERTS_PER_RM_MAX))
    by_customer = keys.alerts("customer", value["customer_id"])
    ops.append(IndexEntry(by_customer, day, alert_id, ALERTS_PER_CUSTOMER_MAX, owned=keys.alert("")))
    return ops


PROJECTIONS: Final[dict[str, _Projection]] = {"queue-priority": priority, "standings": standing, "rm-alerts": alert}
"""The topics of the view."""


def _version(number: int) -> int:
    if number < 0:  # the store compares and sums them as texts of digits
        raise ValueError(f"version {number} is negative")
    return number


def _key(record: TopicRecord) -> str:
    if not record.key:
        raise ValueError("no key")
    return record.key.decode()
