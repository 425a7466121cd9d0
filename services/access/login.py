"""The pages of a login: /login, /callback, /logout and the issuer's /backchannel-logout, for any web service to mount.

What a login keeps meanwhile is in a cookie of its own: the answer counts in the browser that began it, and nowhere else.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import psycopg
from fastapi import APIRouter, FastAPI, Request
from redis import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from services.access.callers import (
    COOKIE_SCOPE,
    SESSION_COOKIE,
    CookieKeeper,
    RequestCallers,
    browser_of,
    form_of,
    session_cookie,
    single_fields,
)
from services.access.issuer import Issuer, IssuerAwayError
from services.access.oidc import LoginBegun, LoginClient, LoginRefusedError, begin_login, finish_login
from services.access.sessions import LOGOUTS_S, LoggedIn, Session, Sessions
from services.access.tokens import TokenRefusedError, is_name, login_of

LOGIN_COOKIE: Final = "__Host-tidegauge-login"
LOGIN_S: Final = 600
"""A person has so long to log in."""

NEXT_CHARS_MAX: Final = 512
LOGOUT_TYPES: Final = ("JWT", "logout+jwt", "application/logout+jwt")
LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
_PRIVATE: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
_AWAY: Final = (RedisError, psycopg.Error, IssuerAwayError, OSError)


@dataclass(frozen=True, slots=True)
class Login:
    """What the pages need. `client.redirect` is the address of /callback, as people's browsers reach it."""

    issuer: Issuer
    client: LoginClient
    sessions: Sessions
    callers: RequestCallers
    login_claim: str
    now_s: Callable[[], float] = time.time
    home: str = field(default="/")

    def started(self, where: str) -> tuple[str, str]:
        """A login that leads to `where`: the issuer's address, and the cookie that keeps it. IssuerAwayError."""
        begun, address = begin_login(self.issuer, self.client)
        return address, ".".join((*begun, base64.urlsafe_b64encode(where.encode()).decode().rstrip("=")))

    def finished(self, kept: str, answer: dict[str, str], browser: str, before: str) -> tuple[Session, str]:
        """The session that an answer begins, and where it leads; the browser's session of before ends.

        LoginRefusedError, IssuerAwayError, redis.RedisError, psycopg.Error.
        """
        begun, where = _kept(kept)
        given = finish_login(self.issuer, self.client, begun, answer, int(self.now_s()))
        try:
            login = login_of(given.claims, self.login_claim)
        except TokenRefusedError as problem:
            raise LoginRefusedError(str(problem)) from problem
        actor = self.callers.people(login)
        if actor is None:
            raise LoginRefusedError("you are on no list of staff")
        old = self.sessions.find(before, browser) if before else None
        if old is not None:
            self.sessions.end(old.session_id, "logout")
        issuer_session = given.claims.get("sid")
        who = LoggedIn(
            actor.actor_id, login, self.issuer.url, str(given.claims["sub"]),
            issuer_session if is_name(issuer_session) else "",
        )  # fmt: skip
        return self.sessions.begin(who, browser), where

    def issuer_logout(self, token: str) -> int:
        """End what the issuer's notice of a logout names; returns how many sessions. TokenRefusedError for no such notice."""
        claims = self.issuer.claims(token, self.client.client_id, int(self.now_s()), LOGOUT_TYPES)
        events, subject, session, notice = (claims.get(name) for name in ("events", "sub", "sid", "jti"))
        if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict) or "nonce" in claims:
            raise TokenRefusedError("it tells of no logout")
        if not is_name(notice) or not (session is None or is_name(session)):
            raise TokenRefusedError("it has no name, or names no session")
        if claims["iat"] < self.now_s() - LOGOUTS_S or self.sessions.heard(notice):
            raise TokenRefusedError("it is old")
        return self.sessions.end_of_issuer(self.issuer.url, str(subject), session or "", notice)

    def goodbye(self) -> str:
        """Where a person goes who has logged out: to the issuer, where he may have a session too."""
        try:
            address = self.issuer.addresses().end_session
        except IssuerAwayError:
            return self.home
        back = self.callers.origin + self.home
        query = urlencode({"client_id": self.client.client_id, "post_logout_redirect_uri": back})
        return f"{address}{'&' if '?' in address else '?'}{query}" if address else self.home


