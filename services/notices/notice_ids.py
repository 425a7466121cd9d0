"""Which notices stand on `notices`: what stands there is not sent again, whatever else has been forgotten."""

import time
from collections.abc import Callable, Collection
from typing import Final

from schemas.codec.records import RecordError, decode_one
from schemas.registry import Registry
from services.notices.notifier import ID_CHARS
from services.notices.topic_tail import Following
from services.views.projections import TopicRecord
from services.views.writer import RecordSource

FIRST_READ_S: Final = 120.0
"""For the first time `notices` is read to its end, or for so long: some millions."""

TOLD_MAX: Final = 500_000
"""Ids that are remembered, the newest; some 150 bytes each."""


class ToldNotices:
    """The ids of the notices that have been sent, refused or given up, as of the log."""

    def __init__(
        self,
        source: RecordSource,
        registry: Registry,
        clock: Callable[[], float] = time.monotonic,
        most: int = TOLD_MAX,
    ) -> None:
        self.registry, self.most = registry, most
        self.ids: dict[str, bool] = {}  # the oldest first; whether it was sent
        self.following = Following(source, self._note, FIRST_READ_S, clock)

    async def stands(self, notice_id: str) -> bool:
        """Whether the notice is on `notices`, or is about to be written there by this process."""
        await self.following.catch_up()
        return notice_id in self.ids

    async def sent_any(self, notice_ids: Collection[str]) -> bool | None:
        """Whether one of them has been sent; None when nobody knows.

        So it is where none of them stands here: it may have been forgotten, or written a moment ago by another worker.
        """
        await self.following.catch_up()
        known = [self.ids[notice_id] for notice_id in notice_ids if notice_id in self.ids]
        return any(known) if known else None

    def add(self, notice_id: str, *, sent: bool = True) -> None:
        """It is written now."""
        self.ids[notice_id] = self.ids.get(notice_id, False) or sent
        if len(self.ids) > self.most:
            del self.ids[next(iter(self.ids))]

    def _note(self, record: TopicRecord) -> None:
        try:
            found = decode_one(record.value or b"", self.registry, name=record.topic)
        except RecordError:
            return  # nobody has been told by what nobody can read
        if len(found["notice_id"]) <= ID_CHARS:  # a longer one is none of ours
            self.add(found["notice_id"], sent=found["status"] == "sent")
