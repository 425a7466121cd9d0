"""Whom a close looks at for cases: no customer whose tiers have no rule that so much could meet."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from streams.accounts.store import HAS_CASE
from streams.alerts.outflow import NEVER
from streams.alerts.watching import CaseWatch

RULES: Any = SimpleNamespace(  # two rules over three tiers: none, from 100 on, from 50 on or a share above 30
    absolute=np.array([[NEVER, 100, NEVER], [NEVER, NEVER, 50]]),
    share_bp=np.array([[NEVER, NEVER, 2_000], [NEVER, NEVER, NEVER]]),
    floor=np.array([[0, 0, 30], [0, 0, 0]]),
)


def looked_at(*customers: tuple[int, tuple[int, int, int]]) -> list[int]:
    """Of customers (what may have left them, their last tiers), the places of those that a close looks at."""
    rows = np.array(list(customers), dtype=[("outflow_bound", np.int64), ("tier", np.int8, (3,))])
    slots: list[int] = CaseWatch().may_fire(SimpleNamespace(customers=rows), len(rows), RULES).tolist()  # type: ignore[arg-type]
    return slots


def test_the_least_that_a_rule_of_the_tier_needs() -> None:
    assert looked_at((10**9, (0, 0, 0)), (99, (1, 0, 0)), (100, (1, 0, 0)), (29, (2, 0, 0)), (30, (2, 0, 0))) == [2, 4]


def test_any_tier_that_is_remembered_counts() -> None:
    assert looked_at((30, (0, 1, 2)), (100, (0, 1, 0)), (29, (2, 2, 2))) == [0, 1]


def test_who_has_a_case_is_always_looked_at() -> None:
    assert looked_at((HAS_CASE, (0, 0, 0)), (HAS_CASE + 1, (1, 1, 1))) == [0, 1]


def test_a_tier_of_another_pack_counts_as_the_one_that_needs_least() -> None:
    assert looked_at((29, (7, 0, 0)), (30, (7, 0, 0)), (30, (0, 3, 0)), (30, (0, -1, 0)), (30, (0, 1, 0))) == [1, 2, 3]
