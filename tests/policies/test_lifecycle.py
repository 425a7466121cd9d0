"""The state machine of a customer's standing: what each pack's rules ask for, and laws that hold for any history."""

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import available_packs, load_pack
from policies.lifecycle.acts import HANDLERS, act
from policies.lifecycle.state import FLAGS as ALL_FLAGS
from policies.lifecycle.state import (
    Act,
    Card,
    Close,
    Grant,
    begin,
    card_tier,
    day_number,
    flags,
    last_valid_day,
    months_later,
    next_review,
    renewal_due,
    tier_of,
)
from policies.lifecycle.transitions import close, look, restate, review_due, switch
from policies.model.pack import Evaluation
from policies.model.provisions import RECORDS, Exceptions
from policies.texts import DECISION_REASONS, FLAG_NAMES, REFUSALS
from streams.calendar import DAY_MAX, DAY_MIN

CLASSES = {(name, kind): policy for name in available_packs() for kind, policy in load_pack(name).classes.items()}
MONTH_END, YEAR_END = frozenset({"day", "month"}), frozenset({"day", "month", "quarter", "year"})
ROLLING = CLASSES["rolling-quarter-aum", "personal"]
TEXT_CODES = {*REFUSALS, *DECISION_REASONS}


def day(text):
    """A day number."""
    return day_number(dt.date.fromisoformat(text))


def lived(policy, *steps, state=None):
    """State and decisions after some steps: acts, or (day, measured tier) for a month close."""
    state, said = state or begin(policy), []
    for step in steps:
        if isinstance(step, Act):
            state, more = act(policy, state, step)
        else:
            at = Close(day(step[0]), MONTH_END, step[1], *step[2:])
            state, more = close(policy, state, at)
        said.extend(more)
    return state, said


def does(action, when="2026-02-10", by="customer", approved_by=None, **details):
    """An act."""
    return Act(action, day(when), by, approved_by, None, details)


def refusals(said):
    """Codes of what was refused."""
    return [one.reason for one in said if one.kind == "refused"]


def moves(said):
    """(from, to, first day) of every tier decision."""
    return [(one.before, one.after, one.effective) for one in said if one.kind == "tier"]


def test_a_month_close_decides_from_the_next_day():
    """C-19, C-41: the tier moves at the close, in force from the next day; a day's close in between moves nothing."""
    state, said = lived(ROLLING, ("2026-01-31", "gold"))
    assert moves(said) == [("ordinary", "gold", day("2026-02-01"))]
    state, said = close(ROLLING, state, Close(day("2026-02-01"), frozenset({"day"}), "diamond"))
    assert moves(said) == []
    assert lived(ROLLING, ("2026-02-28", "platinum"), state=state)[1][0].evidence["measured"] == "platinum"


def test_a_day_close_takes_a_tier_as_well_as_it_gives_one():
    """docs/policies.md#evaluation: without grace a day's downgrade waits for no month's end; with grace month closes count."""
    daily = frozenset({"day"})
    policy = replace(ROLLING, evaluation=Evaluation("day", "day", "day"))
    gold, _ = close(policy, begin(policy), Close(1, daily, "gold"))
    assert moves(close(policy, gold, Close(2, daily, "ordinary"))[1]) == [("gold", "ordinary", 3)]
    patient = replace(policy, evaluation=Evaluation("day", "day", "day", 1))
    waiting, _ = close(patient, gold, Close(2, daily, "ordinary"))
    for day_, ends, tier in ((3, MONTH_END, "gold"), (4, daily, "gold"), (5, MONTH_END, "ordinary")):
        waiting, _ = close(patient, waiting, Close(day_, ends, "ordinary"))
        assert tier_of(patient, waiting) == tier


