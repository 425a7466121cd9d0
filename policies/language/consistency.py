"""What only shows across the settings of a pack: combinations that would be taken and mean something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.model.pack import CHANGE_CLOSES, ON_REQUEST, RESTATEMENTS, ClassPolicy
from streams.vocabulary.terms import CARD_EXPIRY, REVIEW_DUE

if TYPE_CHECKING:
    from policies.language.reader import Item

LAYERS_ALONE = (
    "layers rest on criteria and closes alone: no cards, records, reviews, exceptions, restatement or outlook"
)
GRACEFUL = ("continuous", "day", "month")  # downgrades that a number of month closes can put off
MONTHS_OF_CLOSE = {"quarter": 3, "year": 12}
OF_LEAVING = ("keep_months", "steps", "exempt_months", "fall_notice_days", "effective_business_days")


def check_class(item: Item, policy: ClassPolicy) -> None:
    """What only shows across sections."""
    check_timing(item, policy)
    check_leaving(item, policy)
    if policy.cards.issue.mode in ("approval", "request") and policy.cards.issue.by is None:
        item.fail(f"cards.issue: mode {policy.cards.issue.mode} needs the role in `by`")
    if policy.status.basis == "card" and not any(tier.card for tier in policy.tiers[1:]):
        item.fail("status.basis card needs tiers with cards")
    escalation = None if policy.cases is None else policy.cases.escalation
    if escalation is not None and escalation.opens >= escalation.closes:
        item.fail("cases.escalation: it closes before it opens")
    if escalation is not None and not escalation.hours:
        item.fail("cases.escalation.hours: must not be empty")
    if policy.cases is not None and not policy.outflow_rules:
        item.fail("cases: there is no outflow rule under alerts")
    for rule in policy.state_rules:
        if rule.kind == CARD_EXPIRY and (policy.cards.valid_months is None or not policy.cards.reminder_days):
            item.fail(f"alerts.{rule.id}: no card ends, or cards.reminder_days is 0")
        if rule.kind == REVIEW_DUE and (policy.review is None or not policy.review.reminder_days):
            item.fail(f"alerts.{rule.id}: there is no review, or review.reminder_days is 0")
    for part in (policy.notables, policy.overrides):
        if part is not None and part.request_by == part.approve_by:
            item.fail("an exception is asked for by one role and approved by another")
    seen: set[str] = set()
    for duty in policy.responsibility:
        for tier in duty.tiers:
            if tier in seen:
                item.fail(f"responsibility: {tier} has more than one accountable role")
            seen.add(tier)


def check_timing(item: Item, policy: ClassPolicy) -> None:
    """When tiers change goes with when they are decided: what is asked for has to come about as it is written."""
    when, review = policy.evaluation, policy.review
    for name, asked in (("upgrades", when.upgrades), ("downgrades", when.downgrades)):
        if asked == "review" and review is None:
            item.fail("changes at a review need the section review")
        elif _finer(asked, when.close):
            item.fail_if_new(
                f"evaluation.{name}: {asked} is finer than `close: {when.close}`, and between its closes nothing is "
                f"decided: give `close: {asked}`"
            )
    if when.grace_months and when.downgrades not in GRACEFUL:
        item.fail_if_new(
            f"evaluation.grace_months: grace counts month closes, and `downgrades: {when.downgrades}` comes at others: it "
            f"needs downgrades at {', '.join(GRACEFUL)}"
        )
    months = MONTHS_OF_CLOSE.get(when.close, 1)
    if review is not None and review.months % months:
        item.fail_if_new(
            f"review.months: {review.months} is no multiple of {months}, and with `close: {when.close}` a review waits for "
            "the next close"
        )


def check_leaving(item: Item, policy: ClassPolicy) -> None:
    """What holds a tier belongs to closes, and to tiers that follow the standard."""
    when, lowest = policy.evaluation, policy.tiers[0]
    given = {f"evaluation.{name}": bool(getattr(when, name)) for name in OF_LEAVING}
    beside = {"tiers.permanent": any(tier.permanent for tier in policy.tiers), "veto.at": policy.vetoes_at_once}
    for name in (name for name, asked in (given | beside).items() if asked and policy.status.basis == "card"):
        item.fail(f"{name}: under `status: {{basis: card}}` the tier is that of the card, and no close takes it")
    if when.downgrades in ("continuous", "application"):
        for name in (name for name, asked in given.items() if asked and name != "evaluation.effective_business_days"):
            item.fail(f"{name}: it looks at closes, and `downgrades: {when.downgrades}` come at others")
    if when.effective_business_days and when.close == "continuous":
        item.fail("evaluation.effective_business_days: it counts from a close: give `close: day` or a later one")
    if lowest.permanent:
        item.fail(f"tiers.permanent: nobody can lose {lowest.id}, which is the lowest")


def _finer(asked: str, close: str) -> bool:
    """Whether changes are asked for more often than anything is decided."""
    return asked not in ON_REQUEST and CHANGE_CLOSES.index(asked) < CHANGE_CLOSES.index(close)


def check_layer(item: Item, policy: ClassPolicy) -> None:
    """Layers rest on criteria and closes alone: no cards, records, reviews, exceptions, restatement or outlook."""
    when = policy.evaluation
    if when.close == "continuous":
        item.fail("evaluation.close: layers are decided at closes: the finest evaluation is `day`")
    asked = {
        "evaluation.upgrades": when.upgrades in ON_REQUEST, "evaluation.downgrades": when.downgrades in ON_REQUEST,
        "evaluation.restatement": when.restatement != RESTATEMENTS[0], "status.basis": policy.status.basis != "metric",
        "status.requires": policy.status.requires, "review": policy.review, "notables": policy.notables,
        "overrides": policy.overrides, "pinning": policy.pinning,
    }  # fmt: skip
    asked |= {f"evaluation.{name}": getattr(when, name) for name in OF_LEAVING}
    asked |= {f"services.{service.id}": True for service in policy.charged}
    asked |= {"tiers.permanent": any(t.permanent for t in policy.tiers), "veto.at": policy.vetoes_at_once}
    asked |= {f"alerts.{rule.id}": True for rule in policy.outlook_rules}
    asked |= {f"alerts.{rule.id}": True for rule in policy.state_rules}
    for name, given in asked.items():
        if given:
            item.fail(f"{name}: {LAYERS_ALONE}")
