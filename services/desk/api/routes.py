"""The routes of the desk's interface: `/v1/customers`, `/v1/cases` and `/v1/standings` (docs/integrators.md).

Whoever asks is decided on as on the pages, and on record before anything is read. An answer that a program has already is
answered by 304: its ETag is of what the answer says, so it holds for who may see just that.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import psycopg
from fastapi import Depends, FastAPI, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import APIKeyCookie
from redis import RedisError
from starlette.exceptions import HTTPException

from services.access.callers import AUTHORIZED, SESSION_COOKIE, single_fields
from services.access.decision import Actor, DataKind
from services.desk.api import forms
from services.desk.api.cursors import cursor_of, row_behind
from services.desk.api.problems import DeskProblemError, code_of, described_problems, problem_answer
from services.desk.files import CASE_KINDS, case_seen, customer_seen
from services.desk.lists import CaseFilter, StandingFilter
from services.desk.queries import BookFilter
from services.desk.rights import LISTED_KINDS, NotSeenError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from services.access.callers import KnowsCallers
    from services.desk.lists import ListQueries
    from services.desk.queries import DeskQueries, DeskRow
    from services.desk.rights import DeskRights

log = logging.getLogger(__name__)
API_AT: Final = "/v1/"
CUSTOMERS_AT: Final = "/v1/customers"
CASES_AT: Final = "/v1/cases"
STANDINGS_AT: Final = "/v1/standings"
BEHIND_HEADER: Final = "Tidegauge-Behind"
"""Records that the read model has still to take: pages say it at their foot."""

_STANDING_KINDS: Final = (DataKind.BALANCES,)
_SESSION: Final = Security(APIKeyCookie(name=SESSION_COOKIE, scheme_name="session", auto_error=False))
_App = Callable[..., Any]  # of ASGI


class ApiDoor:
    """ASGI middleware: what is below `/v1/` is the interface's, whose refusals are problem documents and no pages."""

    def __init__(self, app: _App, api: FastAPI) -> None:
        self.app, self.api = app, api

    async def __call__(self, scope: MutableMapping[str, Any], receive: _App, send: _App) -> None:
        """Let who has the path answer."""
        own = scope["type"] == "http" and scope["path"].startswith(API_AT)
        await (self.api if own else self.app)(scope, receive, send)


@dataclass(frozen=True, slots=True)
class DeskApi:
    """Answers for lists, one customer and one case. Its routes run on threads: they wait for records and rows."""

    callers: KnowsCallers
    rights: DeskRights
    queries: DeskQueries
    lists: ListQueries

    async def asks(self, request: Request) -> None:
        """Who asks; before anything of his question is looked at."""
        request.state.actor = (await self.callers.caller(request)).actor
        single_fields(request.url.query)

    def customers(self, request: Request, wanted: Annotated[forms.CustomerQuery, Query()]) -> Response:
        """Customers by filters, in the order of their references."""
        actor = _actor(request)
        units = self.rights.lists(actor, "customers", LISTED_KINDS)
        asked = BookFilter(
            _whose(actor, wanted.whose), wanted.tier or "", wanted.outlook or "", wanted.open_case is True,
            wanted.aum_from_minor, wanted.aum_to_minor, row_behind(CUSTOMERS_AT, wanted, wanted.cursor),
            without_case=wanted.open_case is False,
        )  # fmt: skip

        def told() -> BaseModel:
            rows, more = self.lists.customers(units, asked, wanted.limit)
            behind = cursor_of(CUSTOMERS_AT, wanted, rows[-1]["customer_ref"]) if more else None
            return forms.CustomerPart(customers=[_customer(row) for row in rows], next=behind)

        return self._answer(request, told)

    def customer(self, request: Request, customer_ref: str) -> Response:
        """Everything about a customer."""
        file = customer_seen(self.rights, self.queries, _actor(request), customer_ref)
        about = file.about

        def told() -> BaseModel:
            return forms.DeskCustomerRecord(
                customer_class=about["customer_class"], relationship_since=about["relationship_since"],
                standing=forms.DeskStanding.model_validate(about),
                outlook=forms.DeskWholeOutlook.model_validate(file.outlook) if file.outlook else None,
                tier_changes=[forms.DeskTierChange.model_validate(row) for row in file.changes],
                cases=[forms.DeskCase.model_validate(row) for row in file.cases],
            )  # fmt: skip

        return self._answer(request, told)

    def cases(self, request: Request, wanted: Annotated[forms.CaseQuery, Query()]) -> Response:
        """Cases by filters, in the order of their ids."""
        actor = _actor(request)
        units = self.rights.lists(actor, "cases", CASE_KINDS)
        asked = CaseFilter(
            _whose(actor, wanted.whose), wanted.severity or "", wanted.status or "", wanted.kind or "", wanted.open,
            row_behind(CASES_AT, wanted, wanted.cursor),
        )  # fmt: skip

        def told() -> BaseModel:
            rows, more = self.lists.cases(units, asked, wanted.limit)
            behind = cursor_of(CASES_AT, wanted, rows[-1]["case_id"]) if more else None
            return forms.CasePart(cases=[forms.DeskCase.model_validate(row) for row in rows], next=behind)

        return self._answer(request, told)

    def case(self, request: Request, case_id: str) -> Response:
        """A case with its steps."""
        found = case_seen(self.rights, self.queries, _actor(request), case_id)
        return self._answer(request, lambda: forms.DeskCase.model_validate(found))

    def standings(self, request: Request, wanted: Annotated[forms.StandingQuery, Query()]) -> Response:
        """Standings as of each customer's last close, in the order of their references."""
        units = self.rights.lists(_actor(request), "standings", _STANDING_KINDS)
        asked = StandingFilter(wanted.tier or "", wanted.as_of, row_behind(STANDINGS_AT, wanted, wanted.cursor))

        def told() -> BaseModel:
            complete = wanted.as_of is None or not self.lists.later(units, wanted.as_of)
            rows, more = self.lists.standings(units, asked, wanted.limit)
            behind = cursor_of(STANDINGS_AT, wanted, rows[-1]["customer_ref"]) if more else None
            standings = [forms.DeskStanding.model_validate(row) for row in rows]
            return forms.StandingPart(standings=standings, complete=complete, next=behind)

        return self._answer(request, told)

    def _answer(self, request: Request, told: Callable[[], BaseModel]) -> Response:
        """The answer, or that nothing has changed. How far the rows are behind is asked first: they are no older."""
        behind = self.queries.freshness()["behind"]
        body = told().model_dump_json().encode()
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        # Nothing on the way keeps a customer's file; a program that has one may ask whether it still holds.
        headers = {"Cache-Control": "no-store", "ETag": tag, BEHIND_HEADER: str(behind)}
        known = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
        if known & {tag, "*"}:
            return Response(status_code=304, headers=headers)
        return Response(body, 200, headers, "application/json")


