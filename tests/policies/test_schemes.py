"""Every scheme's figures, to the fen on both sides of each end, and what its pack promises: one test a rule."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from policies import available_packs, load_pack
from policies.cases.decision import decide_facts
from policies.cases.facts import FactError
from policies.model import metrics

CENT = Decimal("0.01")
PACKS = {name: load_pack(name) for name in available_packs()}
TEMPLATES = {
    "layered-essay", "regional-unified", "service-centre", "mid-high-care", "three-card", "medal-annual",
    "delegated-standard", "wealth-card", "named-list", "practice-a", "practice-b",
}  # fmt: skip


def tier(pack: str, kind: str = "personal", **facts: Any) -> str:
    """The tier that a pack gives for facts."""
    return decide_facts(PACKS[pack], kind, facts).tier


def flags(pack: str, kind: str = "personal", **facts: Any) -> set[str]:
    """The flags beside it."""
    return set(decide_facts(PACKS[pack], kind, facts).flags)


# (pack, class, fact, other facts, lower tier, from this amount, higher tier, rules shown)
ENDS = [
    ("green-channel", "personal", "daily_avg_deposit", {}, "ordinary", 200_000, "vip", "R-009"),
    ("green-channel", "corporate", "daily_avg_deposit", {}, "ordinary", 5_000_000, "vip", "R-004 R-010"),
    ("deposit-or-loan", "personal", "deposit_12m_avg", {}, "ordinary", 5_000_000, "vip", "R-139"),
    ("deposit-or-loan", "personal", "loan_balance", {"deposit_12m_avg": 0}, "ordinary", 10_000_000, "vip", "R-139"),
    ("deposit-or-loan", "personal", "deposit_12m_avg", {}, "vip", 10_000_000, "vvip", "R-140"),
    ("deposit-or-loan", "personal", "loan_balance", {"deposit_12m_avg": 0}, "vip", 20_000_000, "vvip", "R-140"),
    ("hq-level", "personal", "savings_12m_avg", {"filed": True}, "ordinary", 500_000, "hq-vip", "R-156"),
    ("hq-level", "personal", "loan_balance", {"savings_12m_avg": 0, "filed": True}, "ordinary", 1_000_000, "hq-vip", "R-157"),
    ("hq-level", "personal", "card_spend_12m", {"savings_12m_avg": 0, "filed": True}, "ordinary", 100_000, "hq-vip", "R-158"),
    ("prior-month-aum", "personal", "prev_month_avg", {}, "ordinary", 50_000, "gold", "R-186 R-188"),
    ("prior-month-aum", "personal", "prev_month_avg", {}, "gold", 300_000, "platinum", "R-188 R-189"),
    ("prior-month-aum", "personal", "prev_month_avg", {}, "platinum", 1_000_000, "diamond", "R-189 R-190"),
    ("prior-month-aum", "personal", "prev_month_avg", {}, "diamond", 6_000_000, "private", "R-190 R-191"),
    ("layered-care", "personal", "assets", {}, "layer-none", 50_000, "layer-filed", "R-205"),
    ("layered-care", "personal", "assets", {}, "layer-filed", 200_000, "layer-outlet", "R-205 R-210"),
    ("layered-care", "personal", "assets", {}, "layer-outlet", 1_000_000, "layer-section", "R-209"),
    ("layered-care", "personal", "assets", {}, "layer-section", 5_000_000, "layer-president", "R-208"),
    ("rolling-quarter-aum", "personal", "quarter_avg", {}, "ordinary", 100_000, "gold", "R-231 R-232"),
    ("rolling-quarter-aum", "personal", "quarter_avg", {}, "gold", 500_000, "platinum", "R-232 R-233"),
    ("rolling-quarter-aum", "personal", "quarter_avg", {}, "platinum", 1_000_000, "diamond", "R-233 R-234"),
    ("rolling-quarter-aum", "personal", "quarter_avg", {}, "diamond", 6_000_000, "private", "R-234 R-235"),
    ("abcd-layers", "personal", "assets", {}, "d", 10_000, "c", "R-280 R-281"),
    ("abcd-layers", "personal", "assets", {}, "c", 50_000, "b", "R-279 R-280"),
    ("abcd-layers", "personal", "assets", {}, "b", 200_000, "a", "R-278 R-279"),
    ("abc-bands", "personal", "balance", {}, "c", 10_000, "b", "R-282"),
    ("abc-bands", "personal", "balance", {}, "b", 200_000, "a", "R-282"),
]  # fmt: skip


@pytest.mark.parametrize(("pack", "kind", "fact", "others", "lower", "amount", "higher", "rules"), ENDS)
def test_ends_of_every_scheme(pack, kind, fact, others, lower, amount, higher, rules):
    """R-002, R-009, R-010, R-139, R-140, R-156, R-157, R-158, R-186, R-188 to R-191, R-205, R-208 to R-210, R-231 to R-235,
    R-279 to R-282: below the end the lower tier, on it and above it the higher one; a thousandth of a fen is enough.
    """
    for value, expected in (
        (amount - CENT, lower), (amount - Decimal("0.000001"), lower), (Decimal(amount), higher), (amount + CENT, higher),
    ):  # fmt: skip
        assert tier(pack, kind, **{**others, fact: value}) == expected


@pytest.mark.parametrize(("amount", "expected"), [(300_000, "gold"), (1_000_000, "platinum"), (5_000_000, "diamond")])
def test_three_months_in_a_row(amount, expected):
    """R-123, R-124, R-125, C-03: each of the last three months must reach it; no mean makes up for a short one."""
    names = ["ordinary", "gold", "platinum", "diamond"]
    lower = names[names.index(expected) - 1]
    for place in range(3):
        months = [Decimal(amount)] * 3
        assert tier("three-month-card", month_avgs=months) == expected
        months[place] -= CENT
        assert tier("three-month-card", month_avgs=months) == lower
    assert tier("three-month-card", month_avgs=[amount * 9, amount * 9]) == "ordinary"


def test_one_person_one_total():
    """R-122, R-121: the accounts of a person in several branches are added up, month by month, bank-wide."""
    halves = [{"month_avgs": [150_000, 150_000, 150_000]}, {"month_avgs": [150_000, 150_000, 149_999]}]
    assert tier("three-month-card", accounts=halves) == "ordinary"
    halves[1]["month_avgs"][2] = 150_000
    assert tier("three-month-card", accounts=halves) == "gold"
    assert PACKS["three-month-card"].applies_to == "all-branches"


def test_same_letters_mean_other_amounts():
    """R-001, R-282, C-02, C-22: a tier's name says nothing without its pack."""
    at = {name: tier(name, **{fact: 100_000}) for name, fact in (("abcd-layers", "assets"), ("abc-bands", "balance"))}
    assert at == {"abcd-layers": "b", "abc-bands": "b"}
    assert tier("abcd-layers", assets=20_000) == "c"
    assert tier("abc-bands", balance=20_000) == "b"
    assert tier("prior-month-aum", prev_month_avg=60_000) == "gold"
    assert tier("rolling-quarter-aum", quarter_avg=60_000) == "ordinary"


