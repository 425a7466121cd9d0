"""A policy pack as frozen values: what a bank's rule book says, before it is compiled for the kernels.

Amounts are exact decimals in whole units of the base currency; days and months are plain counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date
    from decimal import Decimal

    from policies.compiled import CompiledPack

CLOSES = ("continuous", "day", "month", "quarter", "year")
RESTATEMENTS = ("record_only", "upgrades", "both")
QUEUE_BASES = ("card", "tier", "higher")
QUEUE_ORDERS = ("head_start", "strict")
SEVERITIES = ("info", "low", "medium", "high", "critical")
CUSTOMER_CLASSES = ("personal", "corporate")


@dataclass(frozen=True, slots=True)
class Name:
    """What people read, in both languages."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Limit:
    """A leaf of a criteria tree: the metric over the scope compared with an exact value.

    `operator` is minimum (>=), above (>), below (<) or at_most (<=); `scope` is None for metrics that know none.
    """

    metric: str
    scope: str | None
    operator: str
    value: Decimal


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Met when one part is met."""

    parts: tuple[Criterion, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Met when every part is met."""

    parts: tuple[Criterion, ...]


Criterion = Limit | AnyOf | AllOf


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier; the lowest has no criterion: it is what remains (R-231)."""

    id: str
    name: Name
    card: str | None
    when: Criterion | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """At which closes tiers are decided, when changes take effect, and what a restated close does to the tier."""

    close: str
    upgrades: str
    downgrades: str
    grace_months: int
    restatement: str


@dataclass(frozen=True, slots=True)
class QueueClass:
    """A class of waiting customers; first in the pack is called first."""

    id: str
    name: Name
    cards: tuple[str, ...]
    tiers: tuple[str, ...]
    head_start_minutes: int


@dataclass(frozen=True, slots=True)
class Queue:
    """Who is called before whom, and who is led to the VIP area (C-37: class by card, area by tier)."""

    basis: str
    order: str
    vip_area_from: str | None
    classes: tuple[QueueClass, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """A fall in basis points of the AUM before the window; an outflow below the tier's floor is no share."""

    basis_points: dict[str, int]
    floor: dict[str, Decimal]


@dataclass(frozen=True, slots=True)
class Drip:
    """At least `count` outgoing postings in the window, none above `each_at_most`."""

    count: int
    each_at_most: Decimal


@dataclass(frozen=True, slots=True)
class AlertRule:
    """An outflow rule: it fires on the absolute amount or on the share, whichever is given for the customer's tier.

    `window_days` 0 means a single posting. Tiers absent from both mappings are not watched.
    """

    id: str
    name: Name
    window_days: int
    severity: str
    cool_down_days: int
    absolute: dict[str, Decimal]
    share: Share | None
    drip: Drip | None


@dataclass(frozen=True, slots=True)
class ClassPolicy:
    """What holds for one class of customers; tiers lowest first, queue classes first called first."""

    customer_class: str
    evaluation: Evaluation
    tiers: tuple[Tier, ...]
    vip_from: str | None
    queue: Queue
    alerts: tuple[AlertRule, ...]

    def rank(self, tier: str) -> int:
        """The tier's place, 0 is the lowest. Raises KeyError for a tier of another pack."""
        for index, known in enumerate(self.tiers):
            if known.id == tier:
                return index
        raise KeyError(tier)

    def is_vip(self, tier: str) -> bool:
        """Whether the tier makes a VIP (R-227)."""
        return self.vip_from is not None and self.rank(tier) >= self.rank(self.vip_from)

    def led_to_vip_area(self, tier: str) -> bool:
        """Whether the tier is led to the VIP area (R-247)."""
        floor = self.queue.vip_area_from
        return floor is not None and self.rank(tier) >= self.rank(floor)

    def queue_class(self, tier: str, card_held: str | None = None) -> QueueClass:
        """The class a customer waits in, by the pack's basis (R-248, C-37).

        By card: of the card held, or of the tier when no card is known. A card of another scheme counts as unknown.
        Raises KeyError for a tier of another pack.
        """
        by_tier = self._queue_rank(self.tiers[self.rank(tier)])
        by_card = next((i for i, c in enumerate(self.queue.classes) if card_held in c.cards), None)
        if self.queue.basis == "tier" or by_card is None:
            chosen = by_tier
        elif self.queue.basis == "card":
            chosen = by_card
        else:
            chosen = min(by_tier, by_card)
        return self.queue.classes[chosen]

    def _queue_rank(self, tier: Tier) -> int:
        named = [i for i, c in enumerate(self.queue.classes) if tier.id in c.tiers]
        return named[0] if named else next(i for i, c in enumerate(self.queue.classes) if tier.card in c.cards)


@dataclass(frozen=True, slots=True)
class Pack:
    """One version of one scheme. `body` is the YAML it was read from, so that it can be published unchanged."""

    id: str
    version: int
    effective_from: date
    name: Name
    basis: str
    scopes: dict[str, frozenset[str]]
    classes: dict[str, ClassPolicy]
    body: str

    def compile(self, base_exponent: int, customer_class: str = "personal") -> CompiledPack:
        """The arrays the kernels use, amounts in minor units of the base currency.

        Raises PackError when an amount isn't whole in minor units, KeyError for a class the pack doesn't cover,
        and CriteriaTooGeneralError when tiers are more than rising minimums of one metric.
        """
        from policies.compiled import compile_pack  # compiled imports this module

        return compile_pack(self, base_exponent, customer_class)