def test_what_moves_between_closes():
    """docs/tiers.md#between-closes: upgrades at once, downgrades at the month's close; a repeated event changes nothing."""
    policy = replace(ROLLING, evaluation=Evaluation("continuous", "continuous", "month"))
    gold, said = look(policy, begin(policy), 7, "gold", "e1")
    assert [(s.reason, s.day, s.effective, s.caused_by) for s in said] == [("continuous", 7, 7, "e1")]
    assert look(policy, gold, 7, "gold", "e1") == (gold, ())
    fallen, said = look(policy, gold, 8, "ordinary", "e2")
    assert (tier_of(policy, fallen), said) == ("gold", ())
    assert moves(close(policy, fallen, Close(9, MONTH_END, "ordinary"))[1]) == [("gold", "ordinary", 10)]
    offering = replace(policy, evaluation=Evaluation("continuous", "application", "application"))
    offered, said = look(offering, begin(policy), 7, "gold", "e1")
    assert [(s.kind, s.reason, s.effective, s.caused_by) for s in said] == [("offer", "upgrade", 7, "e1")]
    assert look(offering, offered, 7, "gold", "e3")[1] == ()
    assert look(policy, replace(gold, deferred=5), 8, "diamond", "e4")[1] == (), "what was put off waits for a close"


def test_grace_counts_month_closes():
    """N-02: so many month closes in a row below the standard change nothing; a good month starts the count anew."""
    policy = replace(ROLLING, evaluation=Evaluation("month", "month", "month", 2))
    state, _ = lived(policy, ("2026-01-31", "gold"), ("2026-02-28", "ordinary"), ("2026-03-31", "ordinary"))
    assert tier_of(policy, state) == "gold"
    assert "grace" in flags(policy, state)
    assert tier_of(policy, lived(policy, ("2026-04-30", "ordinary"), state=state)[0]) == "ordinary"
    state, _ = lived(
        policy, ("2026-04-30", "gold"), ("2026-05-31", "ordinary"), ("2026-06-30", "ordinary"), state=state
    )
    assert tier_of(policy, state) == "gold"


@pytest.mark.parametrize(("ends", "up", "down"), [(MONTH_END, True, False), (YEAR_END, True, True)])
def test_upgrades_and_downgrades_have_closes_of_their_own(ends, up, down):
    """R-226: upgrades at each month, downgrades at the year's end, where a pack says so."""
    policy = replace(ROLLING, evaluation=Evaluation("month", "month", "year"))
    gold, _ = close(policy, begin(policy), Close(1, ends, "gold"))
    assert (tier_of(policy, gold) == "gold") is up
    fallen, _ = close(policy, gold, Close(2, ends, "ordinary"))
    assert (tier_of(policy, fallen) == "ordinary") is down


def test_counter_issue():
    """R-237, R-239, R-241: the teller issues the card of the standard; 16 or 19 digits; a lost one comes again as it was."""
    state, _ = lived(ROLLING, ("2026-01-31", "gold"))
    assert refusals(lived(ROLLING, does("issue_card", card="platinum"), state=state)[1]) == ["below_standard"]
    assert refusals(lived(ROLLING, does("issue_card", card="gold", digits="17"), state=state)[1]) == ["bad_card_number"]
    state, _ = lived(ROLLING, does("issue_card", card="gold", digits="19"), does("report_lost"), state=state)
    assert state.card.state == "lost"
    assert refusals(lived(ROLLING, does("report_lost"), state=state)[1]) == ["no_such_card"]
    state, said = lived(ROLLING, does("replace_card"), state=state)
    assert (state.card.card, state.card.state, moves(said)) == ("gold", "held", [])