def test_classes_side_by_side():
    """R-003, R-004, R-130, R-259, R-075: one bank, one pack, each class by its own standard."""
    facts = {"tx_3m": 5, "tenure_months": 12, "good_record": True}
    assert tier("asset-frequency-tenure", "personal", assets=1_000_000, **facts) == "vip"
    assert tier("asset-frequency-tenure", "corporate", assets=1_000_000, **facts) == "ordinary"
    assert tier("asset-frequency-tenure", "corporate", assets=5_000_000, **facts) == "vip"
    assert tier("deposit-or-loan", "corporate", deposit_12m_avg=99_000_000) == "ordinary"
    assert {name for name, pack in PACKS.items() if set(pack.classes) == {"personal", "corporate"}} == {
        "green-channel", "layered-essay", "service-centre", "delegated-standard", "deposit-or-loan",
        "asset-frequency-tenure",
    }  # fmt: skip
    with pytest.raises(FactError, match="no class corporate"):
        tier("abc-bands", "corporate", balance=1)


@pytest.mark.parametrize("missing", ["assets", "tx_3m", "tenure_months", "good_record"])
def test_all_of_activity_and_tenure(missing):
    """R-258, R-260, R-261, C-20, C-40: assets, activity, tenure and record together; none makes up for another."""
    good = {"assets": 1_000_000, "tx_3m": 5, "tenure_months": 12, "good_record": True}
    assert tier("asset-frequency-tenure", **good) == "vip"
    less = {**good, missing: False if missing == "good_record" else good[missing] - 1}
    assert tier("asset-frequency-tenure", **less) == "ordinary"


