"""Whatever `policy check` calls good runs: replayed, switched to live, and recovered."""

from dataclasses import replace

import pytest

from agents.standing.job import StandingJob
from policies import parse_pack
from tests.standing.partition import Partition, Topics, conf
from tests.standing.test_lifecycle import crashed
from tests.standing.test_switching import activation, pack_of
from tests.twins.events import day, posting

SAVERS = """
pack: savers
version: 1
effective_from: 2018-01-01
name: {zh: 储蓄, en: Savers}
scopes: {sav: [savings, deposit_demand]}
classes:
  personal:
    evaluation: {close: month, upgrades: month, downgrades: month}
    vip_from: gold
    tiers:
      - {id: ordinary, name: {zh: 普通, en: Ordinary}}
      - {id: gold, name: {zh: 金卡, en: Gold}, when: {metric: savings_12m_avg, scope: sav, minimum: "50000.00"}}
    queue:
      basis: tier
      vip_area_from: gold
      classes:
        - {id: gold, name: {zh: 金卡, en: Gold}, tiers: [gold], head_start_minutes: 20}
        - {id: others, name: {zh: 其他, en: Others}, tiers: [ordinary], head_start_minutes: 0}
"""
HOLDING = posting(1, 60_000_000, "2024-01-10")
HELD = posting(1, 1_000_000, "2024-01-10", currency="USD", customer="C2", account="A2")


@pytest.mark.parametrize("live", [False, True], ids=["from the start", "switched live"])
def test_a_mean_of_twelve_months(live):
    """Its metric has no column of its own: the months' columns say whether a rate is missing."""
    first = [activation(pack_of(SAVERS, effective_from="2024-01-20"))] if live else []
    settings = conf() if live else replace(conf(), pack=parse_pack(SAVERS))
    steps = [HOLDING, HELD, day("2024-01-19"), *first, day("2024-01-31"), day("2024-02-29")]
    partition = Partition(Topics().tell(steps), StandingJob(settings)).run()
    partition = crashed(partition, settings)
    partition.log.tell([day("2024-03-31")])
    partition.run()
    assert not partition.of("dead-letters")
    last = {r["customer_id"]: r for r in partition.of("standings")}
    assert (last["C1"]["pack_id"], last["C1"]["tier"], last["C1"]["held_reason"]) == ("savers", "gold", None)
    assert last["C2"]["held_reason"].startswith("tier held; no exchange rate for aum, month_avg_0")
    assert last["C2"]["tier"] == "ordinary"
    [outlook] = [r for r in partition.of("outlooks") if r["customer_id"] == "C1" and r["as_of"] == day("2024-03-31")]
    assert (outlook["metric"], outlook["projected_tier"]) == ("months_mean_12", "gold")
