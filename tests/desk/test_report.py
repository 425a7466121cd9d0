"""The monthly report on VIPs: the bank rules' worked checks, who has come and gone, who may have it and how it leaves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from policies import load_pack
from services.access.decision import PEOPLE, Role
from services.desk.measures import (
    PORTFOLIO_ROLES,
    VipLoss,
    churn_met,
    gold_share_met,
    growth_met,
    minima_of,
    new_vips_met,
    portfolio_met,
)
from services.desk.pages.report import StaffPortfolio, keepers_of
from services.desk.pages.row_words import report_csv
from services.desk.pages.setup import OWN_PAGES
from services.desk.report import MANAGERS_MAX, ReportQueries
from services.desk.schemes import schemes_of
from services.pages.site import PageSite
from services.staff.roster import COLLEAGUES_MAX, Colleague
from tests.desk.desk import open_desk
from tests.desk.test_branch import cells, text
from tests.readmodel.bank import day, profile, standing, step, tier_change

NAMED = schemes_of([load_pack("named-list")])
NEAR = (False, True, True)
"""Just below a bound, at it, above it."""


def test_growth_of_gold() -> None:
    """R-197: gold and above grow by 15 % in a year; out of nobody there is no growth."""
    assert tuple(growth_met(1_000, after) for after in (1_149, 1_150, 1_151)) == NEAR
    assert growth_met(0, 5) is None


def test_share_of_gold() -> None:
    """R-198: gold and above are 1 % of all customers."""
    assert tuple(gold_share_met(golds, 10_000) for golds in (99, 100, 101)) == NEAR
    assert gold_share_met(0, 0) is None


@pytest.mark.parametrize(
    ("role", "least"),
    [("lobby-manager", 25), ("outlet-head", 25), ("accounting-supervisor", 20), ("teller", 10), ("back-office", 10),
     ("rural-business-manager", 5)],
)  # fmt: skip
def test_customers_a_person(role: str, least: int) -> None:
    """R-203: at least so many by role, as the pack says."""
    asked = NAMED.portfolio[role]
    assert asked == least
    assert tuple(portfolio_met(count, asked) for count in (least - 1, least, least + 1)) == NEAR
    assert portfolio_met(0, None) is None


def test_churn() -> None:
    """R-274: the share of VIPs lost falls by 20 % of last year's rate, whatever the number of VIPs."""
    last = VipLoss(100, 1_000)
    assert [churn_met(last, VipLoss(lost, 1_000)) for lost in (81, 80, 79)] == [False, True, True]
    assert [churn_met(last, VipLoss(lost, 500)) for lost in (41, 40)] == [False, True]
    assert [churn_met(*ends) for ends in ((VipLoss(0, 9), last), (VipLoss(0, 0), last), (last, VipLoss(0, 0)))] == [
        None
    ] * 3


def test_new_vips() -> None:
    """R-275: 20 in a year."""
    assert tuple(new_vips_met(count) for count in (19, 20, 21)) == NEAR


def test_who_has_too_few_customers() -> None:
    """R-203: also who has none; roles without a minimum stand there if they have customers, and who is on no list."""
    unit = ("hq", "B01")
    staff = [
        Colleague("T-1", Role.TELLER, unit), Colleague("L-1", Role.LOBBY, unit), Colleague("RM-1", Role.RM, unit),
        Colleague("A-1", Role.AUDITOR, unit),
    ]  # fmt: skip
    managers = [{"rm_id": "T-1", "customers": 10}, {"rm_id": "RM-1", "customers": 7}, {"rm_id": "X", "customers": 1}]
    assert keepers_of(staff, managers, NAMED) == [
        StaffPortfolio("L-1", Role.LOBBY, "hq/B01", 0, 25, False), StaffPortfolio("RM-1", Role.RM, "hq/B01", 7, None, None),
        StaffPortfolio("T-1", Role.TELLER, "hq/B01", 10, 10, True), StaffPortfolio("X", "", "", 1, None, None),
    ]  # fmt: skip
    assert minima_of({"teller": 10, "rural-business-manager": 5}) == {Role.TELLER: 10}
    assert PORTFOLIO_ROLES.keys() <= NAMED.portfolio.keys()
    words = PageSite([OWN_PAGES], "zh-CN").wording.words
    assert {f"role.{role}" for role in PEOPLE} <= words.keys()
    assert keepers_of(staff, [{"rm_id": str(n), "customers": 1} for n in range(MANAGERS_MAX + 1)], NAMED) is None
    assert keepers_of([staff[0]] * (COLLEAGUES_MAX + 1), managers, NAMED) is None


def test_no_cell_of_a_report_is_a_formula() -> None:
    """What begins as one is text; amounts are numbers, also below zero; what is not known is empty."""
    row = {
        "customer_id": "=1+1", "unit": "@x", "rm_id": "-1", "tier_before": None, "tier_end": "+gold", "currency": "JPY",
        "before_minor": -5, "after_minor": None, "open_cases": 2,
    }  # fmt: skip
    assert report_csv([row]).splitlines()[1] == "'=1+1,'@x,'-1,,'+gold,JPY,-5,,2"


