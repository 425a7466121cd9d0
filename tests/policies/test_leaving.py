"""Leaving a tier (docs/tiers.md#leaving-a-tier): what a pack can ask for, by hand and against a twin that looks back."""

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.standing.decide.lifecycle.decider import closes_ending
from agents.standing.decide.state_rows import Remembered, decode_state, encode_state
from policies import PackError, load_pack, parse_pack
from policies.lifecycle.acts import act
from policies.lifecycle.state import Act, Close, Grant, State, begin, day_number, flags, months_after, tier_of
from policies.lifecycle.transitions import close, look, restate, switch
from policies.model.pack import Evaluation
from streams.workdays import weekday
from tests.policies.test_timing import timed
from tests.twins.leaving import Leaving, Rules, months_on

ROLLING = load_pack("rolling-quarter-aum").classes["personal"]
IDS = [tier.id for tier in ROLLING.tiers]
ORDINARY, GOLD, PLATINUM, DIAMOND, PRIVATE = IDS
DAY, MONTH = frozenset({"day"}), frozenset({"day", "month"})


def day(text):
    """A day number."""
    return day_number(dt.date.fromisoformat(text))


def policy(up="month", down="month", **asked):
    """The rolling scheme under other rules; `permanent`: ids of tiers."""
    permanent = asked.pop("permanent", ())
    tiers = tuple(replace(tier, permanent=tier.id in permanent) for tier in ROLLING.tiers)
    return replace(ROLLING, tiers=tiers, evaluation=Evaluation("day", up, down, **asked))


def closed(rules, state, *steps, **more):
    """(State, decisions) after closes of days: (date, measured[, closes])."""
    said = []
    for text, measured, *ends in steps:
        state, now = close(rules, state, Close(day(text), ends[0] if ends else MONTH, measured, **more))
        said += now
    return state, said


def risen(rules, to=PLATINUM, text="2024-01-31"):
    """A customer who has risen at a close."""
    return closed(rules, begin(rules), (text, to))[0]


def tiers_of(said):
    """(reason, from, to, first day) of tier decisions."""
    return [(d.reason, d.before, d.after, d.effective) for d in said if d.kind == "tier"]


def kinds(said):
    """(kind, from, to, first day) of what was told of changes to come."""
    return [(d.kind, d.before, d.after, d.effective) for d in said if d.kind in ("pending", "notice", "withdrawn")]


def test_kept_for_twelve_months_and_then_with_grace():
    """A rise of 1 February keeps the tier through 31 January; then three month closes below it change nothing."""
    kept = policy(keep_months=12)
    state = risen(kept)
    state, said = closed(kept, state, ("2024-12-31", ORDINARY))
    assert tiers_of(said) == [] and state.below == 0
    assert tiers_of(closed(kept, state, ("2025-01-31", ORDINARY))[1]) == [
        ("close", PLATINUM, ORDINARY, day("2025-02-01"))
    ]
    patient = policy(keep_months=12, grace_months=3)
    state, said = closed(
        patient, risen(patient), *((f"2025-{end}", ORDINARY) for end in ("01-31", "02-28", "03-31", "04-30"))
    )
    assert tiers_of(said) == [] and state.below == 3
    assert tiers_of(closed(patient, state, ("2025-05-31", ORDINARY))[1]) == [
        ("close", PLATINUM, ORDINARY, day("2025-06-01"))
    ]


def test_meeting_it_again_renews_nothing_and_a_step_down_starts_nothing():
    """The months run from the rise; who has stepped down may step down again at the next close."""
    kept = policy(keep_months=2, steps=1)
    state, said = closed(kept, risen(kept, DIAMOND), ("2024-02-29", ORDINARY), ("2024-03-30", DIAMOND, DAY))
    assert tiers_of(said) == []
    state, said = closed(kept, state, ("2024-03-31", ORDINARY), ("2024-04-30", ORDINARY), ("2024-05-31", PLATINUM))
    steps = [(DIAMOND, PLATINUM), (PLATINUM, GOLD), (GOLD, PLATINUM)]
    assert [(before, after) for _, before, after, _ in tiers_of(said)] == steps
    assert state.since == day("2024-06-01")


