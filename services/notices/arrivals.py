"""Tells a relationship manager that a customer of his has come to a branch and is led to the VIP area (R-247).

Tickets have opaque references. They are resolved here, inside the bank: the table is made of the profiles and the bank's key.
The lobby sees a number and a class; the manager's notice alone says who it is. An arrival is news for some minutes: what
comes later, or while nobody follows, is told to nobody.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from schemas.codec.records import RecordError, decode_one
from services.notices import texts
from services.notices.notifier import ID_CHARS, TEXT_CHARS_MAX, Channel, DeliveryError, DeliveryLedger, Notice, masked
from services.views.projections import iso_day
from streams.reference import customer_ref

if TYPE_CHECKING:
    from schemas.registry import Registry
    from services.views.projections import TopicRecord
    from services.views.writer import RecordSource

log = logging.getLogger(__name__)

ARRIVAL_TOPICS: Final = ("customers", "queue-tickets")
NEWS_S: Final = 600
"""An arrival that is older is told to nobody."""

PROFILES_MAX: Final = 5_000_000
ARRIVALS_MAX: Final = 1000
"""That wait while the profiles are read for the first time; the oldest is forgotten."""

FETCH_S: Final = 0.5


def arrival_words(step: Mapping[str, Any], customer_id: str, words: texts.NoticeTexts) -> tuple[str, str]:
    """Subject and body of the notice that a customer has come. step: of his ticket."""
    places = {name: step[name][:TEXT_CHARS_MAX] for name in ("number", "queue_class", "branch")}
    places["customer"] = masked(customer_id)
    return words.arrival_subject.format(**places), words.arrival_body.format(**places)


class VipProfile(NamedTuple):
    """Whose a reference is, and who looks after him."""

    customer_id: str
    rm_id: str | None
    branch: str


@dataclass(slots=True)
class VipArrivals:
    """Follows tickets from the log's end. `write`: a record of `notices`.

    keys: of references, the one before too while they move. id_key: of the ids of notices. now_ms: since epoch, UTC.
    """

    source: RecordSource
    registry: Registry
    keys: Sequence[bytes]
    id_key: bytes
    channels: Sequence[Channel]
    ledger: DeliveryLedger
    write: Callable[[dict[str, Any]], Awaitable[None]]
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    locale: str = texts.DEFAULT_LOCALE
    words: Mapping[str, texts.NoticeTexts] = field(default_factory=lambda: texts.SHIPPED)
    profiles: dict[str, VipProfile] = field(default_factory=dict)
    waiting: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=ARRIVALS_MAX))
    _unread: dict[str, int] = field(default_factory=dict)

    def begin(self) -> None:
        """Read profiles from their beginning, and tickets from their end on. KafkaException."""
        ends = {name: high for name, (_, high) in self.source.ends().items()}
        tickets = {name: high for name, high in ends.items() if name.startswith(ARRIVAL_TOPICS[1])}
        self._unread = {name: high for name, high in ends.items() if name not in tickets and high}
        self.source.begin({**dict.fromkeys(ends), **tickets})

    async def follow(self) -> int:
        """Take what has come; how many were told. KafkaException."""
        for name, part in (await asyncio.to_thread(self.source.fetch, FETCH_S)).items():
            for record in part.records:
                self._note(record)
            if (part.stop or 0) >= self._unread.get(name, 0):
                self._unread.pop(name, None)
        told = 0
        while self.waiting and not self._unread:
            told += await self._tell(self.waiting.popleft())
        return told

    def _note(self, record: TopicRecord) -> None:
        if record.topic == ARRIVAL_TOPICS[0]:
            self._note_profile(record)
            return
        try:
            step = decode_one(record.value or b"", self.registry, name=record.topic)
        except RecordError:
            return
        if step["action"] == "issued" and step["vip_area"] and step["customer_ref"] is not None:
            self.waiting.append(step)

    def _note_profile(self, record: TopicRecord) -> None:
        try:
            customer_id = (record.key or b"").decode()
        except UnicodeDecodeError:
            return
        if not customer_id or len(customer_id) > TEXT_CHARS_MAX:
            return
        references = [customer_ref(key, customer_id) for key in self.keys]
        if record.value is None and record.lost is None:
            for reference in references:
                self.profiles.pop(reference, None)
            return
        try:
            found = decode_one(record.value or b"", self.registry, name=record.topic)
        except RecordError:
            return  # the profile before it stands, as for the workers
        for reference in references:
            if reference in self.profiles or len(self.profiles) < PROFILES_MAX:
                self.profiles[reference] = VipProfile(customer_id, found["rm_id"], found["branch"])

    async def _tell(self, step: dict[str, Any]) -> int:
        """Tell of an arrival, once on each channel; 1 if anybody was told."""
        refs = (step["customer_ref"], step["previous_ref"])
        profile = next((self.profiles[ref] for ref in refs if ref in self.profiles), None)
        if profile is None or self.now_ms() - step["at"] > 1000 * NEWS_S:
            return 0
        told = 0
        for channel in self.channels:
            try:
                notice = self._notice(step, profile, channel.name)
            except ValueError:  # a day that the calendar has not: no branch of ours has sent that
                return 0
            if await self.ledger.seen(notice.notice_id):
                continue
            try:
                attempts, status, error = await channel.send(notice), "sent", None
                told = 1
            except DeliveryError as problem:
                attempts, status, error = problem.attempts, "failed", str(problem)
                log.warning("notice %s, %s: %s", notice.notice_id, channel.name, problem)
            await self.ledger.mark(notice.notice_id)
            await self.write(self._record(step, profile, notice, channel.name, status, attempts, error))
        return told

    def _notice(self, step: dict[str, Any], profile: VipProfile, channel: str) -> Notice:
        key = "\0".join((step["ticket_id"], step["event_id"], channel))
        subject, body = arrival_words(step, profile.customer_id, self.words[self.locale])
        return Notice(
            notice_id=hmac.digest(self.id_key, key.encode(), "sha256").hex()[:ID_CHARS], alert_id=step["ticket_id"],
            status=texts.VIP_ARRIVED, severity="info", recipient=profile.rm_id or f"branch:{profile.branch}",
            branch=step["branch"], day="" if step["day"] is None else iso_day(step["day"]), locale=self.locale,
            subject=subject, body=body,
        )  # fmt: skip

    def _record(
        self, step: dict[str, Any], profile: VipProfile, notice: Notice, channel: str, status: str, attempts: int,
        error: str | None,
    ) -> dict[str, Any]:  # fmt: skip
        return {
            "event_id": hashlib.sha256(f"{notice.notice_id}\0{status}".encode()).hexdigest()[:ID_CHARS],
            "notice_id": notice.notice_id, "customer_id": profile.customer_id, "channel": channel,
            "recipient": notice.recipient, "subject": notice.subject, "body": notice.body, "status": status,
            "attempts": attempts, "at": self.now_ms(), "caused_by": step["event_id"], "error": error,
        }  # fmt: skip
