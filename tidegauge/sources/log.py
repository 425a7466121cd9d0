"""Reads what lies on an input topic for a check: the newest records of each partition, beside the workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agents.engine.job import Block
from agents.engine.reader import LogReader, Place
from schemas.codec.batches import appended_ms, base_offset
from schemas.codec.blocks import Columns, Reader, decode
from schemas.codec.kernel import Longs
from schemas.registry import registry_for
from tidegauge.sources.check import SourceCheck

if TYPE_CHECKING:
    from deploy.settings import Settings


class SourceRead(NamedTuple):
    """What came of a read. whole: every record that is kept was looked at."""

    check: SourceCheck
    whole: bool


def check_log(settings: Settings, topic: str, source: str, limit: int) -> SourceRead:
    """Check the newest records of a topic, `limit` at most. Raises KafkaException, and RegistryError of schemas.registry.

    settings: with the partitions that the topic has.
    """
    reader = Reader(topic, registry_for(settings))
    check = SourceCheck(reader, settings.partitions, settings.zone, settings.base_currency, source)
    places = [(settings.topic(topic), partition) for partition in range(settings.partitions)]
    log = LogReader(settings.kafka, [settings.topic(topic)])
    try:
        ends = log.ends(places)
        room = shares({place: end - first for place, (first, end) in ends.items()}, limit)
        for place, (_, end) in ends.items():  # one after the other: whoever asks again is told of the same records
            log.begin({place: end - room[place]})
            for block in log.until({place: end}):
                if block.start < (behind := min(block.end, end)):
                    columns = decode(block.batches, reader, block.start, behind, block.lost)
                    check.take(block.tp.partition, columns, _written(block, columns))
    finally:
        log.close()
    return SourceRead(check, all(room[place] == end - first for place, (first, end) in ends.items()))


def shares(sizes: Mapping[Place, int], limit: int) -> dict[Place, int]:
    """How many records of each partition are read: the same of all, and what small ones leave goes to the others."""
    found: dict[Place, int] = {}
    for left, (place, size) in zip(
        range(len(sizes), 0, -1), sorted(sizes.items(), key=lambda one: one[1]), strict=True
    ):
        found[place] = min(size, (limit - sum(found.values())) // left)
    return found


def _written(block: Block, columns: Columns) -> Longs:
    """When each row was written to the log, in ms: its batch's time."""
    if not block.batches:
        return np.zeros(columns.n, np.int64)
    first = np.array([base_offset(batch) for batch in block.batches], np.int64)
    times = np.array([appended_ms(batch) for batch in block.batches], np.int64)
    return np.asarray(times[np.maximum(np.searchsorted(first, columns.offset, "right") - 1, 0)], np.int64)
