"""Who sends a request: a person by his session, anybody by a token, a machine by its key. The one place that web services ask.

What changes something by a session has to come from a page of ours: `Origin` or `Sec-Fetch-Site` say so, and a token that
only our pages know. Tokens and keys come with no request by themselves, so they need neither.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol
from urllib.parse import parse_qsl

import psycopg
from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPBearer
from redis import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from services.access.decision import Actor
from services.access.issuer import Issuer, IssuerAwayError
from services.access.keys import KEY_BEGIN
from services.access.sessions import Session, Sessions
from services.access.tokens import TokenRefusedError, login_of, machine_of

SESSION_COOKIE: Final = "__Host-tidegauge"
CSRF_HEADER: Final = "X-CSRF-Token"
CSRF_FIELD: Final = "csrf"
FORM_BYTES_MAX: Final = 64 << 10
FIELDS_MAX: Final = 100
HARMLESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
COOKIE_SCOPE: Final = "tidegauge.cookie"
"""Where a request's scope has the Set-Cookie that its answer takes along."""

AUTHORIZED: Final = [
    Security(HTTPBearer(bearerFormat="JWT", scheme_name="token", auto_error=False)),
    Security(
        APIKeyHeader(name="Authorization", scheme_name="key", description="`ApiKey` and a machine's key.", auto_error=False)
    ),
]  # fmt: skip
"""Dependencies for descriptions of interfaces (OpenAPI): what a request may bring. Who it is, RequestCallers finds out."""

_BEARER: Final = {"WWW-Authenticate": "Bearer"}
_AWAY: Final = (RedisError, psycopg.Error, IssuerAwayError, OSError)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and by what. `session` of a person's browser: its `csrf` goes into what his pages post."""

    actor: Actor
    by: Literal["session", "token", "key"]
    session: Session | None = None


class KnowsKeys(Protocol):
    """What is needed of the keys of machines (services.access.keys.KeyBook)."""

    def actor(self, text: str) -> Actor | None:
        """Whose key it is; None for what is no key that counts. It waits for nothing."""


class KnowsCallers(Protocol):
    """What services need of RequestCallers."""

    async def caller(self, request: Request) -> Caller:
        """As RequestCallers says."""