def test_card_after_approval_by_the_leader():
    """R-013, C-29: standard and approval by the leader in charge govern the card; refused otherwise."""
    policy = CLASSES["green-channel", "personal"]
    below = lived(policy, ("2026-01-31", "ordinary"), does("apply_card", card="green-channel"))
    assert refusals(below[1]) == ["below_standard"]
    state, _ = lived(policy, ("2026-01-31", "vip"), does("apply_card", card="green-channel"))
    assert refusals(lived(policy, does("issue_card", card="green-channel"), state=state)[1]) == ["not_approved"]
    other = does("approve_card", by="colleague", role="teller")
    assert refusals(lived(policy, other, state=state)[1]) == ["approval_by_other_role"]
    own = does("approve_card", by="customer", role="leader-in-charge")
    assert refusals(lived(policy, own, state=state)[1]) == ["same_person"]
    leader = does("approve_card", by="leader", role="leader-in-charge")
    state, said = lived(policy, leader, does("issue_card", card="green-channel"), state=state)
    assert (state.card.card, refusals(said)) == ("green-channel", [])


def test_application_approval_collection():
    """R-106, R-128, R-127: form, approval or refusal, collection; the tier starts with the collection."""
    policy = CLASSES["three-month-card", "personal"]
    role = "head-office-personal-banking"
    state, said = lived(policy, ("2026-01-31", "gold"), does("apply_card", card="gold"))
    assert tier_of(policy, state) == "ordinary"
    assert "eligible" in flags(policy, state)
    gone, _ = lived(policy, does("refuse_card", by="office", role=role), state=state)
    assert gone.request is None
    state, said = lived(
        policy, does("approve_card", by="office", role=role), does("issue_card", card="gold"), state=state
    )
    assert (tier_of(policy, state), moves(said)) == ("ordinary", [])
    state, said = lived(policy, does("collect_card", "2026-02-20"), state=state)
    assert moves(said) == [("ordinary", "gold", day("2026-02-20"))]


def test_no_silent_change_of_a_card():
    """R-129, C-17: a close offers an upgrade or opens a downgrade case, once; the tier moves with the application."""
    policy = CLASSES["three-month-card", "personal"]
    gold = replace(begin(policy), card=Card("gold", 0), official="gold", measured="gold")
    state, said = lived(policy, ("2026-01-31", "diamond"), ("2026-02-28", "diamond"), state=gold)
    assert [one.reason for one in said if one.kind == "offer"] == ["upgrade"]
    assert (tier_of(policy, state), "upgrade-offer" in flags(policy, state)) == ("gold", True)
    state, said = lived(policy, ("2026-01-31", "ordinary"), state=gold)
    assert [one.reason for one in said if one.kind == "offer"] == ["downgrade"]
    assert {"downgrade-case", "below-standard"} <= flags(policy, state)
    assert tier_of(policy, state) == "gold"


def test_wealth_card_is_requested_by_the_wealth_manager():
    """R-176, R-182, R-180, C-38: a request of the wealth manager, in a branch that may; two years, renewed on request."""
    policy = CLASSES["wealth-card", "personal"]
    where = {"branch_level": "tier-1-sub-branch", "wealth_manager": "true"}
    asks = does("request_card", "2024-03-01", "wm", card="wealth", role="wealth-manager")
    issue = does("issue_card", "2024-03-01", "teller", card="wealth", **where)
    state, _ = lived(policy, ("2024-02-29", "vip"))
    assert refusals(lived(policy, issue, state=state)[1]) == ["nothing_requested"]
    teller = does("request_card", "2024-03-01", "teller", card="wealth", role="teller")
    assert refusals(lived(policy, teller, state=state)[1]) == ["request_by_other_role"]
    state, _ = lived(policy, asks, state=state)
    for wrong, code in (
        ({**where, "branch_level": "tier-2-sub-branch"}, "branch_may_not_issue"),
        ({**where, "wealth_manager": "false"}, "no_wealth_manager"),
    ):
        refused = does("issue_card", "2024-03-01", "teller", card="wealth", **wrong)
        assert refusals(lived(policy, refused, state=state)[1]) == [code]
    state, said = lived(policy, issue, state=state)
    assert moves(said) == [("ordinary", "vip", day("2024-03-01"))]
    assert state.card.last_day == day("2026-02-28")
    assert renewal_due(policy, state, day("2026-02-01"))
    assert not renewal_due(policy, state, day("2025-12-01"))
    _, said = lived(policy, ("2026-02-27", "vip"), ("2026-02-28", "vip"), state=state)
    assert moves(said) == [("vip", "ordinary", day("2026-03-01"))]
    renew = does("renew_card", "2026-02-10", "teller", card="wealth", **where)
    assert refusals(lived(policy, renew, state=state)[1]) == ["nothing_requested"]
    again = replace(asks, day=day("2026-02-10"))
    assert lived(policy, again, renew, state=state)[0].card.last_day == day("2028-02-29")


