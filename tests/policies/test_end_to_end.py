"""Every row of the table of rule cases through the standing job: events in, and the published tier is the expected one."""

from dataclasses import replace

import pytest

from agents.standing import StandingJob
from policies import load_pack
from tests.policies.end_to_end import month_days, number, read_cases, steps, write
from tests.standing.partition import Partition, Topics, conf

CLOSE = {31: number("2023-03-31"), 30: number("2023-04-30")}  # by the days of the last month


def published(partition):
    """The last tier of every customer, by his standings and by his tier changes."""
    standings, changes = {}, {}
    for record in partition.of("standings"):
        standings[record["customer_id"]] = record["tier"]
    for record in partition.of("tier-changes"):
        assert record["from_tier"] == changes.get(record["customer_id"], record["from_tier"])
        changes[record["customer_id"]] = record["to_tier"]
    return standings, changes


SCHEMES = [
    "green-channel", "three-month-card", "deposit-or-loan", "hq-level", "prior-month-aum", "rolling-quarter-aum",
    "layered-care", "asset-frequency-tenure", "abcd-layers", "abc-bands",
]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_rows_of_a_scheme(scheme, rules_dir):
    """Each row is a customer of one bank; after the deciding close, and the cards applied for then, his tier is right."""
    cases = [case for case in read_cases(rules_dir / "rules-cases.csv") if case.scheme == scheme]
    wrong = {}
    for days, close in CLOSE.items():
        lives = [write(case, close) for case in cases if month_days(case) == days]
        if not lives:
            continue
        partition = Partition(Topics(), StandingJob(replace(conf(), pack=load_pack(scheme))))
        for step in steps(lives, close):
            partition.log.tell([step])
            if isinstance(step, int):
                partition.run()
        assert not partition.of("dead-letters")
        standings, changes = published(partition)
        for life in lives:
            customer = f"c-{life.case.case_id}"
            lowest = partition.job.conf.pack.classes[life.case.customer_class].tiers[0].id
            found = standings[customer], changes.get(customer, lowest)
            if found != (life.case.expected, life.case.expected):
                wrong[life.case.case_id] = found, life.case.expected
    assert not wrong