@dataclass(frozen=True, slots=True)
class RequestCallers:
    """Finds out who asks. What is None is not taken here.

    people: the actor behind a login, None for nobody. origin: of our pages, such as https://desk.bank.
    """

    people: Callable[[str], Actor | None]
    origin: str = ""
    sessions: Sessions | None = None
    issuer: Issuer | None = None
    audience: str = ""
    login_claim: str = ""
    keys: KnowsKeys | None = None
    now_s: Callable[[], float] = time.time

    async def caller(self, request: Request) -> Caller:
        """Who sends this request; for FastAPI's Depends. HTTPException: 401 nobody, 403 not from our page, 503 can't be told."""
        given = request.headers.getlist("authorization")
        if len(given) > 1:
            raise HTTPException(401, "more than one Authorization", _BEARER)
        try:
            if given and (key := key_in(given[0])):
                return self._by_key(key)
            if given:
                return await run_in_threadpool(self._by_token, given[0])
            found = await run_in_threadpool(self._by_session, request)
        except _AWAY as problem:
            raise HTTPException(503, "nobody can be recognized at the moment", {"Retry-After": "2"}) from problem
        if found is None or found.session is None:
            raise HTTPException(401, "who asks? Log in, or come with a token or a key", _BEARER)
        if found.session.cookie:
            request.scope[COOKIE_SCOPE] = session_cookie(found.session.cookie)
        if request.method not in HARMLESS:
            await self._check_page(request, found.session)
        return found

    def _by_key(self, key: str) -> Caller:
        """The machine whose key it is. HTTPException for nobody's."""
        actor = self.keys.actor(key) if self.keys else None
        if actor is None:
            raise HTTPException(401, "the key does not count", _BEARER)
        return Caller(actor, "key")

    def _by_token(self, header: str) -> Caller:
        """Whose token it is. HTTPException for nobody's."""
        kind, _, text = header.partition(" ")
        if kind.lower() != "bearer":
            raise HTTPException(401, "an Authorization of another kind", _BEARER)
        if self.issuer is None:
            raise HTTPException(401, "no token counts here", _BEARER)
        try:
            claims = self.issuer.claims(text, self.audience, int(self.now_s()))
            actor = machine_of(claims) or self.people(login_of(claims, self.login_claim))
        except TokenRefusedError as problem:
            raise HTTPException(401, "the token does not count", _BEARER) from problem
        if actor is None:
            raise HTTPException(401, "the token is of somebody who is on no list of staff", _BEARER)
        return Caller(actor, "token")

    def _by_session(self, request: Request) -> Caller | None:
        """Whose session the cookie names; None for none. One of somebody who has left the list ends."""
        cookie = request.cookies.get(SESSION_COOKIE, "")
        if self.sessions is None or not cookie:
            return None
        session = self.sessions.find(cookie, browser_of(request))
        if session is None:
            return None
        actor = self.people(session.login)
        if actor is None:
            self.sessions.end(session.session_id, "left")
            return None
        return Caller(actor, "session", session)

    async def _check_page(self, request: Request, session: Session) -> None:
        """HTTPException where it does not come from a page of ours."""
        if not from_our_page(request, self.origin):
            raise HTTPException(403, "this does not come from a page of ours")
        given = request.headers.get(CSRF_HEADER, "")
        if not given:
            given = (await form_of(request)).get(CSRF_FIELD, "")
        if not hmac.compare_digest(given.encode(), session.csrf.encode()):
            raise HTTPException(403, "the page is old: load it again")


def key_in(authorization: str) -> str:
    """The machine's key that an Authorization brings; empty where it brings none."""
    kind, _, text = authorization.partition(" ")
    scheme = kind.lower()
    return text if scheme == "apikey" or (scheme == "bearer" and text.startswith(KEY_BEGIN)) else ""


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form that a page posts, each once; none for what is no form. HTTPException for a large or unclear one."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        return {}
    said = request.headers.get("content-length", "")
    if not said.isascii() or not said.isdigit() or int(said[:20]) > FORM_BYTES_MAX:
        raise HTTPException(413, "too large a form")
    return single_fields((await request.body()).decode("ascii", "replace"))


def single_fields(query: str) -> dict[str, str]:
    """The fields of a query or a form. HTTPException where one comes twice: it could mean either."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError as problem:
        raise HTTPException(400, "too many fields") from problem
    found = dict(pairs)
    if len(found) != len(pairs):
        raise HTTPException(400, "a field comes twice")
    return found


class CookieKeeper:
    """Puts a session's new cookie on whatever answer a request gets. ASGI middleware."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app = app

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Callable[..., Any], send: Callable[..., Any]
    ) -> None:
        """Pass the request on."""

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and (cookie := scope.get(COOKIE_SCOPE)):
                message["headers"] = [*message["headers"], (b"set-cookie", cookie.encode())]
            await send(message)

        await self.app(scope, receive, sending if scope["type"] == "http" else send)


def browser_of(request: Request) -> str:
    """What a session is bound to: how the browser calls itself."""
    return request.headers.get("user-agent", "")


def from_our_page(request: Request, origin: str) -> bool:
    """Whether the browser says that a page of this origin sends this. Neither header: it says nothing, so no."""
    site, sent_by = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    return (site is not None or sent_by is not None) and site in (None, "same-origin") and sent_by in (None, origin)


def session_cookie(value: str) -> str:
    """The Set-Cookie of a session; an empty value takes it away. It ends with the browser, and the session before or after."""
    gone = "" if value else "; Max-Age=0"
    return f"{SESSION_COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{gone}"
