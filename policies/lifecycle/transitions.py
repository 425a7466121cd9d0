"""The state machine of a customer's standing: closes, restatements and changes of the pack, as pure functions.

`close`, `look`, `restate` and `switch` here and `act` in acts.py take a policy, a state and one happening, and give the new state
and the decisions. Whenever the tier changes there is exactly one decision of kind `tier` that says from what, to what,
from which day and why.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from policies.lifecycle.leaving import averted, counts_below, dropped, goal, lasting, may_fall, on_its_way, taken
from policies.lifecycle.services import carried
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
from streams.calendar import last_ended_month, month_of

if TYPE_CHECKING:
    from policies.model.pack import ClassPolicy

WITHIN = {"continuous": 0, "day": 1, "month": 2, "quarter": 3, "half_year": 4, "year": 5}


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

    Changes hold from the next day, unless the pack lets them wait. While a source is stale nothing moves on the standard; the
    change is put off and holds from its own day once the source has caught up (docs/tiers.md#stale-sources).
    """
    said: list[Decision] = []
    started, state = state, _ended(policy, state, at.day, said)
    state, _ = settled(policy, started, state, said, Decision("tier", "expiry", at.day, at.day + 1))
    state = _come(policy, state, at.day, at.day, said)
    due = state.pinned_version is not None and at.pinned is not None
    measured = at.pinned if due and at.pinned is not None else at.measured
    measured = policy.tiers[0].id if at.vetoed else measured
    taking_in = _put_off if at.stale else _decided
    state = taking_in(policy, state, at, measured, said)
    return _come(policy, state, at.day, at.day + 1, said), tuple(said)


def _come(policy: ClassPolicy, state: State, day: int, first: int, said: list[Decision]) -> State:
    """The state with the change that was to come by a day, once that has come; `day` is the one that is closed."""
    waits = state.pending
    if waits is None or waits.day > first:
        return state
    evidence = {"decided": str(waits.decided), "told": waits.told}
    decision = Decision("tier", "pending", day, waits.day, evidence=evidence)
    return settled(policy, state, taken(policy, state, waits.tier, waits.day), said, decision)[0]


def _decided(policy: ClassPolicy, state: State, at: Close, measured: str, said: list[Decision]) -> State:
    """The standard's tier taken in."""
    before, reviewing = state, review_due(policy, state, at.day)
    effective = at.day + 1 if state.deferred is None else state.deferred
    state = replace(state, measured=measured, vetoed=at.vetoed, deferred=None)
    state, reason = replace(state, below=_below(policy, state, at)), "review" if reviewing else "close"
    if not ready(policy, state):
        state = replace(dropped(state, at.day, "record", said), official=policy.tiers[0].id, since=None)
    elif policy.status.basis == "card":
        state = replace(state, official=card_tier(policy, state.card))
    elif at.vetoed:
        state, reason = _barred(policy, state, at.day, said), "veto"
    elif _moves(policy, state, at, reviewing=reviewing):
        state, effective = on_its_way(policy, state, at, effective, said, reason)
    else:
        ways = policy.evaluation.upgrades, policy.evaluation.downgrades
        up, down = (timely(way, at.ends, reviewing=reviewing) for way in ways)
        state = averted(policy, state, at.day, up=up, down=down, said=said)
        if policy.level(measured) >= policy.level(state.official):
            state = lasting(
                policy, state
            )  # applied for in the first months, it is in force by the standard from here on
    if reviewing and ready(policy, state) and (state.reviewed_on is not None or policy.level(measured) > 0):
        state = replace(state, reviewed_on=at.day)
        said.append(Decision("review", "review", at.day, at.day + 1, before.official, state.official))
    offer = offered(policy, state)
    if offer is not None and offer != offered(policy, before):
        said.append(Decision("offer", offer[0], at.day, at.day + 1, state.official, state.measured))
    state = _remind(policy, state, at.day, said)
    evidence = {"measured": measured, "closes": closes_text(policy, at.ends)}
    return settled(policy, before, state, said, Decision("tier", reason, at.day, effective, evidence=evidence))[0]


def _barred(policy: ClassPolicy, state: State, day: int, said: list[Decision]) -> State:
    """The lowest tier, by a veto that acts at once."""
    state = dropped(state, day, "veto", said)
    return replace(state, official=policy.tiers[0].id, below=0, since=None)


def closes_text(policy: ClassPolicy, ends: frozenset[str]) -> str:
    """The closes that a day ends, finest first; half-years where the class has changes at them."""
    asked = policy.evaluation.upgrades, policy.evaluation.downgrades
    named = ends if "half_year" in asked else ends - {"half_year"}
    return " ".join(sorted(named, key=WITHIN.__getitem__))


def look(policy: ClassPolicy, state: State, day: int, measured: str, cause: str) -> Step:
    """What the standard gives as of `day`, the day being lived, where a class is decided continuously; at once.

    Reviews, cards and grants that end, and months below a tier belong to closes; so does a change that was put off.
    """
    if state.deferred is not None:
        return state, ()
    after, said = replace(state, measured=measured), list[Decision]()
    now = Close(day, frozenset(), measured)
    if policy.status.basis != "card" and ready(policy, after) and _moves(policy, after, now, reviewing=False):
        after = taken(policy, dropped(after, day, "continuous", said), goal(policy, after), day)
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