@pytest.mark.parametrize(
    ("since", "months", "until"),
    [
        ("2024-01-31", 1, "2024-02-29"),
        ("2024-02-29", 12, "2025-02-28"),
        ("2023-11-30", 3, "2024-02-29"),
        ("2024-03-15", 6, "2024-09-15"),
    ],
)
def test_the_same_day_or_the_last_of_the_month(since, months, until):
    """Leap days and short months; the twin reckons alike."""
    assert months_after(day(since), months) == day(until) == months_on(day(since), months)


def test_grace_counts_anew_after_a_step():
    """One rank a close, each after a grace of its own."""
    rules = policy(steps=1, grace_months=1)
    ends = ("2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31", "2024-06-30")
    _, said = closed(rules, risen(rules, DIAMOND), *((end, ORDINARY) for end in ends))
    assert [(after, first) for _, _, after, first in tiers_of(said)] == [
        (PLATINUM, day("2024-04-01")), (GOLD, day("2024-06-01"))]  # fmt: skip


def test_equal_ranks_are_one_step():
    """Of two tiers of one rank the first is what a step leads to, unless the standard gives the other."""
    rules = policy(steps=1)
    rules = replace(
        rules, tiers=tuple(replace(t, same_rank_as=GOLD if t.id == PLATINUM else None) for t in rules.tiers)
    )
    state = risen(rules, DIAMOND)
    assert tiers_of(closed(rules, state, ("2024-02-29", ORDINARY))[1])[0][2] == GOLD
    assert tiers_of(closed(rules, state, ("2024-02-29", PLATINUM))[1])[0][2] == PLATINUM


def test_a_permanent_tier_is_never_lost():
    """Nor does it come by an exception; a pack that no longer lists it takes it."""
    rules = policy(permanent=(GOLD,))
    state, said = closed(
        rules, risen(rules, GOLD), ("2024-02-29", ORDINARY), ("2024-03-31", DIAMOND), ("2024-04-30", ORDINARY)
    )
    assert [after for _, _, after, _ in tiers_of(said)] == [DIAMOND, GOLD]
    jumped = closed(rules, begin(rules), ("2024-01-31", DIAMOND), ("2024-02-29", ORDINARY))
    assert tier_of(rules, jumped[0]) == ORDINARY, "gold was never in force"
    by_grant = replace(begin(rules), grant=Grant(GOLD, "override", "rm", "head"))
    assert closed(rules, by_grant, ("2024-01-31", ORDINARY))[0].reached is None
    assert switch(rules, rules, state, day("2024-06-01"), ORDINARY, None)[0].official == GOLD
    without = replace(rules, tiers=tuple(t for t in rules.tiers if t.id != GOLD))
    assert switch(without, rules, state, day("2024-06-01"), ORDINARY, None)[0] == State(ORDINARY, ORDINARY)


def test_half_years():
    """Downgrades at the ends of June and December."""
    rules, halves = policy(down="half_year"), frozenset({"day", "month", "quarter", "half_year"})
    assert closes_ending(day("2024-06-29"), day("2024-06-30")) == halves
    assert closes_ending(day("2024-12-30"), day("2024-12-31")) == halves | {"year"}
    assert "half_year" not in closes_ending(day("2024-03-30"), day("2024-03-31"))
    state, said = closed(
        rules, risen(rules), ("2024-03-31", ORDINARY, closes_ending(day("2024-03-30"), day("2024-03-31")))
    )
    assert tiers_of(said) == []
    assert tiers_of(closed(rules, state, ("2024-06-30", ORDINARY, halves))[1])


def test_the_first_months_are_exempt():
    """From the begin of the relation as the profile stands; without it nobody is exempt. They are no months of grace."""
    rules = policy(exempt_months=6, grace_months=1)
    joined = day("2024-01-15")
    state, said = closed(rules, risen(rules), *((f"2024-{end}", ORDINARY) for end in ("05-31", "06-30")), joined=joined)
    assert tiers_of(said) == [] and state.below == 0
    state, said = closed(rules, state, ("2024-07-31", ORDINARY), ("2024-08-31", ORDINARY), joined=joined)
    assert [first for *_, first in tiers_of(said)] == [day("2024-09-01")]
    assert len(tiers_of(closed(rules, risen(rules), ("2024-02-29", ORDINARY), ("2024-03-31", ORDINARY))[1])) == 1


