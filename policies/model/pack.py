"""A policy pack as frozen values: what a bank's rule book says, before it is compiled for the kernels.

Amounts are exact decimals in whole units of the base currency; days and months are plain counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from policies.model.figures import Flow, PackMeasure, limit_columns
from policies.model.terms import Criterion, Name, limits
from streams.queue.discipline import HEAD_START

if TYPE_CHECKING:
    from datetime import date
    from decimal import Decimal

    from policies.model.provisions import (
        Branches,
        Cards,
        Contact,
        Exceptions,
        OwnFact,
        Pinning,
        Potential,
        Responsibility,
        Review,
        RolloutStep,
        Service,
        Source,
        StatusRule,
        Supplement,
    )

EVALUATION_CLOSES = ("continuous", "day", "month", "quarter", "year")
CHANGE_CLOSES = ("continuous", "day", "month", "quarter", "half_year", "year")  # finest first
ON_REQUEST = ("application", "review")  # changes that no close makes: the holder applies, or the review is due
TIERS, LAYERS = KINDS = ("tiers", "layers")
RESTATEMENTS = ("record_only", "upgrades", "both")
NEWS_DAYS = 3
AT_CLOSE, AT_ONCE = VETO_TIMES = ("close", "once")
QUEUE_BASES = ("card", "tier", "higher")


@dataclass(frozen=True, slots=True)
class Band:
    """A part of a tier that is told apart and decides nothing (C-22)."""

    id: str
    name: Name
    when: Criterion


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier; the lowest has no criterion: it is what remains (R-231).

    Another tier without one is `unset`: nobody reaches it until the bank sets it. `same_rank_as` names the tier before
    it when the two are not ranked (C-42). Of `bands` the first that is met counts. `permanent`: who has had it by the
    standard never has a lower one.
    """

    id: str
    name: Name
    card: str | None = None
    when: Criterion | None = None
    unset: bool = False
    same_rank_as: str | None = None
    bands: tuple[Band, ...] = ()
    permanent: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """At which closes tiers are decided, when changes take effect, and what a restated close does to the tier.

    upgrades and downgrades are closes too, or `application` (C-17) or `review`. Grace: so many month closes in a row
    below the standard change nothing (N-02). What a tier is kept for, and from which day changes hold, is in
    docs/tiers.md#leaving-a-tier; `effective_business_days` by direction, `upgrades` or `downgrades`.
    """

    close: str
    upgrades: str = ""
    downgrades: str = ""
    grace_months: int = 0
    restatement: str = "record_only"
    keep_months: int = 0
    steps: int = 0
    exempt_months: int = 0
    fall_notice_days: int = 0
    effective_business_days: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QueueClass:
    """A class of waiting customers; first in the pack is called first.

    `calls_a_round`: under the order `ratio`; None: one more for each class below.
    """

    id: str
    name: Name
    head_start_minutes: int
    cards: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    calls_a_round: int | None = None


