"""The clock of cases: reads rm-alerts, and sends what is due as commands, through the door that everybody's come through.

There may be several at once. Their commands have the same keys, so the door writes one, and the worker takes one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from confluent_kafka import KafkaException
from pydantic import ValidationError
from redis import RedisError

from policies.language.loader import parse_pack
from policies.language.reader import PackError
from policies.model.pack import Escalation, Pack
from schemas.codec.records import RecordError, decode_one
from schemas.nulls import with_nulls
from schemas.registry import Registry
from services.access.decision import HEAD_OFFICE, Actor, Role
from services.access.writer import NotWrittenError
from services.clock.bank_calendar import BankCalendar
from services.clock.case_watch import DueCommand, OpenCases
from services.commands.definitions import body_of
from services.commands.door import CommandDoor, NotKnownError, UnfitError
from services.commands.follower import TooManyWaitError
from services.commands.store import OtherBodyError
from services.views.projections import TopicRecord
from services.views.writer import RecordSource
from streams.alerts.acts import ESCALATE

log = logging.getLogger(__name__)

CLOCK_TOPICS: Final = ("rm-alerts", "policies")
CLOCK: Final = Actor("clock", Role.SERVICE, (HEAD_OFFICE,))
"""As whom every clock comes: one actor, as a key is an actor's."""

AGAIN_MS: Final = 30_000
"""After a server was away, or a case not yet in the view."""

UNANSWERED_MS: Final = 600_000
"""After a command that Kafka has, and that has changed nothing yet."""

CALENDAR_MS: Final = 600_000
"""Between two looks at the bank's calendar."""

FETCH_S: Final = 0.5
SENT_MAX: Final = 500
"""Commands between two looks at the log."""

GONE: Final = frozenset({"case_closed", "unknown_case"})
"""Why a command is refused where a case has ended without a step."""

SERVERS_AWAY: Final = (RedisError, KafkaException, NotWrittenError, TooManyWaitError, OSError)


class SendsCommand(Protocol):
    """Sends a command: why it was refused already, or None. NotKnownError, UnfitError, and those of SERVERS_AWAY."""

    def __call__(self, command: DueCommand) -> str | None:
        """See the class."""


def through(door: CommandDoor) -> SendsCommand:
    """Sends commands through a door."""

    def send(command: DueCommand) -> str | None:
        fields = {"case": command.case, "step": command.step}
        level = {"level": command.level} if command.action == ESCALATE else {}
        written = door.take(CLOCK, command.action, body_of(command.action)(**fields, **level), command.key, command.key)
        if written.waiter is not None:
            door.log.forget(written.command_id, written.waiter)  # the step on rm-alerts says the same
        return None if written.result is None else written.result["reason"]

    return send


@dataclass(slots=True)
class CaseClock:
    """See the module. told: the days of `tidegauge holidays`, asked for now and then. now_ms: ms since 1970, UTC."""

    source: RecordSource
    registry: Registry
    send: SendsCommand
    now_ms: Callable[[], int]
    told: Callable[[], Mapping[int, bool]]
    zone: str
    packs: dict[tuple[str, int], Escalation | None] = field(default_factory=dict)
    calendar: BankCalendar = field(default_factory=BankCalendar)
    watch: OpenCases = field(init=False)
    _unread: dict[str, int] = field(default_factory=dict)
    _looked_ms: int | None = None
    _said: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self.watch = OpenCases(self.packs.get, lambda day: self.calendar.is_open(day), self.zone)  # noqa: PLW0108 (it changes)

    def know(self, pack: Pack) -> None:
        """A pack's terms of escalation: those of its class with cases."""
        terms = (policy.cases.escalation for policy in pack.classes.values() if policy.cases is not None)
        self.packs[pack.id, pack.version] = next((found for found in terms if found is not None), None)

    def begin(self) -> None:
        """Read the log from its beginning. KafkaException."""
        self._unread = {name: high for name, (_, high) in self.source.ends().items() if high}
        self.source.begin(dict.fromkeys(self.source.ends()))

    def follow(self) -> int:
        """Take what has come, and send what is due once all has been read; how many were sent. KafkaException."""
        known = len(self.packs)
        for name, part in self.source.fetch(FETCH_S).items():
            for record in part.records:
                self._note(record)
            if (part.stop or 0) >= self._unread.get(name, 0):
                self._unread.pop(name, None)
        self._look(anew=len(self.packs) != known)
        return 0 if self._unread else self._send_due()

    def _look(self, *, anew: bool) -> None:
        """At the calendar, and at years that nobody knows."""
        now = self.now_ms()
        if self._looked_ms is None or now - self._looked_ms >= CALENDAR_MS:
            self._looked_ms = now
            try:
                calendar = BankCalendar(self.told())
            except SERVERS_AWAY as problem:
                log.warning("the bank's calendar can't be read now: %s", problem)
                calendar = self.calendar
            anew |= calendar != self.calendar
            self.calendar = calendar
        if anew:
            self.watch.replan()
        if (years := frozenset(self.watch.unplanned.values())) != self._said:
            self._said = years
            for year in sorted(years):
                count = sum(one == year for one in self.watch.unplanned.values())
                log.warning(
                    "the holidays of %s are not known: %s cases are not escalated until `tidegauge holidays` tells them",
                    year, count,
                )  # fmt: skip

    def _note(self, record: TopicRecord) -> None:
        try:
            found = decode_one(record.value or b"", self.registry, name=record.topic)
            if record.topic == CLOCK_TOPICS[0]:
                self.watch.note(with_nulls(record.topic, found), record.at_ms)
            elif not found["retracted"]:
                self.know(parse_pack(found["body"], taken=True))
        except (RecordError, PackError):
            return  # the workers say what is wrong with it

    def _send_due(self) -> int:
        sent, later, unanswered = 0, [], []
        for number, command in enumerate(self.watch.take_due(self.now_ms())):
            if number >= SENT_MAX:
                later.append(command)
                continue
            try:
                why = self.send(command)
            except (NotKnownError, *SERVERS_AWAY) as problem:
                log.warning("%s can't be sent now: %s", command.action, type(problem).__name__)
                later.append(command)
                continue
            except (UnfitError, OtherBodyError, ValidationError) as problem:
                log.warning("%s of case %s is none that a worker would take: %s", command.action, command.case, problem)
                continue
            sent += 1
            if why in GONE:
                self.watch.drop(command.case)
            elif why is None:
                unanswered.append(command)
        now = self.now_ms()
        self.watch.again(later, now + AGAIN_MS)
        self.watch.again(unanswered, now + UNANSWERED_MS)
        return sent
