"""A branch's pages in a real browser, put together as the command does it: people come by a login at the issuer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from deploy.connections.database import connected
from deploy.settings import Settings
from services.queue.lookup import Lookup
from services.queue.pages.setup import pages_app
from services.queue.server import listening, server
from tests.login.conftest import REDIS_DATABASE
from tests.pages.branch import SESSION_COOKIE, KnownClasses
from tests.pages.chromium import browsing

pytestmark = [pytest.mark.integration, pytest.mark.slow]

LOBBY, MANAGER_OF_PRODUCTS = "lobby_manager-0102", "product_manager-0102"


class Pages(NamedTuple):
    """The pages, where they are, and who vouches for people."""

    address: str
    issuer: str
    settings: Settings


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as found:
        yield found


@pytest.fixture
def pages(
    provider: str, bank: str, store: Any, redis_server: str, tickets_server: str, topic_prefix: str, tmp_path: Path
) -> Iterator[Pages]:
    """The application of `tidegauge queue pages`, served; no broker is there."""
    socket = listening("127.0.0.1", 0)
    address = f"http://localhost:{socket.getsockname()[1]}"
    settings = Settings(
        bootstrap_servers="127.0.0.1:1", redis_url=f"{redis_server.rpartition('/')[0]}/{REDIS_DATABASE}",
        tickets_url=tickets_server, database_url=bank, topic_prefix=topic_prefix, data_dir=tmp_path / "data",
        token_issuer=provider, login_url=address, login_client="pages", login_client_secret="secret of the pages",
    )  # fmt: skip
    running = server(pages_app(settings, Lookup(KnownClasses(), "ordinary", date.today)), 64)
    thread = threading.Thread(target=running.run, args=([socket],), daemon=True)
    thread.start()
    try:
        yield Pages(address, provider, settings)
    finally:
        running.should_exit = True
        thread.join(15)


def new_page(browser: Browser, agent: str | None = None) -> Page:
    """A page of a browser of its own; what is neither ours nor the issuer's is not fetched."""
    context: BrowserContext = browser.new_context(locale="en", user_agent=agent)
    context.route(lambda url: not url.startswith("http://localhost"), lambda route: route.abort())
    return context.new_page()


def log_in(page: Page, pages: Pages, path: str, login: str) -> None:
    """Ask for a page of ours, and say at the issuer who one is."""
    page.goto(pages.address + path)
    assert page.url.startswith(f"{pages.issuer}/"), page.url
    page.fill('input[name="sub"]', f"sub-{login}")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{pages.address}/**")


def test_a_day_at_the_lobby(pages: Pages, browser: Browser) -> None:
    """Asked for, logged in, back on the page that was asked for; other tabs have it too; logged out, it is nobody's."""
    page = new_page(browser)
    log_in(page, pages, "/lobby", LOBBY)
    assert page.url == f"{pages.address}/lobby"
    expect(page.locator("h1")).to_have_text("Lobby")
    with page.expect_response(lambda answer: "/lobby/board" in answer.url and answer.status == 200):
        pass  # the page asks by itself, by the same session
    tab = page.context.new_page()
    tab.goto(f"{pages.address}/lobby")
    expect(tab.locator("h1")).to_have_text("Lobby")
    kept = {one["name"]: one for one in page.context.cookies(pages.address)}[SESSION_COOKIE]
    assert (kept["httpOnly"], kept["secure"], kept["sameSite"], kept["expires"]) == (True, True, "Lax", -1)
    tab.close()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(f"{pages.issuer}/**")
    page.goto(f"{pages.address}/lobby")
    assert page.url.startswith(f"{pages.issuer}/"), "nobody is asked to log in"
    with connected(pages.settings.database) as connection:
        ended = "SELECT staff_id, ended_by FROM access.sessions WHERE ended_at IS NOT NULL"
        assert connection.execute(ended).fetchall() == [(f"id-{LOBBY}", "logout")]


def test_who_may_not(pages: Pages, browser: Browser) -> None:
    """A role without the lobby, another branch, a stranger, and a cookie that was copied into another browser."""
    page = new_page(browser)
    log_in(page, pages, "/lobby", MANAGER_OF_PRODUCTS)
    expect(page.locator("#board")).to_have_count(0)
    lobby = new_page(browser)
    log_in(lobby, pages, "/lobby?branch=east/0101", LOBBY)
    expect(lobby.locator("#board")).to_have_count(1)  # of his own: a login leads to a page, not to its question
    answer = lobby.goto(f"{pages.address}/lobby?branch=west/0101")
    assert answer is not None and answer.status == 403
    stranger = new_page(browser)
    log_in(stranger, pages, "/lobby", "stranger")
    expect(stranger.locator("#board")).to_have_count(0)
    assert SESSION_COOKIE not in {one["name"] for one in stranger.context.cookies(pages.address)}
    thief = new_page(browser, "another browser")
    stolen: list[Any] = [one for one in lobby.context.cookies(pages.address) if one["name"] == SESSION_COOKIE]
    thief.context.add_cookies(stolen)
    thief.goto(f"{pages.address}/lobby")
    assert thief.url.startswith(f"{pages.issuer}/"), "nobody"
