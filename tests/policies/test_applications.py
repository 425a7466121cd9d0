"""Admission by application without a card, and services that are due, free or not."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pytest

from agents.standing.decide.state_rows import Remembered, decode_state, encode_state
from deploy.settings import Settings
from policies import load_pack, parse_pack
from policies.cases.decision import decide_facts
from policies.lifecycle.acts import act
from policies.lifecycle.services import bill
from policies.lifecycle.state import Act, begin, tier_of
from policies.lifecycle.transitions import switch
from policies.model.provisions import Service
from policies.model.terms import Limit, Name
from tests.policies.test_leaving import DIAMOND, GOLD, ORDINARY, PLATINUM, ROLLING, closed, day, policy, tiers_of
from tidegauge.cli.data.refused import Refused


def limit(amount):
    """Less than so much last month."""
    return Limit("month_avg[0]", "aum", "below", Decimal(amount))


def applies(rules, state, tier, on="2024-02-05", joined=None):
    """An application for a tier."""
    return act(rules, state, Act("apply_tier", day(on), details={"tier": tier}, joined=joined))


def refused(said):
    """Why."""
    return [d.reason for d in said if d.kind == "refused"]


def test_a_tier_is_applied_for_without_a_card():
    """Granted from the next day if the last close's standard is at least that tier; else refused, and nothing is changed."""
    rules = policy(up="application", keep_months=12, permanent=(GOLD,))
    state, said = closed(rules, begin(rules), ("2024-01-31", PLATINUM))
    assert [d.kind for d in said] == ["offer"] and tier_of(rules, state) == ORDINARY
    for tier in (GOLD, PLATINUM):
        after, said = applies(rules, state, tier)
        assert tiers_of(said) == [("application", ORDINARY, tier, day("2024-02-06"))]
        assert (after.since, after.reached) == (day("2024-02-06"), GOLD if tier == GOLD else None)
    same, said = applies(rules, state, DIAMOND)
    assert (same, refused(said)) == (state, ["below_standard"])
    assert said[0].evidence == {"action": "apply_tier", "tier": DIAMOND, "measured": PLATINUM}
    assert refused(applies(rules, state, "ruby")[1]) == ["unknown_tier"]
    assert refused(applies(rules, state, ORDINARY)[1]) == ["no_application"]
    assert refused(applies(policy(), state, GOLD)[1]) == ["no_application"], "closes give it"
    assert refused(applies(rules, replace(state, vetoed=True), GOLD)[1]) == ["below_standard"]
    by_card = replace(rules, status=replace(rules.status, basis="card"))
    assert refused(applies(by_card, state, GOLD)[1]) == ["apply_for_card"]


def test_an_application_is_a_record_where_the_pack_asks_for_one():
    """Other records have to be there; closes go on from the tier that was granted."""
    rules = replace(policy(), status=replace(ROLLING.status, requires=("application", "consent")))
    state, _ = closed(rules, begin(rules), ("2024-01-31", GOLD))
    assert refused(applies(rules, state, GOLD)[1]) == ["record_missing"]
    state, _ = act(rules, state, Act("record", day("2024-02-01"), details={"record": "consent"}))
    state, said = applies(rules, state, GOLD)
    assert [after for _, _, after, _ in tiers_of(said)] == [GOLD]
    assert tier_of(rules, closed(rules, state, ("2024-02-29", PLATINUM))[0]) == PLATINUM


def test_the_first_months_need_no_standard():
    """An application is granted without it, and makes nothing permanent; when they are over the standard decides."""
    rules = policy(up="application", exempt_months=6, permanent=(GOLD,))
    joined = day("2024-01-15")
    assert refused(applies(rules, begin(rules), GOLD)[1]) == ["below_standard"]
    state, said = applies(rules, begin(rules), GOLD, joined=joined)
    assert [after for _, _, after, _ in tiers_of(said)] == [GOLD] and state.reached is None
    state, said = closed(rules, state, ("2024-02-29", ORDINARY), ("2024-06-30", ORDINARY), joined=joined)
    assert tiers_of(said) == []
    assert tiers_of(closed(rules, state, ("2024-07-31", ORDINARY), joined=joined)[1])
    assert refused(applies(rules, begin(rules), GOLD, "2024-07-15", joined)[1]) == ["below_standard"]


