"""Alerts out of the outlook: raised at the close that foresees it, for idle customers too, deepened, closed, once."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.standing.decide.outlook_alerts import LAST_ALERT
from agents.standing.job import StandingJob
from agents.standing.model import StandingConf
from policies import PackError, load_pack, parse_pack
from streams.alerts import outlook_alerts
from streams.averages.outlook import UNREACHABLE, Outlook
from streams.calendar import NO_DAY
from tests.standing.partition import Partition, Topics, customer
from tests.standing.test_recovery import Crashing
from tests.streams.fast import unshrunk
from tests.twins.events import day, posting, rate
from tests.twins.foresight import SlowRule, SlowWatch, View

GOLD = 10_000_000
RULES = """
      - id: near
        name: {zh: 即将升级, en: Next tier near}
        outlook: upgrade_near
        severity: info
        cool_down_days: 10
        at_most: {ordinary: "20000.00"}
        basis_points: {gold: 1000}

      - id: risk
        name: {zh: 降级风险, en: Tier at risk}
        outlook: downgrade_risk
        severity: medium
        cool_down_days: 30
        within_days: {gold: 45, platinum: 0}
"""
BODY = load_pack("rolling-quarter-aum").body
PACK = parse_pack(BODY[: BODY.index("\n      - id: upgrade-near")] + RULES)  # in place of its own
KINDS_TOLD = ("outflow", "downgrade_risk")
CONF = StandingConf("CNY", "Asia/Shanghai", PACK, b"a key of the tests")


def run(*steps) -> Partition:
    """A job under the pack with rules on the outlook."""
    return Partition(Topics().tell(steps), StandingJob(CONF)).run()


def closes(first: str, last: str) -> list[int]:
    """Every day's close."""
    return list(range(day(first), day(last) + 1))


def said(found: Partition, rule: str) -> list[tuple[str, int, int]]:
    """(status, day of the close, day it was raised) of a rule's records."""
    records = [a for a in found.of("rm-alerts") if a["rule"] == rule]
    return [(a["status"], day(a["caused_by"].removeprefix("close/")), a["raised_day"]) for a in records]


