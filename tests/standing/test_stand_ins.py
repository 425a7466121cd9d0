"""What stands in for a fact that was never sent, and what nobody knows: `policy decide`, a replay and the worker agree."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.offline.replay import Arrival, replay_arrivals
from agents.standing.intake.facts import months_since
from agents.standing.job import StandingJob
from policies import parse_pack
from policies.cases.decision import decide_facts
from schemas.codec.records import encode
from streams.calendar import date_of, day_of
from tests.standing.partition import Partition, Topics, conf, customer
from tests.standing.test_lifecycle import fact
from tests.streams.fast import unshrunk
from tests.twins.events import day, posting
from tidegauge.explanation.judgment import judge

JANUARY = day("2024-01-31")
PACK = """
pack: stand-ins
version: 1
effective_from: 2024-01-01
name: {{zh: 缺省, en: Stand-ins}}
scopes: {{all: [deposit_demand]}}
facts: {{own: {{kind: {kind}, absent: {absent}}}}}
classes:
  personal:
    evaluation: {{close: {close}}}
    tiers:
      - {{id: low, name: {{zh: 低, en: Low}}}}
      - {{id: high, name: {{zh: 高, en: High}}, when: {when}}}
    queue: {{basis: tier, classes: [{{id: one, name: {{zh: 一, en: One}}, head_start_minutes: 0, tiers: [low, high]}}]}}
