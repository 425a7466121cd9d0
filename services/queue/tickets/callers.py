"""Who asks for tickets: a kiosk or a counter with its key, a person or a machine with a token; and for which branch."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from services.access.decision import Action, Actor, DataKind, Resource, decide_access, unit_of
from services.access.tokens import TokenRefusedError, TokenTrust, login_of, machine_of, verified
from services.queue.tickets.problems import TicketProblemError

if TYPE_CHECKING:
    from services.access.audit import AuditTrail
    from services.access.keyring import KeyRing

BRANCH_FORM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}(/[A-Za-z0-9][A-Za-z0-9._-]{0,39}){0,6}")
"""A branch: its unit below the head office, such as east/0102."""

PERSONS_KEPT_S: Final = 60.0
PERSONS_KEPT_MAX: Final = 10_000
_SCHEME: Final = "bearer "


@dataclass(slots=True)
class Callers:
    """Says who comes with a request. `person`: who is behind a login, or None; it may wait for the database.

    trust: whose tokens count; None: keys alone.
    """

    keys: KeyRing
    trail: AuditTrail
    trust: TokenTrust | None = None
    login_claim: str = ""
    person: Callable[[str], Actor | None] = lambda _: None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _persons: dict[str, tuple[float, Actor | None]] = field(default_factory=dict)

    async def actor(self, authorization: str | None) -> Actor:
        """Who it is. TicketProblemError for who is nobody: a key that was never made and one that has ended are the same."""
        text, now = authorization or "", self.now()
        if text[: len(_SCHEME)].lower() != _SCHEME:
            raise TicketProblemError("no-key")
        word = text[len(_SCHEME) :].strip()
        found = None
        if word.startswith("tgk_"):
            if not self.keys.trusted(now):
                raise TicketProblemError("keys-unavailable")
            found = self.keys.actor(word, now)
        elif self.trust is not None:
            found = await self._of_token(word, self.trust, now)
        if found is None:
            raise TicketProblemError("no-key")
        return found

    def branch(self, actor: Actor, wanted: str | None, action: Action, kind: DataKind) -> str:
        """The branch that is meant, if he may do this there; what is refused is on record. TicketProblemError."""
        branch = "/".join(actor.unit[1:]) if wanted is None else wanted
        if not BRANCH_FORM.fullmatch(branch):
            raise TicketProblemError("not-understood")
        resource = Resource(kind, unit_of(branch))
        decision = decide_access(actor, action, resource)
        if not decision.allowed:
            try:
                self.trail.record(actor, action, resource, decision, branch)
            finally:
                raise TicketProblemError("not-allowed")
        return branch

    async def _of_token(self, word: str, trust: TokenTrust, now: datetime) -> Actor | None:
        try:
            claims = verified(word, trust, int(now.timestamp()))
            return machine_of(claims) or await self._person(login_of(claims, self.login_claim), now.timestamp())
        except TokenRefusedError:
            return None

    async def _person(self, login: str, now_s: float) -> Actor | None:
        """A person as the lists have him; asked again after a minute."""
        known = self._persons.get(login)
        if known is not None and now_s - known[0] < PERSONS_KEPT_S:
            return known[1]
        try:
            found = await asyncio.to_thread(self.person, login)
        except Exception as problem:  # the database's, whatever it is
            raise TicketProblemError("keys-unavailable") from problem
        if len(self._persons) >= PERSONS_KEPT_MAX:
            self._persons.clear()
        self._persons[login] = now_s, found
        return found