def test_business_days_of_both_directions():
    """A change holds from the third business day; a holiday that is known at the close is none."""
    rules = policy(effective_business_days={"upgrades": 3, "downgrades": 3})
    state, said = closed(rules, begin(rules), ("2024-01-31", GOLD), calendar={day("2024-02-02"): False})
    monday = day("2024-02-05")
    assert kinds(said) == [("pending", ORDINARY, GOLD, monday + 1)] and tier_of(rules, state) == ORDINARY
    for text in ("2024-02-01", "2024-02-04"):
        state, said = closed(rules, state, (text, GOLD, DAY))
        assert said == []
    state, said = closed(rules, state, ("2024-02-05", GOLD, DAY))
    assert tiers_of(said) == [("pending", ORDINARY, GOLD, monday + 1)]


def test_a_change_to_come_is_left_replaced_or_withdrawn():
    """A later close with the same target leaves its day; another target counts anew; the tier in force withdraws it."""
    rules = policy(up="day", down="day", effective_business_days={"upgrades": 5, "downgrades": 5})
    first, said = closed(rules, begin(rules), ("2024-03-04", GOLD, DAY))
    assert kinds(said) == [("pending", ORDINARY, GOLD, day("2024-03-11"))]
    same, said = closed(rules, first, ("2024-03-05", GOLD, DAY))
    assert (same, said) == (first, [])
    _, said = closed(rules, first, ("2024-03-06", PLATINUM, DAY))
    assert kinds(said) == [
        ("withdrawn", ORDINARY, GOLD, day("2024-03-07")),
        ("pending", ORDINARY, PLATINUM, day("2024-03-13")),
    ]
    gone, said = closed(rules, first, ("2024-03-06", ORDINARY, DAY))
    assert kinds(said) == [("withdrawn", ORDINARY, GOLD, day("2024-03-07"))] and gone.pending is None


def test_a_fall_is_told_thirty_days_before():
    """Decided at E it holds from E + 31; a close of downgrades before that day that gives the tier averts it."""
    rules = policy(fall_notice_days=30)
    state, said = closed(rules, risen(rules), ("2024-03-31", ORDINARY))
    [told] = [d for d in said if d.kind == "notice"]
    assert (told.before, told.after, told.effective) == (PLATINUM, ORDINARY, day("2024-05-01"))
    assert told.evidence["averted_until"] == "2024-04-30" and "quarter_avg" in told.evidence["averted_by"]
    assert "fall-notice" in flags(rules, state)
    _, said = closed(rules, state, ("2024-04-29", PLATINUM, DAY))
    assert said == [], "no close of downgrades"
    good, said = closed(rules, state, ("2024-04-30", PLATINUM))
    assert kinds(said) == [("withdrawn", PLATINUM, ORDINARY, day("2024-05-01"))] and tiers_of(said) == []
    assert "fall-notice" not in flags(rules, good)
    fallen, said = closed(rules, state, ("2024-04-30", ORDINARY))
    assert tiers_of(said) == [("pending", PLATINUM, ORDINARY, day("2024-05-01"))] and fallen.pending is None
    less, said = closed(rules, state, ("2024-04-30", GOLD))
    assert kinds(said)[1] == ("notice", PLATINUM, GOLD, day("2024-05-31")) and tier_of(rules, less) == PLATINUM


def test_a_yearly_fall_may_be_beyond_averting():
    """Where no close of downgrades comes before the day, the notice says that none averts it."""
    rules = policy(down="year", fall_notice_days=30)
    year = frozenset({"day", "month", "quarter", "half_year", "year"})
    state, said = closed(rules, risen(rules), ("2024-12-31", ORDINARY, year))
    assert next(d for d in said if d.kind == "notice").evidence["averted_until"] == "none"
    _, said = closed(rules, state, ("2025-01-30", PLATINUM, DAY))
    assert tiers_of(said) == [("pending", PLATINUM, ORDINARY, day("2025-01-31"))]


def test_a_day_that_was_not_closed_takes_effect_all_the_same():
    """The first close on or behind the day puts it in force from its own day, and then decides."""
    rules = policy(effective_business_days={"upgrades": 5})
    state, _ = closed(rules, begin(rules), ("2024-01-31", GOLD))
    _, said = closed(rules, state, ("2024-02-29", ORDINARY))
    assert tiers_of(said) == [
        ("pending", ORDINARY, GOLD, day("2024-02-07")),
        ("close", GOLD, ORDINARY, day("2024-03-01")),
    ]


