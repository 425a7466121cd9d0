"""What an attacker with one credential, or with none, gets: each in a row of ATTACKS, and no more than that row says.

Each attack is a function that says what the attacker gets: an answer, or who our service takes him for.
"""

import base64
import contextlib
import datetime as dt
import http.server
import json
import secrets
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import RSAKey

from services.access import issuer as issuers
from services.access.decision import Action, DataKind, Resource, Role, decide_access, unit_of
from services.access.issuer import KEYS_AGAIN_S, KEYS_S, Issuer
from services.access.keys import KeyBook, issue_key, revoke_key
from services.access.login import own_page
from services.access.tokens import TokenRefusedError
from tests.login.conftest import CURL, Browser, Forger, NewService, Service, log_in_at, said_yes

pytestmark = pytest.mark.integration

FOREIGN: Final = RSAKey.generate_key(2048, {"kid": "now"})
Attack = Callable[[Service, Forger], Awaitable[Any]]


async def bearer(service: Service, token: str) -> int:
    """The status that a token gets."""
    return (await Browser(service, CURL).get("/who", headers={"Authorization": f"Bearer {token}"})).status_code


def unsigned(forger: Forger) -> str:
    """A good token's claims under `alg: none`."""
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).rstrip(b"=").decode()
    return f"{head}.{forger.token().split('.')[1]}."


async def victim(service: Service, forger: Forger) -> Browser:
    browser = Browser(service)
    await log_in_at(forger, browser, sid="sid-1", sub="victim")
    assert (await browser.who())["role"] == "rm"
    return browser


async def stolen_cookie(service: Service, forger: Forger) -> Any:
    """In a browser that calls itself otherwise: nobody, and the session is over for both."""
    robbed, thief = await victim(service, forger), Browser(service, CURL)
    thief.has_stolen(robbed.cookie)
    return await thief.who(), await robbed.who()


async def stolen_and_disguised(service: Service, forger: Forger) -> Any:
    """In a browser that calls itself the same: whoever comes second after a change of the secret is found out."""
    robbed, thief = await victim(service, forger), Browser(service)
    thief.has_stolen(robbed.cookie)
    for _ in range(3):
        assert await robbed.who()
    return await thief.who(), await robbed.who()


async def guessed_secret(service: Service, forger: Forger) -> Any:
    """The session's name without its secret is worth nothing."""
    robbed, thief = await victim(service, forger), Browser(service)
    thief.has_stolen(f"{robbed.cookie.partition('.')[0]}.{secrets.token_urlsafe(32)}")
    return await thief.who()


async def expired(service: Service, forger: Forger) -> Any:
    now = int(time.time())
    return await bearer(service, forger.token(iat=now - 600, exp=now - 60))


async def alg_none(service: Service, forger: Forger) -> Any:
    return await bearer(service, unsigned(forger))


async def other_audience(service: Service, forger: Forger) -> Any:
    """Also that of our pages: what a browser's login gives is no token for the API."""
    return [await bearer(service, forger.token(aud=who)) for who in ("payments", "pages")]


async def foreign_issuer(service: Service, forger: Forger) -> Any:
    return await bearer(service, forger.token(iss="https://login.evil", key=FOREIGN)), await bearer(
        service, forger.token(key=FOREIGN)
    )


async def rotated_out(service: Service, forger: Forger) -> Any:
    """A key that the issuer no longer gives counts until ours are asked for anew, at most KEYS_S."""
    clock = [0.0]
    issuer = Issuer(forger.url, clock=lambda: clock[0])
    old, now = forger.token(), int(time.time())
    assert issuer.claims(old, "tidegauge", now)
    forger.keys = [RSAKey.generate_key(2048, {"kid": "next"})]
    clock[0] = KEYS_S
    with pytest.raises(TokenRefusedError):
        issuer.claims(old, "tidegauge", now)
    return bool(issuer.claims(forger.token(forger.keys[0]), "tidegauge", now))


async def keys_asked_for(service: Service, forger: Forger) -> Any:
    """Tokens with made-up keys don't have the issuer asked each time."""
    clock = [0.0]
    issuer = Issuer(forger.url, clock=lambda: clock[0])
    for number in range(50):
        with pytest.raises(TokenRefusedError):
            issuer.claims(forger.token(FOREIGN, {"kid": f"made-up-{number}"}), "tidegauge", int(time.time()))
        clock[0] += KEYS_AGAIN_S / 25
    return forger.asked


