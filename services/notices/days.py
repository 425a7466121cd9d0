"""Which alerts are news: measured by the bank's own days in the log, never by this machine's clock."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from policies.language.loader import parse_pack
from policies.language.reader import PackError
from policies.model.pack import NEWS_DAYS
from schemas.codec.records import RecordError, decode_one
from schemas.registry import Registry
from services.notices.topic_tail import Following
from services.staff.responsibility import duties_of
from services.views.projections import TopicRecord, plain_day
from services.views.writer import RecordSource
from streams.calendar import DAY_MAX, DAY_MIN, NO_DAY
from streams.closing import NOTHING_LEFT_OUT, Run, is_set_aside

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
        duties: Mapping[tuple[str, int], Mapping[tuple[str, str], str]] = {},
    ) -> None:
        self.left_out = left_out  # closes that don't count
        self.registry, self.following = registry, Following(source, self._note, FIRST_READ_S, clock)
        self.notice_days = dict(notice_days)  # by pack and version; those put into force come from the log
        self.duties = dict(duties)  # likewise, by class and tier
        self.newest = 0  # days since 1970-01-01
        self.closed = NO_DAY  # the last close that counts

    async def late(self, alert: dict[str, Any]) -> bool:
        """True for an alert that was raised more than its pack's days before the newest day."""
        await self.following.catch_up()
        raised = plain_day(alert["raised_day"])
        if DAY_MIN <= raised < DAY_MAX:  # one that never comes would make every other alert late
            self.newest = max(self.newest, raised)
        return self.newest - raised > self.notice_days.get((alert["pack_id"], alert["pack_version"]), NEWS_DAYS)

    def role_of(self, pack: tuple[str, int], customer_class: str, tier: str) -> str | None:
        """The role that a pack makes accountable for a tier; None where it names none, or nobody knows the pack."""
        return self.duties.get(pack, {}).get((customer_class, tier))

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
                self.duties[pack.id, pack.version] = duties_of(pack)
        except (RecordError, PackError):
            return  # the workers say what is wrong with it
