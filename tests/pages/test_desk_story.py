"""The desk in a real browser: a manager logs in, sees his customer's case and takes it on; another branch sees none of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.desk.desk import TestDesk, open_desk
from tests.readmodel.bank import step, tier_change

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SERIOUS = ("serious", "critical")


@pytest.fixture
def desk(new_database: Callable[[], str], redis_server: str) -> Iterator[TestDesk]:
    with open_desk(new_database(), redis_server) as found:
        yield found


def opened(
    browser: Browser, desk: TestDesk, login: str, blamed: list[str], width: int = 1440, dark: bool = False
) -> Page:
    """Somebody's browser, logged in. blamed: what the browser says of the page."""
    context = browser.new_context(
        locale="en", viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.on("console", lambda said: blamed.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda problem: blamed.append(str(problem)))
    page.goto(desk.address)
    page.get_by_role("button", name=f"{login} ·").click()
    page.wait_for_url(f"{desk.address}/")
    return page


def test_from_a_login_to_an_act(browser: Browser, desk: TestDesk) -> None:
    """Pending until a worker has answered, then seen; a refusal in words; the other branch has its own."""
    blamed: list[str] = []
    page = opened(browser, desk, "wang", blamed)
    expect(page.locator("article")).to_have_count(1)
    desk.answers = None
    page.get_by_role("button", name="Take it on").click()
    expect(page.get_by_role("status")).to_contain_text("Sent, not applied yet")
    desk.answer("")
    expect(page.locator("article .life")).to_have_text("Somebody looks after it")
    expect(page.get_by_role("status")).to_have_text("Done.")
    desk.answers = "other_owner"
    page.locator("summary", has_text="Resolve").click()
    page.locator("form[action$=resolve] input[name=reason]").fill("it stays <b>")
    page.get_by_role("button", name="Resolve").click()
    expect(page.get_by_role("status")).to_contain_text("Refused: somebody else is responsible for the case.")
    page.get_by_role("link", name="C1").click()
    expect(page.locator("h1")).to_have_text("Customer C1")
    expect(page.locator("svg.chart")).to_be_visible()
    page.get_by_role("link", name="中文").click()
    expect(page.locator("h1")).to_have_text("客户 C1")

    other = opened(browser, desk, "li", blamed)
    expect(other.locator("article")).to_have_count(1)
    expect(other.locator("article h2")).to_contain_text("C2")
    other.get_by_role("link", name="My book").click()
    expect(other.locator("tbody tr")).to_have_count(1)
    other.fill("#number", "C1")
    other.keyboard.press("Enter")
    expect(other.get_by_role("alert")).to_contain_text("Your unit has no customer of this number.")
    other.get_by_role("button", name="Log out").click()
    expect(other.locator("h1")).to_have_text("Who are you?")
    assert blamed == []


def test_a_page_follows_what_happens(browser: Browser, desk: TestDesk) -> None:
    """In both tabs of a browser, which has one stream; what somebody is writing stays until he wants the new list."""
    blamed: list[str] = []
    page = opened(browser, desk, "wang", blamed)
    expect(page.locator("article")).to_have_count(1)
    streams: list[str] = []
    page.context.on("request", lambda sent: streams.append(sent.url) if "/events" in sent.url else None)
    page.reload()
    second = page.context.new_page()
    second.goto(desk.address)
    for one in (page, second):
        expect(one.locator("article")).to_have_count(1)
    desk.tell("rm-alerts", step("C1", "case-new"))
    desk.tell("rm-alerts", step("C2", "case-elsewhere"))
    for one in (page, second):
        expect(one.locator("article")).to_have_count(2, timeout=60_000)
    second.locator("summary", has_text="Comment").first.click()
    second.locator("form[action$=comment] input[name=reason]").first.fill("half a sentence")
    desk.tell("rm-alerts", step("C1", "case-newer"))
    expect(page.locator("article")).to_have_count(3, timeout=60_000)
    expect(second.get_by_text("Something has changed.")).to_be_visible(timeout=60_000)
    expect(second.locator("form[action$=comment] input[name=reason]").first).to_have_value("half a sentence")
    assert len(streams) == 1
    page.close()  # the other tab takes the stream over
    second.get_by_role("button", name="Show").click()
    expect(second.locator("article")).to_have_count(3)
    desk.tell("rm-alerts", step("C1", "case-newest"))
    expect(second.locator("article")).to_have_count(4, timeout=60_000)
    assert len(streams) == 2
    assert blamed == []


def test_a_branch_sees_only_itself(browser: Browser, desk: TestDesk) -> None:
    """Its head has its page, with the month as a picture and no customer of another branch; a manager has no such page."""
    blamed: list[str] = []
    for customer, before in (("C1", "ordinary"), ("C2", "platinum")):
        desk.tell("tier-changes", tier_change(customer, before, "gold", "2026-04-01"))
    head = opened(browser, desk, "zhao", blamed)
    head.get_by_role("link", name="Branch").click()
    expect(head.locator("h1")).to_have_text("Branch")
    expect(head.locator("svg.chart path.ribbon")).to_have_count(1)
    expect(head.locator("svg.chart text", has_text="Ordinary 1")).to_be_visible()
    expect(head.get_by_role("link", name="C1")).to_be_visible()
    expect(head.get_by_text("C2", exact=True)).to_have_count(0)
    head.emulate_media(media="print")
    expect(head.locator("nav.rooms")).to_be_hidden()
    expect(head.locator("svg.chart")).to_be_visible()
    head.emulate_media(media="screen")
    head.get_by_role("link", name="中文").click()
    expect(head.locator("h1")).to_have_text("网点")
    manager = opened(browser, desk, "wang", blamed)
    expect(manager.get_by_role("link", name="Branch")).to_have_count(0)
    assert blamed == []


@pytest.mark.parametrize(("width", "dark"), [(768, False), (1440, True)])
def test_everybody_can_use_it(browser: Browser, desk: TestDesk, width: int, dark: bool) -> None:
    """axe finds nothing serious, nothing is wider than the screen, the policy is never broken."""
    blamed: list[str] = []
    desk.tell("tier-changes", tier_change("C1", "ordinary", "gold", "2026-04-01"))
    page = opened(browser, desk, "wang", blamed, width, dark)
    head = opened(browser, desk, "zhao", blamed, width, dark)
    paths = {
        "/": page,
        "/book": page,
        str(page.locator("article h2 a").get_attribute("href")): page,
        "/branch": head,
        "/branch/report": head,
    }
    for path, page in paths.items():
        page.goto(desk.address + path)
        found = Axe().run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in SERIOUS] == [], path
        assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth"), path
    assert blamed == []
