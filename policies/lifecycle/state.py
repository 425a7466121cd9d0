"""What is remembered of one customer between events, and what a step says: the vocabulary of the lifecycle.

Days are day numbers since 1970-01-01. A state is a value: a step gives a new one and leaves the old one alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from streams.calendar import month_of, month_start

if TYPE_CHECKING:
    from policies.model.pack import ClassPolicy

_EPOCH = date(1970, 1, 1)
FLAGS = (
    "vip", "eligible", "standard", "below-standard", "notable", "pinned", "upgrade-offer", "downgrade-case", "grace",
    "courtesy", "deferred", "renewal-due", "review-due", "potential_customer", "fall-notice",
)  # fmt: skip
ISSUED, HELD, LOST = "issued", "held", "lost"


def day_number(day: date) -> int:
    """The day number of a date."""
    return (day - _EPOCH).days


def day_date(number: int) -> date:
    """The date of a day number."""
    return _EPOCH + timedelta(days=number)


def months_later(day: int, months: int) -> int:
    """The same day of the month so much later; where that month is shorter, the first of the next one."""
    start = day_date(day)
    count = start.year * 12 + start.month - 1 + months
    try:
        return day_number(start.replace(year=count // 12, month=count % 12 + 1))
    except ValueError:
        return day_number(date((count + 1) // 12, (count + 1) % 12 + 1, 1))


def months_after(day: int, months: int) -> int:
    """The same day of the month so much later; the month's last where it has no such day."""
    month = int(month_of(day))
    last = int(month_start(month + months + 1)) - 1
    return min(int(month_start(month + months)) + day - int(month_start(month)), last)


def review_day(reviewed: int, months: int) -> int:
    """The same day of the month so much later, the month's last where there is none; a month's end leads to a month's end.

    So what was decided at the close of 31 March is reviewed after six months at the close of 30 September.
    """
    month = int(month_of(reviewed))
    ends, target = int(month_start(month + 1)), month + months
    last = int(month_start(target + 1)) - 1
    return last if reviewed == ends - 1 else min(int(month_start(target)) + reviewed - int(month_start(month)), last)


def last_valid_day(issued: int, months: int) -> int:
    """Valid through the day before the anniversary (C-38): two years from 2024-03-01 end with 2026-02-28."""
    return months_later(issued, months) - 1


@dataclass(frozen=True, slots=True)
class Card:
    """A card: its class, the day of issue, the last day it is valid (None: no end), and issued, held or lost."""

    card: str
    issued: int
    last_day: int | None = None
    state: str = HELD


