"""Epochs: which is next, and which the last records of the outputs have. An epoch never comes again, whatever is lost."""

from __future__ import annotations

import logging
from datetime import date
from typing import TYPE_CHECKING, Final

from agents.engine.reader import LogReader, Place
from agents.standing.publish.versions import EPOCHS, epoch_of
from deploy.errors import StackError
from schemas.codec.blocks import log_entries
from schemas.codec.records import decode_one
from schemas.registry import registry_for

if TYPE_CHECKING:
    from deploy.settings import Settings
    from deploy.topics import Surveyed
    from schemas.registry import Registry

log = logging.getLogger(__name__)

EPOCHS_FROM: Final = date(2026, 1, 1)
VERSIONED_TOPICS: Final = {"standings": "source_seq", "outlooks": "source_seq", "queue-priority": "version"}
"""The topics whose records have versions, and in which field."""

LOOKED_AT: Final = 64  # offsets at the end of a partition, then twice as many, and so on


def next_epoch(previous: int, today: date) -> int:
    """The epoch after `previous`; never below the days since 2026-01-01: a log whose identity is lost goes on above it.

    StackError where it would be too large for a version.
    """
    epoch = max(previous + 1, (today - EPOCHS_FROM).days)
    if epoch >= EPOCHS:
        raise StackError(
            f"the epoch would be {epoch}, and {EPOCHS - 1} is the last one", "is this machine's clock right?"
        )
    return epoch


def published_epoch(settings: Settings, surveyed: Surveyed) -> int:
    """The greatest epoch in the last records of the outputs, partition by partition; 0 where there are none.

    KafkaException where they can't be read in time, RegistryError where the schema registry can't be asked.
    """
    there = {state.topic.name: state.partitions for state in surveyed.topics}
    names = {settings.topic(name): name for name in VERSIONED_TOPICS}
    reader, registry, found = LogReader(settings.kafka, names), registry_for(settings), 0
    try:
        spans = reader.ends((topic, partition) for topic, name in names.items() for partition in range(there[name]))
        left = {place: LOOKED_AT for place, (first, end) in spans.items() if first < end}
        while left:
            reader.begin({place: max(spans[place][0], spans[place][1] - many) for place, many in left.items()})
            last = dict[Place, int]()
            for block in reader.until({place: spans[place][1] for place in left}):
                for one in log_entries(block.batches, block.start, block.end, block.lost):
                    if (version := _version(one.value, one.offset, names[block.tp.topic], registry)) is not None:
                        last[block.tp] = version
            found = max([found, *map(epoch_of, last.values())])
            left = {
                place: 2 * many
                for place, many in left.items()
                if place not in last and spans[place][1] - many > spans[place][0]
            }
    finally:
        reader.close()
    return found


def _version(value: bytes | None, offset: int, name: str, registry: Registry) -> int | None:
    """The version in a record; None in a tombstone, in one beyond the bounds, and in what is none of ours."""
    if value is None:
        return None
    try:
        version = int(decode_one(value, registry, name=name)[VERSIONED_TOPICS[name]])
        if not 0 <= epoch_of(version) < EPOCHS:
            raise ValueError(f"{version} is none of ours")
        return version
    except ValueError as why:  # RecordError too
        log.warning("%s, offset %s has no version: %s", name, offset, why)
        return None
