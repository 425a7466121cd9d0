"""The page of a branch: what its head and those above see of it as a whole, and nobody else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date
from html import unescape

import pytest

from policies import load_pack
from services.desk.branch import BranchQueries, month_before, share_bp
from services.desk.pages.flow import FLOW_WIDTH, RIBBONS_MAX, SIDE, flow_of
from services.desk.schemes import schemes_of
from tests.desk.desk import TestDesk, open_desk
from tests.readmodel.bank import day, profile, standing, step, tier_change

HUGE = 9_223_372_036_854_775_807
PACK = "rolling-quarter-aum"
SCHEMES = schemes_of([load_pack(PACK), load_pack("named-list")])


def moved(before: str, after: str, customers: int, pack: str = PACK) -> dict[str, object]:
    """A row of customers who have gone from a tier to another."""
    return {"pack_id": pack, "from_tier": before, "to_tier": after, "customers": customers}


def test_schemes() -> None:
    """R-227: who is a VIP, who has gold or more, which tier is higher; R-203: how many customers a person."""
    assert {tier for pack, tier in SCHEMES.vips if pack == PACK} == {"platinum", "diamond", "private"}
    assert {tier for pack, tier in SCHEMES.golds if pack == PACK} == {"gold", "platinum", "diamond", "private"}
    assert [SCHEMES.direction(PACK, *ends) for ends in (("gold", "diamond"), ("diamond", "gold"), ("gold", "x"))] == [
        "up", "down", "",
    ]  # fmt: skip
    assert SCHEMES.portfolio["lobby-manager"] == 25


def test_a_flow_is_drawn_to_scale() -> None:
    """The highest tier on top, thick where many move, every post as high as its ribbons; the thickest ones alone."""
    picture = flow_of([moved("gold", "platinum", 3), moved("diamond", "platinum", 1)], SCHEMES)
    assert picture is not None
    assert [(post.tier, post.customers, post.left) for post in picture.posts] == [
        ("diamond", 1, True), ("gold", 3, True), ("platinum", 4, False),
    ]  # fmt: skip
    heights = {post.tier: post.height for post in picture.posts}
    assert heights["gold"] == 3 * heights["diamond"] and heights["platinum"] == heights["gold"] + heights["diamond"]
    assert all(post.y + post.height < picture.height for post in picture.posts)
    assert [one.row["from_tier"] for one in picture.ribbons] == ["diamond", "gold"]
    assert all(re.fullmatch(r"M\d+ \d+C[\d ]+V\d+C[\d ]+Z", one.path) for one in picture.ribbons)
    assert max(post.x for post in picture.posts) < FLOW_WIDTH - SIDE
    assert flow_of([], SCHEMES) is None
    many = flow_of([moved(f"t{n}", "gold", 1000 - n) for n in range(100)], SCHEMES)
    assert many is not None and len(many.ribbons) == RIBBONS_MAX


def test_shares_and_months() -> None:
    """Rounded down in basis points, of nothing not known; December lies before January."""
    assert [share_bp(1, 3), share_bp(0, 5), share_bp(1, 0), share_bp(HUGE, HUGE)] == [3333, 0, None, 10_000]
    assert month_before(date(2026, 1, 1)) == date(2025, 12, 1)


@pytest.fixture(scope="module")
def desk(new_database: Callable[[], str]) -> Iterator[TestDesk]:
    """A customer more, who has lost his tier; cases that nobody has taken on, and others."""
    with open_desk(new_database()) as found:
        found.tell("customers", profile("C4"))
        found.tell("standings", standing("C4", 90_000_000, "platinum", month_avgs_minor=[90_000_000, 120_000_000]))
        found.tell("tier-changes", tier_change("C4", "diamond", "platinum", "2026-04-01") | {"direction": "down"})
        found.tell("tier-changes", tier_change("C2", "gold", "diamond", "2026-04-01"))
        # There and back in a month: nobody has moved.
        found.tell("tier-changes", tier_change("C3", "ordinary", "gold", "2026-04-02"))
        found.tell("tier-changes", tier_change("C3", "gold", "ordinary", "2026-04-03"))
        found.tell("rm-alerts", step("C1", "case-1", "escalated", level=2))
        found.tell("rm-alerts", step("C4", "case-4", severity="critical", attention="acknowledged", level=1))
        found.tell("rm-alerts", step("C4", "case-5", severity="critical", attention="ended", level=1))
        yield found


def cells(desk: TestDesk, login: str, path: str = "/branch") -> list[list[str]]:
    """The rows of the page's tables, as text."""
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr><td.*?</tr>", text(desk, login, path))]
    return [[unescape(re.sub("<[^>]+>", "", cell)).strip() for cell in row] for row in rows]


