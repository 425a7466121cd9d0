"""Tier changes by figures that version 1 of the contracts cannot say in full: published all the same, and made again."""

from dataclasses import replace

import pytest

from agents.standing.job import StandingJob
from policies import parse_pack
from schemas.registry import CONTRACTS, file_registry
from tests.explaining.memory import log_of
from tests.policies.test_figures import written
from tests.standing.partition import Partition, Topics, conf, customer
from tests.standing.test_lifecycle import fact
from tests.twins.events import day, posting, rate
from tidegauge.explanation import HOLDS, explained

POINTS = {"points": {"sum": [{"metric": "aum", "scope": "all", "weight": "0.1"}]}}
PLANS = {"plan": {"kind": "text", "values": ["basic", "premium"]}}
WANTED = {
    "a measure": {"metric": "points", "minimum": "9.5"},
    "dollars": {"metric": "aum", "scope": "all", "minimum": "14.00", "currency": "USD"},
    "a text": {"metric": "plan", "is": "premium"},
}


@pytest.mark.parametrize("what", WANTED)
@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize("contracts", CONTRACTS)
def test_a_change_that_is_told_in_part_is_told(what, one_by_one, contracts):
    """Of customers in bulk and one by one; with 2 the evidence has the scale, the rate and the text."""
    text = written(WANTED[what], measures=POINTS, facts=PLANS)
    if one_by_one:
        text = text.replace('"close": "month"', '"close": "month", "keep_months": 12')
    pack = parse_pack(text)
    assert pack.classes["personal"].one_by_one == one_by_one
    mine = replace(conf(), pack=pack, registry=file_registry(contracts))
    steps = [
        customer("C1"), posting(1, 10_000, "2024-01-10"), rate("USD", 7_000_000, "2024-01-10"),
        fact("C1", 1, 0, day("2024-01-10"), "plan") | {"text": "premium"}, day("2024-01-31"),
    ]  # fmt: skip
    partition = Partition(Topics().tell(steps), StandingJob(mine)).run()
    [change] = partition.of("tier-changes")
    assert (change["to_tier"], change["effective_date"]) == ("high", day("2024-02-01"))
    said = [
        part.get(name) for part in (*change["metrics"], *change["thresholds"]) for name in ("scale", "currency", "text")
    ]
    assert any(said) == (contracts > 1)
    found = explained(mine, log_of(partition, "C1"))
    assert {verdict.state for verdict in found.verdicts} == {HOLDS} and not found.unpublished