def _put_off(policy: ClassPolicy, state: State, at: Close, measured: str, said: list[Decision]) -> State:
    wanted = replace(state, measured=measured, vetoed=at.vetoed)
    wanted = replace(wanted, below=_below(policy, wanted, at))
    moving = (
        policy.status.basis != "card"
        and ready(policy, state)
        and goal(policy, wanted) != state.official
        and (at.vetoed or _moves(policy, wanted, at, reviewing=review_due(policy, state, at.day)))
    )
    if moving and state.deferred is None:
        evidence = {"stale": " ".join(at.stale), "measured": measured}
        said.append(Decision("deferred", "stale", at.day, at.day + 1, state.official, measured, evidence=evidence))
        state = replace(state, deferred=at.day + 1)
    return _remind(policy, state, at.day, said)


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


def _below(policy: ClassPolicy, state: State, at: Close) -> int:
    """Month closes in a row below the official tier, this one included."""
    if policy.status.basis == "card" or policy.level(goal(policy, state)) >= policy.level(state.official):
        return 0
    return state.below + ("month" in at.ends and counts_below(policy, state, at.day, at.joined))


def timely(when: str, ends: frozenset[str], *, reviewing: bool) -> bool:
    """Whether changes of a direction are made at a day that ends these closes."""
    return reviewing if when == "review" else when == "continuous" or when in ends


def _moves(policy: ClassPolicy, state: State, at: Close, *, reviewing: bool) -> bool:
    """Whether the official tier goes where the standard is, at a close."""
    wanted = goal(policy, state)
    if wanted == state.official:
        return False
    # Between tiers of the same rank (C-42) a move is timed as an upgrade.
    rises = policy.level(wanted) >= policy.level(state.official)
    when = policy.evaluation.upgrades if rises else policy.evaluation.downgrades
    if not timely(when, at.ends, reviewing=reviewing):
        return False
    return rises or (_graceless(policy, state.below) and may_fall(policy, state, at.day, at.joined))


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


def restate(
    policy: ClassPolicy, state: State, at: Close, corrects: str, restated: int | None = None, *, last: bool = True
) -> Step:  # fmt: skip
    """The close of the day `restated` would now give `at.measured`; the pack says whether the tier follows.

    at: the close that found it. `corrects` is the id of the decision it corrects. The decision `restated` is there in any case.
    last: that close is the last one at which the tier could go this way; of another one only what it has set going is
    withdrawn (docs/tiers.md#restatement).
    """
    measured, day = at.measured, at.day
    step = policy.level(measured) - policy.level(state.official)
    said = [Decision("restated", "restated", day, day + 1, state.official, measured, corrects)]
    how = policy.evaluation.restatement
    if how == "record_only" or policy.status.basis == "card" or not ready(policy, state) or state.vetoed:
        return state, tuple(said)
    if (waits := state.pending) is not None and waits.decided == restated:
        falls = policy.level(waits.tier) < policy.level(state.official)
        if (falls and step >= 0) or (not falls and step <= 0 and how == "both"):
            since = int(last_ended_month(day - 1)) - int(month_of(restated))  # month closes below it since then
            state = replace(dropped(state, day, "restated", said), below=max(since, 0) if falls else state.below)
    allowed = last and (step > 0 if how == "upgrades" else step != 0)
    after = replace(state, measured=measured)
    wanted = goal(policy, after)
    rises = policy.level(wanted) >= policy.level(state.official)
    if not allowed or (rises and step < 0) or not (rises or may_fall(policy, state, day, at.joined)):
        return state, tuple(said)
    after, holds = on_its_way(policy, after, at, day + 1, said, "restated")
    return settled(policy, state, after, said, Decision("tier", "restated", day, holds, caused_by=corrects))


def switch(
    new: ClassPolicy, old: ClassPolicy, state: State, day: int, measured: str, older: int | None, *, vetoed: bool = False
) -> Step:  # fmt: skip
    """The customer goes over to another pack or version that takes effect on `day`; nothing of the past changes.

    older: the version of the same pack that decided until now, None if it was another pack. A customer who has a tier
    under an older version stays on it where the pack pins (C-16): from then on a close hands over its tier as `pinned`.
    vetoed: a veto of the new one that acts at once is met.
    """
    was = tier_of(old, state)
    served = state.official != old.tiers[0].id and any(tier.id == state.official for tier in new.tiers)
    if new.pinning is not None and older is not None and older < new.pinning.before_version and served:
        pinned = replace(state, pinned_version=older)
        return pinned, (Decision("record", "policy", day, day, None, "pinned"),)
    known, said = {tier.id for tier in new.tiers}, list[Decision]()
    dropped(state, day - 1, "policy", said)
    services = carried(new, state, day, said)
    grant = state.grant if state.grant is None or state.grant.tier in known | {None} else None
    after = replace(begin(new), records=state.records, card=state.card, grant=grant, measured=measured,
                    reviewed_on=state.reviewed_on, staff_card=state.staff_card,
                    renewal_said=state.renewal_said, review_said=state.review_said, vetoed=vetoed, services=services,
                    reached=state.reached if state.reached in known else None)  # fmt: skip
    if new.status.basis == "card":
        after = replace(after, official=card_tier(new, state.card))
    elif ready(new, after):
        after = taken(new, after, goal(new, after), day)
        if was in known and new.level(after.official) <= new.level(was):  # he has not risen to it
            same = state.since if after.official == state.official and new.evaluation.keep_months else None
            after = replace(after, since=same)
    after = replace(after, standing=_standing(new, after))
    now = tier_of(new, after)
    if now == was or (was == old.tiers[0].id and now == new.tiers[0].id):
        return after, tuple(said)  # from the lowest to the lowest is no change, whatever it is called
    said.append(Decision("tier", "policy", day, day, was, now, evidence={"measured": measured}))
    return after, tuple(said)
