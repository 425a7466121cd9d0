"""Reads topics to their end, and from then on what is new, at most once a second."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from confluent_kafka import KafkaException

from services.views.projections import TopicRecord
from services.views.writer import RecordSource

log = logging.getLogger(__name__)

READ_EVERY_S: Final = 1.0


class Following:
    """Hands every record to `note`, in order of the log. `first_s`: so long the log is read for the first time at most."""

    def __init__(
        self,
        source: RecordSource,
        note: Callable[[TopicRecord], None],
        first_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source, self.note, self.first_s, self.clock = source, note, first_s, clock
        self.ends: dict[str, int] | None = None  # to be reached, while the log is read for the first time
        self.read_at = -READ_EVERY_S
        self.reading = asyncio.Lock()

    async def catch_up(self) -> None:
        """Note what is new; what can't be read now, later."""
        async with self.reading:  # alerts that waited may ask at the same time
            if self.clock() - self.read_at >= READ_EVERY_S:
                await asyncio.to_thread(self._read)
                self.read_at = self.clock()

    def _read(self) -> None:
        until = self.clock() + self.first_s
        try:
            if self.ends is None:
                ends = {name: end for name, (_, end) in self.source.ends().items()}
                self.source.begin(dict.fromkeys(ends))
                self.ends = ends
            while True:
                for name, part in self.source.fetch(0.2 if self.ends else 0.0).items():
                    for record in part.records:
                        self.note(record)
                    if (part.stop or 0) >= self.ends.get(name, 0):
                        self.ends.pop(name, None)
                self.ends = {name: end for name, end in self.ends.items() if end > 0}
                if not self.ends or self.clock() > until:
                    return
        except KafkaException as problem:
            log.warning("the log can't be read now: %s", problem)