def test_contract_is_signed_again():
    """R-184: a card of before the core migration changes only with a new signature."""
    policy = CLASSES["wealth-card", "personal"]
    old = replace(
        begin(policy), measured="vip", official="vip", card=Card("wealth", day("2009-01-05"), day("2011-01-04"))
    )
    asks = does("request_card", "2010-08-01", "wm", card="wealth", role="wealth-manager")
    where = {"branch_level": "tier-1-sub-branch", "wealth_manager": "true"}
    plain = does("renew_card", "2010-08-01", "teller", **where)
    assert refusals(lived(policy, asks, plain, state=old)[1]) == ["contract_not_signed"]
    signed = does("renew_card", "2010-08-01", "teller", contract_signed="true", **where)
    assert refusals(lived(policy, asks, signed, state=old)[1]) == []


@pytest.mark.parametrize(
    ("issued", "months", "last"),
    [("2024-03-01", 24, "2026-02-28"), ("2024-02-29", 24, "2026-02-28"), ("2023-01-31", 1, "2023-02-28"),
     ("2023-12-31", 12, "2024-12-30")],
)  # fmt: skip
def test_last_day_of_a_card(issued, months, last):
    """R-180, C-38: valid through the day before the anniversary; where there is no such day, through the month's end."""
    assert last_valid_day(day(issued), months) == day(last)


def test_records_come_first():
    """R-073, R-100, R-133, R-159, R-065, R-152: without the record the pack asks for, a customer stays eligible."""
    for name, records in (
        ("regional-unified", ["consent"]), ("hq-level", ["filing"]), ("delegated-standard", ["verification", "agreement"]),
    ):  # fmt: skip
        policy = CLASSES[name, "personal"]
        top = policy.tiers[-1].id
        state, said = lived(policy, ("2026-01-31", top))
        assert (moves(said), "eligible" in flags(policy, state)) == ([], True)
        state, said = lived(policy, *[does("record", record=record) for record in records], state=state)
        assert [move[:2] for move in moves(said)] == [("ordinary", top)]
        state, said = lived(policy, does("withdraw_record", record=records[0]), state=state)
        assert [move[:2] for move in moves(said)] == [(top, "ordinary")]


def test_review_every_twelve_months():
    """R-110, R-135: between reviews no close changes the tier; the next date is known; a due review goes either way."""
    policy = CLASSES["medal-annual", "personal"]
    state, said = lived(policy, does("record", "2026-01-15", record="application"), ("2026-01-31", "silver"))
    assert moves(said) == [("ordinary", "silver", day("2026-02-01"))]
    assert next_review(policy, state) == day("2027-01-31")
    held, said = lived(policy, ("2026-02-28", "gold"), ("2026-12-31", "ordinary"), state=state)
    assert moves(said) == []
    assert review_due(policy, held, day("2027-01-31"))
    assert moves(lived(policy, ("2027-01-31", "bronze"), state=held)[1]) == [("silver", "bronze", day("2027-02-01"))]


