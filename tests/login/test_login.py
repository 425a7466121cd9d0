"""People log in at the bank's issuer, and are whom the bank's own list says, for as long as a session lasts."""

import datetime as dt
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from services.access.decision import PEOPLE
from services.access.sessions import SESSIONS_MAX, Limits
from tests.login.conftest import LOGINS, STAFF, Browser, Forger, NewService, log_in_at

pytestmark = pytest.mark.integration


async def test_a_person_of_every_role_and_branch(new_service: NewService, provider: str) -> None:
    """Role and unit are the list's; the address asked for comes after the login."""
    service = new_service(provider)
    assert {STAFF[login][0] for login in LOGINS} == {*PEOPLE}
    for login in LOGINS:
        role, branch = STAFF[login]
        browser = Browser(service)
        assert await browser.who() is None
        answer = await browser.log_in(login, "/who?x=1")
        assert (answer.status_code, answer.headers["location"]) == (303, "/who?x=1"), answer.text
        found = await browser.who()
        assert (found["actor"], found["role"], found["unit"], found["by"]) == (f"id-{login}", role, branch, "session")
        assert found["stands_in"] == ([["branch_manager", ["hq", "east"]]] if login == "rm-0102" else [])


async def test_what_is_asked_of_the_issuer(new_service: NewService, provider: str) -> None:
    """Code, PKCE by S256, state and nonce, anew each time; the cookies are the host's, hidden from scripts, encrypted."""
    service = new_service(provider)
    browser = Browser(service)
    asked = [parse_qs(urlsplit(await browser.begin()).query) for _ in range(2)]
    for query in asked:
        assert (query["response_type"], query["code_challenge_method"], query["scope"]) == (
            ["code"],
            ["S256"],
            ["openid profile"],
        )
        assert query["redirect_uri"] == ["https://desk.test/callback"]
    for name in ("state", "nonce", "code_challenge"):
        assert len({query[name][0] for query in asked}) == 2 and len(asked[0][name][0]) >= 43
    answer = await browser.log_in("rm-0102")
    cookies = answer.headers.get_list("set-cookie")
    assert len(cookies) == 2
    for cookie in cookies:
        assert (
            cookie.startswith("__Host-")
            and "; Path=/; Secure; HttpOnly; SameSite=Lax" in cookie
            and "Domain" not in cookie
        )
    assert answer.headers["cache-control"] == "no-store"


async def test_whoever_is_on_no_list(new_service: NewService, provider: str) -> None:
    """Gets no session, whatever the issuer says of him; and whoever leaves the list has none any more."""
    service = new_service(provider)
    stranger, browser = Browser(service), Browser(service)
    answer = await stranger.log_in("stranger")
    assert (answer.status_code, stranger.cookie) == (403, "")
    await browser.log_in("teller-hq")
    assert await browser.who()
    with service.database() as connection:
        connection.execute("UPDATE access.staff SET active = false WHERE login = 'teller-hq'")
    assert await browser.who() is None
    with service.database() as connection:
        assert connection.execute("SELECT ended_by FROM access.sessions").fetchall() == [("left",)]


async def test_a_session_ends(new_service: NewService, provider: str, store: Any) -> None:
    """Unused, in any case, and when the person logs out, which only his own page can ask for."""
    service = new_service(provider, Limits(dt.timedelta(seconds=100), dt.timedelta(seconds=150)))
    browser = Browser(service)
    await browser.log_in("rm-hq")
    (key,) = [key for key in store.scan_iter() if b":session:" in key]
    assert 95_000 < store.pttl(key) <= 100_000
    store.pexpire(key, 50_000)
    found = await browser.who()
    assert 95_000 < store.pttl(key) <= 100_000, "lasts longer by being used"
    store.hset(key, "ends", int(store.hget(key, "ends")) - 100_000)
    assert await browser.who() and store.pttl(key) <= 50_000, "but not beyond its end"
    store.hset(key, "ends", int(store.hget(key, "ends")) - 50_000)
    assert await browser.who() is None and not store.exists(key)
    await browser.log_in("rm-hq")
    assert (await browser.post("/logout", found["csrf"])).status_code == 403, "of another session"
    cookie, csrf = browser.cookie, (await browser.who())["csrf"]
    answer = await browser.post("/logout", csrf)
    assert answer.status_code == 303 and answer.headers["location"].startswith(f"{provider}/oauth2/end_session?")
    browser.has_stolen(cookie)
    assert await browser.who() is None
    with service.database() as connection:
        rows = connection.execute("SELECT ended_by FROM access.sessions ORDER BY begun_at").fetchall()
    assert rows == [(None,), ("logout",)]