def text(desk: TestDesk, login: str, path: str) -> str:
    """A page."""
    with desk.client(login) as client:
        answer = client.get(path)
    assert answer.status_code == 200
    return answer.text


@pytest.mark.integration
def test_a_head_sees_his_branch(desk: TestDesk) -> None:
    """Counts and shares, who has moved, whom nobody has taken on; of his own units alone."""
    assert cells(desk, "zhao") == [
        ["Platinum", "1", "33.33 %", "900,000.00 CNY"],
        ["Gold", "1", "33.33 %", "600,000.00 CNY"],
        ["Ordinary", "1", "33.33 %", "–"],
        ["Diamond", "↓ Platinum", "1"],
        ["Critical", "1", ""],
        ["High", "1", "1"],
        ["money that leaves", "C1", "High", "2026-03-31", "2", "RM-1", "B01"],
        ["C4", "Platinum", "1,200,000.00 CNY", "900,000.00 CNY", "-300,000.00 CNY", "RM-1", "B01"],
        ["C1", "Gold", "580,000.00 CNY", "600,000.00 CNY", "20,000.00 CNY", "RM-1", "B01"],
    ]
    own = text(desk, "zhao", "/branch")
    assert "The 2 largest customers have 100.00 % of the AUM (1,500,000.00 CNY of 1,500,000.00 CNY)." in own
    assert "AUM is not known of 1 of them" in own and 'class="ribbon down"' in own and "C2" not in own
    assert not re.findall(r"style=|<script>", own)
    assert not re.findall(r'(?:href|action)="[^"]*C\d', own)
    whole = cells(desk, "boss")
    assert ["Diamond", "1", "25.00 %", "2,000,000.00 CNY"] in whole and ["Gold", "↑ Diamond", "1"] in whole
    assert "等级变动" in text(desk, "zhao", "/branch?lang=zh-CN")


@pytest.mark.integration
def test_a_manager_is_not_shown_it(desk: TestDesk) -> None:
    """Neither the page nor the way to it; on record."""
    desk.records.clear()
    with desk.client("wang") as client:
        assert client.get("/branch").status_code == 404
    assert [(one["resource"], one["outcome"]) for one in desk.records] == [("branches of branch", "denied")]
    assert 'href="/branch"' not in text(desk, "wang", "/") and 'href="/branch"' in text(desk, "zhao", "/")


@pytest.mark.integration
def test_the_month_behind_the_close(new_database: Callable[[], str]) -> None:
    """Amounts of any size; months by each customer's own close; cases of before TIDEGAUGE_CONTRACTS=2 by their steps."""
    unsaid = {"told_step": None, "attention": None, "level": None}
    with open_desk(new_database()) as desk:
        queries = BranchQueries(desk.model)
        assert queries.branch(["hq/B09"]) is None
        desk.tell("standings", standing("C3", HUGE, as_of=day("2026-04-01"), month_avgs_minor=[HUGE, -HUGE]))
        desk.tell("standings", standing("C1", HUGE))
        for name in ("raised", "escalated"):
            desk.tell("rm-alerts", step("C1", "case-1", name, **unsaid))
            desk.tell("rm-alerts", step("C1", "case-3", name, **unsaid))
        desk.tell("rm-alerts", step("C1", "case-3", "acknowledged", **unsaid))
        found = queries.branch(["hq/B01"])
        assert found is not None
        assert (found.as_of, found.month, found.running) == (date(2026, 4, 1), date(2026, 3, 1), date(2026, 4, 1))
        assert [row["aum_minor"] for row in found.tiers] == [2 * HUGE]
        assert found.largest == [
            {"currency": "CNY", "whole_minor": 2 * HUGE, "largest_minor": 2 * HUGE, "customers": 2}
        ]
        assert [(row["customer_id"], row["moved_minor"]) for row in found.movements] == [
            ("C3", 2 * HUGE), ("C1", 2_000_000),
        ]  # fmt: skip
        assert found.migrations == []
        assert [(row["customer_id"], row["level"], row["raised_day"]) for row in found.overdue] == [
            ("C1", 1, date(2026, 3, 31))
        ]
        desk.tell("standings", standing("C1", HUGE, as_of=day("2026-02-27"), month_avgs_minor=[5, 1]))
        late = queries.branch(["hq/B01"])
        assert late is not None and [row["customer_id"] for row in late.movements] == ["C3"]