@pytest.mark.parametrize(("assets", "band"), [(199_999, None), (200_000, "a2"), (499_999, "a2"), (500_000, "a1")])
def test_bands_of_the_highest_layer(assets, band):
    """R-277, R-278, C-22: a is one tier with two bands."""
    assert decide_facts(PACKS["abcd-layers"], "personal", {"assets": assets}).band == band


def test_loan_limb_needs_good_repayment():
    """R-157, C-36: an overdue loan or a bad record voids the loan limb only; a veto is the alternative."""
    loan = {"savings_12m_avg": 0, "loan_balance": 1_000_000, "filed": True}
    assert tier("hq-level", **loan) == "hq-vip"
    assert tier("hq-level", **loan, loan_overdue=True) == tier("hq-level", **loan, bad_record=True) == "ordinary"
    assert tier("hq-level", **{**loan, "savings_12m_avg": 500_000}, bad_record=True) == "hq-vip"


def test_filed_then_vip():
    """R-159, R-151: who meets the standard is eligible, and VIP once it is filed; meeting it is needed all the same."""
    assert tier("hq-level", savings_12m_avg=500_000) == "ordinary"
    assert flags("hq-level", savings_12m_avg=500_000) == {"eligible"}
    assert flags("hq-level", savings_12m_avg=500_000, filed=True) == {"vip"}
    assert flags("hq-level", savings_12m_avg=1, filed=True) == set()


def test_exceptions_are_approved_one_by_one():
    """R-160, R-118, R-127, C-39: notables come in when the other role has approved; the approver may name the card."""
    assert tier("hq-level", savings_12m_avg=1, notable=True) == "ordinary"
    assert tier("hq-level", savings_12m_avg=1, notable=True, approved=True) == "hq-vip"
    few = {"month_avgs": [1, 1, 1], "notable": True, "approved": True}
    assert tier("three-month-card", **few) == "ordinary"  # nobody named a card
    assert tier("three-month-card", **few, approved_tier="platinum") == "platinum"
    for name in ("hq-level", "three-month-card"):
        rules = PACKS[name].classes["personal"].notables
        assert rules.request_by != rules.approve_by


def test_branch_tier_is_empty_until_set():
    """R-161, R-151: nobody is branch-vip before a branch has set its standard."""
    policy = PACKS["hq-level"].classes["personal"]
    assert [(t.id, t.unset) for t in policy.tiers] == [("ordinary", False), ("branch-vip", True), ("hq-vip", False)]
    assert "classes.personal.tiers.branch-vip" in PACKS["hq-level"].branches.may_set


def test_card_held_and_standard_are_two_facts():
    """R-192, R-011, C-07: the tier is that of the card held; standard or below-standard says whether it is still met."""
    outcome = decide_facts(PACKS["prior-month-aum"], "personal", {"prev_month_avg": 40_000, "card_held": "diamond"})
    assert (outcome.tier, outcome.measured, outcome.card) == ("diamond", "ordinary", "diamond")
    assert "below-standard" in outcome.flags
    assert "standard" in flags("prior-month-aum", prev_month_avg=9_000_000, card_held="gold")
    assert flags("prior-month-aum", prev_month_avg=60_000, card_held="none") == {"eligible"}