@dataclass(frozen=True, slots=True)
class Request:
    """A card that was applied for or requested, and who has approved it."""

    card: str
    by: str
    role: str
    approved_by: str | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """A tier given without the standard (notables, overrides); in force once somebody else has approved it."""

    tier: str | None
    kind: str
    requested_by: str
    approved_by: str | None = None
    last_day: int | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A change of tier that the close of a day has decided and that holds from a later one: the tier, its first day, the close's.

    told: kind and reason of the decision that has told it, with a stroke between them.
    """

    tier: str
    day: int
    decided: int
    told: str = "pending/close"


@dataclass(frozen=True, slots=True)
class State:
    """One customer under one class of a pack.

    official: the tier by standard or card, as decided so far; `tier_of` adds what was granted.
    measured: the tier that the standard gave at the last evaluation.
    below: month closes in a row at which the standard gave less than the official tier.
    deferred: the day from which a change would have been in force, while a source is stale.
    renewal_said, review_said: the last day of the card, the day of the review, that it was said is near.
    since: the day from which he last rose to the tier he has, where tiers are kept for some months.
    reached: the highest permanent tier that was in force by the standard.
    pending: the change that is to come. vetoed: a veto that acts at once has taken the tier.
    services: by their ids, those that are due or free.
    """

    official: str
    measured: str
    records: frozenset[str] = frozenset()
    card: Card | None = None
    request: Request | None = None
    grant: Grant | None = None
    below: int = 0
    reviewed_on: int | None = None
    pinned_version: int | None = None
    deferred: int | None = None
    standing: str | None = None
    staff_card: bool = False
    renewal_said: int | None = None
    review_said: int | None = None
    since: int | None = None
    reached: str | None = None
    pending: Pending | None = None
    vetoed: bool = False
    services: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Close:
    """What a close hands to the lifecycle: which closes the day ends, and the tier that the standard gives.

    `pinned` is the tier under the version a pinned customer stays on; `stale` names sources that are too old.
    joined: the begin of the relation as the profile stands; vetoed: a veto that acts at once is met; calendar: days of
    which it was said whether the bank is open.
    """

    day: int
    ends: frozenset[str]
    measured: str
    pinned: str | None = None
    stale: tuple[str, ...] = ()
    joined: int | None = None
    vetoed: bool = False
    calendar: Mapping[int, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Act:
    """Something a person or the card system did: one record of crm-actions.

    role: of a stamped one, that in which its actor acted (docs/security.md#commands); None: it says of itself who acts.
    joined: the begin of the relation as the profile stands.
    """

    action: str
    day: int
    requested_by: str = "customer"
    approved_by: str | None = None
    expires_on: int | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    event_id: str = ""
    role: str | None = None
    joined: int | None = None

    @classmethod
    def of(cls, record: Mapping[str, Any], day: int) -> Act:
        """The act in a record of crm-actions; `day` is the business day of its instant. A stamp goes before what is claimed."""
        by = record["stamped_by"]
        role = None if by is None else record["stamped_role"] or ""
        return cls(
            record["action"], day, by or record["requested_by"], record["approved_by"], record["expires_on"],
            record["details"], record["event_id"], role,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing decided, refused, offered or put off, with what it rests on.

    kind: tier, status, offer, card, record, review, renewal-due, review-due, deferred, restated, refused; pending and notice
    of a change to come, withdrawn of one that does not; service of what is due, free or not.
    `effective` is the first day it holds.
    `evidence` holds codes and values as text; the caller adds metric values and the cut.
    """

    kind: str
    reason: str
    day: int
    effective: int
    before: str | None = None
    after: str | None = None
    caused_by: str = ""
    evidence: Mapping[str, str] = field(default_factory=dict)


Step = tuple[State, tuple[Decision, ...]]


def begin(policy: ClassPolicy) -> State:
    """A customer of whom nothing is known."""
    lowest = policy.tiers[0].id
    return State(lowest, lowest)


def card_tier(policy: ClassPolicy, card: Card | None) -> str:
    """The tier of the card held (a lost one keeps it, R-241); the lowest without one, or before it is collected."""
    if card is None or card.state == ISSUED:
        return policy.tiers[0].id
    return next((tier.id for tier in policy.tiers if tier.card == card.card), policy.tiers[0].id)


def granted(state: State) -> str | None:
    """The tier of an approved grant."""
    return state.grant.tier if state.grant is not None and state.grant.approved_by is not None else None


def ready(policy: ClassPolicy, state: State) -> bool:
    """Whether every record the pack asks for is there."""
    return state.records >= set(policy.status.requires)


def tier_of(policy: ClassPolicy, state: State) -> str:
    """The tier: official, or granted where that is higher. Without an approved grant it takes a card under basis card."""
    given = granted(state)
    if given is None or policy.level(given) <= policy.level(state.official):
        return state.official
    return given


def flags(policy: ClassPolicy, state: State, day: int | None = None) -> frozenset[str]:
    """What is true of the customer beside the tier (rules: flags that are not tiers); what is due, as of a day."""
    lowest, tier = policy.tiers[0].id, tier_of(policy, state)
    measured, official = policy.level(state.measured), policy.level(state.official)
    found = {
        "vip": policy.is_vip(tier),
        "eligible": tier == lowest and measured > 0,
        "standard": state.standing == "standard",
        "below-standard": state.standing == "below-standard",
        "notable": granted(state) is not None,
        "pinned": state.pinned_version is not None,
        "upgrade-offer": policy.evaluation.upgrades == "application" and 0 < official < measured,
        "downgrade-case": policy.evaluation.downgrades == "application" and measured < official,
        "grace": state.below > 0 and measured < official and policy.evaluation.grace_months > 0,
        "courtesy": state.staff_card,
        "deferred": state.deferred is not None,
        "renewal-due": day is not None and renewal_due(policy, state, day),
        "review-due": day is not None and review_near(policy, state, day),
        "fall-notice": state.pending is not None and policy.level(state.pending.tier) < official,
    }
    return frozenset(name for name, holds in found.items() if holds)


def bits(found: Iterable[str]) -> int:
    """Flags as a number: bit i for FLAGS[i]."""
    return sum(1 << FLAGS.index(name) for name in found)


def renewal_from(policy: ClassPolicy, state: State) -> int | None:
    """The first day on which the card's renewal is due (R-180); None without an end, or without a reminder."""
    last = state.card.last_day if state.card is not None else None
    return None if last is None or not policy.cards.reminder_days else last - policy.cards.reminder_days + 1


def renewal_due(policy: ClassPolicy, state: State, day: int) -> bool:
    """Whether the card ends within the pack's reminder (R-180)."""
    first, card = renewal_from(policy, state), state.card
    return first is not None and card is not None and card.last_day is not None and first <= day <= card.last_day


def next_review(policy: ClassPolicy, state: State) -> int | None:
    """The day at whose close the customer's next review is due (R-110); None without reviews or before the first."""
    if policy.review is None or state.reviewed_on is None:
        return None
    return review_day(state.reviewed_on, policy.review.months)


def review_from(policy: ClassPolicy, state: State) -> int | None:
    """The first day on which people are told of the next review (R-110); None without one, or without a reminder."""
    coming = next_review(policy, state)
    if coming is None or policy.review is None or not policy.review.reminder_days:
        return None
    return coming - policy.review.reminder_days + 1


def review_near(policy: ClassPolicy, state: State, day: int) -> bool:
    """Whether the next review comes within the pack's reminder, or is late (R-110)."""
    first = review_from(policy, state)
    return first is not None and first <= day


def unsaid(policy: ClassPolicy, state: State) -> tuple[int | None, int | None]:
    """The days from which a renewal and a review are to be told of; None where that has been done."""
    last = state.card.last_day if state.card is not None else None
    renewal = None if last == state.renewal_said else renewal_from(policy, state)
    return renewal, None if next_review(policy, state) == state.review_said else review_from(policy, state)
