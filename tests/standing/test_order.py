"""Closes are a function of the log alone: blocks and the interleaving of topics leave no trace in what they publish."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.topics import INPUTS
from tests.standing.partition import Partition, Topics, customer
from tests.streams.fast import differences, state, unshrunk
from tests.twins.strategies import banks, feeds


def any_way(data, log: Topics) -> Partition:
    """Blocks cut anywhere, topics in any order, work called at any time; in the end everything."""
    partition = Partition(log)
    for _ in range(data.draw(st.integers(0, 25), label="blocks")):
        topic = data.draw(st.sampled_from(INPUTS))
        step = data.draw(st.sampled_from((1, 3, 20, 1000)))
        partition.feed(topic, partition.fed[topic] + step)
        if data.draw(st.booleans()):
            partition.work()
    for topic in data.draw(st.permutations(INPUTS)):
        partition.feed(topic)
        partition.work()
    return partition


@pytest.mark.slow
@settings(unshrunk, max_examples=12)
@given(st.data())
def test_any_blocks_and_any_interleaving(data):
    """Standings, tier changes and restatements are the same bytes, and the state is the same."""
    bank = data.draw(banks(days=45, customers=2))
    steps = [customer("C1"), customer("C2", customer_class="corporate"), *data.draw(feeds(bank))]
    log = Topics().tell(steps)
    one, other = Partition(log).run(), any_way(data, log)
    assert one.closes() == other.closes()
    assert one.job.positions() == other.job.positions() == log.ends
    assert differences(state(one.job.ledger), state(other.job.ledger)) == []
    assert one.published["standings"] or not bank.events


@pytest.mark.slow
@settings(unshrunk, max_examples=10)
@given(st.data())
def test_closes_follow_the_days_of_the_log(data):
    """Two orders of arrival within the same business days give the same closes but for the offsets of their cut."""
    bank = data.draw(banks(days=30, customers=2))
    steps = data.draw(feeds(bank, duplicates=False))
    days: list[list] = [[]]
    for step in steps:
        days[-1].append(step)
        if isinstance(step, int):
            days.append([])
    shuffled = [s for d in days for s in (*data.draw(st.permutations(d[:-1])), *d[-1:])]
    one, other = (Partition(Topics().tell(s)).run() for s in (steps, shuffled))
    for topic in ("standings", "restatements"):
        assert sorted(one.published[topic]) == sorted(other.published[topic])
    changes, others = ([{**c, "cut": None} for c in p.of("tier-changes")] for p in (one, other))
    assert sorted(changes, key=repr) == sorted(others, key=repr)
