"""Days of flow, two in an entry: in whatever order they come, and beside rows of before (docs/alerts.md#flow-of-a-day)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.accounts.day_close import FLOW_BLOCK, FLOW_DAYS, compact, new_clock
from streams.accounts.entries import CLOSED
from streams.accounts.store import DELTA, FLOW, StoreColumns, append, new_account, new_customer
from streams.alerts.flow import ONE_DAY, days_of_flow
from streams.alerts.flow_days import add_flows

FIRST = 20 * FLOW_BLOCK
days = st.integers(FIRST - 3, FIRST + 20)
amounts = st.integers(-50, 50).filter(bool)
flows = st.lists(st.tuples(days, amounts), max_size=12)


def account() -> StoreColumns:
    """One account without entries."""
    columns = StoreColumns(4)
    columns.store.customer_ids.meta[0] = columns.store.account_ids.meta[0] = 1
    new_customer(columns.store, 0)
    new_account(columns.store, 0, 0, 0, 0)
    return columns


def held(columns: StoreColumns) -> dict[tuple[int, bool], int]:
    """By day and whether it went out, what the entries say."""
    store, found = columns.store, Counter[tuple[int, bool]]()
    a = store.accounts[0]
    for place in range(a["head"], a["head"] + a["count"]):
        if store.entries["kind"][place] == FLOW:
            first, before, second, amount = days_of_flow.py_func(store.entries.view(np.recarray)[place])
            for day, moved in ((first, before), (second, amount)):
                if moved:
                    found[int(day), bool(moved < 0)] += int(moved)
    return dict(found)


def entries(columns: StoreColumns) -> list[Any]:
    """The account's entries, in an order of their own."""
    a = columns.store.accounts[0]
    return sorted(columns.store.entries[a["head"] : a["head"] + a["count"]].tolist())


def wanted(moved: list[tuple[int, int]]) -> dict[tuple[int, bool], int]:
    """The twin."""
    found = Counter[tuple[int, bool]]()
    for day, amount in moved:
        found[day, amount < 0] += amount
    return dict(found)


def add(columns: StoreColumns, moved: list[tuple[int, int]]) -> None:
    """Adds them at once."""
    given = np.array([day for day, _ in moved], np.int64), np.array([amount for _, amount in moved], np.int64)
    size = 2 * int(columns.store.accounts["count"][0]) + len(moved)
    add_flows(columns.store, 0, *given, np.empty(size, np.int64), np.empty(size, np.int64))


def append_one_day(columns: StoreColumns, day: int, out: int, come: int) -> None:
    """An entry as rows of before have it."""
    assert columns.store.entries["nature"][append(columns.store, 0, come, out, day, FLOW)] == ONE_DAY


@given(
    st.lists(st.tuples(days, st.integers(0, 50), st.integers(0, 50)), max_size=4, unique_by=lambda one: one[0]),
    flows,
    flows,
)
def test_every_day_and_side_is_kept(before, one, other) -> None:
    columns = account()
    for day, out, come in before:
        append(columns.store, 0, 0, 7, day, DELTA)
        append_one_day(columns, day, out, come)
    moved = [part for day, out, come in before for part in ((day, -out), (day, come)) if part[1]]
    assert held(columns) == wanted(moved)
    add(columns, one)
    add(columns, other)
    assert held(columns) == wanted(moved + one + other)
    assert sum(entry[5] == DELTA for entry in entries(columns)) == len(before)


@given(flows, st.randoms(use_true_random=False))
def test_entries_follow_from_what_they_hold(moved, rng) -> None:
    at_once, one_by_one, shuffled = account(), account(), list(moved)
    rng.shuffle(shuffled)
    add(at_once, moved)
    for part in shuffled:
        add(one_by_one, [part])
    assert entries(at_once) == entries(one_by_one)
    blocks = Counter(day // FLOW_BLOCK for day, _ in wanted(moved))
    assert len(entries(at_once)) == sum((sides + 1) // 2 for sides in blocks.values())


@given(flows, st.integers(FIRST - 4, FIRST + 40))
def test_a_close_forgets_whole_blocks(moved, closed_before) -> None:
    """Whatever came between: so a worker that folds many closes at once has what one has that folded each."""
    columns, clock = account(), new_clock(0)
    add(columns, moved)
    clock[CLOSED] = closed_before + FLOW_DAYS
    compact(columns.store, clock)
    last = {place: (place[0] // FLOW_BLOCK + 1) * FLOW_BLOCK - 1 for place in wanted(moved)}
    assert held(columns) == {place: total for place, total in wanted(moved).items() if last[place] >= closed_before}
