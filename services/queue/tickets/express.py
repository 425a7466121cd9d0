"""The requests of the opening hour without a web framework around them: issue, call, complete, look at a ticket.

They are those of services.queue.tickets.interface, by the same rights, forms and steps, with the same answers: a test holds
each against the other. What a framework does around a request costs several times what the step costs.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from services.access.decision import Action, DataKind
from services.queue.server import answer_json
from services.queue.tickets import forms
from services.queue.tickets.problems import TicketProblemError, problem_response

if TYPE_CHECKING:
    from services.access.decision import Actor
    from services.queue.server import RateLimit
    from services.queue.tickets.rights import TicketRights
    from services.queue.tickets.ticketing import Ticketing

KEY_FORM: Final = re.compile(r"[\x21-\x7e]{1,64}")
_JSON: Final = re.compile(r"application/([a-z0-9.-]+\+)?json(\s*;.*)?", re.IGNORECASE)
COUNTER: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}"
PLACE: Final = r"[1-9][0-9]{0,14}"

_App = Callable[..., Any]  # of ASGI
_Scope = MutableMapping[str, Any]
_Form = TypeVar("_Form", bound=BaseModel)


class _Asked(NamedTuple):
    """A request that is understood. `named`: what the path names. `request_id`: empty where nothing is changed."""

    branch: str
    actor: Actor
    request_id: str
    named: str
    body: bytes


class _Way(NamedTuple):
    """A kind of request: its path, what it needs, what it does."""

    method: str
    path: re.Pattern[str]
    action: Action
    kind: DataKind
    status: int
    done: Callable[[_Asked], Awaitable[BaseModel]]


class TicketExpress:
    """ASGI: takes the frequent requests, and passes on what it does not know. `limit`: of keys, shared with the interface."""

    def __init__(self, app: _App, ticketing: Ticketing, may: TicketRights, limit: RateLimit) -> None:
        self.app, self.ticketing, self.may, self.limit = app, ticketing, may, limit
        write, read = Action.WRITE, Action.READ
        self.ways = (
            _Way("POST", re.compile("/v1/tickets"), write, DataKind.TICKETS, 201, self._issue),
            _Way("POST", re.compile(f"/v1/counters/({COUNTER})/next"), write, DataKind.CALLS, 200, self._call),
            _Way("POST", re.compile(f"/v1/tickets/({PLACE})/complete"), write, DataKind.CALLS, 200, self._complete),
            _Way("GET", re.compile(f"/v1/tickets/({PLACE})"), read, DataKind.TICKETS, 200, self._ticket),
        )

    async def __call__(self, scope: _Scope, receive: _App, send: _App) -> None:
        """Answer, or pass on."""
        if scope["type"] == "http" and not scope["query_string"]:
            for way in self.ways:
                if way.method == scope["method"] and (found := way.path.fullmatch(scope["path"])):
                    await self._answer(way, found[1] if found.re.groups else "", Request(scope, receive), send)
                    return
        await self.app(scope, receive, send)

    async def _answer(self, way: _Way, named: str, request: Request, send: _App) -> None:
        try:
            told = await way.done(await self._asked(way, named, request))
        except TicketProblemError as problem:
            await problem_response(problem)(request.scope, request.receive, send)
        except ClientDisconnect:
            return
        else:
            await answer_json(send, told, way.status, kept=way.status != 201 and way.method != "GET")

    async def _asked(self, way: _Way, named: str, request: Request) -> _Asked:
        """Who asks for what; who it is, and whether he may, comes before all else. TicketProblemError."""
        actor = await self.may.actor(request)
        if self.limit.per_s and not self.limit.allows(actor.actor_id):
            raise TicketProblemError("too-many-requests")
        branch = await self.may.branch(actor, None, way.action, way.kind)
        if way.method == "GET":
            return _Asked(branch, actor, "", named, b"")
        given = request.headers.get("idempotency-key", "")
        if not KEY_FORM.fullmatch(given):
            raise TicketProblemError("not-understood")
        body = await request.body()
        if body and not _JSON.fullmatch(request.headers.get("content-type", "")):
            raise TicketProblemError("not-understood")
        return _Asked(branch, actor, f"{actor.actor_id}/{given}", named, body)

    async def _issue(self, asked: _Asked) -> BaseModel:
        wanted = _form(forms.TicketRequest, asked.body)
        return await self.ticketing.issue(asked.branch, asked.actor.actor_id, asked.request_id, wanted)

    async def _call(self, asked: _Asked) -> BaseModel:
        return await self.ticketing.call(asked.branch, asked.actor.actor_id, asked.request_id, asked.named)

    async def _complete(self, asked: _Asked) -> BaseModel:
        given = _form(forms.CompleteRequest, asked.body)
        return await self.ticketing.step(
            "complete", asked.branch, asked.actor.actor_id, asked.request_id, place=int(asked.named), counter=given.counter,
            served=given.served,
        )  # fmt: skip

    async def _ticket(self, asked: _Asked) -> BaseModel:
        return await self.ticketing.ticket(asked.branch, int(asked.named))


def _form(form: type[_Form], body: bytes) -> _Form:
    """What a body says. TicketProblemError where it is none such."""
    try:
        return form.model_validate_json(body)
    except ValidationError as problem:
        raise TicketProblemError("not-understood") from problem
