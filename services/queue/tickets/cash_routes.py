"""Cash that wants notice, over HTTP: `/v1/cash-requests`. For whoever serves: amounts are nothing for a kiosk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from schemas import bounds
from services.access.decision import Action, DataKind
from services.queue.tickets import forms
from services.queue.tickets.cash import CashDesk
from services.queue.tickets.problems import route_problems
from services.queue.tickets.rights import RequestId, Who, request_key

CashNumber = Annotated[int, Path(ge=1, le=2**53, description="The number of the cash request.")]
WantedDay = Annotated[forms.CashDay, Query(description="The day for which cash was asked.")]
Skipped = Annotated[int, Query(ge=0, le=bounds.BRANCH_CASH_REQUESTS_MAX, description="So many are left out before.")]
PageSize = Annotated[int, Query(ge=1, le=bounds.CASH_PAGE_MAX)]


def cash_routes(desk: CashDesk, rights: Callable[..., Any]) -> APIRouter:
    """Ask, look at a day, and what becomes of a request. rights: what a route needs, as `add_tickets` has it."""
    router = APIRouter(prefix="/v1/cash-requests", tags=["cash"])
    serves = rights(Action.WRITE, DataKind.CALLS)
    ended = ("no-such-cash-request", "request-id-reused")

    @router.post(
        "",
        status_code=201,
        responses=route_problems("not-a-coming-day", "too-many-cash-requests", "request-id-reused"),
    )
    async def ask_for_cash(
        wanted: forms.CashRequest, request_id: RequestId, response: Response, who: Who = serves
    ) -> forms.CashRequestAnswer:
        """Give notice of cash that somebody wants on a coming day."""
        actor, branch = who
        response.headers["Cache-Control"] = "no-store"
        return await desk.ask(branch, actor.actor_id, request_key(actor, request_id), wanted)

    @router.get("", responses=route_problems())
    async def cash_of_day(
        day: WantedDay, response: Response, skip: Skipped = 0, limit: PageSize = 100, who: Who = serves
    ) -> forms.CashDayAnswer:
        """What is open for a day, in the order in which it is met: class after class, then by the time of asking."""
        response.headers["Cache-Control"] = "no-store"
        return await desk.day(who[1], day, skip, limit)

    @router.post("/{cash_request}/meet", responses=route_problems("higher-class-waits", *ended))
    async def meet_cash(
        cash_request: CashNumber, request_id: RequestId, asked: forms.MeetRequest | None = None, who: Who = serves
    ) -> forms.CashRequestAnswer:
        """Set the cash aside. While somebody of a higher class waits for that day and currency, only with a reason."""
        actor, branch = who
        insist = None if asked is None else asked.insist
        return await desk.meet(branch, actor.actor_id, request_key(actor, request_id), cash_request, insist)

    @router.post("/{cash_request}/refuse", responses=route_problems(*ended))
    async def refuse_cash(
        cash_request: CashNumber, asked: forms.RefuseRequest, request_id: RequestId, who: Who = serves
    ) -> forms.CashRequestAnswer:
        """Say that a request can't be met, and why."""
        actor, branch = who
        key = request_key(actor, request_id)
        return await desk.step("cash_refuse", branch, actor.actor_id, key, cash_request, asked.reason)

    @router.post("/{cash_request}/withdraw", responses=route_problems(*ended))
    async def withdraw_cash(
        cash_request: CashNumber, request_id: RequestId, who: Who = serves
    ) -> forms.CashRequestAnswer:
        """The customer wants it no longer."""
        actor, branch = who
        return await desk.step("cash_withdraw", branch, actor.actor_id, request_key(actor, request_id), cash_request)

    return router
