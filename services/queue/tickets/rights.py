"""Whether who asks for tickets may do what he asks, and at which branch that is."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Header, Query
from starlette.exceptions import HTTPException

from services.access.decision import Action, Actor, DataKind, Resource, decide_access, unit_of
from services.queue.refusals import RefusalRecords
from services.queue.tickets.problems import TicketProblemError

if TYPE_CHECKING:
    from starlette.requests import Request

    from services.access.audit import AuditTrail
    from services.access.callers import KnowsCallers

BRANCH_FORM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}(/[A-Za-z0-9][A-Za-z0-9._-]{0,39}){0,6}")
"""A branch: its unit below the head office, such as east/0102."""

_KEY_HELP: Final = (
    "Made up by whoever asks, another one for each step: the same one again has the same answer, all day."
)
RequestId = Annotated[str, Header(alias="Idempotency-Key", pattern=r"^[\x21-\x7e]{1,64}$", description=_KEY_HELP)]
BranchName = Annotated[
    str | None, Query(max_length=200, description="For who is above a branch; else it is the key's own.")
]
Who = tuple[Actor, str]
"""Who asks, and the branch that is meant."""

_PROBLEMS: Final = {401: "no-key", 403: "not-our-page", 503: "keys-unavailable"}


def request_key(actor: Actor, request_id: str) -> str:
    """A request's id in the store: whoever else comes with the same one asks for something of his own."""
    return f"{actor.actor_id}/{request_id}"


@dataclass(frozen=True, slots=True)
class TicketRights:
    """Asked before anything is looked up."""

    callers: KnowsCallers
    trail: AuditTrail
    refusals: RefusalRecords = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "refusals", RefusalRecords(self.trail))

    async def actor(self, request: Request) -> Actor:
        """Who it is. TicketProblemError for who is nobody: a key that was never made and one that has ended are the same."""
        try:
            return (await self.callers.caller(request)).actor
        except HTTPException as problem:
            raise TicketProblemError(_PROBLEMS.get(problem.status_code, "not-understood")) from problem

    async def branch(self, actor: Actor, wanted: str | None, action: Action, kind: DataKind) -> str:
        """The branch that is meant, if he may do this there; what is refused is on record. TicketProblemError."""
        branch = "/".join(actor.unit[1:]) if wanted is None else wanted
        if not BRANCH_FORM.fullmatch(branch):
            raise TicketProblemError("not-understood")
        resource = Resource(kind, unit_of(branch))
        decision = decide_access(actor, action, resource)
        if not decision.allowed:
            await self.refusals.record(actor, action, resource, decision, branch, uuid.uuid4().hex)
            raise TicketProblemError("not-allowed")
        return branch
