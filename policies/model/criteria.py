"""Walk a criteria tree over exact values: the plain way to decide a tier, for explaining and checking."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final

from policies.model.pack import ClassPolicy
from policies.model.terms import Criterion, Limit, Not, rate_key

# The tier by a bank's own table, as its index: what decides limits whose numbers are still open.
OWN_STANDARD: Final = ("own_standard", None)

# (metric, scope) -> exact value in whole units of the base currency (money), a plain count or number, or a text; None: it
# is not known. Of `rate[USD]`: base units for one unit of the currency.
Values = Mapping[tuple[str, str | None], Fraction | int | str | None]


def meets(criterion: Criterion, values: Values, open_met: bool = False) -> bool:
    """Whether the exact, unrounded values meet the criterion; numbers still open count as `open_met` says.

    What is not known meets no limit, whatever its operator, and no `not` either.

    Raises KeyError naming (metric, scope) when a value is missing: nothing is assumed.
    """
    return truth(criterion, values, open_met) is True


def truth(criterion: Criterion, values: Values, open_met: bool = False) -> bool | None:
    """Whether the values meet the criterion; None: that depends on what is not known. Raises KeyError as `meets`."""
    if isinstance(criterion, Limit):
        return _compared(criterion, values, open_met)
    found = [truth(part, values, open_met) for part in criterion.parts]  # all of them, so that a missing value shows
    if isinstance(criterion, Not):
        return None if found[0] is None else not found[0]
    met, open_ = found.count(True), found.count(None)
    if met >= criterion.needed:
        return True
    return None if met + open_ >= criterion.needed else False


def _compared(limit: Limit, values: Values, open_met: bool) -> bool | None:
    if limit.is_open:
        return open_met
    value = values[limit.metric, limit.scope]
    if limit.texts:
        return None if value is None else value in limit.texts
    rate = Fraction(1) if limit.currency is None else values[rate_key(limit.currency)]
    if value is None or rate is None or isinstance(value, str) or isinstance(rate, str):
        return None
    assert limit.value is not None
    return _within(limit.operator, Fraction(limit.value) * rate, Fraction(value))


def _within(operator: str, bound: Fraction, value: Fraction) -> bool:
    if operator == "minimum":
        return value >= bound
    if operator == "above":
        return value > bound
    if operator == "below":
        return value < bound
    return value <= bound


def decide(policy: ClassPolicy, values: Values) -> str:
    """The highest tier whose criterion is met; the lowest tier when none is, or when the veto is.

    Where numbers are still open, `values[OWN_STANDARD]` is the index of the tier that the bank's own table gives.
    Raises KeyError when a value is missing.
    """
    own = values.get(OWN_STANDARD) or 0
    assert isinstance(own, int)
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
