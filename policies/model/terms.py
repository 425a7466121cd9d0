"""The terms of a pack: names in both languages, limits, and the trees that criteria are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Name:
    """What people read, in both languages."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Limit:
    """A leaf of a criteria tree: the metric over the scope compared with an exact value.

    `operator` is minimum (>=), above (>), below (<), at_most (<=) or one_of; `scope` is None for metrics that know none.
    `value` is None while the bank has not filled the number in: such a pack is a template. It is None of a text too, which
    is compared with `texts`. `currency`: that of the value, where it is not the base currency.
    """

    metric: str
    scope: str | None
    operator: str
    value: Decimal | None
    texts: tuple[str, ...] = ()
    currency: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the bank has yet to give the number."""
        return self.value is None and not self.texts


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Met when one part is met."""

    parts: tuple[Criterion, ...]

    @property
    def needed(self) -> int:
        """How many parts have to be met."""
        return 1


@dataclass(frozen=True, slots=True)
class AllOf:
    """Met when every part is met."""

    parts: tuple[Criterion, ...]

    @property
    def needed(self) -> int:
        """How many parts have to be met."""
        return len(self.parts)


@dataclass(frozen=True, slots=True)
class AtLeast:
    """Met when so many parts are met."""

    needed: int
    parts: tuple[Criterion, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Met when its part is known not to be met."""

    part: Criterion

    @property
    def parts(self) -> tuple[Criterion, ...]:
        """Its part."""
        return (self.part,)


Criterion = Limit | AnyOf | AllOf | AtLeast | Not


def limits(criterion: Criterion | None) -> tuple[Limit, ...]:
    """Every leaf of the tree, left to right: what must be computed, and what evidence shows."""
    if criterion is None:
        return ()
    if isinstance(criterion, Limit):
        return (criterion,)
    return tuple(leaf for part in criterion.parts for leaf in limits(part))


def rate_key(currency: str) -> tuple[str, None]:
    """The name of a currency's rate among the values that criteria look at."""
    return f"rate[{currency}]", None