def test_pinned_customers_are_decided_by_the_older_version():
    """R-117, C-16: a pinned customer's close takes the tier under the older version."""
    policy = CLASSES["medal-annual", "personal"]
    state = replace(begin(policy), official="gold", records=frozenset({"application"}), reviewed_on=day("2025-01-31"))
    state, _ = lived(policy, does("pin_policy", version="1"), state=state)
    after, _ = lived(policy, ("2026-01-31", "bronze", "gold"), state=state)
    assert tier_of(policy, after) == "gold"
    after, _ = lived(policy, does("unpin_policy"), ("2026-01-31", "bronze", "gold"), state=state)
    assert tier_of(policy, after) == "bronze"


VERSIONS = st.sampled_from(["1", "0", "²", "①", "-1", "9" * 5000, "", "١"])
DETAILS = st.fixed_dictionaries(
    {},
    optional={
        "version": VERSIONS | st.text(max_size=3),
        "card": st.sampled_from(["gold", "silver", "none"]),
        "tier": st.sampled_from(["gold", "nobody"]),
        "record": st.sampled_from([*RECORDS, "x"]),
        **{name: st.text(max_size=4) for name in ("role", "kind", "approver_role", "branch_level", "digits")},
    },
)


@given(
    st.sampled_from(sorted(CLASSES)),
    st.lists(st.tuples(st.sampled_from([*HANDLERS, "dance"]), st.integers(DAY_MIN, DAY_MAX - 1), DETAILS), max_size=6),
    st.none() | st.integers(DAY_MIN, DAY_MAX - 1),
)
def test_any_act_is_taken_or_refused(name, acts, expires_on):
    """Whatever stands in a record of crm-actions, under every pack: a state, and decisions with codes that have words."""
    policy = CLASSES[name]
    state = begin(policy)
    for action, on, details in acts:
        state, said = act(policy, state, Act(action, on, "a", "b", expires_on, details))
        assert set(refusals(said)) <= set(REFUSALS)
        assert state.pinned_version is None or 0 <= state.pinned_version < 10**9


def test_switch_pins_who_was_served_before():
    """R-117: at a change of version customers of before stay on the older one; ordinary ones go over."""
    policy = CLASSES["medal-annual", "personal"]
    served = replace(begin(policy), official="silver", measured="silver")
    state, said = switch(policy, policy, served, 0, "bronze", 1)
    assert (state.pinned_version, tier_of(policy, state), moves(said)) == (1, "silver", [])
    assert switch(policy, policy, begin(policy), 0, "ordinary", 1)[0].pinned_version is None


def test_switch_to_another_pack():
    """R-001, R-254: another pack decides from its date; one event says so, and cards and records go along."""
    old, new = ROLLING, CLASSES["abcd-layers", "personal"]
    held = replace(begin(old), official="gold", measured="gold", records=frozenset({"consent"}), card=Card("gold", 0))
    state, said = switch(new, old, held, 100, "b", None)
    assert moves(said) == [("gold", "b", 100)]
    assert said[0].reason == "policy"
    assert (state.card, state.records) == (held.card, held.records)


def test_exceptions_end():
    """R-160: asked for by one, approved by another, ended on its last day; the standard counts again."""
    policy = replace(ROLLING, overrides=CLASSES["hq-level", "personal"].notables)
    policy = replace(policy, overrides=replace(policy.overrides, tier=None, valid_months=6))
    asks = does("override_tier", "2026-01-10", "rm", tier="platinum", kind="discretionary")
    state, said = lived(policy, asks)
    assert tier_of(policy, state) == "ordinary"
    same = does("approve_exception", "2026-01-11", "rm")
    assert refusals(lived(policy, same, state=state)[1]) == ["same_person"]
    state, said = lived(policy, does("approve_exception", "2026-01-11", "boss"), state=state)
    assert [move[:2] for move in moves(said)] == [("ordinary", "platinum")]
    assert "notable" in flags(policy, state)
    state, said = lived(policy, ("2026-06-30", "ordinary"), ("2026-07-31", "ordinary"), state=state)
    assert moves(said)[0][:2] == ("platinum", "ordinary")
    assert refusals(lived(ROLLING, asks)[1]) == ["no_exceptions"]
    both = does("override_tier", "2026-01-10", "rm", "boss", tier="gold")
    assert tier_of(policy, lived(policy, both)[0]) == "gold"


