"""Tickets over HTTP, beside the look-up: `/v1/tickets`, `/v1/counters`, `/v1/branch`. docs/queue.md describes it for others.

`/v1/cash-requests` are in services.queue.tickets.cash_routes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Path, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from services.access.callers import AUTHORIZED
from services.access.decision import Action, DataKind
from services.queue.server import RateLimit
from services.queue.tickets import forms
from services.queue.tickets.cash import CashDesk
from services.queue.tickets.cash_routes import cash_routes
from services.queue.tickets.express import TicketExpress
from services.queue.tickets.problems import TicketProblemError, problem_response, route_problems
from services.queue.tickets.rights import BranchName, RequestId, TicketRights, Who, request_key
from services.queue.tickets.ticketing import Ticketing

TicketPlace = Annotated[int, Path(ge=1, le=2**53, description="The ticket.")]
CounterName = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$", description="The counter.")]


def add_tickets(app: FastAPI, ticketing: Ticketing, may: TicketRights, rate_max: int) -> None:
    """The routes of tickets on an application. `rate_max`: requests a second of one key; 0: as many as come."""
    limit = RateLimit(app, rate_max, lambda: None)

    def rights(action: Action, kind: DataKind) -> Any:
        """What a request needs: an action on a kind. Asked before anything else; gives the actor and his branch."""

        async def asked(request: Request, branch: BranchName = None) -> Who:
            actor = await may.actor(request)
            if limit.per_s and not limit.allows(actor.actor_id):
                raise TicketProblemError("too-many-requests")
            return actor, await may.branch(actor, branch, action, kind)

        return Depends(asked)

    app.include_router(_tickets(ticketing, rights), dependencies=AUTHORIZED)
    app.include_router(_steps(ticketing, rights), dependencies=AUTHORIZED)
    app.include_router(_counters(ticketing, rights), dependencies=AUTHORIZED)
    app.include_router(_branch(ticketing, rights), dependencies=AUTHORIZED)
    app.include_router(cash_routes(CashDesk(ticketing), rights), dependencies=AUTHORIZED)
    app.add_exception_handler(TicketProblemError, _as_answer)
    app.add_exception_handler(RequestValidationError, _not_understood)
    others: Any = app.exception_handlers.get(HTTPException, http_exception_handler)

    async def unreadable(request: Request, error: Exception) -> Response:
        # A body that is no text at all is a 400 of FastAPI's own, before it is looked at.
        if isinstance(error, HTTPException) and error.status_code == 400:
            return problem_response(TicketProblemError("not-understood"))
        answer: Response = await others(request, error)
        return answer

    app.add_exception_handler(HTTPException, unreadable)
    app.user_middleware.append(Middleware(TicketExpress, ticketing, may, limit))  # behind what limits addresses


async def _as_answer(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TicketProblemError)
    return problem_response(error)


async def _not_understood(_: Request, __: Exception) -> JSONResponse:
    return problem_response(TicketProblemError("not-understood"))


def _tickets(ticketing: Ticketing, rights: Callable[..., Any]) -> APIRouter:
    """Issue, look at and leave."""
    router = APIRouter(prefix="/v1/tickets", tags=["tickets"])
    may_issue, may_read = rights(Action.WRITE, DataKind.TICKETS), rights(Action.READ, DataKind.TICKETS)
    runs_hall = rights(Action.WRITE, DataKind.HALLS)

    @router.post(
        "", status_code=201, responses=route_problems("branch-closed", "not-an-open-class", "request-id-reused")
    )
    async def issue(
        wanted: forms.TicketRequest, request_id: RequestId, response: Response, who: Who = may_issue
    ) -> forms.TicketAnswer:
        """Issue a ticket. Who waits for the same already gets the one that he has."""
        actor, branch = who
        response.headers["Cache-Control"] = "no-store"
        return await ticketing.issue(branch, actor.actor_id, request_key(actor, request_id), wanted)

    @router.post(
        "/courtesy",
        status_code=201,
        responses=route_problems("branch-closed", "not-an-open-class", "request-id-reused"),
    )
    async def courtesy(
        wanted: forms.CourtesyRequest, request_id: RequestId, response: Response, who: Who = runs_hall
    ) -> forms.TicketAnswer:
        """Give somebody a ticket of a class that he does not have; it is on record."""
        actor, branch = who
        response.headers["Cache-Control"] = "no-store"
        return await ticketing.courtesy(branch, actor.actor_id, request_key(actor, request_id), wanted)

    @router.post(
        "/printed", status_code=201, responses=route_problems("branch-closed", "not-an-open-class", "request-id-reused")
    )
    async def issued_offline(
        given: forms.PrintedTickets, response: Response, who: Who = may_issue
    ) -> list[forms.TicketAnswer]:
        """Take the tickets that a kiosk printed while it could not reach the service."""
        actor, branch = who
        response.headers["Cache-Control"] = "no-store"
        return await ticketing.printed(branch, actor.actor_id, given)

    @router.get("/{ticket}", responses=route_problems("no-such-ticket"))
    async def ticket_state(ticket: TicketPlace, response: Response, who: Who = may_read) -> forms.TicketAnswer:
        """Where a ticket stands: position, why it is no better, the estimated wait, and by whom it can be overtaken."""
        response.headers["Cache-Control"] = "no-store"
        return await ticketing.ticket(who[1], ticket)

    @router.post("/{ticket}/leave", responses=route_problems("no-such-ticket", "not-waiting", "request-id-reused"))
    async def leave(ticket: TicketPlace, request_id: RequestId, who: Who = may_issue) -> forms.TicketAnswer:
        """Give a ticket back."""
        actor, branch = who
        return await ticketing.step("leave", branch, actor.actor_id, request_key(actor, request_id), place=ticket)

    return router


def _steps(ticketing: Ticketing, rights: Callable[..., Any]) -> APIRouter:
    """What the counter that has a ticket does with it."""
    router = APIRouter(prefix="/v1/tickets/{ticket}", tags=["counters"])
    serves = rights(Action.WRITE, DataKind.CALLS)
    problems = route_problems("no-such-ticket", "not-at-this-counter", "request-id-reused")

    async def made(step: str, who: Who, request_id: str, ticket: int, **given: Any) -> forms.TicketAnswer:
        actor, branch = who
        return await ticketing.step(step, branch, actor.actor_id, request_key(actor, request_id), place=ticket, **given)

    @router.post("/recall", responses=problems)
    async def recall(
        ticket: TicketPlace, asked: forms.CounterRequest, request_id: RequestId, who: Who = serves
    ) -> forms.TicketAnswer:
        """Call a ticket again."""
        return await made("recall", who, request_id, ticket, counter=asked.counter)

    @router.post("/no-show", responses=problems)
    async def no_show(
        ticket: TicketPlace, asked: forms.CounterRequest, request_id: RequestId, who: Who = serves
    ) -> forms.TicketAnswer:
        """Nobody has come: the counter is free."""
        return await made("no_show", who, request_id, ticket, counter=asked.counter)

    @router.post("/back", responses=route_problems("no-such-ticket", "not-absent", "request-id-reused"))
    async def back(ticket: TicketPlace, request_id: RequestId, who: Who = serves) -> forms.TicketAnswer:
        """Whoever did not come is there now, and waits as if he had just arrived."""
        return await made("back", who, request_id, ticket)

    @router.post("/transfer", responses=route_problems("no-such-ticket", "not-at-this-counter", "too-many-services"))
    async def transfer(
        ticket: TicketPlace, asked: forms.TransferRequest, request_id: RequestId, who: Who = serves
    ) -> forms.TicketAnswer:
        """Let a ticket wait for another service, with its place or without it."""
        given = {"counter": asked.counter, "service": asked.service, "keep": asked.keep_place}
        return await made("transfer", who, request_id, ticket, **given)

    @router.post("/complete", responses=problems)
    async def complete(
        ticket: TicketPlace, asked: forms.CompleteRequest, request_id: RequestId, who: Who = serves
    ) -> forms.TicketAnswer:
        """The customer has been served: the counter is free."""
        return await made("complete", who, request_id, ticket, counter=asked.counter, served=asked.served)

    @router.post("/holder", responses=problems)
    async def holder(
        ticket: TicketPlace, asked: forms.HolderRequest, request_id: RequestId, who: Who = serves
    ) -> forms.HolderAnswer:
        """Compare the ticket with the person whose identity the counter has checked. It replaces no check."""
        actor, branch = who
        return await ticketing.holder(branch, actor.actor_id, request_key(actor, request_id), ticket, asked)

    return router


def _counters(ticketing: Ticketing, rights: Callable[..., Any]) -> APIRouter:
    """What counters do, and what they take."""
    router = APIRouter(prefix="/v1/counters/{counter}", tags=["counters"])
    serves, runs_hall = rights(Action.WRITE, DataKind.CALLS), rights(Action.WRITE, DataKind.HALLS)

    async def made(step: str, who: Who, request_id: str, **given: Any) -> forms.StepAnswer:
        actor, branch = who
        return await ticketing.arrange(step, branch, actor.actor_id, request_key(actor, request_id), **given)

    @router.post(
        "/next", responses=route_problems("counter-busy", "counter-paused", "too-many-counters", "request-id-reused")
    )
    async def call_next(counter: CounterName, request_id: RequestId, who: Who = serves) -> forms.CalledAnswer:
        """Call the next ticket that the counter may serve."""
        actor, branch = who
        return await ticketing.call(branch, actor.actor_id, request_key(actor, request_id), counter)

    @router.post("/pause", responses=route_problems("request-id-reused"))
    async def pause(counter: CounterName, request_id: RequestId, who: Who = serves) -> forms.StepAnswer:
        """Call nobody until `resume`; what the counter has, it finishes."""
        return await made("pause", who, request_id, counter=counter)

    @router.post("/resume", responses=route_problems("request-id-reused"))
    async def resume(counter: CounterName, request_id: RequestId, who: Who = serves) -> forms.StepAnswer:
        """End a pause."""
        return await made("resume", who, request_id, counter=counter)

    @router.put("", responses=route_problems("too-many-counters", "request-id-reused"))
    async def equip(
        counter: CounterName, asked: forms.EquipRequest, request_id: RequestId, who: Who = runs_hall
    ) -> forms.StepAnswer:
        """Say which classes and services a counter takes, such as a VIP room's."""
        return await made("equip", who, request_id, counter=counter, classes=asked.classes, services=asked.services)

    return router