def test_a_veto_at_once_passes_everything():
    """At the next day close, past grace, keep, steps, permanence, notice and business days; it is told why."""
    rules = policy(
        "month", "year", keep_months=12, steps=1, fall_notice_days=30, permanent=(GOLD, PLATINUM),
        effective_business_days={"upgrades": 3, "downgrades": 3},
    )  # fmt: skip
    state, _ = closed(rules, begin(rules), ("2024-01-31", PLATINUM), ("2024-02-29", PLATINUM, DAY))
    assert tier_of(rules, state) == PLATINUM
    out, said = closed(rules, state, ("2024-03-05", PLATINUM, DAY), vetoed=True)
    assert tiers_of(said) == [("veto", PLATINUM, ORDINARY, day("2024-03-06"))]
    assert closed(rules, out, ("2024-03-06", PLATINUM, DAY), vetoed=True)[1] == []
    over, said = closed(rules, out, ("2024-03-07", ORDINARY, DAY))
    assert (said, over.vetoed) == ([], False)
    _, said = closed(rules, over, ("2024-03-31", ORDINARY))
    assert kinds(said) == [("pending", ORDINARY, PLATINUM, day("2024-04-03"))], "what was reached is his again"


def test_a_stale_source_defers_a_veto():
    """It is put off, and holds from its own day once the source has caught up."""
    rules = policy(keep_months=12)
    state = risen(rules)
    late, said = closed(rules, state, ("2024-02-10", PLATINUM, DAY), vetoed=True, stale=("core",))
    assert [d.kind for d in said] == ["deferred"] and tier_of(rules, late) == PLATINUM
    _, said = closed(rules, late, ("2024-02-12", PLATINUM, DAY), vetoed=True)
    assert tiers_of(said) == [("veto", PLATINUM, ORDINARY, day("2024-02-11"))]


def restated(rules, state, measured, end="2024-02-29", at="2024-03-10", **more):
    """A close of the past that would now give another tier."""
    joined = more.pop("joined", None)
    return restate(rules, state, Close(day(at), frozenset(), measured, joined=joined), "event", day(end), **more)


def test_restated_falls_obey():
    """Keep, steps, permanence, first months, notice and a running veto; a restated rise starts its own keep."""
    for asked, wanted in (
        ({"keep_months": 12}, []), ({"steps": 1}, [("restated", DIAMOND, PLATINUM, day("2024-03-11"))]),
        ({"permanent": (DIAMOND,)}, []), ({"exempt_months": 12}, []), ({"fall_notice_days": 9}, []),
        ({}, [("restated", DIAMOND, ORDINARY, day("2024-03-11"))]),
    ):  # fmt: skip
        rules = policy(restatement="both", **asked)
        _, said = restated(rules, risen(rules, DIAMOND), ORDINARY, joined=day("2024-01-01"))
        assert tiers_of(said) == wanted, asked
        assert said[0].kind == "restated"
        assert kinds(said) == (
            [("notice", DIAMOND, ORDINARY, day("2024-03-20"))] if "fall_notice_days" in asked else []
        )
    rules = policy(restatement="both", keep_months=12)
    after, said = restated(rules, risen(rules, GOLD), DIAMOND)
    assert after.since == day("2024-03-11")
    barred = replace(risen(rules, GOLD), vetoed=True)
    assert tiers_of(restated(rules, barred, DIAMOND)[1]) == []


@pytest.mark.parametrize("how", ["record_only", "upgrades", "both"])
@pytest.mark.parametrize("last", [True, False])
def test_a_notice_whose_close_now_gives_the_tier(how, last):
    """It is withdrawn under `upgrades` and `both`, whether that close is the last one or not."""
    rules = policy(restatement=how, fall_notice_days=30)
    state, _ = closed(rules, risen(rules), ("2024-02-29", ORDINARY))
    _, said = restated(rules, state, PLATINUM, last=last)
    assert kinds(said) == ([] if how == "record_only" else [("withdrawn", PLATINUM, ORDINARY, day("2024-03-11"))])
    other, said = restated(rules, state, PLATINUM, end="2024-01-31", last=False)
    assert other == state and kinds(said) == []