"""
SIGNS = ("minimum", "above", "below", "at_most")


def pack_of(when: str, kind: str = "money", absent: int = 0, close: str = "day") -> Any:
    """A pack with one condition."""
    return parse_pack(PACK.format(kind=kind, absent=absent, when=when, close=close))


def known(profile: dict[str, Any]) -> list[dict[str, Any]]:
    """Everything that was sent: a profile, and a fen so that there is a standing."""
    return [profile, posting(1, 1, JANUARY)]


def told(pack: Any, profile: dict[str, Any]) -> tuple[str, str, str]:
    """The tier by `policy decide`, in a replay and by the worker."""
    months = {"tenure_months": profile["relationship_since"], "age": profile["birth_date"]}
    facts = {
        name: full_months(since, JANUARY) // (12 if name == "age" else 1)
        for name, since in months.items()
        if since is not None
    }
    decided = decide_facts(pack, "personal", facts, date_of(JANUARY)).tier
    mine = replace(conf(), pack=pack)
    records = [(step["topic"], {k: v for k, v in step.items() if k != "topic"}) for step in known(profile)]
    arrivals = [*(Arrival(JANUARY, *one) for one in records), Arrival(JANUARY, "", None)]
    replayed = replay_arrivals(mine, arrivals, lambda topic, record: encode(topic, dict(record)), JANUARY)
    slot = replayed.ledger.customer("C1")
    worker = Partition(Topics().tell([*known(profile), JANUARY]), StandingJob(mine)).run()
    return decided, replayed.decider.profiles.tier_name(slot), worker.of("standings")[-1]["tier"]


def full_months(since: int, at: int) -> int:
    """Months that have passed: each on the same day of the month, or on the last where there is none."""
    start, months = date_of(since), 0
    while True:
        years, month = divmod(start.month + months, 12)  # of the next month
        last = monthrange(start.year + years, month + 1)[1]
        if at < day_of(date(start.year + years, month + 1, min(start.day, last))):
            return months
        months += 1


@pytest.mark.slow
@settings(unshrunk, max_examples=60)
@given(
    st.sampled_from(("money", "count", "flag")), st.sampled_from((0, 1, 99, 100, 10**9)), st.sampled_from(SIGNS),
    st.sampled_from(("0", "1", "0.99", "1.00", "99.99", "100.00", "100.01", "1000000000.00")),
)  # fmt: skip
def test_absent_is_in_whole_units_everywhere(kind: str, absent: int, sign: str, limit: str) -> None:
    """`absent: 100` of an amount is 100.00, whoever decides."""
    absent = absent if kind != "flag" else min(absent, 1)
    limit = limit if kind == "money" else str(int(Decimal(limit)))
    found = told(pack_of(f'{{metric: own, {sign}: "{limit}"}}', kind, absent), customer("C1"))
    gap = absent - Decimal(limit)
    met = {"minimum": gap >= 0, "above": gap > 0, "below": gap < 0, "at_most": gap <= 0}[sign]
    assert found == ("high" if met else "low",) * 3


@pytest.mark.parametrize("absent", [100])
def test_a_hundred_is_a_hundred(absent: int) -> None:
    """The limit between 1.00 and 100.00 tells the two readings apart."""
    assert told(pack_of('{metric: own, minimum: "50.00"}', absent=absent), customer("C1")) == ("high",) * 3
    assert told(pack_of('{metric: own, above: "100.00"}', absent=absent), customer("C1")) == ("low",) * 3


UNKNOWN = [("age", "birth_date"), ("tenure_months", "relationship_since")]


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize(("metric", "field"), UNKNOWN)
def test_what_is_unknown_meets_nothing(metric: str, field: str, sign: str) -> None:
    """A profile without the date meets no limit on what follows from it, whichever way the limit looks."""
    for limit in ("0", "25", "600"):
        pack = pack_of(f'{{metric: {metric}, {sign}: "{limit}"}}')
        assert told(pack, customer("C1", **{field: None})) == ("low",) * 3
    born = customer("C1", **{field: JANUARY})  # 0 is a value
    met = told(pack_of(f'{{metric: {metric}, {sign}: "25"}}'), born)
    assert met == ("high" if sign in ("below", "at_most") else "low",) * 3


@given(st.integers(day("1990-01-01"), day("2030-12-31")), st.integers(0, 2000))
def test_months_are_full_by_the_same_day_or_the_last(since: int, days: int) -> None:
    """From 31 March on half a year is full on 30 September; from 29 February on a year on 28 February."""
    found = months_since(np.array([since]), since + days)
    assert int(found[0]) == full_months(since, since + days)


@pytest.mark.parametrize(
    ("since", "at", "months"),
    [("2024-03-31", "2024-09-30", 6), ("2024-03-31", "2024-09-29", 5), ("2024-02-29", "2025-02-28", 12),
     ("2024-02-29", "2025-02-27", 11), ("2024-02-29", "2024-03-29", 1), ("2024-01-31", "2024-02-29", 1)],
)  # fmt: skip
def test_tenure(since: str, at: str, months: int) -> None:
    """The examples."""
    assert int(months_since(np.array([day(since)]), day(at))[0]) == months


@pytest.mark.parametrize("close", ["day", "continuous"])
def test_evidence_says_unknown(close: str) -> None:
    """A change that another limb gave: its evidence has no age, the judgement takes it so, and it is told in words."""
    when = '{any: [{metric: age, below: "25"}, {metric: growing, is: true}]}'
    pack = pack_of(when, close=close)
    steps = [customer("C1"), JANUARY - 1, fact("C1", 1, 1, JANUARY, name="growing"), JANUARY]
    found = Partition(Topics().tell(steps), StandingJob(replace(conf(), pack=pack))).run()
    [change] = found.of("tier-changes")
    values = {m["name"]: (m["value_minor"], m["exact_numerator"]) for m in change["metrics"]}
    assert values == {"age": (0, "unknown"), "growing": (1, str(10**9))}
    judged = judge(change, pack, 2, {})
    assert (judged.problems, judged.measured) == ([], "high")
    young, growing = judged.tree[0].node.parts
    assert (young.met, young.value, growing.met) == (False, None, True)
    lied = change | {"metrics": [m | {"value_minor": 3} for m in change["metrics"]]}
    assert judge(lied, pack, 2, {}).problems


def test_layers_say_unknown() -> None:
    """The evidence of a layer's change is text."""
    when = '{any: [{metric: age, below: "25"}, {metric: growing, is: true}]}'
    text = PACK.format(kind="count", absent=0, close="day", when=when)
    layers = parse_pack(text.replace("version: 1", "version: 1\nkind: layers", 1))
    steps = [customer("C1"), JANUARY - 1, fact("C1", 1, 1, JANUARY, name="growing"), JANUARY]
    found = Partition(Topics().tell(steps), StandingJob(replace(conf(), layers=layers))).run()
    [change] = [r for r in found.of("decisions") if r["kind"] == "layer"]
    assert (change["evidence"]["age"], change["evidence"]["growing"]) == ("unknown", "1")