@pytest.mark.integration
def test_a_month_stays_as_it_was(new_database: Callable[[], str]) -> None:
    """R-017: tiers of each day by the first change behind it; who was no customer then was no VIP; own units alone."""
    with open_desk(new_database()) as desk:
        schemes = schemes_of([load_pack("rolling-quarter-aum")])
        queries = ReportQueries(desk.model, schemes)
        assert queries.months(["hq/B09"]) == []
        months = queries.months(["hq/B01"])
        assert (months[0], months[-1], len(months)) == (date(2026, 3, 1), date(2025, 4, 1), 12)
        for number, tier, since in (
            ("C4", "platinum", "2019-05-01"),
            ("C5", "diamond", "2026-03-10"),
            ("C6", "gold", "2019-05-01"),
        ):
            desk.tell("customers", profile(number) | {"relationship_since": day(since)})
            desk.tell("standings", standing(number, 90_000_000, tier, month_avgs_minor=[90_000_000, 120_000_000, 7]))
        changed = [
            ("C4", "gold", "platinum", "2026-03-05"), ("C6", "platinum", "diamond", "2024-06-01"),
            ("C6", "diamond", "platinum", "2025-08-01"), ("C6", "platinum", "gold", "2026-03-31"),
            ("C1", "gold", "diamond", "2026-04-01"),
        ]  # fmt: skip
        for number, before, after, on in changed:
            desk.tell("tier-changes", tier_change(number, before, after, on))
        march = queries.report(["hq/B01"], date(2026, 3, 1))
        assert (march.vips, march.gained, march.lost, march.new, march.customers, march.waiting) == (2, 2, 1, 2, 5, 0)
        assert (march.golds, march.golds_before) == (4, 2)
        assert (march.churn, march.churn_before) == (VipLoss(1, 1), VipLoss(0, 1))
        assert {row["customer_id"]: (row["tier_before"], row["tier_end"]) for row in march.rows} == {
            "C4": ("gold", "platinum"), "C5": (None, "diamond"), "C6": ("platinum", "gold"),
        }  # fmt: skip
        assert {row["tier"]: row["aum_minor"] for row in march.tiers} == {"platinum": 90_000_000, "diamond": 90_000_000}
        february = queries.report(["hq/B01"], date(2026, 2, 1), 1)
        assert (february.vips, february.more, [row["after_minor"] for row in february.rows]) == (
            1,
            False,
            [120_000_000],
        )
        assert {row["rm_id"]: row["customers"] for row in march.managers} == {"RM-1": 4}
        assert queries.report(["hq/B02"], date(2026, 3, 1)).vips == 1
        desk.tell("standings", standing("C3", None, "ordinary", as_of=day("2026-03-30")))
        assert queries.report(["hq/B01"], date(2026, 3, 1)).waiting == 1


@pytest.mark.integration
def test_a_report_is_read_and_leaves_on_record(new_database: Callable[[], str]) -> None:
    """R-017, R-203: with its due state, targets and people; a file for who may export; a month that is none is refused."""
    with open_desk(new_database()) as desk:
        desk.tell("customers", profile("=C4"))
        desk.tell("standings", standing("=C4", 90_000_000, "platinum", customer_ref="evil" + "a" * 22))
        desk.tell("rm-alerts", step("=C4", "case-4"))
        rows = cells(desk, "zhao", "/branch/report")
        assert ["Platinum", "1", "900,000.00 CNY"] in rows
        assert ["New VIPs", "0", "≥ 20", "missed"] in rows
        assert ["RM-1", "Relationship manager", "B01", "2", "–", "–"] in rows
        assert ["=C4", "Platinum", "Platinum", "880,000.00 CNY", "900,000.00 CNY", "1", "RM-1", "B01"] in rows
        own = text(desk, "zhao", "/branch/report?month=2026-03")
        assert "Due: the month ended on 2026-03-31" in own and "C2" not in own and "Export as CSV" not in own
        assert "贵宾客户月报" in text(desk, "zhao", "/branch/report?lang=zh-CN")
        desk.records.clear()
        with desk.client("zhao") as client:
            wrong = ("2026-04", "2024-03", "0000-01", "x", "2026-3")
            assert {client.get(f"/branch/report?month={one}").status_code for one in wrong} == {422}
            assert client.post("/branch/report/export", data={"csrf": "token of zhao"}).status_code == 404
        with desk.client("boss") as client:
            assert "Export as CSV" in client.get("/branch/report").text
            answer = client.post("/branch/report/export?month=2026-03", data={"csrf": "token of boss"})
            assert client.post("/branch/report/export", data={"csrf": "x"}).status_code == 403
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        lines = answer.text.removeprefix("\ufeff").splitlines()
        assert [line.split(",")[0] for line in lines] == ["customer_id", "C2", "'=C4"]
        said = [(one["actor"], one["resource"], one["outcome"]) for one in desk.records if one["action"] == "export"]
        assert said == [
            ("BM-1", "balances of export of the VIP report of hq/B01", "denied"),
            *(("P-1", f"{kind} of export of the VIP report of hq", "allowed") for kind in ("balances", "tier", "alerts")),
        ]  # fmt: skip