def test_potential_customers():
    """R-193, R-040, C-14: several products, notables, company heads or growth below the standard raise the flag."""
    for fact in ({"product_families": 3}, {"public_figure": True}, {"company_head": True}, {"growing": True}):
        assert "potential_customer" in flags("prior-month-aum", prev_month_avg=100, card_held="none", **fact)
        assert "potential_customer" not in flags("prior-month-aum", prev_month_avg=50_000, card_held="none", **fact)
    assert "potential_customer" not in flags(
        "prior-month-aum", prev_month_avg=100, card_held="none", product_families=2
    )
    assert flags("green-channel", daily_avg_deposit=1, payroll_link=True) == {"potential_customer"}


def test_staff_card_proves_nothing():
    """R-012, C-13: an employee's card is another type; it makes no VIP and is marked."""
    assert tier("green-channel", daily_avg_deposit=1, card_holder="staff") == "ordinary"
    assert flags("green-channel", daily_avg_deposit=1, card_holder="staff") == {"courtesy"}


def test_medal_by_age_means_and_own_table():
    """R-109, R-111, C-15: from 30 on, with a fixed income or stable wealth, by the bank's own table."""
    good = {"age": 30, "fixed_income": True, "own_standard": "silver"}
    assert tier("medal-annual", **good) == "silver"
    assert tier("medal-annual", **{**good, "age": 29}) == "ordinary"
    assert tier("medal-annual", **{**good, "fixed_income": False}) == "ordinary"
    assert tier("medal-annual", **{**good, "own_standard": "none"}) == "ordinary"
    assert tier("medal-annual", **good, application=False) == "ordinary"


def test_medal_is_reviewed_once_a_year():
    """R-110, R-117, C-16: between reviews nothing changes; a pinned customer is reviewed against the older version."""
    held = {"age": 45, "fixed_income": True, "own_standard": "bronze", "current": "gold"}
    assert tier("medal-annual", **held, months_since_review=11) == "gold"
    assert tier("medal-annual", **held, months_since_review=12) == "bronze"
    assert tier("medal-annual", **held, months_since_review=12, pinned_standard="silver") == "silver"
    assert "pinned" in flags("medal-annual", **held, months_since_review=12, pinned_standard="silver")


def test_templates_have_open_numbers():
    """R-001: where the rules give no number the pack says `open`; only such packs are templates, and none is compiled."""
    assert {name for name, pack in PACKS.items() if pack.open_numbers()} == TEMPLATES
    assert len(PACKS) == 21


@pytest.mark.parametrize("pack_id", sorted(PACKS))
def test_tiers_are_ordered_and_named_in_both_languages(pack_id):
    """R-099, R-001: tiers are scoped by the pack, in order, with names in Chinese and English."""
    for policy in PACKS[pack_id].classes.values():
        assert policy.tiers[0].when is None
        for one in policy.tiers:
            assert one.name.zh and one.name.en
            assert any("一" <= letter <= "鿿" for letter in one.name.zh) or one.name.zh.isascii()
    assert [t.id for t in PACKS["three-card"].classes["personal"].tiers] == ["ordinary", "gold", "platinum", "diamond"]


def services(pack: str, of: str, day: dt.date = dt.date(2026, 1, 1), kind: str = "personal") -> set[str]:
    """The services of a tier."""
    return {s.id for s in PACKS[pack].classes[kind].services if s.shown(of, day)}


