"""Every setting of a good pack changes an outcome in some world, or is for people, or the check names it as idle."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import PackError, idle_settings, load_pack, parse_pack
from policies.language.loader import available_packs
from tests.policies.grammar_packs import packs
from tests.standing.partition import customer
from tests.standing.settings import (
    BASE,
    BY_CARD,
    CARDS,
    FALLS,
    GONE,
    ISSUED,
    LEAVES,
    LIFE,
    NEAR,
    NEVER,
    OUTFLOW,
    PERSONAL,
    RISES_LATE,
    ROWS,
    RULES,
    STALE,
    TOLD,
    WHEN,
    Told,
    every_setting,
    for_people,
    limit,
    outcomes,
    put,
    written,
)
from tests.standing.test_good_packs import EXAMPLES, TALLY, lived
from tests.streams.fast import unshrunk
from tests.twins.events import posting


def test_every_setting_of_the_grammar_is_in_the_table():
    """A new one needs a world that it changes, or the word that it decides nothing."""
    known = set(every_setting())
    rows = {row.setting for row in ROWS}
    told = {setting for setting in known if for_people(setting)}
    assert rows <= known and not rows & told
    assert known - rows - told == set(NEVER)


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=[row.setting for row in ROWS])
def test_a_setting_changes_an_outcome(row: Told):
    """Two good packs, one setting apart, and a world in which they are told apart; so the check does not name it."""
    texts = [written(row.beside, row.at, value) for value in (row.one, row.other)]
    assert texts[0] != texts[1]
    one, other = (outcomes(text, row.steps, sent=row.sent) for text in texts)
    assert one != other
    assert row.at not in {problem.field for text in texts for problem in idle_settings(text)}


def test_what_is_for_people_decides_nothing():
    """All of it at once against none of it, where tiers, cards, queue and alerts move."""
    beside = {"facts.loyalty.kind": "count", PERSONAL + "alerts": [OUTFLOW], PERSONAL + "cases": {"return_days": 15},
              "flows.pays.direction": "in",
              "measures.points.sum": [{"metric": "age", "weight": "1"}]}  # fmt: skip
    plain, full = written(beside), written(beside | TOLD)
    for steps in (LIFE, LEAVES, ISSUED):
        assert outcomes(plain, steps) == outcomes(full, steps)


FIRM = (
    customer("C2", customer_class="corporate"), posting(1, 15_000, "2024-01-10", customer="C2", account="A2"),
    posting(2, -12_000, "2024-02-10", customer="C2", account="A2"),
)  # fmt: skip
LAYERS = {"kind": "layers"}
CARDLESS = {f"{PERSONAL}tiers[{i}].card": GONE for i in range(3)} | {CARDS + ".staff": {"card": "s", "roles": ["rm"]}}
IDLE: tuple[tuple[str, dict[str, Any], Any, tuple[Any, ...]], ...] = (
    # (where, the pack's other settings, the idle value, a world)
    (PERSONAL + "overrides.kinds", {PERSONAL + "overrides": RULES}, ["artist"], LIFE),
    (PERSONAL + "potential.groups", {PERSONAL + "potential.when": limit("120.00")}, ["club"], LIFE),
    (PERSONAL + "evaluation.upgrades", BY_CARD, "quarter", ISSUED),
    (PERSONAL + "evaluation.downgrades", BY_CARD, "year", FALLS),
    (PERSONAL + "evaluation.grace_months", BY_CARD, 2, FALLS),
    (PERSONAL + "evaluation.restatement", {PERSONAL + "evaluation.close": "day"}, "both", RISES_LATE),
    (PERSONAL + "evaluation.restatement", {WHEN: {"metric": "growing", "is": True},
                                           PERSONAL + "tiers[2].when": {"metric": "age", "minimum": "60"}}, "both", RISES_LATE),
    (PERSONAL + "evaluation.steps", {}, 2, FALLS),
    (CARDS + ".reminder_days", {CARDS + ".digits": [16]}, 10, ISSUED),
    *((f"{CARDS}.{name}", CARDLESS, value, ISSUED) for name, value in (
           ("issue", {"mode": "application"}), ("valid_months", 3), ("digits", [16]), ("reminder_days", 9),
           ("contract_again_from", "2024-02-01"))),
    (PERSONAL + "queue.classes[0].cards", {}, ["gold"], ISSUED),
    (PERSONAL + "alerts[0].at_most.high", {PERSONAL + "alerts": [NEAR]}, "60.00", LIFE),
    (PERSONAL + "alerts[0].share.floor.low", {PERSONAL + "alerts": [OUTFLOW | {"share": {
        "basis_points": {"mid": 100}, "floor": {"mid": "1.00"}}}]}, "1.00", LEAVES),
    ("facts.loyalty.absent", {"facts.loyalty.kind": "count"}, 4, LIFE),
    ("facts.loyalty.valid_days", {"facts.loyalty.kind": "count"}, 4, LIFE),
    ("flows.pays", {}, {"direction": "in"}, LIFE),
    ("measures.points", {}, {"sum": [{"metric": "age", "weight": "2"}]}, LIFE),
    ("scopes.other", {}, ["trust"], LIFE),
    ("sources.core.freshness_business_days", {"sources.core": {"supplies": ["fund"], "required": False}}, 0, STALE),
    ("classes.corporate.alerts", {"classes.corporate": BASE["classes"]["personal"]}, [OUTFLOW],
     (*LEAVES[:1], *FIRM, *LEAVES[1:])),
    *((PERSONAL + name, LAYERS | {PERSONAL + "queue": GONE}, value, LEAVES) for name, value in (
        ("vip_from", "mid"), ("cards", {"valid_months": 1}), ("queue", BASE["classes"]["personal"]["queue"]),
        ("alerts", [OUTFLOW]), ("potential", {"when": limit("120.00")}))),
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("at", "beside", "value", "steps"), IDLE, ids=[f"{row[0]} {n}" for n, row in enumerate(IDLE)])
def test_an_idle_setting_is_named(at, beside, value, steps):
    """The check says where and why; with the setting and without it the world is the same."""
    with_it, without = written(beside, at, value), written(beside)
    named = [problem for problem in idle_settings(with_it) if problem.field == at]
    assert len(named) == 1 and named[0].message.startswith("idle: ")
    assert with_it.splitlines()[named[0].line - 1].strip()
    if with_it != without:
        assert outcomes(with_it, steps) == outcomes(without, steps)


@pytest.mark.parametrize("cards", [True, False])
def test_an_alert_of_cards_where_there_are_none(cards):
    """Of a pack that was good before it is said, and it stays good."""
    rule = {"id": "ends", "name": {"zh": "卡", "en": "Card"}, "severity": "low", "kind": "card_expiry"}
    beside = {} if cards else {f"{PERSONAL}tiers[{i}].card": GONE for i in range(3)}
    text = written({**beside, CARDS: {"valid_months": 12}, PERSONAL + "alerts": [rule]})
    assert (PERSONAL + "alerts[0]" in {problem.field for problem in idle_settings(text)}) is not cards


LIMITS = [
    ({"metric": "product_families", "minimum": "0"}, "every customer meets it"),
    ({"metric": "product_families", "below": "0"}, "nobody can meet it"),
    ({"metric": "growing", "above": "1"}, "nobody can meet it"),
    ({"metric": "growing", "at_most": "1"}, "every customer meets it"),
    ({"metric": "tx_3m", "minimum": "0"}, "every customer meets it"),
    ({"metric": "age", "below": "0"}, "nobody can meet it"),
]


@pytest.mark.parametrize(("when", "words"), LIMITS)
def test_a_limit_that_is_always_or_never_met(when, words):
    """Counts and flags have ends; an age of at least 0 still asks for the date of birth."""
    assert [words in problem.message for problem in idle_settings(written({WHEN: when}))] == [True]
    assert idle_settings(written({WHEN: {"metric": "age", "minimum": "0"}})) == ()


@pytest.mark.parametrize(
    ("lower", "higher", "hidden"),
    [
        (limit("100.00"), limit("100.00"), None),  # refused: minimums rise
        (
            {"metric": "aum", "scope": "all", "above": "100.00"},
            {"metric": "aum", "scope": "all", "above": "90.00"},
            True,
        ),
        ({"metric": "aum", "scope": "all", "above": "100.00"}, limit("100.00"), True),
        (limit("100.00"), {"metric": "aum", "scope": "all", "above": "100.00"}, False),
        ({"metric": "age", "below": "25"}, {"metric": "age", "at_most": "30"}, True),
        ({"metric": "age", "at_most": "30"}, {"metric": "age", "below": "25"}, False),
        ({"any": [limit("1.00")]}, {"any": [limit("1.00")]}, True),
    ],
)
def test_a_tier_that_a_higher_one_hides(lower, higher, hidden):
    """Whoever meets the lower one's condition has the higher one."""
    text = written({WHEN: lower, PERSONAL + "tiers[2].when": higher})
    if hidden is None:
        with pytest.raises(PackError):
            parse_pack(text)
    else:
        assert [problem.field for problem in idle_settings(text)] == [WHEN] * hidden