def _branch(ticketing: Ticketing, rights: Callable[..., Any]) -> APIRouter:
    """A branch as a whole."""
    router = APIRouter(prefix="/v1/branch", tags=["branch"])
    may_read, runs_hall = rights(Action.READ, DataKind.TICKETS), rights(Action.WRITE, DataKind.HALLS)

    @router.get("", responses=route_problems())
    async def branch_state(response: Response, who: Who = may_read) -> forms.BranchAnswer:
        """Who waits by class, what counters do, and the last calls."""
        response.headers["Cache-Control"] = "no-store"
        return await ticketing.branch(who[1])

    @router.post("/close", responses=route_problems("request-id-reused"))
    async def close_branch(asked: forms.CloseRequest, request_id: RequestId, who: Who = runs_hall) -> forms.StepAnswer:
        """Issue no more tickets today."""
        actor, branch = who
        return await ticketing.arrange(
            "close", branch, actor.actor_id, request_key(actor, request_id), reason=asked.reason
        )

    @router.post("/open", responses=route_problems("request-id-reused"))
    async def open_branch(request_id: RequestId, who: Who = runs_hall) -> forms.StepAnswer:
        """Issue tickets again; a new day does it by itself."""
        actor, branch = who
        return await ticketing.arrange("open", branch, actor.actor_id, request_key(actor, request_id))

    return router
