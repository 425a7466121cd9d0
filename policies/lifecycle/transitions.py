"""The state machine of a customer's standing: closes, restatements and changes of the pack, as pure functions.

`close`, `look`, `restate` and `switch` here and `act` in acts.py take a policy, a state and one happening, and give the new state
and the decisions. Whenever the tier changes there is exactly one decision of kind `tier` that says from what, to what,
from which day and why.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from policies.lifecycle.state import (
    Close,
    Decision,
    State,
    Step,
    begin,
    card_tier,
    day_date,
    next_review,
    ready,
    tier_of,
    unsaid,
)

if TYPE_CHECKING:
    from policies.model.pack import ClassPolicy

WITHIN = {"continuous": 0, "day": 1, "month": 2, "quarter": 3, "year": 4}


def settled(policy: ClassPolicy, before: State, after: State, said: list[Decision], decision: Decision) -> Step:
    """The step, with `decision` as its tier decision if the tier has changed, and the standing beside a card (C-07)."""
    after = replace(after, standing=_standing(policy, after))
    old, new = tier_of(policy, before), tier_of(policy, after)
    if old != new:
        said.append(replace(decision, kind="tier", before=old, after=new))
    if before.standing != after.standing:
        said.append(
            replace(decision, kind="status", before=before.standing, after=after.standing, effective=decision.day + 1)
        )
    return after, tuple(said)


def _standing(policy: ClassPolicy, state: State) -> str | None:
    """Of a card holder: whether the standard still gives the card's tier (R-192)."""
    held = policy.level(card_tier(policy, state.card))
    if policy.status.basis != "card" or held == 0:
        return None
    return "standard" if policy.level(state.measured) >= held else "below-standard"


def close(policy: ClassPolicy, state: State, at: Close) -> Step:
    """A close of a day: what has ended ends, the standard's tier is taken in, and the tier moves if it is time.

    Changes hold from the next day. While a source is stale nothing moves on the standard; the change is put off and holds
    from its own day once the source has caught up (docs/tiers.md#stale-sources).
    """
    said: list[Decision] = []
    started, state = state, _ended(policy, state, at.day, said)
    state, _ = settled(policy, started, state, said, Decision("tier", "expiry", at.day, at.day + 1))
    due = state.pinned_version is not None and at.pinned is not None
    measured = at.pinned if due and at.pinned is not None else at.measured
    if at.stale:
        return _put_off(policy, state, at, measured, said)
    before, reviewing = state, review_due(policy, state, at.day)
    effective = at.day + 1 if state.deferred is None else state.deferred
    state = replace(state, measured=measured, below=_below(policy, state, at, measured), deferred=None)
    if not ready(policy, state):
        state = replace(state, official=policy.tiers[0].id)
    elif policy.status.basis == "card":
        state = replace(state, official=card_tier(policy, state.card))
    elif _moves(policy, state, at.ends, reviewing=reviewing):
        state = replace(state, official=measured, below=0)
    if reviewing and ready(policy, state) and (state.reviewed_on is not None or policy.level(measured) > 0):
        state = replace(state, reviewed_on=at.day)
        said.append(Decision("review", "review", at.day, at.day + 1, before.official, state.official))
    offer = offered(policy, state)
    if offer is not None and offer != offered(policy, before):
        said.append(Decision("offer", offer[0], at.day, at.day + 1, state.official, state.measured))
    state = _remind(policy, state, at.day, said)
    evidence = {"measured": measured, "closes": " ".join(sorted(at.ends, key=WITHIN.__getitem__))}
    reason = "review" if reviewing else "close"
    return settled(policy, before, state, said, Decision("tier", reason, at.day, effective, evidence=evidence))


def look(policy: ClassPolicy, state: State, day: int, measured: str, cause: str) -> Step:
    """What the standard gives as of `day`, the day being lived, where a class is decided continuously; at once.

    Reviews, cards and grants that end, and months below a tier belong to closes; so does a change that was put off.
    """
    if state.deferred is not None:
        return state, ()
    after, said = replace(state, measured=measured), list[Decision]()
    if policy.status.basis != "card" and ready(policy, after) and _moves(policy, after, frozenset(), reviewing=False):
        after = replace(after, official=measured, below=0)
    offer = offered(policy, after)
    if offer is not None and offer != offered(policy, state):
        said.append(Decision("offer", offer[0], day, day, after.official, measured, caused_by=cause))
    decided = Decision("tier", "continuous", day, day, caused_by=cause, evidence={"measured": measured})
    return settled(policy, state, after, said, decided)


def _ended(policy: ClassPolicy, state: State, day: int, said: list[Decision]) -> State:
    """Cards and grants whose last day has passed with this close."""
    card, grant = state.card, state.grant
    if card is not None and card.last_day is not None and card.last_day <= day:
        said.append(Decision("card", "expiry", day, card.last_day + 1, card.card, None))
        state = replace(state, card=None)
        if policy.status.basis == "card":
            state = replace(state, official=policy.tiers[0].id)
    if grant is not None and grant.last_day is not None and grant.last_day <= day:
        said.append(Decision("record", "expiry", day, grant.last_day + 1, grant.kind, None))
        state = replace(state, grant=None)
    return state


def _put_off(policy: ClassPolicy, state: State, at: Close, measured: str, said: list[Decision]) -> Step:
    wanted = replace(state, measured=measured, below=_below(policy, state, at, measured))
    moving = (
        policy.status.basis != "card"
        and ready(policy, state)
        and measured != state.official
        and _moves(policy, wanted, at.ends, reviewing=review_due(policy, state, at.day))
    )
    if moving and state.deferred is None:
        evidence = {"stale": " ".join(at.stale), "measured": measured}
        said.append(Decision("deferred", "stale", at.day, at.day + 1, state.official, measured, evidence=evidence))
        state = replace(state, deferred=at.day + 1)
    return _remind(policy, state, at.day, said), tuple(said)