async def no_state(service: Service, forger: Forger) -> Any:
    browser = Browser(service)
    await browser.begin()
    return [
        (await browser.get(f"/callback?{query}")).status_code for query in ("code=c", "code=c&state=", "code=c&state=x")
    ]


async def state_twice(service: Service, forger: Forger) -> Any:
    browser = Browser(service)
    state = parse_qs(urlsplit(await browser.begin()).query)["state"][0]
    return (await browser.get(f"/callback?code=c&state=x&state={state}")).status_code


async def other_browser(service: Service, forger: Forger) -> Any:
    """Who is sent an attacker's answer (login CSRF) is not logged in as him."""
    state = parse_qs(urlsplit(await Browser(service).begin()).query)["state"][0]
    sent = Browser(service)
    await sent.begin()
    return [(await one.get(f"/callback?code=c&state={state}")).status_code for one in (Browser(service), sent)]


async def wrong_nonce(service: Service, forger: Forger) -> Any:
    """An ID token of another login, or of none."""
    return [(await log_in_at(forger, Browser(service), nonce=nonce)).status_code for nonce in ("other", None)]


async def other_issuers_answer(service: Service, forger: Forger) -> Any:
    browser = Browser(service)
    state = parse_qs(urlsplit(await browser.begin()).query)["state"][0]
    return (await browser.get(f"/callback?code=c&state={state}&iss=https://login.evil")).status_code


async def bad_id_tokens(service: Service, forger: Forger) -> Any:
    """A login whose ID token is for another client, has ended, or is signed by nobody of the issuer."""
    now = int(time.time())
    wrong: list[dict[str, Any]] = [
        {"aud": "other"}, {"aud": ["pages", "other"]}, {"azp": "other"}, {"iat": now - 900, "exp": now - 600}, {"key": FOREIGN},
        {"iss": "https://login.evil"}, {"preferred_username": None}, {"preferred_username": ["rm-0102"]},
    ]  # fmt: skip
    return {(await log_in_at(forger, Browser(service), **claims)).status_code for claims in wrong}


async def fixed_session(service: Service, forger: Forger) -> Any:
    """Who logs in with a cookie that an attacker has put there gets another one, and the attacker's is worth nothing."""
    known = await victim(service, forger)
    fixed, browser = known.cookie, Browser(service)
    browser.has_stolen(fixed)
    await log_in_at(forger, browser, preferred_username="president-hq")
    attacker = Browser(service)
    attacker.has_stolen(fixed)
    return (
        browser.cookie.partition(".")[0] == fixed.partition(".")[0],
        await attacker.who(),
        (await browser.who())["role"],
    )


async def forged_logouts(service: Service, forger: Forger) -> Any:
    """Notices of a logout that are none; the victim's session goes on."""
    robbed, now = await victim(service, forger), int(time.time())
    good = forger.logout(sub="victim-of-before", jti="known")
    forged = {
        "unsigned": unsigned(forger), "foreign key": forger.logout(sub="victim", key=FOREIGN),
        "another audience": forger.logout(sub="victim", aud="other"), "an API token": forger.token(sub="victim"),
        "an ID token": forger.token(aud="pages", sub="victim", nonce="n"), "no event": forger.logout(sub="victim", events=None),
        "another event": forger.logout(sub="victim", events={"x": {}}), "a nonce": forger.logout(sub="victim", nonce="n"),
        "no name": forger.logout(sub="victim", jti=None), "old": forger.logout(sub="victim", iat=now - 7200, exp=now + 60),
        "ended": forger.logout(sub="victim", iat=now - 600, exp=now - 60), "nobody": forger.logout(sub=None),
        "of an access token": forger.logout(sub="victim", header={"typ": "at+jwt"}), "none": "", "first": good, "replayed": good,
    }  # fmt: skip
    found = {}
    for name, token in forged.items():
        answer = await Browser(service, CURL).client.post("/backchannel-logout", data={"logout_token": token})
        found[name] = answer.status_code
        assert await robbed.who(), name
    assert found.pop("first") == 200
    return set(found.values())


async def a_large_logout(service: Service, forger: Forger) -> Any:
    answer = await Browser(service, CURL).client.post("/backchannel-logout", data={"logout_token": "x" * 70_000})
    return answer.status_code