def test_catalogues():
    """R-029, R-030, R-079, R-112, R-119, R-134, R-143, R-165, R-169, R-249, R-250, R-302, R-303: entitlements a tier, as
    data of the pack.
    """
    assert {"loan-priority", "loan-rate", "credit-line", "fee-waiver", "points-gifts"} <= services(
        "green-channel", "vip"
    )
    assert "loan-rate" not in services("green-channel", "vip", kind="corporate")  # C-35
    assert services("service-centre", "vip") == {"hotline", "analysis", "vip-products"}
    assert services("medal-annual", "bronze") < services("medal-annual", "silver") < services("medal-annual", "gold")
    families = {s.family for s in PACKS["three-month-card"].classes["personal"].services}
    assert families == {"priority", "preferential", "value-added", "individual"}
    assert {"first-right", "vip-room", "cross-border"} == services("delegated-standard", "vip")
    assert {"travel", "health"} <= services("deposit-or-loan", "vvip")
    assert {"planning", "card-fee", "loan-rate"} <= services("practice-a", "vip")
    assert {"counter", "plan", "butler"} <= services("practice-b", "vip")
    assert "fee-relief" in services("rolling-quarter-aum", "gold")  # C-18
    assert "vip-area" not in services("rolling-quarter-aum", "gold")
    assert {"vip-window", "private-place", "market-news"} == services("abcd-layers", "a")
    for pack in PACKS.values():
        for policy in pack.classes.values():
            assert not policy.is_vip(policy.tiers[0].id)
            assert not [s for s in policy.services if policy.tiers[0].id in s.tiers]


def test_fee_tables_fall_with_the_card():
    """R-095, R-098: each card of the three has its own fees."""
    fees = {card: services("three-card", card) - {"vip-area"} for card in ("gold", "platinum", "diamond")}
    assert fees == {"gold": {"fee-gold"}, "platinum": {"fee-platinum"}, "diamond": {"fee-diamond"}}


def test_services_never_depend_on_sales():
    """R-116: a service may ask for records, such as the agreement; there is no way to make it depend on a sale."""
    allowed = {"application", "filing", "agreement", "consent", "verification"}
    for pack in PACKS.values():
        for policy in pack.classes.values():
            assert all(set(s.requires) <= allowed for s in policy.services)
    assert services("deposit-or-loan", "vip") and all(
        s.requires == ("agreement",) for s in PACKS["deposit-or-loan"].classes["personal"].services
    )


def test_services_before_their_launch_are_hidden():
    """R-173, R-174, C-32: each service has a launch date, a price and a cost."""
    assert services("wealth-card", "vip", dt.date(2010, 12, 31)) == {"advice"}
    assert services("wealth-card", "vip", dt.date(2011, 1, 1)) == {"advice", "airport"}
    airport = next(s for s in PACKS["wealth-card"].classes["personal"].services if s.id == "airport")
    assert (airport.price, airport.cost) == (Decimal(0), Decimal(120))


def responsible(pack: str, of: str, kind: str = "personal") -> str:
    """The one accountable role of a tier."""
    (found,) = [duty.accountable for duty in PACKS[pack].classes[kind].responsibility if of in duty.tiers]
    return found


def test_one_accountable_role_a_layer():
    """R-042, R-043, R-044, R-046, R-208, R-209, R-210, C-08, C-09: each layer has one accountable role."""
    assert [responsible("layered-essay", t) for t in ("esteemed", "premier")] == ["relationship-manager"] * 2
    assert responsible("layered-essay", "potential", "corporate") == "outlet-manager"
    assert responsible("layered-essay", "general") == "teller"
    layers = ("layer-outlet", "layer-section", "layer-president")
    assert [responsible("layered-care", t) for t in layers] == [
        "outlet-wealth-manager",
        "section-head",
        "branch-president",
    ]


def test_contact_cadence():
    """R-214, R-216, R-217, R-218, R-245, R-266, C-33: contacts, invitations, bulk messages, each with its own quota."""
    care = {c.id: c for c in PACKS["layered-care"].classes["personal"].contacts}
    assert [care["contact"].met(done) for done in (1, 2, 3)] == [False, True, True]
    assert (care["salon"].count, care["salon"].per) == (2, "year")
    assert (care["bulk-message"].count, care["bulk-message"].per) == (4, "month")
    assert "layer-outlet" not in care["gift"].tiers
    call = PACKS["rolling-quarter-aum"].classes["personal"].contacts[0]
    assert [call.met(done) for done in (0, 1, 2)] == [False, True, True]
    assert "gold" not in call.tiers
    back = PACKS["asset-frequency-tenure"].classes["corporate"].contacts[0]
    assert (back.count, back.per) == (1, "month")


