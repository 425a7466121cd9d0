"""The routes of a branch's pages. Steps are those of the ticket interface, by the same rights, each once by its request id.

A counter's page posts forms: with htmx the part that changes comes back, without it the whole page.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from services.access.callers import form_of
from services.access.decision import Action, DataKind
from services.pages.streams import Streams, TooManyStreamsError
from services.queue.pages.halls import HallWatch
from services.queue.pages.views import counter_view, hall_calls, lobby_view
from services.queue.tickets.problems import TICKET_PROBLEMS, TicketProblemError

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.pages.site import PageSite
    from services.pages.visitors import Visitor, Visitors
    from services.queue.tickets.rights import TicketRights
    from services.queue.tickets.ticketing import Ticketing

COUNTER_FORM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
REQUEST_FORM: Final = re.compile(r"[A-Za-z0-9_-]{8,40}")
STEPS: Final = {
    "recall": "recall",
    "no-show": "no_show",
    "transfer": "transfer",
    "complete": "complete",
    "back": "back",
}
ARRANGED: Final = ("pause", "resume")
_PLACE_CHARS_MAX: Final = 15


@dataclass(slots=True)
class QueuePages:
    """The pages of all branches. may: says which branch is meant, if the visitor may do this there."""

    site: PageSite
    visitors: Visitors
    ticketing: Ticketing
    may: TicketRights
    watch: HallWatch
    streams: Streams = field(default_factory=Streams)

    def install(self, app: FastAPI) -> None:
        """Give them to an application that has the site's assets."""
        pages: dict[str, Callable[..., Any]] = {
            "/": self.index, "/hall": self.hall, "/hall/events": self.hall_events, "/counter": self.choose,
            "/counter/{name}": self.counter, "/counter/{name}/waiting": self.waiting, "/lobby": self.lobby,
            "/lobby/board": self.lobby_board,
        }  # fmt: skip
        for path, page in pages.items():
            app.add_api_route(path, page, methods=["GET"], include_in_schema=False)
        app.add_api_route("/counter/{name}/{act}", self.act, methods=["POST"], include_in_schema=False)
        app.add_exception_handler(TicketProblemError, self._problem)

    # -- who, and where

    async def _come(self, request: Request, action: Action, kind: DataKind) -> tuple[Visitor, str]:
        """Who visits, and the branch; HTTPException, TicketProblemError."""
        visitor = await self.visitors.visitor(request)
        return visitor, await self.may.branch(visitor.actor, request.query_params.get("branch"), action, kind)

    def _page(self, request: Request, name: str, visitor: Visitor, branch: str, **given: Any) -> Response:
        wanted = request.query_params.get("branch")
        classes = {one.id: one.name for one in self.ticketing.queue.classes}

        def class_name(queue_class: str, language: str) -> str:
            found = classes.get(queue_class)
            return queue_class if found is None else found.en if language == "en" else found.zh

        return self.site.page(
            request, f"queue/{name}.html", visitor=visitor, branch=branch, class_name=class_name,
            at="" if wanted is None else f"?branch={branch}", **given,
        )  # fmt: skip

    async def _problem(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, TicketProblemError)
        status = TICKET_PROBLEMS[error.code].status
        return self.site.page(request, "base/problem.html", status, status_code=status)

    # -- pages

    async def index(self, request: Request) -> Response:
        """Where one may go."""
        visitor, branch = await self._come(request, Action.READ, DataKind.TICKETS)
        return self._page(request, "index", visitor, branch)

    async def hall(self, request: Request) -> Response:
        """What a hall shows: numbers and counters. Its calls come by the event stream."""
        visitor, branch = await self._come(request, Action.READ, DataKind.TICKETS)
        state = await self.ticketing.hall(branch)
        return self._page(request, "hall", visitor, branch, calls=hall_calls(state), sequence=state["sequence"])

    async def hall_events(self, request: Request) -> Response:
        """The calls of a branch behind `after`, or behind the last one that the browser has."""
        visitor, branch = await self._come(request, Action.READ, DataKind.TICKETS)
        after = request.query_params.get("after", "")
        if not after.isascii() or not after.isdigit() or len(after) > _PLACE_CHARS_MAX:
            raise HTTPException(422)
        try:
            return self.streams.answer(request, visitor.actor.actor_id, self.watch.watching(branch), int(after))
        except TooManyStreamsError as problem:
            raise HTTPException(503, headers={"Retry-After": "5"}) from problem

    async def choose(self, request: Request) -> Response:
        """Which counter is this?"""
        visitor, branch = await self._come(request, Action.WRITE, DataKind.CALLS)
        name = request.query_params.get("counter", "")
        if COUNTER_FORM.fullmatch(name):
            wanted = request.query_params.get("branch")
            return RedirectResponse(f"/counter/{name}" + ("" if wanted is None else f"?branch={branch}"), 303)
        return self._page(request, "choose", visitor, branch, wrong=bool(name))

    async def counter(self, request: Request, name: str) -> Response:
        """A counter's page."""
        visitor, branch = await self._come(request, Action.WRITE, DataKind.CALLS)
        return await self._counter(request, "counter", visitor, branch, name)

    async def waiting(self, request: Request, name: str) -> Response:
        """How many wait whom the counter may call."""
        visitor, branch = await self._come(request, Action.WRITE, DataKind.CALLS)
        return await self._counter(request, "waiting", visitor, branch, name)

    async def _counter(
        self, request: Request, page: str, visitor: Visitor, branch: str, name: str, problem: str = "", said: str = ""
    ) -> Response:
        if not COUNTER_FORM.fullmatch(name):
            raise HTTPException(404)
        view = counter_view(await self.ticketing.hall(branch), name)
        again = secrets.token_urlsafe(12)
        return self._page(
            request, page, visitor, branch, path=f"/counter/{name}", counter=view, request_id=again, problem=problem,
            said=said,
        )  # fmt: skip

    async def act(self, request: Request, name: str, act: str) -> Response:
        """A step of the counter."""
        visitor, branch = await self._come(request, Action.WRITE, DataKind.CALLS)
        given = await form_of(request)
        problem = said = ""
        try:
            said = await self._step(visitor, branch, name, act, given)
        except TicketProblemError as error:
            problem = error.code
        if not request.headers.get("hx-request") and not problem:
            wanted = request.query_params.get("branch")
            return RedirectResponse(f"/counter/{name}" + ("" if wanted is None else f"?branch={branch}"), 303)
        part = "desk" if request.headers.get("hx-request") else "counter"
        return await self._counter(request, part, visitor, branch, name, problem, said)

    async def _step(self, visitor: Visitor, branch: str, name: str, act: str, given: dict[str, str]) -> str:
        """Make a step; the word for what was done. TicketProblemError, HTTPException for what is no step."""
        request_id, place, actor = given.get("request_id", ""), given.get("ticket", ""), visitor.actor.actor_id
        if not COUNTER_FORM.fullmatch(name) or not REQUEST_FORM.fullmatch(request_id):
            raise HTTPException(422)
        key = f"{actor}/page/{request_id}"
        if act == "next":
            return "called" if (await self.ticketing.call(branch, actor, key, name)).ticket else "nobody"
        if act in ARRANGED:
            await self.ticketing.arrange(act, branch, actor, key, counter=name)
            return act
        if act not in STEPS:
            raise HTTPException(404)
        if not place.isascii() or not place.isdigit() or len(place) > _PLACE_CHARS_MAX:
            raise HTTPException(422)
        more: dict[str, Any] = {"place": int(place)}
        if act != "back":
            more["counter"] = name
        if act == "transfer":
            if not COUNTER_FORM.fullmatch(given.get("service", "")):
                raise TicketProblemError("not-understood")
            more |= {"service": given["service"], "keep": "keep" in given}
        if act == "complete":
            more["served"] = [one for one in given.get("served", "").split() if COUNTER_FORM.fullmatch(one)][:16]
        await self.ticketing.step(STEPS[act], branch, actor, key, **more)
        return act

    async def lobby(self, request: Request) -> Response:
        """Who waits, who waits longest, and who has come for the VIP area."""
        return await self._lobby(request, "lobby")

    async def lobby_board(self, request: Request) -> Response:
        """The part of it that changes."""
        return await self._lobby(request, "board")

    async def _lobby(self, request: Request, page: str) -> Response:
        visitor, branch = await self._come(request, Action.WRITE, DataKind.HALLS)
        view = lobby_view(self.ticketing.queue, await self.ticketing.hall(branch))
        seen = request.query_params.get("seen", "")
        known = int(seen) if seen.isascii() and seen.isdigit() and len(seen) <= _PLACE_CHARS_MAX else view.newest
        fresh = [one for one in reversed(view.arrived) if one.place > known]
        return self._page(request, page, visitor, branch, lobby=view, fresh=fresh)