def test_from_the_close_that_gives_it_a_tier_of_the_first_months_is_one_by_the_standard():
    """It is permanent then, and not before: neither by a lesser standard nor by the application."""
    rules, joined = policy(up="application", exempt_months=6, permanent=(GOLD,)), day("2024-01-15")
    state, _ = applies(rules, begin(rules), GOLD, joined=joined)
    less, _ = closed(rules, state, ("2024-02-29", ORDINARY), joined=joined)
    met, said = closed(rules, state, ("2024-02-29", PLATINUM), joined=joined)
    assert (less.reached, met.reached, tiers_of(said)) == (None, GOLD, [])
    assert tiers_of(closed(rules, met, ("2024-07-31", ORDINARY), joined=joined)[1]) == []


def test_a_service_is_due_free_or_not():
    """By tier, launch, condition and the months from the first day of the tier; told when it becomes another."""
    fee = Service("fee", Name("费", "Fee"), (GOLD,), launch=dt.date(2024, 3, 1), when=limit("50000"), free_months=2)
    rules = replace(policy(), services=(fee, Service("lounge", Name("室", "Lounge"), (GOLD,))))
    state, told = begin(rules), []
    for end, tier, since, met in (
        ("2024-01-31", GOLD, "2024-02-01", True), ("2024-02-29", GOLD, "2024-02-01", True),
        ("2024-03-31", GOLD, "2024-02-01", True), ("2024-04-30", GOLD, "2024-02-01", False),
        ("2024-05-31", GOLD, "2024-02-01", None), ("2024-06-30", GOLD, "2024-02-01", True),
        ("2024-07-31", ORDINARY, "2024-08-01", True),
    ):  # fmt: skip
        state, said = bill(rules, state, day(end), tier, day(since), {} if met is None else {"fee": met})
        told += [(end, d.before, d.after) for d in said]
    assert told == [("2024-02-29", "not", "free"), ("2024-03-31", "free", "due"), ("2024-04-30", "due", "not"),
                    ("2024-06-30", "not", "due"), ("2024-07-31", "due", "not")]  # fmt: skip
    assert state == begin(rules)
    paying = replace(begin(rules), services=(("fee", "due"), ("old", "free")))
    after, said = switch(rules, rules, paying, day("2024-08-01"), ORDINARY, None)
    assert after.services == (("fee", "due"),) and [(d.before, d.after) for d in said] == [("free", "not")]
    assert decode_state(encode_state(paying, Remembered()))[0] == paying


SPELT = """
pack: spelt
version: 1
effective_from: 2024-01-01
name: {zh: 拼, en: Spelt}
scopes: {aum: [deposit_demand]}
classes:
  personal:
    evaluation: {close: month, EVALUATION}
    BESIDE
    tiers:
      - {id: low, name: {zh: 低, en: Low}}
      - {id: mid, name: {zh: 中, en: Mid}, PERMANENT, when: {metric: aum, scope: aum, minimum: "100.00"}}
      - {id: high, name: {zh: 高, en: High}, when: {metric: aum, scope: aum, minimum: "200.00"}}
    queue: {basis: tier, classes: [{id: one, name: {zh: 一, en: One}, head_start_minutes: 0, tiers: [low, mid, high]}]}
"""


def spelt(evaluation="upgrades: month", beside="vip_from: mid", permanent="card: gold"):
    """A pack with some places set."""
    text = SPELT.replace("EVALUATION", evaluation).replace("BESIDE", beside).replace("PERMANENT", permanent)
    return parse_pack(text)


