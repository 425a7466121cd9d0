"""The law behind every test: the ledger's state is a function of the set of events, whatever their order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.fast import Fast, differences, state, unshrunk
from tests.twins.strategies import banks, feeds


@settings(unshrunk, max_examples=40)
@given(st.data())
def test_any_permutation_and_duplication(data):
    """Any order with repetitions, in any blocks, gives the same state and so the same metrics."""
    bank = data.draw(banks())
    again = data.draw(st.lists(st.sampled_from(bank.events), max_size=5)) if bank.events else []
    order = data.draw(st.permutations([*bank.events, *again]))
    last = bank.last_day + data.draw(st.integers(0, 3))
    one, other = Fast().told(bank.events, last), Fast().told(order, last)
    assert differences(state(one.ledger, reported=False), state(other.ledger, reported=False)) == []
    first, end = one.days()
    for as_of in (first, last, end):
        assert one.metrics(as_of) == other.metrics(as_of)


@settings(unshrunk, max_examples=30)
@given(st.data())
def test_closes_in_between(data):
    """With the closes of every day between them, and up to 35 days late, the events give the same state again."""
    bank = data.draw(banks(days=60))
    one, other = (Fast().told(data.draw(feeds(bank))) for _ in range(2))
    assert one.ledger.closed == other.ledger.closed
    assert differences(state(one.ledger, reported=False), state(other.ledger, reported=False)) == []
    first, end = one.days()
    for as_of in (first, one.ledger.closed, end):
        assert one.metrics(as_of) == other.metrics(as_of)
    assert breaks(one) == breaks(other)


def breaks(fast: Fast) -> dict:
    """What is open after all that was said."""
    return {key: (found.day, found.now) for key, found in fast.breaks.items() if found.now}