def test_between_closes_a_rise_takes_the_place_of_a_fall():
    """docs/tiers.md#between-closes: the fall that was told is withdrawn, and the rise keeps its months."""
    rules = replace(
        policy(), evaluation=Evaluation("continuous", "continuous", "month", fall_notice_days=30, keep_months=1)
    )
    state = closed(rules, begin(rules), ("2024-01-31", GOLD), ("2024-03-31", ORDINARY))[0]
    assert state.pending is not None
    after, said = look(rules, state, day("2024-04-05"), DIAMOND, "e1")
    assert kinds(said) == [("withdrawn", GOLD, ORDINARY, day("2024-04-06"))]
    assert (after.official, after.since, after.pending) == (DIAMOND, day("2024-04-05"), None)


def test_a_record_that_is_withdrawn_ends_what_was_to_come():
    """Records take the tier at once, and a notice with it."""
    rules = replace(policy(fall_notice_days=30), status=replace(ROLLING.status, requires=("consent",)))
    state = replace(begin(rules), records=frozenset({"consent"}))
    state = closed(rules, state, ("2024-01-31", GOLD), ("2024-02-29", ORDINARY))[0]
    after, said = act(rules, state, Act("withdraw_record", day("2024-03-02"), details={"record": "consent"}))
    assert kinds(said) == [("withdrawn", GOLD, ORDINARY, day("2024-03-03"))]
    assert (after.official, after.pending, after.since) == (ORDINARY, None, None)


def test_another_pack_ends_what_was_to_come():
    """The change to come is withdrawn; months of keep run on where the tier stays."""
    rules = policy(fall_notice_days=30, keep_months=1)
    state = closed(rules, risen(rules, GOLD), ("2024-03-31", ORDINARY))[0]
    after, said = switch(rules, rules, state, day("2024-04-11"), GOLD, None)
    assert kinds(said) == [("withdrawn", GOLD, ORDINARY, day("2024-04-11"))]
    assert (after.since, after.pending) == (day("2024-02-01"), None)
    assert switch(rules, rules, state, day("2024-04-11"), DIAMOND, None)[0].since == day("2024-04-11")


def test_a_row_keeps_it_all():
    """And rows of packs that ask for nothing of it have none of its fields."""
    rules = policy(keep_months=2, fall_notice_days=30)
    state = replace(closed(rules, risen(rules, GOLD), ("2024-05-31", ORDINARY))[0], vetoed=True, reached=GOLD)
    assert decode_state(encode_state(state, Remembered())) == (state, Remembered())
    plain = encode_state(risen(policy(), GOLD), Remembered()).decode()
    assert not any(name in plain for name in ("since", "reached", "pending", "vetoed"))


REFUSED = [
    *((f"close: month, {name}", ["status: {basis: card}"], f"evaluation.{name.split(':')[0]}: under") for name in (
        "keep_months: 12", "steps: 1", "exempt_months: 3", "fall_notice_days: 30", "effective_business_days: 3")),
    *((f"close: continuous, {name}", [], f"evaluation.{name.split(':')[0]}: it looks at closes") for name in (
        "keep_months: 12", "steps: 1", "exempt_months: 3", "fall_notice_days: 30")),
    ("close: continuous, downgrades: month, effective_business_days: 3", [], "it counts from a close"),
    ("close: month", ["status: {basis: card}", "veto: {when: {metric: bad_record, is: true}, at: once}"], "veto.at: under"),
    ("close: month, effective_business_days: {sideways: 3}", [], "is not one of downgrades, upgrades"),
    ("close: month", ["veto: {when: {metric: bad_record, is: true}, at: noon}"], "noon"),
]  # fmt: skip


@pytest.mark.parametrize(("evaluation", "beside", "words"), REFUSED)
def test_what_does_not_go_together_is_refused(evaluation, beside, words):
    """The check names the setting."""
    with pytest.raises(PackError) as caught:
        parse_pack(timed(evaluation, *beside))
    assert any(words in problem.message for problem in caught.value.problems), [str(p) for p in caught.value.problems]


