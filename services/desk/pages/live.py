"""The page of the day while it is open: a stream that says that something has changed, and the list once more.

The stream carries nothing of customers. A browser has one for all its pages (assets/live.js).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from services.desk.files import CASE_KINDS
from services.pages.streams import Streams, TooManyStreamsError

if TYPE_CHECKING:
    from services.desk.changes import CaseChanges
    from services.desk.pages.routes import DeskPages

STREAMS_MAX: Final = 400
_NUMBER_CHARS_MAX: Final = 16


@dataclass(slots=True)
class LivePages:
    """The stream of the desk's pages."""

    desk: DeskPages
    changes: CaseChanges
    streams: Streams = field(default_factory=lambda: Streams(most=STREAMS_MAX))

    def install(self, app: FastAPI) -> None:
        """Give them to an application that has the desk's pages."""
        app.add_api_route("/events", self.events, methods=["GET"], include_in_schema=False)

    async def events(self, request: Request) -> Response:
        """That cases have changed, behind `after`, or behind the last event that the browser has."""
        visitor = await self.desk.visitors.visitor(request)
        units = await run_in_threadpool(self.desk.rights.lists, visitor.actor, "changes of cases", CASE_KINDS)
        after = request.query_params.get("after", "")
        if not (after.isascii() and after.isdigit() and len(after) <= _NUMBER_CHARS_MAX):
            raise HTTPException(422)
        try:
            return self.streams.answer(request, visitor.actor.actor_id, self.changes.watching(units), int(after))
        except TooManyStreamsError as problem:
            raise HTTPException(503, headers={"Retry-After": "5"}) from problem
