"""Turns alerts into notices and hands them to the channels: at least once, and once where the ledger remembers.

A channel that fails is tried again until it works: only its clear refusal, or a person, ends that.

A notice's id comes from the alert, what became of it and the channel, not from the record that says so: a record that comes
again, or one that a rebuilt log has instead, gives the same notice. What stands on `notices` is not sent again.
"""

import asyncio
import hashlib
import hmac
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from services.notices import texts
from services.notices.addressees import Addressee, manager_of, to_manager
from services.notices.pace.holds import Holds, Passing, nobody_passes
from services.notices.pace.hours import ALWAYS, Hours
from services.views.projections import iso_day
from streams.alerts.acts import LEVEL_MAX
from streams.vocabulary.terms import OUTFLOW, SEVERITIES

log = logging.getLogger(__name__)

RETRY_FIRST_S: Final = 5.0
RETRY_MAX_S: Final = 300.0
"""Between two tries of a channel that fails, beyond those that it makes itself."""

LOOK_S: Final = 5.0
"""How often a waiting notice is looked up among those given up."""

SENDS_MAX: Final = 64
"""On their way by a channel at a time: when a hold or the quiet hours end, many may go."""

WAITING: Final = "waiting"
GIVEN_UP: Final = "given up: "
"""Before the reason, in `error` of the record."""

_HELD: Final = "held"
"""Why it waits, where it has not been tried yet."""

ID_CHARS: Final = 32
MASK_TAIL_CHARS: Final = 4
TEXT_CHARS_MAX: Final = 400
TEXTS: Final = ("alert_id", "event_id", "customer_id", "rule", "severity", "branch", "rm_id")
"""Fields of an alert that go into a notice or its record."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to one recipient by one channel. What leaves the bank: no name, no amount, no customer number."""

    notice_id: str
    alert_id: str
    status: str
    severity: str
    recipient: str  # staff id, or branch:<id> where the customer has no manager
    branch: str
    day: str  # ISO
    locale: str
    subject: str
    body: str


class DeliveryError(Exception):
    """A channel did not take a notice; `attempts` says how often it was tried, `final` that it never will."""

    def __init__(self, reason: str, attempts: int, *, final: bool = False) -> None:
        super().__init__(reason)
        self.attempts, self.final = attempts, final


class Channel(Protocol):
    """A way to reach people."""

    @property
    def name(self) -> str:
        """Short name, part of a notice's id."""

    async def send(self, notice: Notice) -> int:
        """Deliver, within bounds, and return the attempts it took. Raises DeliveryError when it could not."""


class DeliveryLedger(Protocol):
    """Remembers which notices have been delivered, and knows which are waited for and which are not any more."""

    async def seen(self, notice_id: str) -> bool:
        """True if it has been delivered; False also when nobody knows."""

    async def mark(self, notice_id: str) -> None:
        """Remember that it has been delivered, or never will be: it waits no more."""

    async def wait_for(self, notice_id: str, why: str) -> None:
        """Note that it has not been delivered yet, for whoever asks."""

    async def drop(self, notice_id: str) -> None:
        """It waits no more, and was not delivered."""

    async def given_up(self, notice_id: str) -> str | None:
        """Why somebody gave it up; None if nobody did, and when nobody knows."""


def case_of(alert: dict[str, Any]) -> tuple[str, ...]:
    """What an alert is about, whichever event of its day raised it: customer, kind, rule, and the day on which it began."""
    return alert["customer_id"], alert["kind"], alert["rule"], iso_day(alert["raised_day"])


def notice_id(key: bytes, alert: dict[str, Any], channel: str) -> str:
    """Id of the notice on a channel: of a case, status, severity and level there is one. It says nothing without the key."""
    level = () if alert.get("level") is None else (str(alert["level"]),)
    parts = (*case_of(alert), alert["status"], alert["severity"], channel, *level)
    return hmac.digest(key, "\0".join(parts).encode(), "sha256").hex()[:ID_CHARS]


def case_notice_ids(key: bytes, alert: dict[str, Any], channel: str) -> Iterator[str]:
    """Ids of all notices that a case may have had on a channel, but for its all-clear."""
    for status in texts.STATUSES:
        for severity in SEVERITIES:
            for level in (None, *range(LEVEL_MAX + 1)):
                yield notice_id(key, {**alert, "status": status, "severity": severity, "level": level}, channel)


