"""Changes of class that come while people wait: `queue-priority`, followed from its end, moves their tickets at once."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from schemas.codec.records import RecordError, decode_one
from streams.calendar import day_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis

    from schemas.registry import Registry
    from services.queue.tickets.ticketing import Ticketing
    from services.views.projections import TopicRecord
    from services.views.writer import RecordSource

FOLLOW_S: Final = 0.1
REFERENCES_AT_ONCE: Final = 1000


class ClassFollower:
    """Follows `queue-priority`. `today`: the bank's day."""

    def __init__(
        self, source: RecordSource, ticketing: Ticketing, registry: Registry, client: Redis, today: Callable[[], date]
    ) -> None:
        self.source, self.ticketing, self.registry, self.client, self.today = source, ticketing, registry, client, today

    async def begin(self) -> int:
        """Read on from the end; what has changed before, the view knows. How many tickets moved.

        Nobody falls by it: of two references one may be unknown to the view.
        """
        ends: dict[str, int | None] = {
            name: high for name, (_, high) in (await asyncio.to_thread(self.source.ends)).items()
        }
        await asyncio.to_thread(self.source.begin, ends)
        moved, cursor = 0, 0
        while True:
            found: Any
            cursor, found = await self.client.hscan(
                self.ticketing.store.keys.references, cursor, count=REFERENCES_AT_ONCE
            )
            for name in found:
                answer = await self.ticketing.lookup.answer(name.decode())
                if not answer.degraded and answer.queue_class != self.ticketing.default_class:
                    moved += await self.ticketing.rerank(name.decode(), answer.queue_class, answer.vip_area, "view")
            if not cursor:
                return moved

    async def follow(self) -> int:
        """Take what has come; how many tickets moved. Raises what the source and the store raise."""
        fetched = await asyncio.to_thread(self.source.fetch, FOLLOW_S)
        return await self.take([record for part in fetched.values() for record in part.records])

    async def take(self, records: list[TopicRecord]) -> int:
        """Move the tickets of these records' references: the last one of each counts."""
        last = {record.key.decode(errors="replace"): record for record in records if record.key is not None}
        moved, names = 0, list(last)
        for at in range(0, len(names), REFERENCES_AT_ONCE):
            part = names[at : at + REFERENCES_AT_ONCE]
            held: Any = await self.client.hmget(self.ticketing.store.keys.references, part)
            for name in (name for name, text in zip(part, held, strict=True) if text):
                found = self._class(last[name])
                if found is not None:
                    moved += await self.ticketing.rerank(name, *found, "queue-priority")
        return moved

    def _class(self, record: TopicRecord) -> tuple[str, bool] | None:
        """The class of a record, as the look-up takes it; None where what was known stays.

        So of a record that can't be read, and of a deletion: a reference of the key before is withdrawn while its holder waits.
        """
        if record.lost is not None or record.value is None:
            return None
        try:
            found = decode_one(record.value, self.registry, name=record.topic)
        except RecordError:
            return None
        until = found["valid_until"]
        if until is not None and until < day_of(self.today()):
            return self.ticketing.default_class, False
        return found["queue_class"], found["vip_area"]
