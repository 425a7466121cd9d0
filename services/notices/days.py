"""Which alerts are news: measured by the bank's own days in the log, never by this machine's clock."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaException

from policies.language.loader import parse_pack
from policies.language.reader import PackError
from policies.model.pack import NEWS_DAYS
from schemas.codec.records import RecordError, decode_one
from schemas.registry import Registry
from services.views.projections import TopicRecord, plain_day
from services.views.writer import RecordSource
from streams.calendar import DAY_MAX, DAY_MIN, NO_DAY
from streams.closing import NOTHING_LEFT_OUT, Run, is_set_aside

log = logging.getLogger(__name__)

READ_EVERY_S: Final = 1.0
FIRST_READ_S: Final = 10.0
"""For the first time the log is read to its end, or for so long."""


class BankDays:
    """The newest day that the log knows of (the last close, or an alert), and for how many days a pack's alerts are news."""

    def __init__(
        self,
        source: RecordSource,
        registry: Registry,
        notice_days: Mapping[tuple[str, int], int],
        clock: Callable[[], float] = time.monotonic,
        left_out: frozenset[Run] = NOTHING_LEFT_OUT,
    ) -> None:
        self.left_out = left_out  # closes that don't count
        self.source, self.registry, self.clock = source, registry, clock
        self.notice_days = dict(notice_days)  # by pack and version; those put into force come from the log
        self.newest = 0  # days since 1970-01-01
        self.closed = NO_DAY  # the last close that counts
        self.ends: dict[str, int] | None = None
        self.read_at = -READ_EVERY_S
        self.reading = asyncio.Lock()

    async def late(self, alert: dict[str, Any]) -> bool:
        """True for an alert that was raised more than its pack's days before the newest day."""
        async with self.reading:  # alerts that waited may ask at the same time
            if self.clock() - self.read_at >= READ_EVERY_S:
                await asyncio.to_thread(self._read)
                self.read_at = self.clock()
        raised = plain_day(alert["raised_day"])
        if DAY_MIN <= raised < DAY_MAX:  # one that never comes would make every other alert late
            self.newest = max(self.newest, raised)
        return self.newest - raised > self.notice_days.get((alert["pack_id"], alert["pack_version"]), NEWS_DAYS)

    def _read(self) -> None:
        """Note what is new in the log; what can't be read now, later."""
        until = self.clock() + FIRST_READ_S
        try:
            if self.ends is None:
                ends = {name: end for name, (_, end) in self.source.ends().items()}
                self.source.begin(dict.fromkeys(ends))
                self.ends = ends
            while True:
                for name, part in self.source.fetch(0.2 if self.ends else 0.0).items():
                    for record in part.records:
                        self._note(record)
                    if (part.stop or 0) >= self.ends.get(name, 0):
                        self.ends.pop(name, None)
                self.ends = {name: end for name, end in self.ends.items() if end > 0}
                if not self.ends or self.clock() > until:
                    return
        except KafkaException as problem:
            log.warning("the bank's days can't be read now: %s", problem)

    def _closed(self, close: dict[str, Any]) -> None:
        """The next close, by the workers' rule: one that is set aside, or of a day that never comes, says nothing."""
        day = plain_day(close["business_day"])
        asked, last = (None if close[name] is None else plain_day(close[name]) for name in ("asked", "last_closed"))
        aside = is_set_aside(asked, last, self.closed, forced=close["force_reason"] is not None)
        aside |= Run.of(day, asked, last) in self.left_out
        if DAY_MIN <= day < DAY_MAX and close["retracts"] is None and not aside:
            self.closed = max(self.closed, day)
            self.newest = max(self.newest, self.closed)

    def _note(self, record: TopicRecord) -> None:
        if not record.value or (record.key or b"")[:1] == b"@":
            return
        try:
            found = decode_one(record.value, self.registry, name=record.topic)
            if record.topic == "business-days":
                self._closed(found)
            else:
                pack = parse_pack(found["body"])
                self.notice_days[pack.id, pack.version] = pack.notice_days
        except (RecordError, PackError):
            return  # the workers say what is wrong with it
