"""Who visits a page: a person by his session, or a screen of a branch, such as a hall's or a counter's, by its key.

A screen gets its key once, from somebody at it; the browser keeps it in a cookie that no script can read and no other site
can send. What a screen posts comes from a page of ours and carries a token that only our pages know, as for sessions.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from services.access.callers import CSRF_FIELD, CSRF_HEADER, HARMLESS, RequestCallers, form_of, from_our_page
from services.access.keys import KEY_DAYS_MAX
from services.access.login import own_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.access.decision import Actor
    from services.pages.site import PageSite

SCREEN_COOKIE: Final = "__Host-tidegauge-screen"
SCREEN_AT: Final = "/screen"
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who visits; `csrf` goes into what his pages post. `screen`: no person, but a branch's screen."""

    actor: Actor
    csrf: str
    screen: bool


@dataclass(frozen=True, slots=True)
class Visitors:
    """Finds out who visits.

    keys: whose key it is, None for what is none that counts. people: by their sessions; None: nobody logs in here.
    """

    keys: Callable[[str], Actor | None]
    people: RequestCallers | None = None

    async def visitor(self, request: Request) -> Visitor:
        """Who sends this request. HTTPException: 401 nobody, 403 not from our page, 503 can't be told."""
        word = request.cookies.get(SCREEN_COOKIE, "")
        actor = self.keys(word) if word else None
        if actor is not None:
            if request.method not in HARMLESS:
                await self._check_page(request, _token_of(word))
            return Visitor(actor, _token_of(word), screen=True)
        if self.people is None:
            raise HTTPException(401)
        found = await self.people.caller(request)
        if found.session is None:
            raise HTTPException(401, "pages are for people with a session, and for screens")
        return Visitor(found.actor, found.session.csrf, screen=False)

    async def _check_page(self, request: Request, token: str) -> None:
        if not from_our_page(request, self.origin_of(request)):
            raise HTTPException(403, "this does not come from a page of ours")
        given = request.headers.get(CSRF_HEADER, "") or (await form_of(request)).get(CSRF_FIELD, "")
        if not hmac.compare_digest(given.encode(), token.encode()):
            raise HTTPException(403, "the page is old: load it again")

    def origin_of(self, request: Request) -> str:
        """The origin of our pages: that of people's logins, else the one that was asked."""
        own = self.people.origin if self.people is not None else ""
        return own or f"{request.url.scheme}://{request.url.netloc}"


def install_screens(app: FastAPI, site: PageSite, visitors: Visitors) -> None:
    """Where a screen gets its key, and loses it; and the pages of problems."""

    @app.get(SCREEN_AT, include_in_schema=False)
    async def ask_key(request: Request) -> Response:
        return site.page(request, "base/screen.html", wrong=False, next=_next(request))

    @app.post(SCREEN_AT, include_in_schema=False)
    async def take_key(request: Request) -> Response:
        if not from_our_page(request, visitors.origin_of(request)):
            raise HTTPException(403, "this does not come from a page of ours")
        word = (await form_of(request)).get("key", "").strip()
        if visitors.keys(word) is None:
            return site.page(request, "base/screen.html", 403, wrong=True, next=_next(request))
        answer = RedirectResponse(_next(request), 303, {"Cache-Control": "no-store"})
        _keep(answer, word, KEY_DAYS_MAX * _DAY_S)
        return answer

    @app.post(f"{SCREEN_AT}/forget", include_in_schema=False)
    async def forget_key(request: Request) -> Response:
        await visitors.visitor(request)
        answer = RedirectResponse(SCREEN_AT, 303, {"Cache-Control": "no-store"})
        _keep(answer, "", 0)
        return answer

    install_problems(app, site, visitors)


def install_problems(app: FastAPI, site: PageSite, visitors: Visitors) -> None:
    """What nobody gets to see who is not known: a way to be; and a page for everything else that can't be shown."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        # A part of a page can't be sent elsewhere: the page itself is loaded anew, and that is.
        if error.status_code == 401 and request.headers.get("hx-request"):
            return Response(status_code=401, headers={"HX-Refresh": "true", "Cache-Control": "no-store"})
        if error.status_code == 401 and request.method in HARMLESS:
            where = "/login" if visitors.people is not None else SCREEN_AT
            return RedirectResponse(f"{where}?next={quote(request.url.path, safe='/')}", 303)
        path = "" if request.method in HARMLESS else "/"  # the same page again
        return site.page(request, "base/problem.html", error.status_code, path=path, status_code=error.status_code)


def _next(request: Request) -> str:
    """The page of ours that comes next."""
    return own_page(request.query_params.get("next", "/"), "/")


def _token_of(word: str) -> str:
    """What the pages of a screen post along; nobody else can make it, as nobody else has the key."""
    return hashlib.sha256(b"pages of a screen " + word.encode(errors="surrogatepass")).hexdigest()[:43]


def _keep(answer: Response, word: str, seconds: int) -> None:
    answer.set_cookie(SCREEN_COOKIE, word, seconds, path="/", secure=True, httponly=True, samesite="strict")
