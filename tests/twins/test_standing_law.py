"""The worker's standing job against the slow twin, on random feeds of late, repeated, back-valued events and closes."""

from collections import defaultdict, deque

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from agents.engine.record_batches import flat
from tests.examples.implementations import Slow
from tests.examples.standing import Standing
from tests.twins.definitions import month_first
from tests.twins.strategies import CURRENCIES, banks, feeds


class Feed(list):
    """A feed that prints short; it follows from the set of events and the seed."""

    def __repr__(self) -> str:
        return f"<{len(self)} steps>"


@st.composite
def fed_banks(draw, currencies=CURRENCIES):
    """A set of events and a feed of it."""
    bank = draw(banks(days=45, customers=2, currencies=currencies))
    return bank, Feed(draw(feeds(bank)))


# No shrinking: an example takes half a second. The failing case that is printed repeats it.
few = settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.slow
@few
@given(fed_banks(), st.integers(0, 58))
def test_the_job_says_what_the_definitions_say(fed_bank, days_back):
    """Metrics, breaks and tiers of every customer are those of the definitions, after any feed within the horizon."""
    _, feed = fed_bank
    slow, job = Slow(), Standing()
    for ledger in (slow, job):
        for step in feed:
            ledger.close(step) if isinstance(step, int) else ledger.add(step)
    assert slow.closed is not None
    as_of = max(slow.closed - days_back, month_first(slow.closed + 1, 1))
    for customer in slow.customers(slow.closed):
        note(f"{customer} as of {as_of}, closed {slow.closed}")
        expected, found = slow.published(customer, as_of), job.published(customer, as_of)
        assert {name: expected[name] for name in found} == found
        assert job.open_breaks(customer) == slow.open_breaks(customer)
        assert job.tier(customer, as_of) == slow.tier(customer, as_of)


@pytest.mark.slow
@few
@given(fed_banks(currencies=("CNY",)))
def test_the_job_restates_what_the_definitions_restate(fed_bank):
    """Each day close restates the same month closes, with the same values and tiers.

    In base currency: a corrected rate alone restates nothing, and what it moved is in both values of a restatement.
    """
    bank, feed = fed_bank
    slow, job = Slow(), Standing()
    for step in feed:
        for ledger in (slow, job):
            ledger.close(step) if isinstance(step, int) else ledger.add(step)
        if isinstance(step, int):
            given_once = [r for r in job.restated() if r[1] >= bank.first_day]
            assert given_once == slow.restated()


CLOSE_OUTPUTS = ("restatements", "tier-changes", "standings")


@st.composite
def arrangements(draw):
    """A feed of closes and events, where to cut it into blocks, and how to interleave the topics' blocks."""
    _, feed = draw(fed_banks())
    cuts = draw(st.lists(st.integers(1, max(len(feed), 1)), max_size=12))
    return feed, sorted(set(cuts)), draw(st.randoms(use_true_random=False))


@pytest.mark.slow
@few
@given(arrangements())
def test_closes_do_not_depend_on_blocks_and_interleaving(arrangement):
    """Any split of the log into blocks and any interleaving of the topics gives the same closes, byte for byte."""
    feed, cuts, choice = arrangement
    assert closes_of(feed, [], None) == closes_of(feed, cuts, choice)


def closes_of(feed, cuts, choice):
    """What the closes publish: the log in one go, or cut into blocks that come in any order between topics."""
    job = Standing()
    waiting = defaultdict(deque)
    for at, step in enumerate(feed, start=1):
        if isinstance(step, int):
            job.log.close(step)
        else:
            job.log.record(step["topic"], {name: value for name, value in step.items() if name != "topic"})
        if at in cuts or at == len(feed):
            for block in job.log.blocks():
                waiting[block.tp.topic].append(block)
    published = []
    while any(waiting.values()):
        topics = sorted(topic for topic, blocks in waiting.items() if blocks)
        job.job.feed(waiting[choice.choice(topics) if choice else topics[0]].popleft())
        if choice is None or choice.random() < 0.5 or not any(waiting.values()):
            published += job.job.work(live=True).outputs
    return {
        topic: sorted(pair for t, pairs in published for pair in flat(pairs) if t == topic) for topic in CLOSE_OUTPUTS
    }
