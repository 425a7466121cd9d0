"""What people at a branch do with its pages, in a real browser."""

from __future__ import annotations

import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.pages.branch import DIAMOND, PLATINUM, TestBranch
from tests.pages.conftest import OpenPage

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SERIOUS = ("serious", "critical")


def test_a_counter_works_by_keyboard_alone(branch: TestBranch, open_page: OpenPage) -> None:
    """Call, call again, transfer, no-show, complete, pause; after each step the next one has the focus."""
    branch.issue()
    branch.issue(DIAMOND)
    page = open_page("/counter/3", key="tgk_counter")
    ticket, said = page.locator("#ticket"), page.locator("#said")
    expect(page.locator("#waiting")).to_have_text("等候人数：2")
    page.keyboard.press("n")
    expect(ticket).to_have_text("A001")
    expect(said).to_have_text("已叫号。")
    page.keyboard.press("r")
    expect(said).to_have_text("已重呼。")
    page.keyboard.press("t")  # where to is empty: the field has the focus
    page.keyboard.type("cash")
    page.keyboard.press("Enter")
    expect(said).to_have_text("已转办。")
    page.keyboard.press("Enter")  # the next step has the focus: it is called again
    expect(ticket).to_have_text("A001")
    expect(page.locator("#desk")).to_contain_text("cash")
    page.keyboard.press("x")
    expect(said).to_have_text("已标记未到。")
    page.keyboard.press("n")
    expect(ticket).to_have_text("D001")
    page.keyboard.press("c")
    expect(said).to_have_text("已办结。")
    page.keyboard.press("n")
    expect(said).to_have_text("没有可叫的号。")
    page.keyboard.press("p")
    expect(ticket).to_have_text("暂停服务")
    page.keyboard.press("p")
    expect(said).to_have_text("已恢复。")


def test_a_hall_announces_every_call_once(branch: TestBranch, open_page: OpenPage) -> None:
    """Two calls within a second too, and one that was made while the screen was cut off."""
    for _ in range(3):
        branch.issue()
    page = open_page("/hall", key="tgk_hall", cut=True)
    page.evaluate("""() => {
        window.told = [];
        new MutationObserver(() => { const text = document.getElementById("now").textContent; if (text) told.push(text); })
            .observe(document.getElementById("now"), {childList: true});
    }""")
    expect(page.locator("#nobody")).to_be_visible()
    assert [branch.called("1"), branch.called("2")] == ["D001", "D002"]
    expect(page.locator("#calls tr")).to_have_text([r"D0022", r"D0011"])
    told(page, 2)
    page.context.set_offline(True)
    page.evaluate("() => { source.close(); setTimeout(connect, 1500); }")  # as a cut line ends it
    assert branch.called("3") == "D003"
    page.context.set_offline(False)
    told(page, 3)
    assert page.evaluate("() => told") == ["请D001号到1号柜台", "请D002号到2号柜台", "请D003号到3号柜台"]
    page.reload()
    expect(page.locator("#calls tr")).to_have_count(3)
    expect(page.locator("#now")).to_be_empty()


def told(page: Page, count: int) -> None:
    """Wait for so many announcements."""
    until = time.monotonic() + 15
    while page.evaluate("() => told.length") < count:
        assert time.monotonic() < until, page.evaluate("() => told")
        page.wait_for_timeout(100)


def test_the_lobby_hears_of_a_vip(branch: TestBranch, open_page: OpenPage) -> None:
    """By number and class (R-247); who waits longest and by class are beside it."""
    branch.issue()
    page = open_page("/lobby", language="en")
    expect(page.locator("#board")).to_contain_text("Nobody waits for the VIP area.")
    branch.issue(PLATINUM)
    expect(page.locator("#arrived")).to_have_text("VIP arrived: B001, Platinum card")
    rows = page.locator("#board section").nth(1).locator("tbody tr")
    expect(rows).to_have_text(["Diamond card00", "Platinum card10", "Gold card00", "Ordinary card10"])
    assert PLATINUM not in page.content()


def test_a_second_click_does_it_once(branch: TestBranch, open_page: OpenPage) -> None:
    """Also where the first answer was lost: the same form again has the same request id."""
    for _ in range(2):
        branch.issue()
    page = open_page("/counter/3", key="tgk_counter", cut=True)
    page.route("**/counter/3/next", lambda route: (route.fetch(), route.abort())[1])
    with page.expect_event("requestfailed"):
        page.keyboard.press("n")
    page.unroute("**/counter/3/next")
    page.keyboard.press("n")
    expect(page.locator("#ticket")).to_have_text("D001")
    assert branch.called("4") == "D002"


def test_two_counters_have_two_tickets(branch: TestBranch, open_page: OpenPage) -> None:
    """A step that can't be made says so in the visitor's language."""
    branch.issue()
    first, second = (open_page(f"/counter/{name}", key="tgk_counter", language="en") for name in ("1", "2"))
    first.keyboard.press("n")
    expect(first.locator("#ticket")).to_have_text("D001")
    second.keyboard.press("n")
    expect(second.locator("#said")).to_have_text("Nobody waits whom this counter may call.")
    assert branch.called("2") is None


def test_language_is_switched_in_the_page(branch: TestBranch, open_page: OpenPage) -> None:
    """And stays: the next page has it too."""
    page = open_page("/lobby", language="en")
    expect(page.get_by_role("heading", level=1)).to_have_text("Lobby")
    page.get_by_role("link", name="中文").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("大堂")
    page.goto(f"{branch.address}/lobby")
    expect(page.get_by_role("heading", level=1)).to_have_text("大堂")
    assert page.locator("html").get_attribute("lang") == "zh-CN"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [768, 1440])
def test_pages_are_seen_by_all(branch: TestBranch, open_page: OpenPage, width: int, dark: bool) -> None:
    """Nothing runs over the edge, and axe-core finds nothing serious, light and dark."""
    for reference in (None, DIAMOND, PLATINUM):
        branch.issue(reference)
    branch.called("1")
    for path, key in (
        ("/hall", "tgk_hall"),
        ("/counter/1", "tgk_counter"),
        ("/counter", "tgk_counter"),
        ("/lobby", ""),
    ):
        page = open_page(path, key=key, width=width, dark=dark)
        check_seen(page, path, width)


def check_seen(page: Page, path: str, width: int) -> None:
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width, path
    found = Axe().run(page).response["violations"]
    assert [(path, one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in SERIOUS] == []


def test_a_policy_keeps_other_scripts_out(branch: TestBranch, browser: Browser) -> None:
    """The policy is strict, and it works: a script that is written into a page does not run."""
    page = browser.new_page()
    answer = page.goto(f"{branch.address}/screen")
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    html = "<img src=x onerror='window.got = 1'><b style='color: red' id=styled>x</b>"
    with page.expect_console_message(lambda said: "Content Security Policy" in said.text):
        page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", html)
    page.wait_for_timeout(200)
    assert page.evaluate("() => window.got === undefined")
    page.close()
