"""The law behind every test: the ledger's state is a function of the set of events, whatever their order."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.accounts.entries import HORIZON_DAYS
from streams.calendar import day_start_ms
from tests.streams.fast import Fast, differences, state, unshrunk
from tests.twins.strategies import banks, feeds


@pytest.mark.slow
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


@pytest.mark.slow
@settings(unshrunk, max_examples=30)
@given(st.data())
def test_closes_in_between(data):
    """With the closes of every day between them, and up to 35 days late, the events give the same state again."""
    bank = data.draw(banks(days=60))
    fed = [data.draw(feeds(bank)) for _ in range(2)]
    one, other = (Fast().told(steps) for steps in fed)
    assert one.ledger.closed == other.ledger.closed
    assert differences(state(one.ledger, reported=False), state(other.ledger, reported=False)) == []
    first, end = one.days()
    for as_of in (first, one.ledger.closed, end):
        assert one.metrics(as_of) == other.metrics(as_of)
    told = [told_from(steps) for steps in fed]
    since = {account: max(told[0][account], told[1][account]) for account in told[0]}
    assert breaks(one, since) == breaks(other, since)


def told_from(steps: Iterable[Mapping[str, Any] | int]) -> dict[str, int]:
    """Cut-offs from which an account's breaks can be told: those held when its first posting arrives.

    Until then its source is taken for one that sends balances only, and what has left the horizon is not looked at again.
    """
    horizon, out = 0, {}
    for step in steps:
        if isinstance(step, int):
            horizon = day_start_ms(step - HORIZON_DAYS, "Asia/Shanghai")
        elif step["topic"] == "transactions":
            out.setdefault(step["account_id"], horizon)
    return out


def breaks(fast: Fast, since: Mapping[str, int]) -> dict:
    """What is open after all that was said."""
    found = fast.breaks.items()
    return {key: (b.day, b.now) for key, b in found if b.now and key[1] >= since[key[0]]}