@dataclass(frozen=True, slots=True)
class Queue:
    """Who is called before whom, and who is led to the VIP area (C-37: class by card, area by tier).

    `overtakers_max`: a ticket that so many have overtaken is next at any counter that may serve it; None: no such cap.
    """

    basis: str
    classes: tuple[QueueClass, ...]
    order: str = HEAD_START
    vip_area_from: str | None = None
    overtakers_max: int | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """A fall in basis points of the AUM before the window; an outflow below the tier's floor is no share."""

    basis_points: dict[str, int]
    floor: dict[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Drip:
    """At least `count` outgoing postings in the window, none above `each_at_most`."""

    count: int
    each_at_most: Decimal


@dataclass(frozen=True, slots=True)
class AlertRule:
    """An outflow rule: it fires on the absolute amount or on the share, whichever is given for the customer's tier.

    `window_days` 0 means a single posting. Tiers absent from both mappings are not watched. `measure` (net or gross) and
    `to_one_bank` are of classes with cases.
    """

    id: str
    name: Name
    window_days: int
    severity: str
    cool_down_days: int = 0
    absolute: dict[str, Decimal] = field(default_factory=dict)
    share: Share | None = None
    drip: Drip | None = None
    measure: str = "net"
    to_one_bank: bool = False


@dataclass(frozen=True, slots=True)
class Escalation:
    """When a case that nobody has answered is told one level further up: working hours by severity; others are not.

    Working time is from `opens` to `closes`, minutes since midnight, on days on which the bank is open.
    """

    hours: dict[str, int]
    opens: int = 9 * 60
    closes: int = 17 * 60


@dataclass(frozen=True, slots=True)
class CaseTerms:
    """What holds for all outflow cases of a class of customers (docs/alerts.md#cases).

    Credits count as money that returns for `return_days`; days are settled after `settle_days`; legs of unknown nature are
    at most `settle_minutes` apart. Codes of counterparties that are no outside bank.
    """

    return_days: int = 15
    settle_days: int = 3
    settle_minutes: int = 30
    own_banks: tuple[str, ...] = ()
    internal_banks: tuple[str, ...] = ()
    escalation: Escalation | None = None


@dataclass(frozen=True, slots=True)
class OutlookRule:
    """A rule on what the closes ahead will give if today's balances stay; by the customer's tier, others are not watched.

    upgrade_near: the amount to hold for the next tier is at most `at_most`, or at most so many basis points of today's
    AUM. downgrade_risk: the tier is lost at the next close, or within so many days.
    """

    id: str
    name: Name
    outlook: str
    severity: str
    cool_down_days: int = 0
    at_most: dict[str, Decimal] = field(default_factory=dict)
    basis_points: dict[str, int] = field(default_factory=dict)
    within_days: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StateRule:
    """A rule that each close looks at (streams.alerts.kinds); amounts and shares by the customer's tier, others are not watched.

    fact: of kind count, a day as days since 1970-01-01.
    """

    id: str
    name: Name
    kind: str
    severity: str
    at_least: dict[str, Decimal] = field(default_factory=dict)
    basis_points: dict[str, int] = field(default_factory=dict)
    fact: str = ""
    days_ahead: int = 0


@dataclass(frozen=True, slots=True)
class ClassPolicy:
    """What holds for one class of customers; tiers lowest first, queue classes first called first.

    `veto`: who meets it has the lowest tier whatever else holds (C-36), from the next close of `downgrades` on or, `at_once`,
    from the next day close on. `queue` may only be missing in a layer scheme.
    """

    customer_class: str
    evaluation: Evaluation
    tiers: tuple[Tier, ...]
    status: StatusRule
    cards: Cards
    queue: Queue
    vip_from: str | None = None
    alerts: tuple[AlertRule | OutlookRule | StateRule, ...] = ()
    cases: CaseTerms | None = None
    veto: Criterion | None = None
    veto_at: str = AT_CLOSE
    review: Review | None = None
    notables: Exceptions | None = None
    overrides: Exceptions | None = None
    pinning: Pinning | None = None
    potential: Potential | None = None
    services: tuple[Service, ...] = ()
    contacts: tuple[Contact, ...] = ()
    responsibility: tuple[Responsibility, ...] = ()
    portfolio: dict[str, int] = field(default_factory=dict)

    @property
    def vetoes_at_once(self) -> bool:
        """Whether every day close looks for the veto."""
        return self.veto is not None and self.veto_at == AT_ONCE

    @property
    def one_by_one(self) -> bool:
        """Whether a change of tier takes more of a customer than his tier, the standard and the months below it."""
        when = self.evaluation
        stepping = 0 < when.steps < len({self.level(tier.id) for tier in self.tiers}) - 1
        asked = when.keep_months or stepping or when.exempt_months or when.fall_notice_days
        return bool(
            asked or when.effective_business_days or self.vetoes_at_once or any(t.permanent for t in self.tiers)
        )

    @property
    def charged(self) -> tuple[Service, ...]:
        """Services of which each month's close says whether they are due."""
        return tuple(one for one in self.services if one.when is not None or one.free_months)

    @property
    def outflow_rules(self) -> tuple[AlertRule, ...]:
        """Alert rules on postings."""
        return tuple(rule for rule in self.alerts if isinstance(rule, AlertRule))

    @property
    def outlook_rules(self) -> tuple[OutlookRule, ...]:
        """Alert rules on the outlook at the day closes."""
        return tuple(rule for rule in self.alerts if isinstance(rule, OutlookRule))

    @property
    def state_rules(self) -> tuple[StateRule, ...]:
        """Alert rules that each close looks at."""
        return tuple(rule for rule in self.alerts if isinstance(rule, StateRule))

    def criteria(self) -> tuple[Criterion, ...]:
        """All that looks at figures of a customer."""
        potential = None if self.potential is None else self.potential.when
        bands = (band.when for tier in self.tiers for band in tier.bands)
        services = (service.when for service in self.services)
        found = (self.veto, potential, *(tier.when for tier in self.tiers), *bands, *services)
        return tuple(one for one in found if one is not None)

    def rank(self, tier: str) -> int:
        """The tier's place, 0 is the lowest. Raises KeyError for a tier of another pack."""
        for index, known in enumerate(self.tiers):
            if known.id == tier:
                return index
        raise KeyError(tier)

    def level(self, tier: str) -> int:
        """The tier's rank, where tiers of the same rank share one (C-42). Raises KeyError for a tier of another pack."""
        at = self.rank(tier)
        while self.tiers[at].same_rank_as is not None:
            at -= 1
        return at

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
    """One version of one scheme. `body` is the YAML it was read from, so that it can be published unchanged.

    `kind`: one tier scheme for a class of customers, and beside it at most one layer scheme (docs/tiers.md#schemes).
    `notice_days`: an alert that is told later than so many days after its own says so.
    """

    id: str
    version: int
    effective_from: date
    name: Name
    scopes: dict[str, frozenset[str]]
    classes: dict[str, ClassPolicy]
    body: str
    basis: str = ""
    kind: str = "tiers"
    readings: tuple[str, ...] = ()
    owner: str | None = None
    edited_by: str = "head-office"
    applies_to: str = "all-branches"
    supersedes: tuple[str, ...] = ()
    file_owner: str = "outlet"
    principles: tuple[str, ...] = ()
    notice_days: int = NEWS_DAYS
    sources: dict[str, Source] = field(default_factory=dict)
    facts: dict[str, OwnFact] = field(default_factory=dict)
    flows: dict[str, Flow] = field(default_factory=dict)
    measures: dict[str, PackMeasure] = field(default_factory=dict)
    branches: Branches | None = None
    supplement: Supplement | None = None
    rollout: tuple[RolloutStep, ...] = ()

    def asked(self) -> tuple[tuple[str, str | None], ...]:
        """The columns (metric, scope) that its criteria take."""
        every = (criterion for policy in self.classes.values() for criterion in policy.criteria())
        found = (key for criterion in every for leaf in limits(criterion) for key in limit_columns(self, leaf))
        return tuple(dict.fromkeys(found))

    def open_numbers(self) -> tuple[str, ...]:
        """Where the bank has yet to fill a number in, as `class.tier metric`; a pack without any may be activated."""
        return tuple(
            f"{name}.{tier.id} {leaf.metric}"
            for name, policy in self.classes.items()
            for tier in policy.tiers
            for leaf in limits(tier.when)
            if leaf.is_open
        )
