"""Settings of a good pack that change no outcome in any world: named by the check, so that nobody counts on them.

Paths are those of the document, from a class or from the head on. A path that was not written is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Final

from policies.model.figures import limit_columns, series
from policies.model.pack import LAYERS, RESTATEMENTS, OutlookRule, StateRule
from policies.model.terms import Limit, limits
from streams.vocabulary.terms import CARD_EXPIRY, CORPORATE, PERSONAL, UPGRADE_NEAR

if TYPE_CHECKING:
    from policies.model.pack import ClassPolicy, Pack
    from policies.model.terms import Criterion

_Found = Iterator[tuple[str, str]]
BY_CARD = "the tier is that of the card held, and no close moves it"
LAYERS_ONLY = "a layer scheme says who is responsible, and nothing else"
OF_LAYERS = (
    "vip_from",
    "cards",
    "queue",
    "alerts",
    "cases",
    "potential",
)  # what a class of a layer scheme may hold in vain
OF_CARDS = ("issue", "valid_months", "digits", "reminder_days", "contract_again_from")
_FINER = ("continuous", "day")


def idle(pack: Pack) -> _Found:
    """(Path, why) of what changes nothing."""
    leaves = [leaf for policy in pack.classes.values() for c in policy.criteria() for leaf in limits(c)]
    columns = {*pack.asked()}
    named = {name if (by_month := series(name)) is None else by_month.of for name, _ in columns}
    for fact, kind in pack.facts.items():
        if fact not in named and kind.absent:
            yield f"facts.{fact}.absent", "no criterion names the fact"
        if kind.valid_days is not None and (fact, None) not in columns:
            yield f"facts.{fact}.valid_days", "no criterion looks at its latest value"
    for flow in pack.flows:
        if flow not in named:
            yield f"flows.{flow}", "no criterion names it"
    for measure in pack.measures:
        if not any(measure == leaf.metric or measure in _within(pack, leaf.metric) for leaf in leaves):
            yield f"measures.{measure}", "no criterion names it"
    for scope in list(pack.scopes)[1:]:
        if scope not in {scope for _, scope in columns}:
            yield f"scopes.{scope}", "no criterion names it"
    for source, rule in pack.sources.items():
        if not rule.required:
            yield f"sources.{source}.freshness_business_days", "nothing waits for a source that is not required"
    for name, policy in pack.classes.items():
        for path, why in (*_of_class(pack, policy), *_beside(pack, policy)):
            yield f"classes.{name}.{path}", why


def _within(pack: Pack, metric: str) -> set[str]:
    """The measures of which a measure is made."""
    below = {term.metric for term in pack.measures[metric].terms} if metric in pack.measures else set[str]()
    return below.union(*(_within(pack, name) for name in below))


def _beside(pack: Pack, policy: ClassPolicy) -> _Found:
    """What the kind of the pack, or its other class, leaves without an effect."""
    if pack.kind == LAYERS:
        yield from ((name, LAYERS_ONLY) for name in OF_LAYERS)
        yield from ((f"tiers[{i}].card", LAYERS_ONLY) for i in range(len(policy.tiers)))
    if policy.customer_class == CORPORATE and PERSONAL in pack.classes:
        yield from ((name, "alert rules are those of personal customers") for name in ("alerts", "cases"))


def _of_class(pack: Pack, policy: ClassPolicy) -> _Found:
    yield from _evaluation(pack, policy)
    yield from _hidden(policy)
    yield from _cards(policy)
    yield from _alerts(policy)
    if policy.overrides is not None:
        yield "overrides.kinds", "an override may have any reason"
    if policy.potential is not None:
        yield "potential.groups", "no customer is known to be in a group"


def _evaluation(pack: Pack, policy: ClassPolicy) -> _Found:
    when = policy.evaluation
    record_only = when.restatement == RESTATEMENTS[0]
    if when.steps >= len({policy.level(tier.id) for tier in policy.tiers}) - 1:
        yield "evaluation.steps", "no fall is longer"
    if policy.status.basis == "card":
        for name, asked in (("upgrades", when.upgrades), ("downgrades", when.downgrades)):
            if asked != "application" and record_only:
                yield f"evaluation.{name}", BY_CARD
        if when.grace_months:
            yield "evaluation.grace_months", BY_CARD
    if record_only:
        return
    if when.close in _FINER and not {when.upgrades, when.downgrades} - {*_FINER, "application", "review"}:
        yield "evaluation.restatement", "every day decides, so that no close needs correcting"
    elif not any(
        scope for criterion in _deciding(policy) for leaf in limits(criterion) for _, scope in limit_columns(pack, leaf)
    ):
        yield "evaluation.restatement", "no condition looks at balances, and nothing else is restated"


def _deciding(policy: ClassPolicy) -> list[Criterion | None]:
    return [policy.veto, *(tier.when for tier in policy.tiers)]


def _hidden(policy: ClassPolicy) -> _Found:
    """Conditions of tiers that a higher tier takes all customers of."""
    for (i, lower), (_, higher) in combinations(enumerate(policy.tiers), 2):
        if lower.when is not None and higher.when is not None and implies(lower.when, higher.when):
            yield f"tiers[{i}].when", f"whoever meets it has {higher.id}, which is higher"


def implies(one: Criterion, other: Criterion) -> bool:
    """Whether it can be seen that who meets the one meets the other: the same trees, or limits on one metric."""
    if any(leaf.is_open for leaf in (*limits(one), *limits(other))):
        return False  # the bank has yet to give the numbers
    if one == other:
        return True
    if not isinstance(one, Limit) or not isinstance(other, Limit) or one.value is None or other.value is None:
        return False
    if (one.metric, one.scope, one.currency) != (other.metric, other.scope, other.currency):
        return False
    for loose, strict, sign in (("minimum", "above", 1), ("at_most", "below", -1)):
        if {one.operator, other.operator} <= {loose, strict}:
            gap = sign * (one.value - other.value)
            return gap > 0 or (gap == 0 and (one.operator == strict or other.operator == loose))
    return False


def _cards(policy: ClassPolicy) -> _Found:
    held = {tier.card for tier in policy.tiers if tier.card}
    if not held:
        yield from ((f"cards.{name}", "no tier has a card") for name in OF_CARDS)
    elif policy.cards.valid_months is None:
        yield "cards.reminder_days", "without valid_months no card ends"
    if policy.queue.basis == "tier":
        named = {tier for queue in policy.queue.classes for tier in queue.tiers}
        needed = {tier.card for tier in policy.tiers if tier.id not in named}
        for i, queue in enumerate(policy.queue.classes):
            if not needed & {*queue.cards}:
                yield f"queue.classes[{i}].cards", "the queue goes by tier, and every tier of theirs is named"


def _alerts(policy: ClassPolicy) -> _Found:
    if not any(tier.card for tier in policy.tiers):
        for i, rule in enumerate(policy.alerts):
            if isinstance(rule, StateRule) and rule.kind == CARD_EXPIRY:
                yield f"alerts[{i}]", "no tier has a card"
    lowest, highest = policy.tiers[0].id, policy.tiers[-1].id
    for i, rule in enumerate(policy.alerts):
        if not isinstance(rule, OutlookRule):
            continue
        if rule.outlook == UPGRADE_NEAR:
            yield from (
                (f"alerts[{i}].{name}.{highest}", "no tier is above it") for name in ("at_most", "basis_points")
            )
        else:
            yield f"alerts[{i}].within_days.{lowest}", "the lowest tier cannot be lost"


_ENDS: Final = {"flag": (0, 1), "count": (0, None)}


def foregone(kind: str, limit: Limit) -> bool | None:
    """Whether every value of a kind meets the limit, or none does (False); None: it depends on the value."""
    low, high = _ENDS.get(kind, (None, None))
    if low is None or limit.value is None:
        return None
    under, over = limit.value <= low, high is not None and limit.value > high
    at_top = high is not None and limit.value >= high
    if limit.operator in ("minimum", "above"):
        never, always = (over, under) if limit.operator == "minimum" else (at_top, False)
    else:
        never, always = (under, over) if limit.operator == "below" else (False, at_top)
    return False if never else True if always else None