async def test_only_so_many_at_once(new_service: NewService, forger: Forger) -> None:
    """With one more the oldest ends."""
    service = new_service(forger.url)
    browsers = [Browser(service) for _ in range(SESSIONS_MAX + 1)]
    for browser in browsers:
        await log_in_at(forger, browser)
    assert [bool(await browser.who()) for browser in browsers] == [False] + [True] * SESSIONS_MAX


async def test_a_secret_changes(new_service: NewService, provider: str) -> None:
    """While it is used; requests that were on their way still count, and an answer that was lost costs nobody his session."""
    service = new_service(provider, rotate_s=0.0, grace_s=30.0)
    browser = Browser(service)
    await browser.log_in("rm-hq")
    first = browser.cookie
    assert await browser.who()
    second = browser.cookie
    assert second != first and second.partition(".")[0] == first.partition(".")[0]
    browser.has_stolen(first)
    assert await browser.who(), "the answer with the second was lost"
    third = browser.cookie
    assert third not in (first, second)
    assert await browser.who()
    browser.has_stolen(first)
    assert await browser.who(), "on its way while the third was used"


async def test_a_server_is_away(
    new_service: NewService, forger: Forger, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is let in, and it is said: 503, not 401, as logging in again would not help."""
    service = new_service(forger.url)
    browser = Browser(service)
    await log_in_at(forger, browser)
    monkeypatch.setattr(service.login.sessions, "_touch", lambda **_: (_ for _ in ()).throw(ConnectionError()))
    assert (await browser.get("/who")).status_code == 503
    forger.answer = lambda *_: (_ for _ in ()).throw(OSError())  # type: ignore[method-assign]
    monkeypatch.setattr("services.access.issuer._answer", forger.answer)
    assert (await Browser(new_service(forger.url)).get("/login")).status_code == 503


async def test_the_issuer_ends_it(new_service: NewService, forger: Forger) -> None:
    """Its notice ends the session that it names, or all of a person; others go on."""
    service = new_service(forger.url)
    one, two, other = (Browser(service) for _ in range(3))
    await log_in_at(forger, one, sub="a", sid="sid-1")
    await log_in_at(forger, two, sub="a", sid="sid-2")
    await log_in_at(forger, other, sub="b", sid="sid-3", preferred_username="teller-hq")

    async def told(**claims: Any) -> list[bool]:
        answer = await Browser(service).client.post(
            "/backchannel-logout", data={"logout_token": forger.logout(**claims)}
        )
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store"), answer.text
        return [bool(await browser.who()) for browser in (one, two, other)]

    assert await told(sub="a", sid="sid-1") == [False, True, True]
    assert await told(sub="a") == [False, False, True]
    assert await told(sub="nobody") == [False, False, True]


async def test_nothing_that_opens_is_kept(new_service: NewService, provider: str, store: Any) -> None:
    """Whoever reads Redis and PostgreSQL has no cookie, and no key of theirs names a person."""
    service = new_service(provider)
    browser = Browser(service)
    await browser.log_in("rm-0102")
    secret = browser.cookie.partition(".")[2]
    kept = str(
        [(key, store.hgetall(key) if store.type(key) == b"hash" else store.get(key)) for key in store.scan_iter()]
    )
    with service.database() as connection:
        kept += str(connection.execute("SELECT to_jsonb(s) FROM access.sessions AS s").fetchall())
    assert secret not in kept and not any(b"rm-0102" in key for key in store.scan_iter())
