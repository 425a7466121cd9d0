"""A bank with a person of every role, an issuer that vouches for them, and a web service that they log in to."""

import datetime as dt
import json
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import redis
from fastapi import Depends, FastAPI
from joserfc import jwt
from joserfc.jwk import RSAKey
from oidc_provider_mock import User, run_server_in_thread

from deploy.connections.database import connected
from services.access import issuer as issuers
from services.access import oidc
from services.access.callers import Caller, RequestCallers
from services.access.decision import PEOPLE
from services.access.issuer import Issuer
from services.access.keys import KeyBook
from services.access.login import Login, install_login
from services.access.oidc import LoginClient
from services.access.sessions import Limits, Sessions
from services.database.migrations import migrate
from services.staff.directory import take
from services.staff.lists import read_list
from services.staff.people import People

REDIS_DATABASE: Final = 8
ORIGIN: Final = "https://desk.test"
BRANCHES: Final = ("hq", "hq/east", "hq/east/0102")
STAFF: Final = {f"{role}-{branch.rpartition('/')[2]}": (role, branch) for role in sorted(PEOPLE) for branch in BRANCHES}
LOGINS: Final = [login for place, login in enumerate(STAFF) if place // 3 % 3 == place % 3 or login == "rm-0102"]
"""Of each role one, and each branch several times."""

DAY: Final = dt.date(2026, 3, 2)
FIREFOX: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
LIMITS: Final = Limits(dt.timedelta(minutes=30), dt.timedelta(hours=10))
PAGES: Final = LoginClient("pages", "secret of the pages", f"{ORIGIN}/callback")
CURL: Final = "curl/8.5.0"


@pytest.fixture(scope="session")
def provider() -> Iterator[str]:
    """URL of an OpenID provider that knows every person of the staff by his login."""
    people = [User(sub=f"sub-{login}", claims={"preferred_username": login}) for login in (*STAFF, "stranger")]
    with run_server_in_thread(user_claims=people) as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture
def bank(database: str, tmp_path: Path) -> str:
    """URL of a database with everybody on its lists; rm-0102 stands in for branch_manager-east."""
    lists = (
        ["unit,name,change", *(f"{branch},x,set" for branch in BRANCHES)],
        ["staff_id,login,name,role,unit,change"]
        + [f"id-{login},{login},x,{role},{branch},set" for login, (role, branch) in STAFF.items()],
        [
            "staff_id,first_day,last_day,substitute,change",
            "id-branch_manager-east,2026-03-01,2099-12-31,id-rm-0102,set",
        ],
    )
    with connected(database) as connection:
        migrate(connection)
        for lines in lists:
            (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
            take(connection, read_list(tmp_path / "list.csv"), "tester")
    return database


@pytest.fixture
def store(redis_server: str) -> Iterator[Any]:
    """A client of the tests' own Redis database, emptied."""
    client = redis.Redis.from_url(f"{redis_server.rpartition('/')[0]}/{REDIS_DATABASE}")
    client.flushdb()
    yield client
    client.close()


class Service(NamedTuple):
    """A web service of ours: its application, and what it is put together from."""

    app: FastAPI
    login: Login
    database: Callable[[], Any]


NewService = Callable[..., Service]


@pytest.fixture
def new_service(bank: str, store: Any) -> NewService:
    """Makes a service that people log in to at an issuer."""

    def make(issuer: str, limits: Limits = LIMITS, client: LoginClient = PAGES, **times: float) -> Service:
        database = lambda: connected(bank)  # noqa: E731
        sessions = Sessions(store, "tidegauge@login:", database, limits, **times)
        keys = KeyBook(database)
        keys.read()
        people = People(database, lambda: DAY, clock=iter(range(0, 10**6, 60)).__next__)  # nobody is remembered
        known = Issuer(issuer)
        callers = RequestCallers(people.actor, ORIGIN, sessions, known, "tidegauge", "preferred_username", keys)
        login = Login(known, client, sessions, callers, "preferred_username")
        app = FastAPI()
        install_login(app, login)

        @app.api_route("/who", methods=["GET", "POST"])
        async def who(caller: Annotated[Caller, Depends(callers.caller)]) -> dict[str, Any]:
            session = caller.session
            return {
                "actor": caller.actor.actor_id, "role": str(caller.actor.role), "unit": "/".join(caller.actor.unit),
                "stands_in": [list(one) for one in caller.actor.stands_in], "by": caller.by, "csrf": session and session.csrf,
            }  # fmt: skip

        return Service(app, login, database)

    return make


class Browser:
    """A browser that is at our service: it has cookies and a name, and says where a post comes from."""

    def __init__(self, service: Service, name: str = FIREFOX) -> None:
        self.client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(service.app, client=("192.0.2.7", 4)), base_url=ORIGIN,
            headers={"User-Agent": name},
        )  # fmt: skip

    async def get(self, path: str, **more: Any) -> httpx2.Response:
        return await self.client.get(path, **more)

    async def post(self, path: str, csrf: str = "", *, headers: dict[str, str] | None = None) -> httpx2.Response:
        """As a page of ours does it, unless the headers say otherwise."""
        said = {"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN} if headers is None else headers
        return await self.client.post(path, data={"csrf": csrf}, headers=said)

    async def begin(self, where: str = "/who") -> str:
        """Ask to log in; the issuer's address, to which the browser is sent."""
        answer = await self.get("/login", params={"next": where})
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    async def log_in(self, login: str, where: str = "/who") -> httpx2.Response:
        """Log in at the issuer as somebody: our service's answer to it."""
        return await self.get(said_yes(await self.begin(where), login))

    async def who(self) -> Any:
        """Who our service says this is; None for nobody."""
        answer = await self.get("/who")
        return answer.json() if answer.status_code == 200 else None

    @property
    def cookie(self) -> str:
        return self.client.cookies.get("__Host-tidegauge") or ""

    def has_stolen(self, cookie: str) -> None:
        """From now on it comes with somebody else's cookie."""
        self.client.cookies.set("__Host-tidegauge", cookie, "desk.test")


def said_yes(address: str, login: str) -> str:
    """Say at the provider who one is: the address to which it sends the browser back."""
    answer = httpx2.post(address, data={"sub": f"sub-{login}"}, timeout=10, trust_env=False)
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


class Forger:
    """An issuer whose tokens a test makes: what it says of itself, its keys, and what it gives for a code."""

    url = "https://login.bank"

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "now"})
        self.keys = [self.key]
        self.asked = 0
        self.id_claims: dict[str, Any] = {}
        self.nonce = ""

    def answer(self, url: str, _: Any) -> bytes:
        """What its addresses give."""
        self.asked += 1
        if url.endswith("/keys"):
            return json.dumps({"keys": [key.as_dict(private=False) for key in self.keys]}).encode()
        said = {"authorization_endpoint": "auth", "token_endpoint": "token", "jwks_uri": "keys"}
        return json.dumps({"issuer": self.url} | {name: f"{self.url}/{at}" for name, at in said.items()}).encode()

    def token(self, key: Any = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token for our API; a claim that is None is left out."""
        now = int(time.time())
        plain = {
            "iss": self.url,
            "aud": "tidegauge",
            "sub": "s",
            "iat": now - 5,
            "exp": now + 300,
            "preferred_username": "rm-0102",
        }
        said = {name: value for name, value in (plain | claims).items() if value is not None}
        key = key or self.key
        return jwt.encode({"alg": "RS256", "kid": key.kid, **(header or {})}, said, key, algorithms=["RS256"])

    def logout(self, **more: Any) -> str:
        """Its notice that a subject has logged out."""
        event = {"http://schemas.openid.net/event/backchannel-logout": {}}
        return self.token(
            **{"aud": "pages", "jti": secrets.token_hex(8), "events": event, "header": {"typ": "logout+jwt"}, **more}
        )

    def for_code(self, *_: Any, **grant: str) -> dict[str, Any]:
        """What it gives for a code."""
        claims = {"aud": "pages", "nonce": self.nonce, "sid": "sid-1", **self.id_claims}
        return {"id_token": self.token(**claims), "access_token": "opaque"}


@pytest.fixture
def forger(monkeypatch: pytest.MonkeyPatch) -> Forger:
    """An issuer whose network is this object."""
    found = Forger()
    monkeypatch.setattr(issuers, "_answer", found.answer)
    monkeypatch.setattr(oidc, "_asked", found.for_code)
    return found


async def log_in_at(forger: Forger, browser: Browser, **id_claims: Any) -> httpx2.Response:
    """Log in where the ID token says what a test wants."""
    query = parse_qs(urlsplit(await browser.begin()).query)
    forger.nonce, forger.id_claims = query["nonce"][0], id_claims
    return await browser.get(f"/callback?code=c&state={query['state'][0]}")