def test_what_is_written_is_read():
    """Each of them, beside the others."""
    text = timed(
        "close: day, upgrades: month, downgrades: half_year, keep_months: 12, steps: 1, exempt_months: 6, "
        "fall_notice_days: 30, effective_business_days: {upgrades: 3}",
        "veto: {when: {metric: bad_record, is: true}, at: once}",
    )
    found = parse_pack(text).classes["personal"]
    when = found.evaluation
    assert (when.keep_months, when.steps, when.exempt_months, when.fall_notice_days) == (12, 1, 6, 30)
    assert when.effective_business_days == {"upgrades": 3} and found.vetoes_at_once and found.one_by_one
    bare = parse_pack(timed("close: month", "veto: {metric: bad_record, is: true}")).classes["personal"]
    assert bare.veto == found.veto and bare.veto_at == "close" and not bare.one_by_one


# -- against the twin

WAYS = ("day", "month", "quarter", "half_year", "year")
FIRST = day("2024-01-01")


@st.composite
def rule_books(draw):
    """Rules as the twin has them."""
    ranks = draw(st.sampled_from(((0, 1, 2, 3, 4), (0, 1, 1, 3, 4), (0, 1, 2, 2, 4))))
    some = st.sampled_from
    down = draw(some(WAYS))
    return Rules(
        ranks, frozenset(draw(st.sets(some((1, 2, 3)), max_size=1))), draw(some(WAYS)), down,
        draw(some((0, 0, 1, 2))) if down in ("day", "month") else 0, draw(some((0, 1, 3))), draw(some((0, 1, 2))),
        draw(some((0, 0, 4))), draw(some((0, 0, 5, 40))), draw(some((0, 0, 3))), draw(some((0, 0, 3))),
        draw(some((None, FIRST - 10, FIRST + 17))), frozenset(draw(st.sets(st.integers(FIRST, FIRST + 200), max_size=20))),
        frozenset(draw(st.sets(st.integers(FIRST, FIRST + 200), max_size=20))),
    )  # fmt: skip


def policy_of(rules):
    """The policy that says them."""
    same = {at: IDS[at - 1] for at in range(1, 5) if rules.ranks[at] == rules.ranks[at - 1]}
    tiers = tuple(
        replace(tier, permanent=at in rules.permanent, same_rank_as=same.get(at))
        for at, tier in enumerate(ROLLING.tiers)
    )
    delays = {"upgrades": rules.delay_up, "downgrades": rules.delay_down}
    when = Evaluation(
        "day", rules.upgrades, rules.downgrades, rules.grace, keep_months=rules.keep, steps=rules.steps,
        exempt_months=rules.exempt, fall_notice_days=rules.notice,
        effective_business_days={way: days for way, days in delays.items() if days},
    )  # fmt: skip
    return replace(ROLLING, tiers=tiers, evaluation=when)


@given(rule_books(), st.data())
def test_the_lifecycle_leaves_tiers_as_the_twin_does(rules, data):
    """Any rules, any closes, some days left out: tiers with their first days, and all that is told of what is to come."""
    found, twin = policy_of(rules), Leaving(rules)
    calendar = {on: False for on in rules.closed if weekday(on)} | {on: True for on in rules.worked if not weekday(on)}
    state, said, at, before, measured = begin(found), [], FIRST - 1, FIRST - 1, 0
    for _ in range(data.draw(st.integers(1, 30))):
        at += data.draw(st.sampled_from((1, 1, 2, 9, 20, 30)))
        if data.draw(st.integers(0, 3)):  # stay at the month's end, where most is decided
            at = months_on(at - int(dt.date.fromordinal(at + 719163).day) + 1, 1) - 1 if at > before else at
        if at <= before:
            at = before + 1
        measured = data.draw(st.sampled_from((measured, 0, 1, 2, 3, 4)))
        vetoed, ends = data.draw(st.integers(0, 15)) == 0, closes_ending(before, at)
        now = Close(at, ends, IDS[measured], joined=rules.joined, vetoed=vetoed, calendar=calendar)
        state, more = close(found, state, now)
        said += more
        twin.close(at, ends, measured, vetoed=vetoed)
        before = at
        assert tier_of(found, state) == IDS[twin.tier], at
        pending = None if state.pending is None else (IDS.index(state.pending.tier), state.pending.day)
        assert pending == (None if twin.pending is None else twin.pending[:2])
    moves = [(d.effective, IDS.index(d.after)) for d in said if d.kind == "tier"]
    assert moves == [(first, tier) for first, tier, _ in twin.entries[1:]]
    told = [
        (d.kind, d.day, IDS.index(d.after), d.effective) for d in said if d.kind in ("pending", "notice", "withdrawn")
    ]
    assert told == twin.told
