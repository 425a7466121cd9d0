"""A login without an issuer, where all servers are this machine's own: whoever opens the page says who of the staff he is.

It stands in for nothing elsewhere: with an issuer, or with servers of others, nobody gets to it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from services.access.callers import (
    COOKIE_SCOPE,
    SESSION_COOKIE,
    CookieKeeper,
    RequestCallers,
    browser_of,
    form_of,
    from_our_page,
    session_cookie,
)
from services.access.login import own_page
from services.access.sessions import LoggedIn, Sessions

if TYPE_CHECKING:
    from psycopg import Connection

    from services.pages.site import PageSite

DEVELOPMENT: Final = "development"
"""In place of the issuer's name, in what is kept of a session."""

STAFF_SHOWN_MAX: Final = 200


class StaffMember(NamedTuple):
    """Somebody on the list."""

    login: str
    name: str
    role: str
    unit: str


@dataclass(frozen=True, slots=True)
class DevelopmentLogin:
    """What the page needs. database: a connection whose transaction ends with it."""

    sessions: Sessions
    callers: RequestCallers
    database: Callable[[], AbstractContextManager[Connection[Any]]]

    def staff(self) -> list[StaffMember]:
        """Who may be chosen. psycopg.Error."""
        with self.database() as connection:
            rows = connection.execute(
                "SELECT login, name, role, unit FROM access.staff WHERE active ORDER BY unit, role, login LIMIT %s",
                (STAFF_SHOWN_MAX,),
            ).fetchall()
        return [StaffMember(*row) for row in rows]

    def begun(self, login: str, browser: str, before: str) -> str | None:
        """The cookie of a new session of somebody; the browser's session of before ends. None for who is on no list."""
        actor = self.callers.people(login)
        if actor is None:
            return None
        old = self.sessions.find(before, browser) if before else None
        if old is not None:
            self.sessions.end(old.session_id, "logout")
        return self.sessions.begin(LoggedIn(actor.actor_id, login, DEVELOPMENT, login, ""), browser).cookie


def install_development_login(app: FastAPI, site: PageSite, login: DevelopmentLogin) -> None:
    """Give an application the pages /login and /logout."""
    app.add_middleware(CookieKeeper)

    @app.get("/login", include_in_schema=False)
    async def choose(request: Request) -> Response:
        staff = await run_in_threadpool(login.staff)
        return site.page(request, "base/development.html", staff=staff, next=_next(request))

    @app.post("/login", include_in_schema=False)
    async def chosen(request: Request) -> Response:
        if not from_our_page(request, login.callers.origin):
            raise HTTPException(403, "this does not come from a page of ours")
        who = (await form_of(request)).get("login", "")
        before = request.cookies.get(SESSION_COOKIE, "")
        cookie = await run_in_threadpool(login.begun, who, browser_of(request), before)
        if cookie is None:
            raise HTTPException(403, "on no list of staff")
        answer = RedirectResponse(_next(request), 303, {"Cache-Control": "no-store"})
        answer.headers.append("set-cookie", session_cookie(cookie))
        return answer

    @app.post("/logout", include_in_schema=False)
    async def log_out(request: Request) -> Response:
        caller = await login.callers.caller(request)
        if caller.session is not None:
            await run_in_threadpool(login.sessions.end, caller.session.session_id, "logout")
        request.scope.pop(COOKIE_SCOPE, None)
        answer = RedirectResponse("/login", 303, {"Cache-Control": "no-store"})
        answer.headers.append("set-cookie", session_cookie(""))
        return answer


def _next(request: Request) -> str:
    return own_page(request.query_params.get("next", "/"), "/")