def test_stale_sources_put_changes_off():
    """docs/tiers.md#stale-sources: nothing moves, and it is said; afterwards the change holds from its own day."""
    stale = Close(day("2026-01-31"), MONTH_END, "gold", stale=("wealth",))
    state, said = close(ROLLING, begin(ROLLING), stale)
    assert [(one.kind, one.effective) for one in said] == [("deferred", day("2026-02-01"))]
    assert (tier_of(ROLLING, state), flags(ROLLING, state)) == ("ordinary", {"deferred"})
    again, said = close(ROLLING, state, Close(day("2026-02-01"), frozenset({"day"}), "gold", stale=("wealth",)))
    assert said == ()
    _, said = close(ROLLING, again, Close(day("2026-02-02"), MONTH_END, "gold"))
    assert moves(said) == [("ordinary", "gold", day("2026-02-01"))]


@pytest.mark.parametrize(
    ("setting", "up", "down"), [("record_only", False, False), ("upgrades", True, False), ("both", True, True)]
)
def test_restatement(setting, up, down):
    """docs/tiers.md#restatement: always on record; the pack says whether the tier follows, and what it corrects."""
    policy = replace(ROLLING, evaluation=Evaluation("month", "month", "month", 0, setting))
    gold, _ = lived(policy, ("2026-01-31", "gold"))
    for measured, follows in (("platinum", up), ("ordinary", down)):
        state, said = restate(policy, gold, Close(day("2026-02-10"), frozenset(), measured), "event-1")
        assert said[0].kind == "restated"
        assert (tier_of(policy, state) == measured) is follows
        assert [one.caused_by for one in said] == ["event-1"] * len(said)


ACTIONS = sorted(HANDLERS)
LIKELY = ["apply_card", "approve_card", "issue_card", "collect_card", "record", "override_tier", "approve_exception"]
ROLES = ["leader-in-charge", "head-office-personal-banking", "tier-1-branch"]
BOTH = Exceptions("rm-desk", "board", ("notable",), None, 3)


@st.composite
def policies_of_packs(draw):
    """A class of a pack, sometimes with other timing, and with exceptions."""
    policy = CLASSES[draw(st.sampled_from(sorted(CLASSES)))]
    policy = replace(policy, overrides=policy.overrides or BOTH)
    if draw(st.booleans()):
        close_of = st.sampled_from(["continuous", "day", "month", "year"])
        settings = [draw(close_of) for _ in range(2)]
        policy = replace(policy, evaluation=Evaluation("month", *settings, draw(st.integers(0, 2)), "both"))
    return policy


@st.composite
def starts(draw, policy):
    """A customer to begin with: new, or with records, a card, an exception, a review."""
    state = begin(policy)
    if draw(st.booleans()):
        tiers = st.sampled_from([tier.id for tier in policy.tiers])
        cards = [tier.card for tier in policy.tiers if tier.card]
        card = Card(draw(st.sampled_from(cards)), -10, draw(st.none() | st.integers(0, 900))) if cards else None
        tier = draw(tiers)
        grant = draw(st.none() | st.builds(Grant, tiers, st.just("override"), st.just("rm"), st.just("boss"),
                                           st.none() | st.integers(0, 900)))  # fmt: skip
        official = card_tier(policy, card) if policy.status.basis == "card" else tier
        reviewed = draw(st.none() | st.integers(-500, 0)) if policy.review else None
        state = replace(state, official=official, measured=draw(tiers), card=card, grant=grant, reviewed_on=reviewed,
                        records=frozenset(policy.status.requires))  # fmt: skip
    return state


