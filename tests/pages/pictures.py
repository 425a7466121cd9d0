"""`python -m tests.pages.pictures`: the pictures of docs/queue.md, out of a real browser, with glyphs of a packaged font."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.sync_api import expect

from deploy.embedded.stack import Stack
from deploy.settings import Settings
from tests.pages.branch import DIAMOND, PLATINUM, SESSION, SESSION_COOKIE, TestBranch, open_branch
from tests.pages.chromium import browsing, packages

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Route

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "pictures"
FONT: Final = ("@fontsource", "noto-sans-sc")
FONTS_AT: Final = "/fonts"
SIZE: Final = {"width": 1200, "height": 750}


def with_font(context: BrowserContext) -> None:
    """Serve the font to a context's pages, below their own address: their policy lets nothing else in."""
    folder = packages().joinpath(*FONT)

    def serve(route: Route) -> None:
        name = route.request.url.partition(FONTS_AT)[2].lstrip("/").partition("?")[0]
        kind = "text/css" if name.endswith(".css") else "font/woff2"
        route.fulfill(body=(folder / name).read_bytes(), content_type=kind)

    context.route(f"**{FONTS_AT}/**", serve)


def taken(page: Page, name: str) -> None:
    """Take the picture of a page, in the packaged font."""
    page.evaluate(
        """at => Promise.all([400, 600, 700].map((weight) => new Promise((done) => {
            const link = Object.assign(document.createElement("link"), {rel: "stylesheet", href: `${at}/${weight}.css`});
            link.onload = done;
            document.head.append(link);
        })))""",
        FONTS_AT,
    )
    page.evaluate("() => { document.body.style.fontFamily = '\"Noto Sans SC\"'; }")
    page.evaluate("() => document.fonts.ready.then(() => true)")
    page.wait_for_timeout(500)
    assert page.evaluate("() => [...document.fonts].some((one) => one.status === 'loaded')"), "the font is not shown"
    page.screenshot(path=FOLDER / f"{name}.png")


def opened(browser: Browser, branch: TestBranch, path: str, key: str = "", *, dark: bool = False) -> Page:
    """A page in Chinese, as a screen or as the lobby manager."""
    context = browser.new_context(locale="zh-CN", viewport=SIZE, color_scheme="dark" if dark else "light")
    with_font(context)
    page = context.new_page()
    if key:
        page.goto(f"{branch.address}/screen?next={path}")
        page.fill("#key", key)
        page.keyboard.press("Enter")
        page.wait_for_url(branch.address + path)
    else:
        context.add_cookies(
            [
                {
                    "name": SESSION_COOKIE,
                    "value": SESSION,
                    "url": branch.address.replace("http:", "https:"),
                    "secure": True,
                }
            ]
        )
        page.goto(branch.address + path)
    return page


def main() -> None:
    """Take them all."""
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        Stack(
            Path(folder), Settings(tickets_url=""), with_kafka=False, with_redis=False, with_tickets=True,
            any_ports=True, tether=True,
        ) as stack,
        open_branch(stack.settings.tickets) as branch,
        browsing() as browser,
    ):  # fmt: skip
        hall = opened(browser, branch, "/hall", "tgk_hall", dark=True)
        for reference in (None, None, DIAMOND, None, None):
            branch.issue(reference, service="cash" if reference is None else "wealth")
        for counter in ("1", "2", "5"):
            branch.called(counter)
        counter = opened(browser, branch, "/counter/1", "tgk_counter")
        lobby = opened(browser, branch, "/lobby")
        branch.issue(PLATINUM)
        expect(lobby.locator("#arrived")).to_contain_text("B001")
        for page, name in ((hall, "hall"), (counter, "counter"), (lobby, "lobby")):
            taken(page, name)


if __name__ == "__main__":
    main()
