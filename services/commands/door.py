"""The one way to change something about a customer: decided, on record, stamped, written; then its result.

Nothing of the web in here: the service and the command line come through the same functions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final, NamedTuple, Protocol

from schemas.validation.columns import ACTIONS, InputCheck
from services.access.audit import AuditTrail
from services.access.decision import Actor, Resource, decide_access, owner_of
from services.commands.definitions import COMMANDS_TAKEN, CommandBody, CommandDefinition
from services.commands.store import CommandStore

_ID_CHARS: Final = 32
UNKNOWN_REQUESTER: Final = "?"
"""Who asked for what is to be approved: the worker knows, and compares."""

PENDING: Final = "pending"


class NotKnownError(Exception):
    """There is no such customer, case or command for this actor."""


class UnfitError(Exception):
    """A body that no worker would take: the text says which part, without its value."""


class AboutWhom(NamedTuple):
    """About whom a command is: unit None, where nobody of that id is known."""

    customer_id: str
    branch: str | None
    details: Mapping[str, str] = {}

    @property
    def unit(self) -> tuple[str, ...] | None:
        """The owner's path."""
        return None if self.branch is None else owner_of(self.branch)


class LogView(Protocol):
    """What the door asks of the log (services.commands.follower)."""

    def branch(self, customer_id: str) -> str | None:
        """The branch of a customer; None where it is not known here."""

    def result_of(self, command_id: str) -> Future[dict[str, Any]]:
        """The result to come."""

    def forget(self, command_id: str, waiter: Future[dict[str, Any]]) -> None:
        """Nobody waits for it."""


class Written(NamedTuple):
    """A command that Kafka has. result: of what a worker has said already; waiter: what it will say."""

    command_id: str
    result: dict[str, Any] | None
    waiter: Future[dict[str, Any]] | None = None


class CommandDoor:
    """See the module. Any of its functions may raise RedisError, NotWrittenError or OSError where a server is away.

    case_of: the newest step of a case by its id. write: keeps a stamped act. now_ms: the instant, ms since 1970.
    """

    def __init__(
        self, store: CommandStore, log: LogView, case_of: Callable[[str], dict[str, Any] | None],
        write: Callable[[Mapping[str, Any]], None], trail: AuditTrail, now_ms: Callable[[], int], zone: str,
    ) -> None:  # fmt: skip
        self.store, self.log, self.case_of, self.write = store, log, case_of, write
        self.trail, self.now_ms = trail, now_ms
        self._check = InputCheck(ACTIONS, zone)

    def take(self, actor: Actor, name: str, body: CommandBody, key: str, request_id: str) -> Written:
        """Writes a command. NotKnownError, UnfitError, OtherBodyError; TooManyWaitError."""
        one = COMMANDS_TAKEN[name]
        known = self._known(one, body)
        self._decide(actor, one, known, request_id)
        digest, claimed = _digest(name, body.model_dump_json()), _digest(actor.actor_id, key)
        command_id = f"command-{_digest(claimed, digest)}"
        record = self._stamped(actor, one, body, known, command_id, request_id)
        if (fault := self._check.verdicts([record])[0]) is not None:
            raise UnfitError(f"{fault.field or 'the command'}: {fault.reason}")
        entry = self.store.claim(claimed, digest, command_id, record, actor.actor_id)
        if (result := self.store.result(command_id)) is not None:
            return Written(command_id, result)
        waiter = self.log.result_of(command_id)
        try:
            if not entry.sent:
                self.write(entry.record)
                self.store.note_sent(command_id)
        except BaseException:
            self.log.forget(command_id, waiter)
            raise
        return Written(command_id, None, waiter)

    def asked(self, actor: Actor, command_id: str) -> tuple[dict[str, Any] | None, bool]:
        """(result if there is one, whether Kafka has it) of a command of his. NotKnownError."""
        entry = self.store.entry(command_id)
        if entry is None or entry.by != actor.actor_id:
            raise NotKnownError
        return self.store.result(command_id), entry.sent

    def _known(self, one: CommandDefinition, body: CommandBody) -> AboutWhom:
        given = body.model_dump()
        if not one.on_case:
            return AboutWhom(given["customer_id"], self.log.branch(given["customer_id"]))
        found = self.case_of(given["case"])
        if found is None or found["told_step"] is None:
            return AboutWhom("", None)
        details = {"case": given["case"], "step": given["step"] or found["told_step"]}
        now = self.log.branch(found["customer_id"])  # he may have another branch since that step
        return AboutWhom(found["customer_id"], found["branch"] if now is None else now, details)

    def _decide(self, actor: Actor, one: CommandDefinition, known: AboutWhom, request_id: str) -> None:
        about = f"{one.name} {known.customer_id}".strip()
        resource = Resource(one.kind, known.unit, UNKNOWN_REQUESTER)
        decision = decide_access(actor, one.action, resource)
        self.trail.record(actor, one.action, resource, decision, about, request_id)
        if not decision.allowed:
            raise NotKnownError

    def _stamped(
        self, actor: Actor, one: CommandDefinition, body: CommandBody, known: AboutWhom, command_id: str, request_id: str
    ) -> dict[str, Any]:  # fmt: skip
        now, capacity = self.now_ms(), _capacity(actor, one, known)
        return {
            "event_id": command_id, "customer_id": known.customer_id, "action": one.name,
            "requested_by": actor.actor_id, "approved_by": None, "at": now, "expires_on": one.last_day(body),
            "details": {**one.details(body), **known.details}, "stamped_by": actor.actor_id,
            "stamped_role": str(capacity[0]), "stamped_unit": "/".join(capacity[1]), "stamped_at": now,
            "request_id": request_id,
        }  # fmt: skip


def _capacity(actor: Actor, one: CommandDefinition, known: AboutWhom) -> tuple[Any, tuple[str, ...]]:
    """The role and unit in which he may do it: his own, or one that he stands in for."""
    for role, unit in ((actor.role, actor.unit), *actor.stands_in):
        own = Actor(actor.actor_id, role, unit)
        if decide_access(own, one.action, Resource(one.kind, known.unit, UNKNOWN_REQUESTER)).allowed:
            return role, unit
    return actor.role, actor.unit


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_ID_CHARS]
