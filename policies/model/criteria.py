"""Walk a criteria tree over exact values: the plain way to decide a tier, for explaining and checking."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from policies.model.pack import ClassPolicy
from policies.model.terms import AllOf, AnyOf, Criterion, Limit

if TYPE_CHECKING:
    from decimal import Decimal

# The tier by a bank's own table, as its index: what decides limits whose numbers are still open.
OWN_STANDARD: Final = ("own_standard", None)

# (metric, scope) -> exact value in whole units of the base currency (money) or a plain count; None: it is not known.
Values = Mapping[tuple[str, str | None], Fraction | int | None]


def meets(criterion: Criterion, values: Values, open_met: bool = False) -> bool:
    """Whether the exact, unrounded values meet the criterion; numbers still open count as `open_met` says.

    What is not known meets no limit, whatever its operator.

    Raises KeyError naming (metric, scope) when a value is missing: nothing is assumed.
    """
    if isinstance(criterion, AnyOf):
        return any([meets(part, values, open_met) for part in criterion.parts])  # noqa: C419  # a missing value shows
    if isinstance(criterion, AllOf):
        return all([meets(part, values, open_met) for part in criterion.parts])  # noqa: C419  # whatever else is met
    if criterion.value is None:
        return open_met
    value = values[criterion.metric, criterion.scope]
    return value is not None and _within(criterion, criterion.value, Fraction(value))


def _within(limit: Limit, number: Decimal, value: Fraction) -> bool:
    bound = Fraction(number)
    if limit.operator == "minimum":
        return value >= bound
    if limit.operator == "above":
        return value > bound
    if limit.operator == "below":
        return value < bound
    return value <= bound


def decide(policy: ClassPolicy, values: Values) -> str:
    """The highest tier whose criterion is met; the lowest tier when none is, or when the veto is.

    Where numbers are still open, `values[OWN_STANDARD]` is the index of the tier that the bank's own table gives.
    Raises KeyError when a value is missing.
    """
    own = values.get(OWN_STANDARD) or 0
    if policy.veto is not None and meets(policy.veto, values):
        return policy.tiers[0].id
    for i in range(len(policy.tiers) - 1, 0, -1):
        when = policy.tiers[i].when
        if when is not None and meets(when, values, own >= i):
            return policy.tiers[i].id
    return policy.tiers[0].id


def band(policy: ClassPolicy, tier: str, values: Values) -> str | None:
    """The first band of the tier that is met (C-22)."""
    return next((part.id for part in policy.tiers[policy.rank(tier)].bands if meets(part.when, values)), None)