@st.composite
def histories(draw):
    """A policy, a customer, and closes and acts of some months in the order of their days."""
    policy = draw(policies_of_packs())
    state = draw(starts(policy))
    tiers = st.sampled_from([tier.id for tier in policy.tiers])
    cards = st.sampled_from([tier.card for tier in policy.tiers if tier.card] or ["none"])
    issue = policy.cards.issue
    details = st.fixed_dictionaries(
        {
            "card": cards,
            "tier": tiers,
            "role": st.sampled_from([issue.by or "customer"] * 3 + [BOTH.request_by, *ROLES]),
            "record": st.sampled_from([*RECORDS, *policy.status.requires, "nonsense"]),
            "kind": st.sampled_from(["notable", "override", "growth"]),
            "wealth_manager": st.sampled_from(["true", "true", "false"]),
            "branch_level": st.sampled_from([*issue.branches, *issue.branches, "outlet"]),
        },
        optional={"version": st.sampled_from(["1", "x"]), "digits": st.sampled_from(["16", "17"])},
    )
    people = st.sampled_from(["customer", "rm", "boss"])
    now, steps = 0, []
    for _ in range(draw(st.integers(1, 14))):
        now += draw(st.sampled_from([0, 1, 30, 400]))
        if draw(st.booleans()):
            ends = draw(st.sampled_from([frozenset({"day"}), MONTH_END, YEAR_END]))
            stale = draw(st.sampled_from([(), (), ("core",)]))
            steps.append(Close(now, ends, draw(tiers), draw(st.none() | tiers), stale))
        else:
            action = draw(st.sampled_from(LIKELY) | st.sampled_from(ACTIONS))
            approver = draw(st.none() | people)
            steps.append(Act(action, now, draw(people), approver, None, draw(details), "e"))
    return policy, state, steps


@pytest.mark.slow
@given(histories())
def test_laws_of_any_history(history):
    """Whatever happens: the tier is one of the pack's, its decisions tell the whole story, and a refusal changes nothing."""
    policy, state, steps = history
    told = tier_of(policy, state)
    for step in steps:
        before = state
        state, said = act(policy, state, step) if isinstance(step, Act) else close(policy, state, step)
        for one in said:
            assert one.reason in TEXT_CODES
            if one.kind == "tier":
                assert one.before == told, "a decision starts where the one before it ended"
                told = one.after
        tier = tier_of(policy, state)
        assert tier == told
        assert policy.rank(tier) >= 0
        assert flags(policy, state, step.day) <= set(FLAG_NAMES) == set(ALL_FLAGS)
        if any(one.kind == "refused" for one in said):
            assert (state, len(said)) == (before, 1)
        if isinstance(step, Close):
            _laws_of_a_close(policy, before, state, step, said)
        grant = state.grant
        assert grant is None or grant.approved_by is None or grant.approved_by != grant.requested_by


def _laws_of_a_close(policy, before, state, step, said):
    ended = state.card != before.card or state.grant != before.grant
    if step.stale and not ended:
        assert tier_of(policy, state) == tier_of(policy, before)
    for part in (state.card, state.grant):
        assert part is None or part.last_day is None or part.last_day > step.day
    if not set(policy.status.requires) <= state.records and state.grant is None and not step.stale:
        assert tier_of(policy, state) == policy.tiers[0].id
    if policy.status.basis == "card" and state.card is None and state.grant is None:
        assert tier_of(policy, state) == policy.tiers[0].id
    assert months_later(step.day, 0) == step.day


@pytest.mark.slow
@given(histories())
def test_closing_twice_changes_nothing_more(history):
    """A second look at the same close, with the same standard, moves no tier (its day is past: the closer gives it once)."""
    policy, state, steps = history
    for step in steps:
        state, _ = act(policy, state, step) if isinstance(step, Act) else close(policy, state, step)
        if isinstance(step, Close) and not step.stale and policy.evaluation.grace_months == 0:
            again, said = close(policy, state, step)
            assert tier_of(policy, again) == tier_of(policy, state), said