def install_login(app: FastAPI, login: Login) -> None:
    """Give a web service the pages of a login, and answers that take a session's new cookie along."""
    app.add_middleware(CookieKeeper)
    app.include_router(login_routes(login))


def login_routes(login: Login) -> APIRouter:
    """The pages. What goes wrong is an HTTPException: 400 a login that came to nothing, 403 nobody here, 503 a server away."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/login")
    async def log_in(request: Request) -> Response:
        where = own_page(request.query_params.get("next", login.home), login.home)
        address, kept = await _told(login.started, where)
        answer = RedirectResponse(address, 303, _PRIVATE)
        answer.headers.append("set-cookie", _login_cookie(kept))
        return answer

    @routes.get("/callback")
    async def callback(request: Request) -> Response:
        kept, before = request.cookies.get(LOGIN_COOKIE, ""), request.cookies.get(SESSION_COOKIE, "")
        answer = single_fields(request.url.query)
        session, where = await _told(login.finished, kept, answer, browser_of(request), before)
        found = RedirectResponse(where, 303, _PRIVATE)
        found.headers.append("set-cookie", session_cookie(session.cookie))
        found.headers.append("set-cookie", _login_cookie(""))
        return found

    @routes.post("/logout")
    async def log_out(request: Request) -> Response:
        caller = await login.callers.caller(request)
        if caller.session is None:
            raise HTTPException(400, "there is no session to end")
        await _told(login.sessions.end, caller.session.session_id, "logout")
        request.scope.pop(COOKIE_SCOPE, None)
        answer = RedirectResponse(await run_in_threadpool(login.goodbye), 303, _PRIVATE)
        answer.headers.append("set-cookie", session_cookie(""))
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
        return answer

    @routes.post("/backchannel-logout")
    async def issuer_logs_out(request: Request) -> Response:
        token = (await form_of(request)).get("logout_token", "")
        try:
            await run_in_threadpool(login.issuer_logout, token)
        except TokenRefusedError as problem:
            raise HTTPException(400, f"no logout: {problem}", _PRIVATE) from problem
        except _AWAY as problem:
            raise HTTPException(503, "not now", {"Retry-After": "2"}) from problem
        return Response(status_code=200, headers=_PRIVATE)

    return routes


def own_page(where: str, home: str) -> str:
    """A page of ours to go on to: a path from the root. Whatever else is given leads home."""
    parts = urlsplit(where) if len(where) <= NEXT_CHARS_MAX and where.isascii() and where.isprintable() else None
    if parts is None or parts.scheme or parts.netloc or not where.startswith("/") or where[:2] in ("//", "/\\"):
        return home
    return where if "\\" not in where else home


async def _told(call: Callable[..., Any], *given: Any) -> Any:
    """What a call that waits gives; HTTPException where it comes to nothing."""
    try:
        return await run_in_threadpool(call, *given)
    except LoginRefusedError as problem:
        status = 403 if "list of staff" in str(problem) else 400
        raise HTTPException(status, f"the login came to nothing: {problem}", _PRIVATE) from problem
    except _AWAY as problem:
        raise HTTPException(503, "nobody can log in at the moment", {"Retry-After": "2"}) from problem


def _kept(text: str) -> tuple[LoginBegun, str]:
    """What the cookie of a login holds. LoginRefusedError where there is none: another browser, or too late."""
    parts = text.split(".")
    try:
        state, nonce, verifier, where = parts
        page = base64.urlsafe_b64decode(where + "=" * (-len(where) % 4)).decode()
    except (ValueError, binascii.Error):
        raise LoginRefusedError("it was not begun in this browser, or too long ago; begin again") from None
    if not all(parts):
        raise LoginRefusedError("it was not begun in this browser, or too long ago; begin again")
    return LoginBegun(state, nonce, verifier), own_page(page, "/")


def _login_cookie(value: str) -> str:
    return f"{LOGIN_COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={LOGIN_S if value else 0}"
