"""The language beyond the shipped packs: settings of readings, open numbers, own facts, supplements, and what is refused."""

import datetime as dt
from fractions import Fraction

import pytest

from policies import AllOf, AnyOf, Limit, PackError, decide, load_pack, parse_pack
from policies.cases.decision import decide_facts
from policies.diff import differences, obstacles

HQ = load_pack("hq-level").body
THREE = load_pack("three-month-card").body
BANDS = load_pack("abc-bands").body
BANDS = BANDS[: BANDS.index("      - id: upgrade-near")]  # not every criterion below can be foreseen


def personal(text: str):
    """The personal class of a pack's text."""
    return parse_pack(text).classes["personal"]


def test_combination_is_a_setting():
    """R-154, C-04: `combine` says whether one limb is enough; the literal alternative is one word away."""
    one_limb = {"savings_12m_avg": 800_000, "filed": True}
    assert decide_facts(parse_pack(HQ), "personal", one_limb).tier == "hq-vip"
    every = parse_pack(HQ.replace("combine: any", "combine: all"))
    assert decide_facts(every, "personal", one_limb).tier == "ordinary"
    assert isinstance(every.classes["personal"].tiers[2].when, AllOf)
    assert isinstance(personal(HQ).tiers[2].when, AnyOf)


def test_months_each_or_their_mean():
    """R-123, C-03: `mode: each` asks every month, `mode: mean` their mean, as the rule may also be read."""
    short = {"month_avgs": [310_000, 305_000, 299_999]}
    assert decide_facts(parse_pack(THREE), "personal", short).tier == "ordinary"
    mean = parse_pack(THREE.replace("mode: each", "mode: mean"))
    assert decide_facts(mean, "personal", short).tier == "gold"
    when = mean.classes["personal"].tiers[1].when
    assert isinstance(when, Limit)
    assert when.metric == "months_mean[3]"


def test_veto_is_a_setting():
    """R-157, C-36: as an option a bad record bars the tier, whatever limb is met."""
    start = HQ.index("    # C-36, the alternative")
    text = HQ[:start] + "    veto: {metric: bad_record, is: true}\n" + HQ[HQ.index("\n", start) + 1 :]
    rich = {"savings_12m_avg": 9_000_000, "filed": True, "bad_record": True}
    assert decide_facts(parse_pack(HQ), "personal", rich).tier == "hq-vip"
    assert decide_facts(parse_pack(text), "personal", rich).tier == "ordinary"


def test_tiers_of_one_rank():
    """R-040, C-42: tiers that are not ranked share a level; a move between them is neither up nor down."""
    policy = load_pack("layered-essay").classes["personal"]
    assert [policy.level(tier.id) for tier in policy.tiers] == [0, 1, 2, 2]
    ordered = personal(load_pack("layered-essay").body.replace("        same_rank_as: esteemed\n", ""))
    assert [ordered.level(tier.id) for tier in ordered.tiers] == [0, 1, 2, 3]


def test_operators_and_ends():
    """R-002: minimum is inclusive, above exclusive; below and at_most likewise from the other side."""
    for word, met in (("minimum", [False, True, True]), ("above", [False, False, True]),
                      ("below", [True, False, False]), ("at_most", [True, True, False])):  # fmt: skip
        policy = personal(BANDS.replace('minimum: "200000.00"', f'{word}: "200000.00"').replace("balance", "aum"))
        values = [
            {("aum", "deposits"): Fraction(200_000) + step} for step in (Fraction(-1, 10**9), 0, Fraction(1, 10**9))
        ]
        assert [decide(policy, v) == "a" for v in values] == met


def test_own_facts():
    """R-224, R-154, R-023: a pack may ask for figures of the bank's own, with what stands in where none was sent."""
    text = BANDS.replace("classes:\n", "facts:\n  loyalty: {kind: count, absent: 3}\n\nclasses:\n", 1).replace(
        'when: {metric: balance, scope: deposits, minimum: "200000.00"}', 'when: {metric: loyalty, minimum: "4"}'
    )
    pack = parse_pack(text)
    facts = {"balance": 0}
    assert decide_facts(pack, "personal", facts).tier == "c"
    assert decide_facts(pack, "personal", {**facts, "loyalty": 4}).tier == "a"
    with pytest.raises(PackError, match="age is a metric already"):
        parse_pack(text.replace("loyalty", "age"))


def test_a_template_is_filled_in():
    """R-109, R-111: the bank's own table takes the place of `open`; then the pack may be put into force."""
    body = load_pack("medal-annual").body
    assert obstacles(parse_pack(body)) == [
        f"personal.{tier} aum is still open: fill the number in" for tier in ("bronze", "silver", "gold")
    ]
    for amount in ("50000.00", "200000.00", "1000000.00"):
        body = body.replace("minimum: open", f'minimum: "{amount}"', 1)
    pack = parse_pack(body)
    assert obstacles(pack) == []
    facts = {"age": 40, "fixed_income": True}
    for amount, tier in ((49_999, "ordinary"), (50_000, "bronze"), (200_000, "silver"), (1_000_000, "gold")):
        assert decide_facts(pack, "personal", {**facts, "assets": amount}).tier == tier