def _remind(policy: ClassPolicy, state: State, day: int, said: list[Decision]) -> State:
    """Says once that a card will end (R-180), and that a review is near (R-110)."""
    renewal, review = unsaid(policy, state)
    if state.card is not None and state.card.last_day is not None and renewal is not None and renewal <= day:
        last = state.card.last_day
        evidence = {"card": state.card.card, "last_day": day_date(last).isoformat()}
        said.append(Decision("renewal-due", "expiry", day, last + 1, state.card.card, None, evidence=evidence))
        state = replace(state, renewal_said=last)
    coming = next_review(policy, state)
    if coming is not None and state.reviewed_on is not None and review is not None and review <= day:
        evidence = {"next_review": day_date(coming).isoformat(), "reviewed_on": day_date(state.reviewed_on).isoformat()}
        said.append(Decision("review-due", "review", day, coming, tier_of(policy, state), None, evidence=evidence))
        state = replace(state, review_said=coming)
    return state


def review_due(policy: ClassPolicy, state: State, day: int) -> bool:
    """Whether the yearly (or other) review of this customer is due on the day; the first one is due at once."""
    if policy.review is None:
        return False
    coming = next_review(policy, state)
    return coming is None or day >= coming


def _below(policy: ClassPolicy, state: State, at: Close, measured: str) -> int:
    """Month closes in a row below the official tier, this one included."""
    if policy.status.basis == "card" or policy.level(measured) >= policy.level(state.official):
        return 0
    return state.below + ("month" in at.ends)


def _moves(policy: ClassPolicy, state: State, ends: frozenset[str], *, reviewing: bool) -> bool:
    """Whether the official tier goes where the standard is, at a day that ends these closes."""
    step = policy.level(state.measured) - policy.level(state.official)
    if state.measured == state.official:
        return False
    # Between tiers of the same rank (C-42) a move is timed as an upgrade.
    when = policy.evaluation.upgrades if step >= 0 else policy.evaluation.downgrades
    if when == "application":
        return False
    if when == "review":
        return reviewing
    timely = when == "continuous" or when in ends
    return timely and (step >= 0 or _graceless(policy, state.below))


def _graceless(policy: ClassPolicy, below: int) -> bool:
    """Whether so many month closes below the tier are enough to lose it."""
    return policy.evaluation.grace_months == 0 or below > policy.evaluation.grace_months


def offered(policy: ClassPolicy, state: State) -> tuple[str, str] | None:
    """Where changes wait for an application: (upgrade or downgrade, the tier that may be applied for), C-17.

    A close says it when it is another offer than before.
    """
    step = policy.level(state.measured) - policy.level(state.official)
    if step > 0 and policy.evaluation.upgrades == "application":
        return "upgrade", state.measured
    if step < 0 and policy.evaluation.downgrades == "application":
        return "downgrade", state.measured
    return None


def restate(policy: ClassPolicy, state: State, day: int, measured: str, corrects: str) -> Step:
    """A close of the past would now give `measured`; the pack says whether the tier follows (docs/tiers.md#restatement).

    `corrects` is the id of the decision it corrects. The decision `restated` is there in any case.
    """
    step = policy.level(measured) - policy.level(state.official)
    said = [Decision("restated", "restated", day, day + 1, state.official, measured, corrects)]
    allowed = {"record_only": False, "upgrades": step > 0, "both": step != 0}[policy.evaluation.restatement]
    if not allowed or policy.status.basis == "card" or not ready(policy, state):
        return state, tuple(said)
    after = replace(state, official=measured, measured=measured, below=0)
    return settled(policy, state, after, said, Decision("tier", "restated", day, day + 1, caused_by=corrects))


def switch(new: ClassPolicy, old: ClassPolicy, state: State, day: int, measured: str, older: int | None) -> Step:
    """The customer goes over to another pack or version that takes effect on `day`; nothing of the past changes.

    older: the version of the same pack that decided until now, None if it was another pack. A customer who has a tier
    under an older version stays on it where the pack pins (C-16): from then on a close hands over its tier as `pinned`.
    """
    was = tier_of(old, state)
    served = state.official != old.tiers[0].id and any(tier.id == state.official for tier in new.tiers)
    if new.pinning is not None and older is not None and older < new.pinning.before_version and served:
        pinned = replace(state, pinned_version=older)
        return pinned, (Decision("record", "policy", day, day, None, "pinned"),)
    known = {tier.id for tier in new.tiers}
    grant = state.grant if state.grant is None or state.grant.tier in known | {None} else None
    after = replace(begin(new), records=state.records, card=state.card, grant=grant, measured=measured,
                    reviewed_on=state.reviewed_on, staff_card=state.staff_card,
                    renewal_said=state.renewal_said, review_said=state.review_said)  # fmt: skip
    if new.status.basis == "card":
        after = replace(after, official=card_tier(new, state.card))
    elif ready(new, after):
        after = replace(after, official=measured)
    after = replace(after, standing=_standing(new, after))
    now = tier_of(new, after)
    if now == was or (was == old.tiers[0].id and now == new.tiers[0].id):
        return after, ()  # from the lowest to the lowest is no change, whatever it is called
    return after, (Decision("tier", "policy", day, day, was, now, evidence={"measured": measured}),)
