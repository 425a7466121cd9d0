"""The routes of the desk. A customer has an opaque reference in addresses, never his number.

Acts post forms: with htmx the case that changes comes back, without it the customer's page.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from services.access.callers import form_of, single_fields
from services.access.decision import Action, DataKind
from services.commands.door import PENDING, NotKnownError
from services.desk.acts import ACT_APPLIED, ACTS, ActState
from services.desk.files import CASE_FORM, REFERENCE_FORM, case_seen, customer_seen
from services.desk.pages.chart import chart_of
from services.desk.pages.row_words import RowWords, branch_name, csv_of, money_words
from services.desk.queries import EXPORT_ROWS_MAX, OUTLOOK_FILTERS, BookFilter
from services.desk.rights import EXPORT_KINDS, NotSeenError
from services.pages.words import language_of
from services.readmodel.reader import units_of
from streams.alerts.acts import CASE_OUTCOMES

if TYPE_CHECKING:
    from policies.model.terms import Name
    from services.access.decision import Actor
    from services.desk.acts import CaseActs
    from services.desk.changes import CaseChanges
    from services.desk.queries import DeskQueries, DeskRow
    from services.desk.rights import DeskRights
    from services.pages.site import PageSite
    from services.pages.visitors import Visitor, Visitors

COMMAND_FORM: Final = re.compile(r"command-[0-9a-f]{32}")
REQUEST_FORM: Final = re.compile(r"[A-Za-z0-9_-]{8,40}")
WORD_FORM: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MAJOR_DIGITS_MAX: Final = 15
_NUMBER_CHARS = range(2, 65)
ASKED_MAX: Final = 30
"""So often a page asks what has become of an act; behind that it says where it will be seen."""


@dataclass(slots=True)
class DeskPages:
    """The pages. tiers: names by pack and tier. decimals: of the base currency, in whose whole units amounts are asked for."""

    site: PageSite
    visitors: Visitors
    rights: DeskRights
    queries: DeskQueries
    acts: CaseActs
    changes: CaseChanges
    tiers: Mapping[tuple[str, str], Name]
    decimals: int

    def install(self, app: FastAPI) -> None:
        """Give them to an application that has the site's assets."""
        pages: dict[str, Callable[..., Any]] = {
            "/": self.today, "/cases": self.cases, "/book": self.book, "/customer/{reference}": self.customer,
            "/case/{case_id}": self.case,
        }  # fmt: skip
        for path, page in pages.items():
            app.add_api_route(path, page, methods=["GET"], include_in_schema=False)
        app.add_api_route("/book/search", self.search, methods=["POST"], include_in_schema=False)
        app.add_api_route("/book/export", self.export, methods=["POST"], include_in_schema=False)
        app.add_api_route("/case/{case_id}/{act}", self.act, methods=["POST"], include_in_schema=False)
        for kind in (NotSeenError, NotKnownError):
            app.add_exception_handler(kind, self._not_seen)

    async def _not_seen(self, request: Request, _: Exception) -> Response:
        """What he may not see and what there is not have one page."""
        return self.site.page(request, "base/problem.html", 404, status_code=404)

    async def page(self, request: Request, name: str, visitor: Visitor, status: int = 200, **given: Any) -> Response:
        """A page of the desk, in its frame."""
        language = language_of(request, self.site.default)
        fresh = await run_in_threadpool(self.queries.freshness)
        return self.site.page(
            request, f"desk/{name}.html", status, visitor=visitor, words=RowWords(language, self.tiers), money=money_words,
            branch_name=branch_name, fresh=fresh, request_id=secrets.token_urlsafe(12), outcomes=CASE_OUTCOMES,
            acts=tuple(ACTS), known=self.site.wording.words, leads=bool(units_of(visitor.actor, DataKind.BRANCHES)),
            **({"state": None, "asked": 0} | given),
        )  # fmt: skip

    # -- lists

    async def today(self, request: Request) -> Response:
        """Open cases: the visitor's own, or those of his unit."""
        return await self._cases(request, "today")

    async def cases(self, request: Request) -> Response:
        """The list of that page alone, as of now."""
        return await self._cases(request, "cases")

    async def _cases(self, request: Request, page: str) -> Response:
        visitor = await self.visitors.visitor(request)
        units = await run_in_threadpool(self.rights.lists, visitor.actor, "open cases")
        whose, after = _whose(request, visitor.actor), self.changes.number  # what comes from here on is told
        cases = await run_in_threadpool(self.queries.open_cases, units, whose)
        return await self.page(request, page, visitor, cases=cases, mine=bool(whose), after=after)

    async def book(self, request: Request) -> Response:
        """Customers, by filters."""
        visitor = await self.visitors.visitor(request)
        units = await run_in_threadpool(self.rights.lists, visitor.actor, "book")
        return await self._book(request, visitor, units, self._filter(request, visitor.actor))

    async def _book(
        self, request: Request, visitor: Visitor, units: list[str], wanted: BookFilter, said: str = ""
    ) -> Response:  # fmt: skip
        rows, more = await run_in_threadpool(self.queries.book, units, wanted)
        tiers = list(dict.fromkeys(tier for _, tier in self.tiers))
        behind = rows[-1]["customer_ref"] if more else ""
        return await self._rows(
            request, visitor, rows, wanted, more=behind, tiers=tiers, said=said, fields=_fields(request),
            exports=self.rights.may_export(visitor.actor),
        )  # fmt: skip

    async def _rows(
        self, request: Request, visitor: Visitor, rows: list[DeskRow], wanted: BookFilter, **given: Any
    ) -> Response:  # fmt: skip
        """The page of a book with these rows."""
        shown: dict[str, Any] = {"more": "", "tiers": [], "said": "", "fields": {}, "exports": False} | given
        return await self.page(
            request, "book", visitor, path="/book", rows=rows, wanted=wanted, outlooks=OUTLOOK_FILTERS,
            mine=bool(wanted.whose), **shown,
        )  # fmt: skip

    async def search(self, request: Request) -> Response:
        """A customer by his number, which stands in no address."""
        visitor = await self.visitors.visitor(request)
        units = await run_in_threadpool(self.rights.lists, visitor.actor, "search in the book")
        number = (await form_of(request)).get("number", "").strip()
        rows = await run_in_threadpool(self.queries.found, units, number) if len(number) in _NUMBER_CHARS else []
        if len(rows) == 1:
            return RedirectResponse(f"/customer/{rows[0]['customer_ref']}", 303, {"Cache-Control": "no-store"})
        if not rows:
            return await self._book(request, visitor, units, self._filter(request, visitor.actor), "nobody")
        return await self._rows(request, visitor, rows, BookFilter())

    async def export(self, request: Request) -> Response:
        """The book as a file, by the filters of the page: a command that is on record."""
        visitor = await self.visitors.visitor(request)
        units = await run_in_threadpool(
            self.rights.lists, visitor.actor, "export of the book", EXPORT_KINDS, Action.EXPORT
        )
        wanted = self._filter(request, visitor.actor)
        rows, more = await run_in_threadpool(self.queries.book, units, wanted, EXPORT_ROWS_MAX)
        if more:
            raise HTTPException(413)
        headers = {"Cache-Control": "no-store", "Content-Disposition": 'attachment; filename="book.csv"'}
        return Response(csv_of(rows), 200, headers, "text/csv; charset=utf-8")

    def _filter(self, request: Request, actor: Actor) -> BookFilter:
        given = _fields(request)
        tier, outlook, after = (given.get(name, "") for name in ("tier", "outlook", "after"))
        least, most = (_minor(given.get(name, ""), self.decimals) for name in ("from", "to"))
        return BookFilter(
            _whose(request, actor), tier if WORD_FORM.fullmatch(tier) else "", outlook if outlook in OUTLOOK_FILTERS else "",
            "case" in given, least, most, after if REFERENCE_FORM.fullmatch(after) else "",
        )  # fmt: skip

    # -- one customer, one case

    async def customer(self, request: Request, reference: str) -> Response:
        """Everything about a customer."""
        visitor = await self.visitors.visitor(request)
        file = await run_in_threadpool(customer_seen, self.rights, self.queries, visitor.actor, reference)
        floors = (
            list(zip(file.outlook["tiers"], file.outlook["thresholds_minor"], strict=False)) if file.outlook else []
        )
        chart = chart_of(file.about["as_of"], file.about["month_avgs_minor"], floors)
        return await self.page(request, "customer", visitor, file=file, chart=chart)

    async def case(self, request: Request, case_id: str) -> Response:
        """A case alone, with what has become of an act: what a page asks for until it is seen."""
        visitor = await self.visitors.visitor(request)
        command, asked = request.query_params.get("command", ""), request.query_params.get("asked", "")
        number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 3 else 0
        state = await self.acts.asked(visitor.actor, command) if COMMAND_FORM.fullmatch(command) else None
        return await self._case(request, visitor, case_id, state, number + 1)

    async def act(self, request: Request, case_id: str, act: str) -> Response:
        """Something that is done about a case."""
        visitor = await self.visitors.visitor(request)
        given = await form_of(request)
        request_id = given.get("request_id", "")
        if act not in ACTS or not CASE_FORM.fullmatch(case_id):
            raise HTTPException(404)
        if not REQUEST_FORM.fullmatch(request_id):
            raise HTTPException(422)
        state = await self.acts.act(visitor.actor, act, case_id, given, request_id)
        if not request.headers.get("hx-request"):
            back = given.get("back", "")
            where = f"/customer/{back}" if REFERENCE_FORM.fullmatch(back) else "/"
            return RedirectResponse(where, 303, {"Cache-Control": "no-store"})
        return await self._case(request, visitor, case_id, state, 1)

    async def _case(
        self, request: Request, visitor: Visitor, case_id: str, state: ActState | None, asked: int
    ) -> Response:  # fmt: skip
        case = await run_in_threadpool(case_seen, self.rights, self.queries, visitor.actor, case_id)
        if state is not None and state.state == ACT_APPLIED and not _seen(case, state):
            state = ActState(state.command_id, "seen_soon")
        waits = state is not None and state.state in (PENDING, "seen_soon") and asked < ASKED_MAX
        return await self.page(request, "case", visitor, case=case, state=state, asked=asked if waits else 0)


def _seen(case: DeskRow, state: ActState) -> bool:
    """Whether the case that is shown has the step of an act."""
    return any(step["caused_by"] == state.command_id for step in case["steps"])


def _fields(request: Request) -> dict[str, str]:
    """The fields of a query, each once. HTTPException."""
    return {name: text for name, text in single_fields(request.url.query).items() if text and name != "lang"}


def _whose(request: Request, actor: Actor) -> str:
    """Whose customers are meant: a manager's own, unless he asks for all; of others all, unless they ask for their own."""
    wanted = request.query_params.get("whose", "mine" if actor.role == "rm" else "all")
    return actor.actor_id if wanted == "mine" else ""


def _minor(text: str, decimals: int) -> int | None:
    """A whole amount in minor units; None for none."""
    digits = text.replace(",", "").strip()
    fits = digits.isascii() and digits.isdigit() and len(digits) <= _MAJOR_DIGITS_MAX
    return int(digits) * 10**decimals if fits else None