HISTORY = [
    ("keep_months: 12", {"current_since": "2024-02-01"}, "2024-12-31", "high"),
    ("keep_months: 12", {"current_since": "2024-02-01"}, "2025-01-31", "low"),
    ("keep_months: 12", {}, "2024-12-31", "low"),
    ("grace_months: 2", {"months_below": 1}, "2024-12-31", "high"),
    ("grace_months: 2", {"months_below": 2}, "2024-12-31", "low"),
    ("steps: 1", {"highest_reached": "mid"}, "2024-12-31", "mid"),
    ("upgrades: month", {"highest_reached": "mid"}, "2024-12-31", "mid"),
    ("exempt_months: 12", {"relationship_since": "2024-01-15"}, "2024-12-31", "high"),
    ("exempt_months: 12", {"tenure_months": 11}, "2024-12-31", "high"),
    ("exempt_months: 12", {"tenure_months": 12}, "2024-12-31", "low"),
    ("fall_notice_days: 30", {}, "2024-12-31", "high"),
    ("fall_notice_days: 30", {"notice_since": "2024-11-30"}, "2024-12-29", "high"),
    ("fall_notice_days: 30", {"notice_since": "2024-11-30"}, "2024-12-30", "low"),
]


@pytest.mark.parametrize(("evaluation", "facts", "on", "tier"), HISTORY)
def test_decide_takes_the_state_as_facts(evaluation, facts, on, tier):
    """How long he has had the tier, how often he was below it, what he has reached, and what he was told."""
    pack = spelt(evaluation, permanent="permanent: true" if "highest_reached" in facts else "card: gold")
    given = {"current": "high", "aum": 5, **facts}
    assert decide_facts(pack, "personal", given, dt.date.fromisoformat(on)).tier == tier


def test_decide_says_what_is_missing_and_no_more():
    """A record that the pack asks for, by its name; an application that nobody spoke of is not told."""
    pack = spelt(beside="status: {requires: [application, filing, consent]}")
    outcome = decide_facts(pack, "personal", {"aum": 150, "consent": True})
    assert (outcome.tier, outcome.missing) == ("low", ("filing",))
    assert [(d.kind, d.reason) for d in outcome.decisions] == [("record", "record")]
    done = decide_facts(pack, "personal", {"aum": 150, "consent": True, "filed": True})
    assert (done.tier, done.missing) == ("mid", ())
    assert decide_facts(pack, "personal", {"aum": 5}).missing == ()


def test_decide_applies():
    """For the tier that is asked for, after the close; a veto at once bars it."""
    pack = spelt("upgrades: application, exempt_months: 3", "veto: {when: {metric: bad_record, is: true}, at: once}")
    for facts, tier, reasons in (
        ({"aum": 250}, "low", []), ({"aum": 250, "applied_tier": "mid"}, "mid", []),
        ({"aum": 150, "applied_tier": "high"}, "low", ["below_standard"]),
        ({"aum": 5, "applied_tier": "high", "tenure_months": 1}, "high", []),
        ({"aum": 250, "applied_tier": "mid", "bad_record": True}, "low", ["below_standard"]),
    ):  # fmt: skip
        outcome = decide_facts(pack, "personal", facts)
        assert (outcome.tier, refused(outcome.decisions)) == (tier, reasons), facts


def test_decide_stops_at_the_first_refusal():
    """What would follow rests on it: one refusal, and nothing about a card that was never issued."""
    said = decide_facts(
        load_pack("three-month-card"),
        "personal",
        {"month_avgs": [1, 1, 1], "card_held": "gold", "upgrade_applied": True},
    )
    assert refused(said.decisions) == ["below_standard"]


def test_replay_names_what_the_pack_refuses(capsys):
    """An act is no bad line: it is said on stderr, with the reason, and the exit code stays."""
    refusals = Refused(Settings())
    record = {"customer_id": "C1", "kind": "refused", "reason": "below_standard", "day": day("2024-02-05"),
              "evidence": {"action": "apply_tier", "tier": "high"}}  # fmt: skip
    refusals._act(record)
    refusals._act(record | {"kind": "offer"})
    refusals.end("")
    line = capsys.readouterr().err.replace("\n", " ")
    assert "apply_tier high of customer C1 on 2024-02-05: below_standard (the standard" in line
    assert refusals.count == 0 and refusals.acts == 1