def test_an_idle_customer_s_tier_is_at_risk():
    """R-056: he takes all out and is seen no more: told when the day of loss is near, and when the next close takes it."""
    found = run(
        customer("C1"), posting(1, 2 * GOLD, "2024-01-01"), *closes("2024-01-01", "2024-03-31"),
        posting(2, -2 * GOLD, "2024-04-01", nature="own_transfer"), *closes("2024-04-01", "2024-07-31"),
    )  # fmt: skip
    raised, lost = day("2024-04-16"), day("2024-05-31")  # 45 days before the close that takes gold
    assert said(found, "risk") == [
        ("raised", raised, raised),
        ("deepened", day("2024-04-30"), raised),
        ("closed", lost, raised),
    ]
    first, more, over = (a for a in found.of("rm-alerts") if a["rule"] == "risk")
    assert (first["kind"], first["tier"], first["projected_tier"]) == ("downgrade_risk", "gold", "gold")
    assert (first["lost_close"], first["lost_from"], first["next_close"]) == (lost, lost + 1, day("2024-04-30"))
    assert (first["reference_aum_minor"], first["outflow_minor"], first["counterparties"]) == (0, 0, [])
    assert first["projected_minor"] == round(Fraction(2 * GOLD * 60, 90)) and first["to_hold_minor"] == 0
    assert (first["rm_id"], first["branch"], first["severity"]) == ("rm-1", "B1", "medium")
    assert (more["projected_tier"], more["next_close"]) == ("ordinary", lost)
    short = Fraction(GOLD * 92 - 2 * GOLD * 31, 31)
    assert more["to_hold_minor"] == -(-short.numerator // short.denominator)
    assert over["tier"] == "ordinary" and over["lost_close"] is None
    assert (
        len({a["event_id"] for a in (first, more, over)}) == 3
        and len({a["alert_id"] for a in (first, more, over)}) == 1
    )


@pytest.mark.parametrize(("short", "raised"), [(673_913, True), (673_914, False)])
def test_the_next_tier_is_near(short, raised):
    """20,000.00 to hold in July for the average of three months: a fen less held so far, and it is more than that."""
    found = run(posting(1, GOLD - short, "2024-01-01"), day("2024-06-30")).of("rm-alerts")
    assert [a["to_hold_minor"] for a in found] == [2_000_000] * raised
    for alert in found:
        assert (alert["kind"], alert["tier"], alert["next_tier"]) == ("upgrade_near", "ordinary", "gold")
        assert (alert["projected_tier"], alert["next_close"]) == ("ordinary", day("2024-07-31"))
        assert (alert["reference_aum_minor"], alert["lost_close"]) == (GOLD - short, None)


@pytest.mark.parametrize(("short", "raised"), [(1_629_863, True), (1_629_864, False)])
def test_near_as_a_share_of_today_s_money(short, raised):
    """A tenth of what he has, for the average to reach platinum in July."""
    held = 5 * GOLD - short
    assert (-(-short * 92 // 31) * 10 <= held) is raised
    found = run(posting(1, held, "2024-01-01"), day("2024-06-30")).of("rm-alerts")
    assert [(a["rule"], a["next_tier"]) for a in found] == [("near", "platinum")] * raised


@pytest.mark.slow
def test_what_ends_is_closed_and_rests():
    """A small posting brings it within reach, another takes it away; within ten days nothing is raised again."""
    steps = [posting(1, 9_000_000, "2024-01-01"), *closes("2024-01-01", "2024-03-31")]
    assert said(run(*steps), "near") == []
    for seq, amount, first, last in (
        (2, 2_200_000, "2024-04-01", "2024-04-02"),
        (3, -2_200_000, "2024-04-03", "2024-04-04"),
        (4, 2_200_000, "2024-04-05", "2024-04-14"),
    ):
        steps += [posting(seq, amount, first), *closes(first, last)]
    first, again = day("2024-04-01"), day("2024-04-11")
    found = run(*steps)
    over = ("closed", day("2024-04-03"), first)
    assert said(found, "near") == [("raised", first, first), over, ("raised", again, again)]
    raised = [a for a in found.of("rm-alerts") if a["status"] == "raised"]
    # of 91 days' sum 9,000,000 * 91 and more: what is short by the days to come
    assert [a["to_hold_minor"] for a in raised] == [
        -(-short // days) for short, days in ((24_000_000, 29), (28_400_000, 19))
    ]


def test_a_missing_rate_neither_raises_nor_closes():
    """While nothing is known of the closes ahead an alert stands as it is."""
    steps = [posting(1, 2 * GOLD, "2024-01-01"), *closes("2024-01-01", "2024-03-31")]
    steps += [posting(2, -2 * GOLD, "2024-04-01", nature="own_transfer"), *closes("2024-04-01", "2024-04-20")]
    steps += [posting(1, 5, "2024-04-21", account="eur", currency="EUR"), *closes("2024-04-21", "2024-05-02")]
    assert [s for s, *_ in said(run(*steps), "risk")] == ["raised"]
    steps += [rate("EUR", 7_000_000, "2024-04-01"), *closes("2024-05-03", "2024-05-04")]
    assert [s for s, *_ in said(run(*steps), "risk")] == ["raised", "deepened"]


def test_rules_where_nothing_can_be_foreseen():
    """A pack whose tiers are more than minimums of one average is refused, by line and field."""
    body = load_pack("prior-month-aum").body
    with pytest.raises(PackError, match=r"alerts\.near: there is an outlook only where"):
        parse_pack(body.rstrip("\n") + "\n" + RULES.replace("ordinary", "gold").replace("gold: 45", "gold: 4"))
    for old, new, words in (
        ("outlook: upgrade_near", "outlook: upgrade", "'upgrade' is not one of upgrade_near, downgrade_risk"),
        ("within_days: {gold: 45, platinum: 0}", "cool_down_days: 3", "field within_days is missing"),
        (
            '        at_most: {ordinary: "20000.00"}\n        basis_points: {gold: 1000}\n',
            "",
            "give at_most, basis_points",
        ),
    ):
        with pytest.raises(PackError, match=words):
            parse_pack(PACK.body.replace(old, new).replace("cool_down_days: 30\n        cool_down", "cool_down"))


AMOUNTS = st.one_of(st.none(), st.integers(0, 30))
VIEWS = st.one_of(
    st.none(),
    st.builds(
        lambda step, ahead, tier, projected, to_hold, lost, aum: (step, ahead, tier, projected, to_hold, lost, aum),
        st.integers(1, 6), st.integers(1, 40), st.integers(0, 2), st.integers(0, 2),
        st.lists(AMOUNTS, min_size=2, max_size=2), st.one_of(st.none(), st.integers(1, 60)), st.integers(-20, 300),
    ),
)  # fmt: skip
BY_TIER = st.dictionaries(st.integers(0, 2), st.integers(0, 30))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(("upgrade_near", "downgrade_risk")), st.integers(0, 20), BY_TIER,
    st.dictionaries(st.integers(0, 2), st.integers(1, 10_000)), BY_TIER, st.lists(VIEWS, max_size=25),
)  # fmt: skip
def test_columns_are_the_twin_s(kind, cool_down, at_most, share, within, views):
    """Any outlooks, any rule: the same records as one customer after the other in words."""
    slow, last, as_of = SlowWatch(SlowRule(kind, cool_down, at_most, share, within)), np.zeros(1, LAST_ALERT), 100

    def table(values: dict[int, int]) -> np.ndarray:
        return np.array([values.get(tier, -1) for tier in range(3)], np.int64)

    for one in views:
        held = one is None
        step, ahead, tier, projected, to_hold, lost, aum = one or (1, 1, 0, 0, [0, 0], 1, 100)
        as_of += step
        view = None if held else View(as_of, as_of + ahead, tier, projected, to_hold, lost and as_of + lost, aum)
        hold = [UNREACHABLE if amount is None else amount for amount in to_hold]
        now = Outlook(
            as_of, as_of + ahead, np.array([tier]), np.array([projected]), np.array([0]), np.array([hold]),
            np.array([as_of + lost if lost else NO_DAY]), np.array([held]), np.array([aum]),
        )  # fmt: skip
        met = (
            outlook_alerts.near(now, table(at_most), table(share))
            if kind == "upgrade_near"
            else outlook_alerts.at_risk(now, table(within))
        )
        steps = outlook_alerts.follow(kind, last, met, now.tier, now, cool_down)
        after, found = outlook_alerts.told(last, steps, now.tier, now), []
        found += [("closed", int(last["day"][0]))] * int(steps.closed[0])
        found += [("deepened", int(last["day"][0]))] * int(steps.deepened[0])
        found += [("raised", int(after["day"][0]))] * int(steps.raised[0])
        assert found == slow.close(view)
        last = after


@pytest.mark.slow
@settings(unshrunk, max_examples=8)
@given(st.data())
def test_a_crash_raises_nothing_twice(data):
    """Recovered at any close: the same alerts, byte for byte, as without the crash."""
    other = posting(1, 4 * GOLD, "2024-01-01", customer_id="C2", account_id="C2-1")
    steps = [customer("C1"), posting(1, 2 * GOLD, "2024-01-01"), other, *closes("2024-01-01", "2024-03-31")]
    for seq, (at, amount) in enumerate((("2024-04-01", -2 * GOLD), ("2024-05-03", GOLD), ("2024-05-25", -GOLD)), 2):
        steps += [posting(seq, amount, at, nature="own_transfer"), *range(day(at), day(at) + 20)]
    steps += closes("2024-06-14", "2024-06-30")
    log = Topics().tell(steps)
    calm = Partition(log, StandingJob(CONF)).run()
    assert {a["status"] for a in calm.of("rm-alerts")} == {"raised", "deepened", "closed"}
    crashing = Crashing(log, StandingJob(CONF))
    crashing.conf = CONF
    crashing.fence = (crashing.job.positions(), crashing.job.fence())
    for _ in range(data.draw(st.integers(1, 3))):
        for topic in ("customers", "transactions"):
            crashing.feed(topic)
        crashing.feed("business-days", crashing.fed["business-days"] + data.draw(st.integers(1, 80)))
        crashing.work()
        if data.draw(st.booleans()):
            crashing.flush(None)
        crashing = crashing.recovered(data)
    crashing.run()
    assert crashing.published["rm-alerts"] == calm.published["rm-alerts"]
    for rule, last in calm.job.decider.outlook_alerts.last.items():
        assert last[:2].tolist() == crashing.job.decider.outlook_alerts.last[rule][:2].tolist()


def test_ids_of_alerts_outlive_the_reference_key():
    """With a key of their own, alerts of both kinds keep their ids when references change; without one they follow."""
    steps = [
        customer("C1"), posting(1, 2 * GOLD, "2024-01-01"), *closes("2024-01-01", "2024-03-31"),
        posting(2, -2 * GOLD, "2024-04-01"), *closes("2024-04-01", "2024-04-30"),
    ]  # fmt: skip

    def found(conf: StandingConf) -> tuple[set[str], set[str], set[str]]:
        out = Partition(Topics().tell(steps), StandingJob(conf)).run()
        by_kind = {kind: {a["alert_id"] for a in out.of("rm-alerts") if a["kind"] == kind} for kind in KINDS_TOLD}
        return (*by_kind.values(), {row["customer_ref"] for row in out.of("standings")})

    before = found(CONF)
    assert all(before)
    kept = found(replace(CONF, reference_key=b"another", alert_key=CONF.reference_key))
    assert kept[:2] == before[:2] and not kept[2] & before[2]
    assert not any(
        one & other for one, other in zip(found(replace(CONF, reference_key=b"another")), before, strict=True)
    )
