"""Rows of the changelog: a ledger that is taken apart and put together again goes on as if nothing had been."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.accounts.ledger import Ledger
from tests.streams.fast import Fast, differences, state, unshrunk
from tests.twins.events import posting
from tests.twins.strategies import banks, feeds


def restored(rows: dict[bytes, bytes], names: dict, saved: dict) -> Fast:
    """A fresh ledger out of rows, names and a fence."""
    fast = Fast()
    ledger = fast.ledger = Ledger("CNY", "Asia/Shanghai")
    ledger.restore_names(names)
    ledger.load(list(rows.items()))
    ledger.restore(saved["closed"], saved["rates"])
    ledger.catch_up()
    return fast


def named(fast):
    """Breaks and unmatched reversals by the names of their accounts: slots follow the order of rows, which means nothing."""
    breaks = {key: found._replace(account=-1) for key, found in fast.breaks.items()}
    return breaks, sorted((name, found._replace(account=-1)) for name, found in fast.unmatched)


@pytest.mark.parametrize("rows_max", [1, 2, 3, 4, 6, 7, None])
def test_a_part_has_whole_customers(rows_max):
    """Two accounts each: a part ends with the customer who brings it to its limit, and the last one says that it is the last."""
    ledger, parts, complete = Fast(), [], False
    ledger.add(
        [posting(1, 100, "2024-01-10", customer=f"C{n % 3}", account=f"C{n % 3}-{account}")
         for account in ("A1", "A2") for n in (0, 1, 2)]
    )  # fmt: skip
    while not complete:
        pairs, complete = ledger.ledger.take_dirty(rows_max)
        parts.append(Counter(key[:2] for key, _ in pairs))
    assert all(set(part.values()) == {2} for part in parts)
    assert [len(part) for part in parts] == {1: [1, 1, 1], 2: [1, 1, 1], 3: [2, 1], 4: [2, 1]}.get(rows_max, [3])
    assert ledger.ledger.dirty_count() == 0


@pytest.mark.slow
@settings(unshrunk, max_examples=30)
@given(st.data())
def test_rows_carry_the_whole_state(data):
    """Rows taken at any time, some at a time, later ones over earlier ones, give back the same state and numbers."""
    bank = data.draw(banks(days=60))
    steps = data.draw(feeds(bank))
    cut = data.draw(st.integers(0, len(steps)))
    fast, rows = Fast(), {}
    for i, step in enumerate(steps[:cut]):
        fast.told([step])
        if i % 7 == 3:
            rows |= fast.ledger.take_dirty(2)[0]
    pairs, complete = fast.ledger.take_dirty(None)
    rows |= pairs
    assert complete
    assert fast.ledger.dirty_count() == 0
    assert fast.ledger.take_dirty(None) == ([], True)
    other = restored(rows, fast.ledger.dictionaries(), fast.ledger.fence())
    assert differences(state(other.ledger), state(fast.ledger)) == []
    for one in (fast, other):
        one.breaks.clear()
        one.unmatched.clear()
        one.told(steps[cut:])
    assert other.ledger.late() == fast.ledger.late()
    assert differences(state(other.ledger), state(fast.ledger)) == []
    assert named(other) == named(fast)
    if fast.ledger.closed >= 0:
        for as_of in fast.days():
            assert other.metrics(as_of) == fast.metrics(as_of)


@pytest.mark.slow
@settings(unshrunk, max_examples=40)
@given(st.data())
def test_replay_over_rows_of_any_age(data):
    """From a fence, with some rows written since, the replay of what came after the fence gives the state at its end."""
    bank = data.draw(banks(days=60, customers=2))
    steps = data.draw(feeds(bank, duplicates=False))
    fence_at = data.draw(st.integers(0, len(steps)), label="fence")
    end = data.draw(
        st.integers(fence_at, min(len(steps), fence_at + data.draw(st.sampled_from((5, 60, 200))))), label="end"
    )
    flushes = data.draw(st.lists(st.integers(fence_at, end), max_size=3), label="flushes")
    fast, rows = Fast().told(steps[:fence_at]), {}
    rows |= fast.ledger.take_dirty(None)[0]
    names, fence = fast.ledger.dictionaries(), fast.ledger.fence()
    for at in range(fence_at, end):
        if at in flushes:
            rows |= fast.ledger.take_dirty(data.draw(st.sampled_from((1, 2, None))))[0]
            names = fast.ledger.dictionaries()
        fast.told([steps[at]])
    other = restored(rows, names, fence).told(steps[fence_at:end])
    assert differences(state(other.ledger), state(fast.ledger)) == []
