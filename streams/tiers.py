"""Official tiers in force, and the few before them (docs/tiers.md#in-force)."""

from __future__ import annotations

import numpy as np

from streams.accounts.store import Array
from streams.calendar import NO_DAY

HISTORY = 3  # tiers remembered a customer: enough for any day from the first of the last closed month


def put_in_force(customers: Array, slots: Array, tiers: Array, day: int) -> None:
    """Makes `tiers` the tiers of customers from `day` on; the ones before move back in their history."""
    for k in range(HISTORY - 1, 0, -1):
        customers["tier"][slots, k] = customers["tier"][slots, k - 1]
        customers["tier_day"][slots, k] = customers["tier_day"][slots, k - 1]
    customers["tier"][slots, 0] = tiers
    customers["tier_day"][slots, 0] = day


def in_force(customers: Array, slots: Array, day: int) -> tuple[Array, Array]:
    """(tier, first day in force) on a day; the lowest tier and NO_DAY before the first decision held."""
    tiers, since = np.zeros(len(slots), np.int64), np.full(len(slots), NO_DAY, np.int64)
    for k in range(HISTORY - 1, -1, -1):
        from_day = customers["tier_day"][slots, k]
        holds = (from_day != NO_DAY) & (from_day <= day)
        tiers[holds], since[holds] = customers["tier"][slots, k][holds], from_day[holds]
    return tiers, since
