"""Walk a criteria tree over exact values: the plain way to decide a tier, for explaining and checking."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from policies.model import AllOf, AnyOf, ClassPolicy, Criterion, Limit

# (metric, scope) -> exact value in whole units of the base currency (money) or a plain count.
Values = Mapping[tuple[str, str | None], Fraction | int]


def meets(criterion: Criterion, values: Values) -> bool:
    """Whether the exact, unrounded values meet the criterion.

    Raises KeyError naming (metric, scope) when a value is missing: nothing is assumed.
    """
    if isinstance(criterion, AnyOf):
        return any([meets(part, values) for part in criterion.parts])  # noqa: C419  # a missing value must show
    if isinstance(criterion, AllOf):
        return all([meets(part, values) for part in criterion.parts])  # noqa: C419  # in every part, met or not
    return _within(criterion, Fraction(values[criterion.metric, criterion.scope]))


def _within(limit: Limit, value: Fraction) -> bool:
    bound = Fraction(limit.value)
    if limit.operator == "minimum":
        return value >= bound
    if limit.operator == "above":
        return value > bound
    if limit.operator == "below":
        return value < bound
    return value <= bound


def decide(policy: ClassPolicy, values: Values) -> str:
    """The highest tier whose criterion is met; the lowest tier when none is.

    Raises KeyError when a value is missing.
    """
    for tier in reversed(policy.tiers):
        if tier.when is None or meets(tier.when, values):
            return tier.id
    raise AssertionError("the lowest tier has no condition")


def limits(criterion: Criterion | None) -> tuple[Limit, ...]:
    """Every leaf of the tree, left to right: what must be computed, and what evidence shows."""
    if criterion is None:
        return ()
    if isinstance(criterion, Limit):
        return (criterion,)
    return tuple(leaf for part in criterion.parts for leaf in limits(part))
