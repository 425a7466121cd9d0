"""Admission by application without a card, and services that are due, free or not."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal

from agents.standing.decide.state_rows import Remembered, decode_state, encode_state
from policies.lifecycle.acts import act
from policies.lifecycle.services import bill
from policies.lifecycle.state import Act, begin, tier_of
from policies.lifecycle.transitions import switch
from policies.model.provisions import Service
from policies.model.terms import Limit, Name
from tests.policies.test_leaving import DIAMOND, GOLD, ORDINARY, PLATINUM, ROLLING, closed, day, policy, tiers_of


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