async def from_elsewhere(service: Service, forger: Forger) -> Any:
    """A post that another site, a sub-domain or nobody sends with the victim's cookie; the token of his page does not help."""
    robbed = await victim(service, forger)
    csrf = (await robbed.who())["csrf"]
    elsewhere = [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://x.desk.test"},
        {"Origin": "https://evil.test"}, {"Origin": "null"}, {"Sec-Fetch-Site": "none"}, {},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.test"},
    ]  # fmt: skip
    found = {(await robbed.post("/who", csrf, headers=headers)).status_code for headers in elsewhere}
    assert (await robbed.post("/who", csrf)).status_code == 200
    return found


async def without_token(service: Service, forger: Forger) -> Any:
    """A post from a page of ours without the page's token, or with another session's."""
    robbed, other = await victim(service, forger), await victim(service, forger)
    csrf = (await other.who())["csrf"]
    return {(await robbed.post("/who", given)).status_code for given in ("", "x", csrf)}


async def kiosk_key(service: Service, forger: Forger) -> Any:
    """Gives queue classes and tickets, and hands in what a customer asks for; nothing else of anybody."""
    with service.database() as connection:
        _, text = issue_key(connection, Role.KIOSK, unit_of("hq/east/0102"), "x", dt.datetime.now(dt.UTC), 1)
    keys = service.login.callers.keys
    assert isinstance(keys, KeyBook)
    keys.read()
    assert await bearer(service, text) == 200
    actor = keys.actor(text)
    assert actor is not None
    places = [unit_of(place) for place in ("hq", "hq/east/0102", "hq/west")]
    things = [Resource(kind, place, requested_by="y") for kind in DataKind for place in places]
    return {
        (thing.kind, action) for thing in things for action in Action if decide_access(actor, action, thing).allowed
    }


async def bad_keys(service: Service, forger: Forger) -> Any:
    """One that was revoked, another's end, none."""
    now = dt.datetime.now(dt.UTC)
    with service.database() as connection:
        (old, old_text), (_, text) = (issue_key(connection, Role.KIOSK, ("hq",), "x", now, 1) for _ in range(2))
        revoke_key(connection, old.key_id, now)
    keys = service.login.callers.keys
    assert isinstance(keys, KeyBook)
    keys.read()
    return {
        await bearer(service, wrong) for wrong in (old_text, text[:21] + old_text[21:], text[:-1], "tgk_", text.upper())
    }


async def rm_token(service: Service, forger: Forger) -> Any:
    """A relationship manager's token makes nobody else of him, whatever its claims say."""
    claims = {"role": "president", "roles": ["president"], "tidegauge_role": "rm", "tidegauge_unit": "hq"}
    assert await bearer(service, forger.token()) == 200
    return [
        await bearer(service, forger.token(**{name: value}))
        for name, value in claims.items()
        if name != "tidegauge_unit"
    ]


async def both_at_once(service: Service, forger: Forger) -> Any:
    """A bad token beside a good cookie is refused: who asks is not chosen."""
    robbed = await victim(service, forger)
    return (await robbed.get("/who", headers={"Authorization": "Bearer x"})).status_code


NOBODY: Final = None
ATTACKS: Final[dict[str, tuple[Attack, Any]]] = {
    "a stolen cookie in another browser": (stolen_cookie, (NOBODY, NOBODY)),
    "a stolen cookie, disguised": (stolen_and_disguised, (NOBODY, NOBODY)),
    "a session's name": (guessed_secret, NOBODY),
    "an expired token": (expired, 401),
    "alg none": (alg_none, 401),
    "a token for another audience": (other_audience, [401, 401]),
    "a foreign issuer": (foreign_issuer, (401, 401)),
    "a rotated-out key": (rotated_out, True),
    "made-up keys": (keys_asked_for, 3),  # the description, and twice the keys
    "no state": (no_state, [400, 400, 400]),
    "state twice": (state_twice, 400),
    "an answer in another browser": (other_browser, [400, 400]),
    "a wrong nonce": (wrong_nonce, [400, 400]),
    "an answer of another issuer": (other_issuers_answer, 400),
    "ID tokens that don't count": (bad_id_tokens, {400}),
    "session fixation": (fixed_session, (False, NOBODY, "president")),
    "forged logouts": (forged_logouts, {400}),
    "a large logout": (a_large_logout, 413),
    "a post from elsewhere": (from_elsewhere, {403}),
    "a post without the page's token": (without_token, {403}),
    "a kiosk's key": (
        kiosk_key,
        {
            (DataKind.QUEUE_CLASS, Action.READ),
            (DataKind.TICKETS, Action.READ),
            (DataKind.TICKETS, Action.WRITE),
            (DataKind.CARDS, Action.REQUEST),
        },
    ),
    "keys that don't count": (bad_keys, {401}),
    "a manager's token": (rm_token, [200, 200, 401]),
    "a bad token beside a cookie": (both_at_once, 401),
}