def masked(customer_id: str) -> str:
    """A customer number of which the last four characters are left; a short one shows less than half of itself."""
    shown = min(MASK_TAIL_CHARS, (len(customer_id) - 1) // 2)
    return "****" + (customer_id[-shown:] if shown else "")


def compose(
    key: bytes, alert: dict[str, Any], channel: str, locale: str, *, late: bool = False,
    words: Mapping[str, texts.NoticeTexts] = texts.SHIPPED,
) -> Notice | None:  # fmt: skip
    """The notice of an alert's record; None for a state or kind that nobody is told of, such as acknowledged.

    `key`: of the ids of alerts. `late`: in words that don't hurry anybody. `words`: the texts, by language. ValueError for a
    record that makes no notice: a day that the calendar has not, a text without end.
    """
    status, kind, said = alert["status"], alert["kind"], words[locale]
    clear = status == texts.ALL_CLEAR and kind == OUTFLOW
    if not clear and (status not in texts.STATUSES or kind not in said.bodies):
        return None
    for name in TEXTS:
        if len(alert[name] or "") > TEXT_CHARS_MAX:
            raise ValueError(f"{name} has {len(alert[name])} characters")
    (single, window), share = texts.WINDOWS[locale], alert["share_bp"]
    places = {
        "customer": masked(alert["customer_id"]),
        "severity": texts.SEVERITY_NAMES[locale].get(alert["severity"], alert["severity"]),
        "rule": alert["rule"],
        "window": window.format(days=alert["window_days"]) if alert["window_days"] else single,
        "share": "" if share is None else f"{share // 100}.{share % 100:02d} %",
        "branch": alert["branch"],
        "day": iso_day(alert["raised_day"]),
        "alert": alert["alert_id"],
        "close": "" if alert["next_close"] is None else iso_day(alert["next_close"]),
        "due": "" if alert.get("due_day") is None else iso_day(alert["due_day"]),
    }
    if clear:
        subject, body = said.clear_subject, said.clear_body
    else:
        subject, body = said.subjects[kind][status], (said.late_bodies if late else said.bodies)[kind]
    return Notice(
        notice_id=notice_id(key, alert, channel),
        alert_id=alert["alert_id"],
        status=status,
        severity=alert["severity"],
        recipient=manager_of(alert),
        branch=alert["branch"],
        day=places["day"],
        locale=locale,
        subject=(said.late_subject if late else "") + subject.format(**places),
        body=body.format(**places),
    )


class KnownNotices(Protocol):
    """Knows which notices stand on `notices`."""

    async def stands(self, notice_id: str) -> bool:
        """Whether it has been told what became of the notice; False also when nobody knows."""

    async def sent_any(self, notice_ids: Collection[str]) -> bool | None:
        """Whether one of them has been sent; None when nobody knows, as where none of them stands there."""

    def add(self, notice_id: str, *, sent: bool = True) -> None:
        """It is told now."""


async def never(_alert: dict[str, Any]) -> bool:
    """No alert is late."""
    return False


@dataclass(slots=True)
class _Way:
    """One notice on its way through one channel."""

    channel: Channel
    notice: Notice
    attempts: int = 0
    kept: bool = False  # it has waited for its hour


@dataclass(slots=True)
class Notifier:
    """Delivers the notices of an alert and says what became of them. `key`: of the ids of alerts; `now_ms`: since epoch, UTC."""

    channels: Sequence[Channel]
    ledger: DeliveryLedger
    told: KnownNotices
    key: bytes
    now_ms: Callable[[], int]
    locale: str = texts.DEFAULT_LOCALE
    outcomes: Callable[[str, str], None] = field(default=lambda _channel, _status: None)
    late: Callable[[dict[str, Any]], Awaitable[bool]] = never
    wait: Callable[[float], Awaitable[Any]] = asyncio.sleep
    addressee: Addressee = to_manager
    words: Mapping[str, texts.NoticeTexts] = field(default_factory=lambda: texts.SHIPPED)
    holds: Holds = field(default_factory=lambda: Holds(0, SEVERITIES[0], lambda: 0))
    hours: Hours = ALWAYS
    _gates: dict[str, asyncio.Semaphore] = field(
        default_factory=lambda: defaultdict(lambda: asyncio.Semaphore(SENDS_MAX))
    )

    async def notify(
        self, alert: dict[str, Any], waits: Passing = nobody_passes, at_ms: int | None = None
    ) -> list[dict[str, Any]]:
        """Deliver, and return the records for the `notices` topic: none for what stands there. ValueError: see `compose`.

        It returns when every channel has taken its notice, or clearly refused it, or somebody gave it up, or it was taken back
        while it was held. at_ms: when the log took the alert. The waits between two tries of a channel double up to
        RETRY_MAX_S; `waits` is called when a hold, and when the first wait begins.
        """
        self.holds.begun(alert)
        late, recipient, records, open_ways = await self.late(alert), "", [], []
        for channel in self.channels:
            # ValueError before anything is asked
            notice = compose(self.key, alert, channel.name, self.locale, late=late, words=self.words)
            if notice is not None and not recipient:
                recipient = await self.addressee(alert)
            if notice is not None:
                notice = replace(notice, recipient=recipient)
            if notice is not None and not await self.told.stands(notice.notice_id):
                open_ways.append(_Way(channel, notice))
        await self._held(alert, open_ways, at_ms, waits)
        pause_s = RETRY_FIRST_S
        while open_ways:
            failing = []
            for way in open_ways:
                await self._its_hour(alert, way, waits)
                status, error = await self._deliver(alert, way)
                if status == WAITING:
                    failing.append(way)
                    continue
                self.outcomes(way.channel.name, status)
                self.told.add(way.notice.notice_id, sent=status == "sent")
                records.append(self._record(alert, way.notice, way.channel.name, status, way.attempts, error))
            open_ways = failing
            if failing:
                waits()
                await self._pause(failing, pause_s)
                pause_s = min(2 * pause_s, RETRY_MAX_S)
        return records

    async def _held(self, alert: dict[str, Any], ways: Sequence[_Way], at_ms: int | None, waits: Passing) -> None:
        """Hold what is to be held. Each is seen among those that wait."""
        if not ways or self.holds.full or self.holds.left_s(alert, at_ms) <= 0:
            return
        for way in ways:
            await self.ledger.wait_for(way.notice.notice_id, f"{way.channel.name} → {way.notice.recipient}: {_HELD}")
        await self.holds.over(alert, lambda: self.holds.left_s(alert, at_ms), waits)

    async def _its_hour(self, alert: dict[str, Any], way: _Way, waits: Passing) -> None:
        """Wait until it may go out by its channel, and count it as gone."""
        if await self._moot(alert, way) is not None:
            return
        to = way.channel.name, way.notice.recipient

        def left_s() -> float:
            return self.hours.left_s(alert, *to, self.now_ms())

        if left_s() > 0 and not self.holds.full:
            way.kept = True
            if not self.holds.taken_back(alert, kept=True):
                await self.ledger.wait_for(way.notice.notice_id, f"{to[0]} → {to[1]}: {_HELD}")
                await self.holds.over(alert, left_s, waits)
        if not self.holds.taken_back(alert, kept=way.kept):
            self.hours.count(*to, self.now_ms())

    async def _pause(self, failing: Sequence[_Way], pause_s: float) -> None:
        """Wait, but no longer than until somebody gives one up."""
        while pause_s > 0:
            await self.wait(min(pause_s, LOOK_S))
            pause_s -= LOOK_S
            if any([await self.ledger.given_up(way.notice.notice_id) is not None for way in failing]):
                return

    async def _deliver(self, alert: dict[str, Any], way: _Way) -> tuple[str, str | None]:
        """(status, error) of one try; one that went out before counts as sent, in no attempt."""
        notice, channel = way.notice, way.channel
        if await self.ledger.seen(notice.notice_id):
            return "sent", None
        if (why := await self.ledger.given_up(notice.notice_id)) is not None:
            await self.ledger.mark(notice.notice_id)
            return "suppressed", f"{GIVEN_UP}{why}"
        if (moot := await self._moot(alert, way)) is not None:
            await self.ledger.drop(notice.notice_id)
            return "suppressed", moot
        try:
            async with self._gates[channel.name]:
                way.attempts += await channel.send(notice)
        except DeliveryError as problem:
            way.attempts += problem.attempts
            word = "refused" if problem.final else "not taken, it is tried again"
            log.warning("notice %s, %s: %s: %s", notice.notice_id, channel.name, word, problem)
            if not problem.final:
                await self.ledger.wait_for(notice.notice_id, f"{channel.name} → {notice.recipient}: {problem}")
                return WAITING, None
            return "failed", str(problem)
        await self.ledger.mark(notice.notice_id)
        return "sent", None

    async def _moot(self, alert: dict[str, Any], way: _Way) -> str | None:
        """Why there is nothing to tell any more; None where there is."""
        if self.holds.taken_back(alert, kept=way.kept):
            return "taken back meanwhile"
        if alert["status"] == texts.ALL_CLEAR:
            before = set(case_notice_ids(self.key, alert, way.channel.name))
            if await self.told.sent_any(before) is False:
                return "nothing of the case was sent"
        return None

    def _record(
        self, alert: dict[str, Any], notice: Notice, channel: str, status: str, attempts: int, error: str | None
    ) -> dict[str, Any]:
        event = hashlib.sha256(f"{notice.notice_id}\0{status}".encode()).hexdigest()[:ID_CHARS]
        return {
            "event_id": event,
            "notice_id": notice.notice_id,
            "customer_id": alert["customer_id"],
            "channel": channel,
            "recipient": notice.recipient,
            "subject": notice.subject,
            "body": notice.body,
            "status": status,
            "attempts": attempts,
            "at": self.now_ms(),
            "caused_by": alert["event_id"],
            "error": error,
        }
