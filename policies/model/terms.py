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

    `operator` is minimum (>=), above (>), below (<) or at_most (<=); `scope` is None for metrics that know none.
    `value` is None while the bank has not filled the number in: such a pack is a template.
    """

    metric: str
    scope: str | None
    operator: str
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Met when one part is met."""

    parts: tuple[Criterion, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Met when every part is met."""

    parts: tuple[Criterion, ...]


Criterion = Limit | AnyOf | AllOf


def limits(criterion: Criterion | None) -> tuple[Limit, ...]:
    """Every leaf of the tree, left to right: what must be computed, and what evidence shows."""
    if criterion is None:
        return ()
    if isinstance(criterion, Limit):
        return (criterion,)
    return tuple(leaf for part in criterion.parts for leaf in limits(part))