@pytest.fixture
def attacked(new_service: NewService, forger: Forger) -> Service:
    """A service whose sessions change their secret with each request, and forgive nothing."""
    return new_service(forger.url, rotate_s=0.0, grace_s=0.0)


async def test_attacks(attacked: Service, forger: Forger) -> None:
    """Each gets what its row says, and no more."""
    found = {name: await attack(attacked, forger_as_new(forger)) for name, (attack, _) in ATTACKS.items()}
    assert found == {name: row for name, (_, row) in ATTACKS.items()}


def forger_as_new(forger: Forger) -> Forger:
    """The issuer with its own key again, asked by nobody."""
    forger.keys, forger.asked = [forger.key], 0
    return forger


async def test_a_replayed_code(new_service: NewService, provider: str) -> None:
    """Counts once: the second time the issuer refuses it, also in the browser whose login it is."""
    service = new_service(provider)
    browser = Browser(service)
    address = said_yes(await browser.begin(), "rm-hq")
    kept = browser.client.cookies.get("__Host-tidegauge-login")
    assert (await browser.get(address)).status_code == 303
    browser.client.cookies.clear()
    browser.client.cookies.set("__Host-tidegauge-login", kept or "", "desk.test")
    answer = await browser.get(address)
    assert (answer.status_code, browser.cookie) == (400, "") and "invalid_grant" in answer.text


@pytest.mark.parametrize(
    "where",
    [
        "https://evil.test/", "//evil.test", "/\\evil.test", "\\\\evil.test", "/a\\..\\b", "javascript:alert(1)", "evil.test", "",
        "/\n//evil.test", "/\tx", "http:/evil.test", "/" + "x" * 600, "/客", " /x", "///evil.test",
    ],
)  # fmt: skip
async def test_open_redirect(new_service: NewService, forger: Forger, where: str) -> None:
    """Whatever is no page of ours leads home, also where the cookie of the login was changed."""
    assert own_page(where, "/") == "/" and own_page("/cases?x=1#y", "/") == "/cases?x=1#y"
    if where.startswith(("https://", "//")):
        browser = Browser(new_service(forger.url))
        query = parse_qs(urlsplit(await browser.begin(where)).query)
        kept = (browser.client.cookies.get("__Host-tidegauge-login") or "").rsplit(".", 1)[0]
        changed = f"{kept}.{base64.urlsafe_b64encode(where.encode()).decode().rstrip('=')}"
        forger.nonce = query["nonce"][0]
        for cookie in (None, changed):
            if cookie:
                browser.client.cookies.set("__Host-tidegauge-login", cookie, "desk.test")
            answer = await browser.get(f"/callback?code=c&state={query['state'][0]}")
            assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_an_issuer_that_is_none(forger: Forger) -> None:
    """Another issuer's description, addresses in plaintext and answers that are none are refused, in words without the answer."""
    good = json.loads(forger.answer("", None))
    wrong: list[Any] = [
        good | {"issuer": "https://login.evil"}, good | {"token_endpoint": "http://login.bank/token"}, good | {"jwks_uri": None},
        good | {"jwks_uri": "file:///etc/passwd"}, good | {"authorization_endpoint": ""},
        good | {"end_session_endpoint": "http://x"}, [], 7,
    ]  # fmt: skip
    for said in (*(json.dumps(one).encode() for one in wrong), b"", b"[" * 100_000):
        with pytest.raises(issuers.IssuerAwayError) as refused:
            issuers._described(forger.url, said)
        assert 0 < len(str(refused.value)) < 120


def test_an_issuer_that_goes_on_for_ever() -> None:
    """Its answer has a bound in bytes; a redirect is not followed."""

    class Endless(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            moved = self.path.startswith("/moved")
            self.send_response(302 if moved else 200)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            with contextlib.suppress(OSError):
                for _ in range(0 if moved else 64):
                    self.wfile.write(b" " * (1 << 16))

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        for path, said in (("", "more than"), ("/moved", "302")):
            with pytest.raises(issuers.IssuerAwayError, match=said):
                Issuer(f"http://127.0.0.1:{server.server_port}{path}").addresses()
        server.shutdown()
