"""What closes that are left out have told: it stays on its topics, and holds no longer."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from agents.engine.reader import blocks_to_the_end
from schemas.codec.blocks import log_entries
from schemas.codec.records import decode_one
from schemas.registry import registry_for
from schemas.topics import ACCOUNT_OWNER
from streams.calendar import parse_day, shown_day
from streams.closing import covers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from deploy.settings import Settings
    from schemas.registry import Registry
    from streams.closing import Run

log = logging.getLogger(__name__)

TOPICS_OF_CLOSES: Final = ("tier-changes", "decisions", "restatements", "rm-alerts")
LISTED_MAX: Final = 1000  # records named one by one; all are counted
_CLOSE: Final = "close/"  # what `caused_by` of an alert begins with that a close gave


class Withdrawn(NamedTuple):
    """A record of a close that is left out."""

    topic: str
    event_id: str
    customer_id: str
    business_day: int


class AllWithdrawn(NamedTuple):
    """All of them: how many on each topic, of how many customers the tier was changed, and the first ones."""

    counts: Counter[str]
    moved: int
    first: tuple[Withdrawn, ...]

    def entry(self) -> dict[str, Any]:
        """For machines."""
        records = [{**one._asdict(), "business_day": shown_day(one.business_day)} for one in self.first]
        return {
            "counts": {topic: self.counts[topic] for topic in TOPICS_OF_CLOSES},
            "customers": self.moved,
            "records": records,
        }

    def said(self) -> str:
        """In a line."""
        counts = ", ".join(f"{self.counts[topic]} on {topic}" for topic in TOPICS_OF_CLOSES)
        return (
            f"withdraw what those closes told, though it stays on its topics: {counts}; the tier of {self.moved} customers is "
            "again what it was before"
        )


NOTHING_WITHDRAWN: Final = AllWithdrawn(Counter(), 0, ())


def withdrawn_by(settings: Settings, runs: Iterable[Run]) -> AllWithdrawn:
    """What the owner's topics have of closes of these runs. KafkaException where they can't be read."""
    left_out, registry = tuple(runs), registry_for(settings)
    counts, moved, first = Counter[str](), set[str](), list[Withdrawn]()
    for topic in TOPICS_OF_CLOSES:
        places = [(settings.topic(topic), partition) for partition in range(settings.partitions)]
        for block in blocks_to_the_end(settings.kafka, places):
            for one in log_entries(block.batches, block.start, block.end, block.lost):
                found = _record(topic, one.value, registry)
                if found is None or not any(covers(run, found.business_day) for run in left_out):
                    continue
                counts[topic] += 1
                if topic == TOPICS_OF_CLOSES[0]:
                    moved.add(found.customer_id)
                if len(first) < LISTED_MAX:
                    first.append(found)
    return AllWithdrawn(counts, len(moved), tuple(first))


def _record(topic: str, value: bytes | None, registry: Registry) -> Withdrawn | None:
    """A record that a close gave; None for any other, and for what can't be read."""
    if value is None:
        return None
    try:
        record = decode_one(value, registry, name=topic)
        if (day := _close_of(record)) is None:
            return None
        return Withdrawn(topic, record["event_id"], record["customer_id"], day)
    except ValueError as why:  # RecordError too
        log.warning("a record of %s is passed over: %s", topic, why)
        return None


def is_withdrawn(record: Mapping[str, Any], left_out: Iterable[Run]) -> bool:
    """Whether a close gave a record that is among these runs, or may have been. Of a day that was closed again, too."""
    day = _close_of(record)
    return day is not None and any(covers(run, day) for run in left_out)


def _close_of(record: Mapping[str, Any]) -> int | None:
    """The day whose close gave a record."""
    if record.get("kind") == ACCOUNT_OWNER:
        return None
    if "business_day" in record:
        day = record["business_day"]
        return None if day is None else int(day)
    cause = record.get("caused_by") or ""
    return parse_day(cause.removeprefix(_CLOSE)) if cause.startswith(_CLOSE) else None
