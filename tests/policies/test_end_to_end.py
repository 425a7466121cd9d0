"""Every row of the table of rule cases through the standing job: events in, and the published tier is the expected one."""

from dataclasses import replace

import pytest

from agents.offline.replay import Trial, standings_of
from agents.standing.job import StandingJob
from policies import load_pack, parse_pack
from tests.policies.end_to_end import (
    medal_pack,
    month_days,
    month_start,
    number,
    pack_text,
    read_cases,
    steps,
    whole_script,
    write,
)
from tests.standing.partition import Partition, Topics, conf

CLOSE = {31: number("2023-03-31"), 30: number("2023-04-30")}  # by the days of the last month
PERSONAL = ("rolling-quarter-aum", "abcd-layers", "abc-bands", "three-month-card", "hq-level", "prior-month-aum")
BOTH = ("asset-frequency-tenure", "deposit-or-loan", "green-channel")
LAYERS = "layered-care"
SCHEMES = ["medal-annual", *PERSONAL, *BOTH]


@pytest.fixture
def cases(rules_dir):
    """All rows."""
    return read_cases(rules_dir / "rules-cases.csv")


def bank(pack, told, layers=None):
    """A partition that has got everything, in blocks that end with each close."""
    partition = Partition(Topics(), StandingJob(replace(conf(), pack=pack, layers=layers)))
    for step in told:
        partition.log.tell([step])
        if isinstance(step, int):
            partition.run()
    assert not partition.of("dead-letters")
    return partition


def last_tiers(partition):
    """The last tier of every customer, by his standings and by his tier changes."""
    standings, changes = {}, {}
    for record in partition.of("standings"):
        standings[record["customer_id"]] = record["tier"]
    for record in partition.of("tier-changes"):
        assert record["from_tier"] == changes.get(record["customer_id"], record["from_tier"])
        changes[record["customer_id"]] = record["to_tier"]
    return standings, changes


def test_every_scheme_of_the_table_is_here(cases):
    """No row is left out: each of them can be said in events."""
    assert {case.scheme for case in cases} == {*SCHEMES, LAYERS}
    assert len(cases) == 104


@pytest.mark.parametrize("beside", ["rolling-quarter-aum", "prior-month-aum", "hq-level"])
def test_rows_of_the_layers(beside, cases):
    """R-205 to R-210: each row is a customer of a bank whose tiers another pack decides; his layer is the expected one."""
    lives = [write(case, CLOSE[31]) for case in cases if case.scheme == LAYERS]
    partition = bank(load_pack(beside), steps(lives, CLOSE[31]), load_pack(LAYERS))
    alone = bank(load_pack(beside), steps(lives, CLOSE[31]))
    found = {record["customer_id"]: record["layer"] for record in partition.of("standings")}
    assert found == {f"c-{life.case.case_id}": life.case.expected for life in lives}
    changed = {r["customer_id"]: r["after"] for r in partition.of("decisions") if r["kind"] == "layer"}
    assert changed == {customer: layer for customer, layer in found.items() if layer != "layer-none"}
    assert last_tiers(partition) == last_tiers(alone)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_rows_of_a_scheme(scheme, cases):
    """Each row is a customer of one bank; after the deciding close, and the cards applied for then, his tier is right."""
    wrong = {}
    for days, close in CLOSE.items():
        lives = [write(case, close) for case in cases if case.scheme == scheme and month_days(case) == days]
        if not lives:
            continue
        pack = load_pack(scheme)
        if scheme == "medal-annual":
            pack = parse_pack(medal_pack(1, month_start(close, -24)))
        standings, changes = last_tiers(bank(pack, steps(lives, close)))
        for life in lives:
            customer, lowest = f"c-{life.case.case_id}", pack.classes[life.case.customer_class].tiers[0].id
            found = standings[customer], changes.get(customer, lowest)
            if found != (life.case.expected, life.case.expected):
                wrong[life.case.case_id] = found, life.case.expected
    assert not wrong


@pytest.mark.slow
def test_one_bank_goes_through_all_schemes(cases):
    """R-250: the same rows in one bank whose pack is switched live, scheme after scheme within weeks."""
    cases = [case for case in cases if case.scheme != LAYERS]
    told = whole_script(cases, PERSONAL, BOTH)
    partition = bank(parse_pack(medal_pack(1, month_start(CLOSE[31], -24))), told.steps)
    found = {}
    for record in partition.of("standings"):
        day, pack = told.read[record["customer_id"].removeprefix("c-")]
        if record["as_of"] <= day and record["pack_id"] == pack:
            found[record["customer_id"]] = record["tier"]
    assert {case.case_id: found[f"c-{case.case_id}"] for case in cases} == {c.case_id: c.expected for c in cases}
    trial = Trial(
        partition.job.conf, parse_pack(pack_text("green-channel", 1, told.last).replace('"200000.00"', '"900000.00"'))
    )
    trial.feed([partition.log.block(topic, 0, end) for topic, end in partition.log.ends.items()])
    was, now = standings_of(trial.running), standings_of(trial.other)
    published = last_tiers(partition)[0]
    assert {customer: standing.tier for customer, standing in was.items() if customer in published} == published
    moved = {(was[customer].tier, now[customer].tier) for customer in was if was[customer] != now[customer]}
    assert moved == {("vip", "ordinary")}
    ids = [record["event_id"] for record in partition.of("tier-changes")]
    assert len(set(ids)) == len(ids)
