"""The grammar of alert rules on the outlook, and of those that each close looks at (streams.alerts.kinds)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from policies.language.grammar import NAME, Amount, ByTier, Choice, Identifier, Kind, RecordKind, Whole
from policies.language.reader import Item
from policies.model.pack import OutlookRule, StateRule
from streams.vocabulary.terms import (
    BREAK,
    CARD_EXPIRY,
    DOWNGRADE_RISK,
    LARGE_INFLOW,
    PRODUCT_MATURING,
    REVIEW_DUE,
    SEVERITIES,
    STATE_KINDS,
    UPGRADE_NEAR,
)

BASIS_POINTS_MAX = 10_000
WATCHED: dict[str, Kind] = {"id": Identifier(), "name": NAME, "severity": Choice(SEVERITIES)}


def _check_near(item: Item, rule: OutlookRule) -> None:
    if not rule.at_most and not rule.basis_points:
        item.fail("give at_most, basis_points or both")


NEAR = RecordKind(
    UPGRADE_NEAR,
    OutlookRule,
    {**WATCHED, "outlook": Choice((UPGRADE_NEAR,))},
    {
        "cool_down_days": Whole(0, 366),
        "at_most": ByTier(Amount(), "What must be held besides for the next tier, by today's tier or one for all."),
        "basis_points": ByTier(Whole(1, BASIS_POINTS_MAX), "The same as a share of today's AUM."),
    },
    "The next tier is within reach at the next close: on the amount or on the share, whichever is given for the tier.",
    _check_near,
)
AT_RISK = RecordKind(
    DOWNGRADE_RISK,
    OutlookRule,
    {
        **WATCHED,
        "outlook": Choice((DOWNGRADE_RISK,)),
        "within_days": ByTier(Whole(0, 366), "Days to the close that takes the tier; the next close always counts."),
    },
    {"cool_down_days": Whole(0, 366)},
    "The tier will be lost if today's balances stay. Tiers that are not listed are not watched.",
)
FORESEEN = {UPGRADE_NEAR: NEAR, DOWNGRADE_RISK: AT_RISK}


def _check_maturing(item: Item, rule: StateRule) -> None:
    if rule.fact not in item.found.known.get("counts", ()):
        dict(item.entries())["fact"].fail(f"{rule.fact} is no fact of kind count under facts")


def _state(kind: str, doc: str, check: Callable[[Item, Any], None] | None = None, **settings: Kind) -> RecordKind:
    required: dict[str, Kind] = {**WATCHED, "kind": Choice((kind,)), **settings}
    return RecordKind(kind, StateRule, required, {}, doc, check)


AT_LEAST = ByTier(Amount(), "By tier or one for all; tiers that are not listed are not watched.")
STATES = {
    CARD_EXPIRY: _state(CARD_EXPIRY, "The card ends within cards.reminder_days."),
    REVIEW_DUE: _state(REVIEW_DUE, "The review comes within review.reminder_days, or is late."),
    BREAK: _state(BREAK, "The postings leave a snapshot unexplained by so much.", at_least=AT_LEAST),
    LARGE_INFLOW: _state(
        LARGE_INFLOW, "The net inflow of 7 days is so much, and such a share of the AUM.", at_least=AT_LEAST,
        basis_points=ByTier(Whole(1, BASIS_POINTS_MAX), "Of the AUM at the close, by tier or one for all."),
    ),
    PRODUCT_MATURING: _state(
        PRODUCT_MATURING, "The day that a fact names is near.", _check_maturing,
        fact=Identifier("A fact of kind count: the day, as days since 1970-01-01."), days_ahead=Whole(1, 366),
    ),
}  # fmt: skip
assert tuple(STATES) == STATE_KINDS