def desk_api(
    callers: KnowsCallers, rights: DeskRights, queries: DeskQueries, lists: ListQueries
) -> FastAPI:  # fmt: skip
    """The application, for ApiDoor."""
    app = FastAPI(
        title="Tidegauge desk", version="1", description="Customers, cases and standings, for who may see them.",
        openapi_url=None, docs_url=None, redoc_url=None, separate_input_output_schemas=False,
    )  # fmt: skip
    api = DeskApi(callers, rights, queries, lists)
    unchanged: dict[int | str, dict[str, Any]] = {304: {"description": "The answer of `If-None-Match` still holds."}}
    routes: dict[str, tuple[Callable[..., Response], type[BaseModel], str]] = {
        CUSTOMERS_AT: (api.customers, forms.CustomerPart, "cursor-unfit"),
        f"{CUSTOMERS_AT}/{{customer_ref}}": (api.customer, forms.DeskCustomerRecord, ""),
        CASES_AT: (api.cases, forms.CasePart, "cursor-unfit"),
        f"{CASES_AT}/{{case_id}}": (api.case, forms.DeskCase, ""),
        STANDINGS_AT: (api.standings, forms.StandingPart, "cursor-unfit"),
    }
    needs = [Depends(api.asks), *AUTHORIZED[:1], _SESSION]
    for path, (answers, model, code) in routes.items():
        app.add_api_route(
            path, answers, methods=["GET"], response_model=model, operation_id=answers.__name__, dependencies=needs,
            responses=unchanged | described_problems(*filter(None, [code])),
        )  # fmt: skip
    _handle(app)
    return app


def _handle(app: FastAPI) -> None:
    """Every failure as a problem document, which repeats nothing of the request."""

    async def problem(_: Request, error: Exception) -> Response:
        found = cast("DeskProblemError", error)
        return problem_answer(found.code, found.detail)

    async def unfit(_: Request, error: Exception) -> Response:
        places = {str(one["loc"][-1]) for one in cast("RequestValidationError", error).errors()}
        known = sorted(places & _FIELDS)
        return problem_answer(
            "not-understood", ", ".join(known + ["a field that there is not"] * bool(places - _FIELDS))
        )

    async def http(_: Request, error: Exception) -> Response:
        found = cast("HTTPException", error)
        return problem_answer(code_of(found.status_code), headers=dict(found.headers or {}))

    async def not_seen(*_: Any) -> Response:
        return problem_answer("not-seen")

    async def away(_: Request, error: Exception) -> Response:
        log.warning("a server is away: %s", type(error).__name__)
        return problem_answer("desk-unavailable")

    app.add_exception_handler(DeskProblemError, problem)
    app.add_exception_handler(RequestValidationError, unfit)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(NotSeenError, not_seen)
    failures: tuple[Any, ...] = (psycopg.Error, RedisError, OSError)
    for kind in failures:
        app.add_exception_handler(kind, away)


_FIELDS: Final = frozenset(
    name for query in (forms.CustomerQuery, forms.CaseQuery, forms.StandingQuery) for name in query.model_fields
)


def _actor(request: Request) -> Actor:
    return cast("Actor", request.state.actor)


def _whose(actor: Actor, whose: str) -> str:
    return actor.actor_id if whose == "mine" else ""


def _customer(row: DeskRow) -> forms.DeskCustomer:
    outlook = forms.DeskOutlook.model_validate(row) if row["next_close"] else None
    return forms.DeskCustomer.model_validate(row | {"outlook": outlook})