def test_what_shipped_packs_set_in_vain():
    """Two things that the bank rules say and that nothing follows yet, one with its cases, and no more."""
    named = {(name, problem.field) for name in available_packs() for problem in idle_settings(load_pack(name).body)}
    assert named == {
        *((name, "classes.personal.potential.groups") for name in ("abcd-layers", "green-channel", "named-list")),
        *(
            (name, f"classes.corporate.{part}")
            for name in ("asset-frequency-tenure", "green-channel")
            for part in ("alerts", "cases")
        ),
    }


def without_idle(text):
    """A pack without the settings that are named idle, but for parts of conditions; None if it is not good."""
    try:
        named = idle_settings(text)
    except PackError:
        return None
    left = json.loads(text)
    by_place = sorted(named, key=lambda one: [int(part) for part in re.findall(r"\[(\d+)\]", one.field)])
    for problem in reversed(by_place):  # of a list the last first
        if not {"when", "veto"} & {*re.split(r"[.\[]", problem.field)}:
            put(left, problem.field, GONE)
    for policy in left["classes"].values():
        if policy.get("alerts") == []:
            del policy["alerts"]
    for section in ("facts", "flows", "measures"):  # one without entries is left out as a whole
        if left.get(section) == {}:
            del left[section]
    return json.dumps(left)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tiers", "layers"])
@settings(unshrunk)
@given(data=st.data())
def test_a_pack_without_what_is_named_idle_is_good(kind, data):
    """Whatever the grammar can say; the language takes what the law below lives through."""
    if (left := without_idle(data.draw(packs(kind)))) is not None:
        parse_pack(left)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tiers", "layers"])
@settings(unshrunk, max_examples=EXAMPLES)
@given(data=st.data())
def test_whatever_is_named_idle_may_be_left_out(kind, data):
    """Of any good pack, in a bank's life of two months: nothing that is published becomes another."""
    text = data.draw(packs(kind))
    left = without_idle(text)
    if left is not None and json.loads(left) != json.loads(text):
        TALLY[f"{kind} with idle settings"] += 1
        before, after = (lived(body, kind, live=False)[0] for body in (text, left))
        assert {t: before.of(t) for t in before.published} == {t: after.of(t) for t in after.published}


@pytest.fixture(scope="module", autouse=True)
def _tally():
    """The law must not become empty unseen."""
    yield
    print({name: n for name, n in TALLY.items() if "idle" in name})