SUPPLEMENT = "supplement: {base: hq-level, branch: B012, filed_on: 2026-01-15, approved_by: head-office-42}\n"


def branch_pack(text: str) -> str:
    """A branch's version of the head-office pack, with its own figure for branch-vip."""
    own = '        when: {metric: savings_12m_avg, scope: savings, minimum: "200000.00"}\n'
    return text.replace("        unset: true\n", own).replace("\nscopes:", f"\n{SUPPLEMENT}\nscopes:", 1)


def test_a_branch_sets_its_own_tier():
    """R-131, R-155, R-161, R-172: a branch's supplement is in force once it is filed and approved."""
    base, branch = parse_pack(HQ), parse_pack(branch_pack(HQ))
    assert obstacles(branch, base) == []
    assert decide_facts(branch, "personal", {"savings_12m_avg": 200_000, "filed": True}).tier == "branch-vip"
    assert decide_facts(base, "personal", {"savings_12m_avg": 200_000, "filed": True}).tier == "ordinary"
    unfiled = parse_pack(branch_pack(HQ).replace("filed_on: 2026-01-15, ", ""))
    assert obstacles(unfiled, base) == ["not yet filed with head-office"]
    assert obstacles(branch, base, dt.date(2026, 1, 14)) == ["not yet filed with head-office"]
    alone = parse_pack(branch_pack(HQ).replace(", approved_by: head-office-42", ""))
    assert obstacles(alone, base) == ["not yet approved by head-office"]


def test_locked_thresholds():
    """R-067, R-155: what the base does not leave to branches is locked; an indicator more is refused as well."""
    base = parse_pack(HQ)
    lower = parse_pack(branch_pack(HQ).replace('"500000.00"', '"400000.00"'))
    assert [o for o in obstacles(lower, base) if "locked" in o] == [
        "classes.personal.tiers.hq-vip.when is locked by hq-level"
    ]
    more = branch_pack(HQ).replace(
        'minimum: "100000.00"}', 'minimum: "100000.00"}\n            - {metric: age, minimum: "60"}'
    )
    assert any("locked" in o for o in obstacles(parse_pack(more), base))


def test_differences_name_fields():
    """R-226: what a new version changes is shown field by field."""
    base = parse_pack(HQ)
    new = parse_pack(HQ.replace("version: 2", "version: 3").replace('"500000.00"', '"600000.00"'))
    assert [change.path for change in differences(base, new)] == ["classes.personal.tiers.hq-vip.when", "version"]
    assert differences(base, base) == []


# (pack, what is replaced, by what, field, words of the message)
REFUSED = [
    ("hq-level", "requires: [filing]", "requires: [blessing]", "status.requires[0]", "is not one of"),
    ("hq-level", "combine: any", "combine: some", "tiers[2].when.combine", "is not one of any, all"),
    ("hq-level", "approve_by: tier-1-branch", "approve_by: tier-2-branch", "", "approved by another"),
    (
        "hq-level",
        "unset: true",
        "unset: true\n        when: {metric: age, minimum: '1'}",
        "tiers[1]",
        "field when is missing",
    ),
    ("hq-level", "is: false", "is: maybe", "tiers[2].when.of[1].all[1].is", "not one of true, false"),
    ("three-month-card", "months: 3", "months: 13", "tiers[1].when.months", "must be from 2 to 12"),
    ("abcd-layers", "metric: assets,", "metric: assets, months: 3,", "tiers[1].when", "months and mode belong to"),
    ("wealth-card", "by: wealth-manager", "needs_standard: true", "", "needs the role in `by`"),
    ("wealth-card", "valid_months: 24", "valid_months: 0", "cards.valid_months", "must be from 1 to 240"),
    ("wealth-card", "launch: 2011-01-01", "launch: soon", "services[1].launch", "expected a date"),
    ("medal-annual", "    review: {months: 12}", "    # review", "", "need the section review"),
    ("layered-care", "tiers: [layer-section], accountable", "tiers: [layer-outlet], accountable", "", "more than one"),
    ("layered-essay", "same_rank_as: esteemed", "same_rank_as: general", "tiers[3]", "is not the tier before"),
    ("layered-care", "tiers: [layer-filed]", "tiers: [layer-9]", "responsibility[0].tiers[0]", "is not one of"),
    ("abc-bands", "    queue:", "    quene:", "", "field queue is missing"),
]


@pytest.mark.parametrize(("pack", "old", "new", "field", "words"), REFUSED, ids=[f"{r[0]}-{r[2]:.20}" for r in REFUSED])
def test_what_is_refused(pack, old, new, field, words):
    """Whatever does not fit is refused by file, line and field."""
    body = load_pack(pack).body
    assert old in body
    with pytest.raises(PackError) as caught:
        parse_pack(body.replace(old, new, 1), "mine.yaml")
    found = [p for p in caught.value.problems if words in p.message and p.field.endswith(field)]
    assert found and found[0].file == "mine.yaml" and found[0].line > 1, str(caught.value)
