"""One browser for the stories of a module, a branch for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.pages.branch import SESSION, SESSION_COOKIE, TestBranch, open_branch
from tests.pages.chromium import browsing

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Closed behind its module: Playwright's event loop runs in this thread, and others could not begin one."""
    with browsing() as found:
        yield found


@pytest.fixture
def branch(tickets_server: str) -> Iterator[TestBranch]:
    with open_branch(tickets_server) as found:
        yield found


@pytest.fixture
def open_page(browser: Browser, branch: TestBranch) -> Iterator[OpenPage]:
    """Opens a page in a browser of its own: as a screen with a key, or as the lobby manager.

    What the browser blames fails the test; with `cut`, where a story cuts the line, what it says of the policy alone.
    """
    blamed: list[str] = []

    def opened(
        path: str, *, key: str = "", language: str = "zh-CN", width: int = 1440, dark: bool = False, cut: bool = False
    ) -> Page:
        context: BrowserContext = around.enter_context(
            browser.new_context(
                locale=language, viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
            )
        )
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda said: heard(said.type, said.text, cut))
        page.on("pageerror", lambda problem: blamed.append(str(problem)))
        if key:
            page.goto(f"{branch.address}/screen?next={path}")
            page.fill("#key", key)
            page.keyboard.press("Enter")
            page.wait_for_url(branch.address + path)
        else:
            cookie: Any = {
                "name": SESSION_COOKIE,
                "value": SESSION,
                "url": branch.address.replace("http:", "https:"),
                "secure": True,
            }
            context.add_cookies([cookie])
            page.goto(branch.address + path)
        return page

    def heard(kind: str, text: str, cut: bool) -> None:
        if kind in ("error", "warning") and ("Content Security Policy" in text or not cut):
            blamed.append(text)

    with ExitStack() as around:
        yield opened
        assert blamed == []
