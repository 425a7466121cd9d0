"""Whether closes or packs were deleted: their topics are what a state is built anew from."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from tidegauge.checks import CheckLine, Grade, listed

if TYPE_CHECKING:
    from deploy.settings import Settings

_WAIT_S: Final = 15.0
_POLL_S: Final = 0.1
_HINT: Final = "write each record again, with its key and into every partition: a state that is built anew lacks it"


def nothing_deleted(settings: Settings) -> Iterator[CheckLine]:
    """Whether the last record of every key has a value."""
    from schemas.topics import BROADCAST, CLOSES

    names = [name for name in (CLOSES, *BROADCAST) if name != "fx-rates"]
    gone = [f"{name} {key!r} in {len(places)} partitions" for name in names for key, places in _gone(settings, name)]
    if gone:
        yield CheckLine("deletions", Grade.WRONG, f"deleted: {listed(gone)}", _HINT)
    else:
        yield CheckLine("deletions", Grade.GOOD, f"none on {' and '.join(names)}")


def _gone(settings: Settings, topic: str) -> list[tuple[str, list[int]]]:
    """Keys whose last record is a deletion, and in which partitions; none where there is no topic."""
    from confluent_kafka import KafkaError, KafkaException

    from agents.engine.reader import LogReader
    from agents.engine.watch.brokers import topics_found
    from schemas.codec.blocks import log_entries

    name = settings.topic(topic)
    there = topics_found(settings.kafka, [name]).get(name)
    if there is None:
        return []
    deleted: set[tuple[bytes, int]] = set()
    log = LogReader(settings.kafka, [name])
    try:
        ends = {place: end for place, (_, end) in log.ends([(name, p) for p in range(there.partitions)]).items()}
        at, heard = log.begin(dict.fromkeys(ends, 0)), time.monotonic()
        while any(at[place] < end for place, end in ends.items()):
            if blocks := log.fetch(_POLL_S):
                heard = time.monotonic()
            elif time.monotonic() > heard + _WAIT_S:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer"))  # noqa: SLF001 - its public name
            for block in blocks:
                at[block.tp] = block.end
                for one in log_entries(block.batches, block.start, block.end, block.lost):
                    if one.key is not None and one.lost is None:
                        place = one.key, block.tp.partition
                        deleted.discard(place) if one.value is not None else deleted.add(place)
    finally:
        log.close()
    keys = sorted({key for key, _ in deleted})
    return [(key.decode(errors="replace"), sorted(p for k, p in deleted if k == key)) for key in keys]
