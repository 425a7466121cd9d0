"""Official tiers, standings, breaks and restatements of the job against the slow twin, through encoded topics."""

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.standing.job import StandingJob
from agents.standing.publish.standings import standing_figures
from policies import parse_pack
from streams import tiers
from streams.vocabulary.metrics import METRICS
from tests.standing.partition import Partition, Topics, conf
from tests.streams.fast import RULES, unshrunk
from tests.twins.definitions import ROLLING_QUARTER, TierScheme, date_of, half_even
from tests.twins.ledger import SlowLedger
from tests.twins.strategies import banks, feeds


@st.composite
def tiered(draw):
    """A bank whose customers hold enough to be in any tier."""
    bank = draw(banks(days=110, customers=2))
    factor = draw(st.sampled_from((1, 100, 1000)))
    for event in bank.events:
        for name in ("amount_minor", "balance_minor"):
            if name in event and abs(event[name]) <= 10**9:
                event[name] *= factor
    return bank


@pytest.mark.slow
@settings(unshrunk, max_examples=12)
@given(st.data())
def test_tier_history_and_standings(data):
    """R-230, R-251: every tier change and every standing of every close is what the definitions give at that close."""
    bank = data.draw(tiered())
    early = [e for e in bank.events if e["topic"] == "fx-rates" and e["rate_date"] < bank.first_day]  # none is missing
    slow, partition, seen = SlowLedger(RULES), Partition(Topics()), 0
    for step in [*early, *data.draw(feeds(bank))]:
        partition.log.tell([step])
        if not isinstance(step, int):
            slow.add(step)
            continue
        slow.close(step)
        partition.run()
        said = partition.of("standings", seen)
        for record in said:
            customer = record["customer_id"]
            assert record["as_of"] == step
            assert record["tier"] == slow.tier(customer, step + 1)
            assert record["first_day"] == slow.first_day(customer)
            exact = slow.metrics(customer, step)
            assert standing_figures(record) == {m.column: half_even(exact[m.name]) for m in METRICS}
        seen += len(said)
    changes = [(c["customer_id"], c["effective_date"], c["to_tier"]) for c in partition.of("tier-changes")]
    assert sorted(changes) == sorted((c, d, t) for c in slow.customers(10**6) for d, t in slow.tier_history(c))
    ledger = partition.job.ledger
    for slot in range(ledger.columns.customer_count):
        for back in (0, 10, 28):
            given_, _ = tiers.in_force(ledger.store.customers, [slot], ledger.closed - back)
            assert partition.job.decider.pack.tier_ids[int(given_[0])] == slow.tier(
                ledger.customer_id(slot), ledger.closed - back
            )


@cache
def pack_of(metric):
    """The rolling-quarter pack on another metric."""
    return parse_pack(conf().pack.body.replace("quarter_avg", f'"{metric}"'))


@pytest.mark.slow
@settings(unshrunk, max_examples=12)
@given(
    st.data(),
    st.sampled_from(("quarter_avg", "quarter_avg", "aum", "trailing_avg[30]", "month_to_date_avg", "week_avg[1]")),
)
def test_restatements_and_their_tiers(data, metric):
    """What late events make of closes given before, rounded, with the tiers before and after."""
    steps = data.draw(feeds(data.draw(tiered())))
    rates = [s for s in steps if not isinstance(s, int) and s["topic"] == "fx-rates"]
    rest = [s for s in steps if isinstance(s, int) or s["topic"] != "fx-rates"]
    slow = SlowLedger(RULES, TierScheme(ROLLING_QUARTER.tiers, metric))
    partition = Partition(Topics(), StandingJob(replace(conf(), pack=pack_of(metric))))
    expected = []
    for step in [*rates, *rest]:
        partition.log.tell([step])
        if not isinstance(step, int):
            slow.add(step)
            continue
        for r in slow.close(step):
            values = half_even(r.previous), half_even(r.current)
            expected.append((step, r.customer_id, r.restated_day, *values, r.previous_tier, r.current_tier))
    partition.run()
    first = min(slow._given, default=0)
    found = [
        (r["business_day"], r["customer_id"], r["restated_day"], r["previous_minor"], r["current_minor"],
         r["previous_tier"], r["current_tier"])
        for r in partition.of("restatements")
        if r["kind"] == "late_posting" and r["restated_day"] >= first
    ]  # fmt: skip
    assert sorted(found) == sorted(expected)
    assert len({r["event_id"] for r in partition.of("restatements")}) == len(partition.of("restatements"))
    for r in partition.of("restatements"):
        # An unmatched reversal is told once, whatever close finds it.
        assert r["kind"] == "reversal_unmatched" or date_of(r["business_day"]).isoformat() in r["event_id"]
