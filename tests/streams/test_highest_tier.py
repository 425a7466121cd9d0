"""Whose thresholds a case is looked at by: tiers of a former pack have none (docs/alerts.md#firing)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from streams.accounts.store import CUSTOMER
from streams.alerts.cases import highest_tier

TIERS = 3  # of the pack in force; codes from here on are of former ones


def highest(tiers: tuple[int, int, int], days: tuple[int, int, int], first: int, last: int) -> int:
    """Of one customer with these tiers in force from these days on, newest first."""
    rows = np.zeros(1, CUSTOMER)
    rows["tier"], rows["tier_day"] = tiers, days
    store: Any = SimpleNamespace(customers=rows.view(np.recarray))
    return int(highest_tier.py_func(store, 0, first, last, TIERS))


@pytest.mark.parametrize(
    ("tiers", "wanted"),
    [((1, 2, 0), 2), ((0, 0, 0), 0), ((1, 3, 2), 2), ((1, 7, 4), 1), ((4, 3, 5), 0), ((2, 127, 0), 2)],
)
def test_the_highest_that_the_pack_has(tiers: tuple[int, int, int], wanted: int) -> None:
    assert highest(tiers, (30, 20, 10), 15, 40) == wanted


def test_only_tiers_in_force_on_one_of_the_days_count() -> None:
    assert highest((0, 1, 2), (30, 20, 10), 25, 29) == 1
    assert highest((0, 1, 2), (30, 20, 10), 30, 40) == 0
    assert highest((0, 1, 2), (30, 20, 10), 19, 20) == 2