def test_portfolio_minimums():
    """R-203, C-24: at least so many customers a person, by role."""
    assert PACKS["named-list"].classes["personal"].portfolio == {
        "outlet-head": 25, "lobby-manager": 25, "accounting-supervisor": 20, "teller": 10, "back-office": 10,
        "rural-business-manager": 5,
    }  # fmt: skip


def test_head_of_a_pack():
    """R-072, R-103, R-153, R-194, R-195, R-220, R-226, R-254, R-255, R-276: where it holds, who owns and edits it, since
    when, and what it replaces. Texts stored twice are one pack (C-43).
    """
    rolling = PACKS["rolling-quarter-aum"]
    assert rolling.applies_to == "all-branches"
    assert (rolling.version, rolling.effective_from) == (2, dt.date(2018, 1, 1))
    assert rolling.supersedes and rolling.owner == "wealth-management-department"
    assert PACKS["three-card"].edited_by == "head-office"
    assert PACKS["hq-level"].owner == "personal-banking-department"
    assert PACKS["delegated-standard"].applies_to == "branch"
    assert "graded" in PACKS["prior-month-aum"].principles
    assert [step.month for step in PACKS["asset-frequency-tenure"].rollout] == [1, 2, 3, 4, 5]
    assert len({(pack.id, pack.version) for pack in PACKS.values()}) == len(PACKS)


def test_asset_lists():
    """R-187, R-225, R-229, R-230, C-31, C-44: the listed types are added, foreign currency and agency included; no loans."""
    parts = {"deposits": 15_000, "fx_deposits_in_cny": 5_000, "treasury_bonds": 10_000, "wealth_products": 5_000,
             "trust_plans": 5_000, "am_plans": 5_000, "funds": 3_000, "insurance": 2_000}  # fmt: skip
    assert tier("prior-month-aum", components=parts) == "gold"
    for name in parts:
        assert tier("prior-month-aum", components={k: v for k, v in parts.items() if k != name}) == "ordinary"
    assert tier("rolling-quarter-aum", components={"deposits": Decimal("99999.99"), "loan_balance": 9}) == "ordinary"
    supplied = {a for s in PACKS["rolling-quarter-aum"].sources.values() for a in s.supplies}
    assert supplied == PACKS["rolling-quarter-aum"].scopes["aum"]
    for pack in PACKS.values():
        assert not any("credit" in scope for scope in pack.scopes.values())


def test_several_indicators_beside_the_balance():
    """R-064, R-074, R-075, R-154, R-224, R-023: any of several indicators, with figures of the bank's own."""
    vip = PACKS["regional-unified"].classes["personal"].tiers[1]
    assert len(vip.when.parts) == 5
    assert {"credit_score", "contribution"} == set(PACKS["regional-unified"].facts)
    assert metrics.kind("contribution") is None
    hq = PACKS["hq-level"].classes["personal"].tiers[2].when
    assert len(hq.parts) == 3


def test_holder_applies_for_less():
    """R-129, C-17: a downgrade is made when the holder applies; without assets for any card, the card is given back."""
    low = {"card_held": "platinum", "month_avgs": [400_000, 400_000, 400_000]}
    assert tier("three-month-card", **low) == "platinum"
    assert tier("three-month-card", **low, downgrade_applied=False) == "platinum"
    assert tier("three-month-card", **low, downgrade_applied=True) == "gold"
    assert tier("three-month-card", card_held="gold", month_avgs=[1, 1, 1], downgrade_applied=True) == "ordinary"
    assert tier("three-month-card", card_held="gold", month_avgs=[9_000_000] * 3, upgrade_applied=True) == "diamond"


def test_short_histories_and_exceptions_without_figures():
    """R-118, C-12, C-39: months before the account opened count as 0; an exception needs no figures."""
    quarter = {"month_avgs": [276_000, 0], "month_days": [31, 30, 31]}
    assert tier("rolling-quarter-aum", **quarter) == "ordinary"  # 276000 x 30 / 92 = 90000
    assert tier("three-month-card", notable=True, approved=True, approved_tier="diamond") == "diamond"
