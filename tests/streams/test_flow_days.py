"""Days of flow, two in an entry: whatever order they come in, and beside entries of rows from before (docs/alerts.md#flow-of-a-day)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.accounts.store import DELTA, FLOW, StoreColumns, append, new_account, new_customer
from streams.alerts.flow import ONE_DAY, days_of_flow
from streams.alerts.flow_days import add_flows

SINCE = 100
days = st.integers(SINCE - 3, SINCE + 6)
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


def add(columns: StoreColumns, moved: list[tuple[int, int]], since: int = SINCE) -> None:
    """Adds them at once."""
    given = np.array([day for day, _ in moved], np.int64), np.array([amount for _, amount in moved], np.int64)
    size = 2 * int(columns.store.accounts["count"][0]) + len(moved)
    add_flows(columns.store, 0, since, *given, np.empty(size, np.int64), np.empty(size, np.int64))


def append_one_day(columns: StoreColumns, day: int, out: int, come: int) -> None:
    """An entry as rows of before have it."""
    assert columns.store.entries["nature"][append(columns.store, 0, come, out, day, FLOW)] == ONE_DAY


@given(
    st.lists(st.tuples(days, st.integers(0, 50), st.integers(0, 50)), max_size=4, unique_by=lambda one: one[0]),
    flows,
    flows,
)
def test_every_day_and_side_is_kept_from_the_first_day_on(before, one, other) -> None:
    columns = account()
    for day, out, come in before:
        append(columns.store, 0, 0, 7, day, DELTA)
        append_one_day(columns, day, out, come)
    moved = [part for day, out, come in before for part in ((day, -out), (day, come)) if part[1]]
    assert held(columns) == wanted(moved)
    add(columns, one)
    add(columns, other)
    kept = {place: amount for place, amount in held(columns).items() if place[0] >= SINCE}
    assert kept == {place: amount for place, amount in wanted(moved + one + other).items() if place[0] >= SINCE}
    assert sum(entry[5] == DELTA for entry in entries(columns)) == len(before)


@given(flows, st.randoms(use_true_random=False))
def test_entries_follow_from_what_they_hold(moved, rng) -> None:
    at_once, one_by_one, shuffled = account(), account(), list(moved)
    rng.shuffle(shuffled)
    add(at_once, moved, 0)
    for part in shuffled:
        add(one_by_one, [part], 0)
    assert entries(at_once) == entries(one_by_one)
    assert len(entries(at_once)) == (len(wanted(moved)) + 1) // 2
