"""What a class of customers is promised and asked for beside its tiers: cards, reviews, exceptions, services, care."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date
    from decimal import Decimal

    from policies.model.terms import Criterion, Name

BASES = ("metric", "card")
RECORDS = ("application", "filing", "agreement", "consent", "verification")
ISSUE_MODES = ("teller", "application", "approval", "request", "filing")
STARTS = ("issue", "collection")
PERIODS = ("week", "month", "quarter", "year")
BRANCH_LEVELS = ("head-office", "tier-1-branch", "tier-2-branch", "tier-1-sub-branch", "tier-2-sub-branch", "outlet")


@dataclass(frozen=True, slots=True)
class StatusRule:
    """What makes a tier official beside the standard.

    basis: `metric` (the tier follows the standard) or `card` (the tier is that of the card held, C-07).
    requires: records that must be there first; until then a customer who meets the standard is `eligible`.
    """

    basis: str = "metric"
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Issue:
    """How a card comes to a customer (C-29). `by` is the role that approves, requests or files."""

    mode: str = "teller"
    by: str | None = None
    needs_standard: bool = True
    start: str = "issue"
    branches: tuple[str, ...] = ()  # levels that may issue; empty: all
    needs_wealth_manager: bool = False


@dataclass(frozen=True, slots=True)
class StaffCard:
    """A card that employees carry to bring prospects through; it never proves a tier (C-13)."""

    card: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cards:
    """Card rules of a class. valid_months None: no end."""

    issue: Issue = Issue()
    valid_months: int | None = None
    digits: tuple[int, ...] = ()
    reminder_days: int = 30
    contract_again_from: date | None = None  # cards issued before: signed again at the first change after it
    staff: StaffCard | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """A review of each customer every `months`, counted from the last one; the first comes with the first close."""

    months: int
    reminder_days: int = 30


@dataclass(frozen=True, slots=True)
class Exceptions:
    """Admission without the standard: asked for by one role, approved one by one by another, ending after some months.

    tier None: the approver names it (C-39).
    """

    request_by: str
    approve_by: str
    kinds: tuple[str, ...] = ()
    tier: str | None = None
    valid_months: int | None = None


@dataclass(frozen=True, slots=True)
class Pinning:
    """Customers served before a version took effect stay on the older one (C-16)."""

    before_version: int


@dataclass(frozen=True, slots=True)
class Potential:
    """Who is flagged `potential_customer` (never a tier): the criterion, and the groups a bank tags."""

    when: Criterion | None = None
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """An entitlement of some tiers; before `launch` it is neither shown nor promised (C-32). Price and cost a use.

    With `when` or `free_months` the closes of months say whether it is due, free or not (policies.lifecycle.services).
    """

    id: str
    name: Name
    tiers: tuple[str, ...]
    family: str = "service"
    launch: date | None = None
    price: Decimal | None = None
    cost: Decimal | None = None
    requires: tuple[str, ...] = ()
    when: Criterion | None = None
    free_months: int = 0

    def shown(self, tier: str, day: date) -> bool:
        """Whether a customer of the tier is promised it on the day."""
        return tier in self.tiers and (self.launch is None or day >= self.launch)


@dataclass(frozen=True, slots=True)
class Contact:
    """At least `count` contacts of a kind in each period."""

    id: str
    name: Name
    tiers: tuple[str, ...]
    count: int
    per: str
    channels: tuple[str, ...] = ()

    def met(self, done: int) -> bool:
        """Whether so many contacts in the period are enough."""
        return done >= self.count


@dataclass(frozen=True, slots=True)
class Responsibility:
    """Who keeps customers of some tiers: one accountable role, and those that may carry out the contact (C-08)."""

    tiers: tuple[str, ...]
    accountable: str
    may_act: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A system of record: which asset classes and facts it supplies, and how old it may be in business days.

    While a required source is older, tier changes are deferred (docs/tiers.md#stale-sources).
    """

    supplies: tuple[str, ...]
    freshness_business_days: int = 1
    required: bool = True


@dataclass(frozen=True, slots=True)
class Branches:
    """What a branch may set in a supplement, as dotted paths; everything else is locked (R-067)."""

    may_set: tuple[str, ...]
    file_with: str
    approval_by: str | None = None


@dataclass(frozen=True, slots=True)
class Supplement:
    """This pack is a branch's version of another: of which, where, and the record that let it in (R-131, R-155)."""

    base: str
    branch: str
    filed_on: date | None = None
    approved_by: str | None = None


@dataclass(frozen=True, slots=True)
class OwnFact:
    """A figure that the bank's systems send and this pack asks for. `absent` stands in where none was sent, in whole units.

    A text is one of `values`; without `absent` it is unknown where none was sent. `valid_days`: after its day and so many
    more it counts as not sent.
    """

    kind: str
    absent: int | str = 0
    name: Name | None = None
    values: tuple[str, ...] = ()
    valid_days: int | None = None

    @property
    def absent_text(self) -> str | None:
        """What stands in for a text."""
        return self.absent if isinstance(self.absent, str) else None

    def stand_in(self, exponent: int) -> int:
        """`absent` as facts are kept: money in minor units of a currency with so many decimals."""
        if isinstance(self.absent, str):
            return 0
        return self.absent * 10**exponent if self.kind == "money" else self.absent


@dataclass(frozen=True, slots=True)
class RolloutStep:
    """A step of an introduction plan (R-276)."""

    month: int
    name: Name
