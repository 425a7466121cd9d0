"""What stands between a customer and another tier (docs/tiers.md#leaving-a-tier).

How long a tier is kept, how far one close takes it, what is never lost, and from which day a change holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from policies.diff import criterion_text
from policies.lifecycle.state import Close, Decision, Pending, State, day_date, months_after
from streams.calendar import month_of, month_start
from streams.workdays import business_day_after

if TYPE_CHECKING:
    from policies.model.pack import ClassPolicy

MONTHS_OF: Final = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}
NOTHING_AVERTS: Final = "none"
TO_COME: Final = ("pending", "notice")  # kinds of decisions that tell a change which is to come


def goal(policy: ClassPolicy, state: State) -> str:
    """Where the standard leads: the tier that it gave last, or the permanent one that was reached where that is higher."""
    kept = state.reached
    if kept is None or state.vetoed or not any(tier.id == kept and tier.permanent for tier in policy.tiers):
        return state.measured
    return kept if policy.level(kept) > policy.level(state.measured) else state.measured


def kept_until(policy: ClassPolicy, state: State) -> int:
    """The first day on which a lower tier may be in force; 0 where none is kept for some months."""
    months = policy.evaluation.keep_months
    return 0 if state.since is None or not months else months_after(state.since, months)


def exempt_until(policy: ClassPolicy, joined: int | None) -> int:
    """The first day after the first months of the relation; 0 where they are not exempt, or not known."""
    months = policy.evaluation.exempt_months
    return 0 if joined is None or not months else months_after(joined, months)


def may_fall(policy: ClassPolicy, state: State, day: int, joined: int | None) -> bool:
    """Whether a lower tier may be in force from the day after the close of `day`."""
    return day + 1 >= max(kept_until(policy, state), exempt_until(policy, joined))


def counts_below(policy: ClassPolicy, state: State, day: int, joined: int | None) -> bool:
    """Whether the month close of `day` may count as one below the tier."""
    return day >= max(kept_until(policy, state), exempt_until(policy, joined))


def stepped(policy: ClassPolicy, official: str, wanted: str) -> str:
    """The tier to which one close takes who is to fall to `wanted`; of tiers of the same rank the first."""
    if not (most := policy.evaluation.steps):
        return wanted
    ranks = sorted({policy.level(tier.id) for tier in policy.tiers})
    least = ranks[max(ranks.index(policy.level(official)) - most, 0)]
    return wanted if policy.level(wanted) >= least else policy.tiers[least].id


def first_day(policy: ClassPolicy, day: int, calendar: Mapping[int, bool], *, rises: bool) -> int:
    """The first day of a change that the close of `day` decides, by the bank's calendar as it is known then."""
    delay = policy.evaluation.effective_business_days.get("upgrades" if rises else "downgrades", 0)
    return business_day_after(day, delay, calendar) if delay else day + 1


def taken(policy: ClassPolicy, state: State, tier: str, day: int, *, by_standard: bool = True) -> State:
    """The state with a tier in force from a day on."""
    level, before, since = policy.level(tier), policy.level(state.official), state.since
    if policy.evaluation.keep_months and level != before:
        since = day if level > before else None
    after = replace(state, official=tier, below=0, since=since, pending=None)
    return lasting(policy, after) if by_standard else after


def lasting(policy: ClassPolicy, state: State) -> State:
    """The state in which a permanent tier that is in force by the standard is one that was reached."""
    tier, reached = state.official, state.reached
    if not policy.tiers[policy.rank(tier)].permanent:
        return state
    known = any(one.id == reached for one in policy.tiers)
    higher = reached is None or not known or policy.level(tier) > policy.level(reached)
    return replace(state, reached=tier) if higher else state


def dropped(state: State, day: int, reason: str, said: list[Decision]) -> State:
    """The state without the change that was to come, which is said."""
    waits = state.pending
    if waits is None:
        return state
    evidence = {"decided": day_date(waits.decided).isoformat(), "would_hold_from": day_date(waits.day).isoformat()}
    said.append(Decision("withdrawn", reason, day, day + 1, state.official, waits.tier, evidence=evidence))
    return replace(state, pending=None)


def on_its_way(
    policy: ClassPolicy, state: State, at: Close, first: int, said: list[Decision], reason: str
) -> tuple[State, int]:  # fmt: skip
    """(The state on its way to where the standard leads, the first day of the change where it is in force with this close).

    first: the first day of a change that nothing delays.
    """
    wanted = goal(policy, state)
    rises = policy.level(wanted) >= policy.level(state.official)
    to = wanted if rises else stepped(policy, state.official, wanted)
    holds = first_day(policy, first - 1, at.calendar, rises=rises)
    notice = 0 if rises else policy.evaluation.fall_notice_days
    holds = max(holds, at.day + notice + 1) if notice else holds  # from the day on which he is told
    if holds <= at.day + 1:
        return taken(policy, dropped(state, at.day, reason, said), to, holds), holds
    if state.pending is not None and state.pending.tier == to:
        return state, first
    state = dropped(state, at.day, reason, said)
    evidence = {"measured": state.measured} | (_averting(policy, state, at.day, holds) if not rises else {})
    kind = "notice" if notice else "pending"
    said.append(Decision(kind, reason, at.day, holds, state.official, to, evidence=evidence))
    return replace(state, pending=Pending(to, holds, at.day, f"{kind}/{reason}")), first


def _averting(policy: ClassPolicy, state: State, day: int, holds: int) -> dict[str, str]:
    """What averts a fall: the last close that can, and the standard of the tier that it has to give."""
    every, last = policy.evaluation.downgrades, NOTHING_AVERTS
    if (months := MONTHS_OF.get(every)) is not None:
        month = int(month_of(holds)) - 1
        end = int(month_start(month - (month + 1) % months + 1)) - 1
        last = day_date(end).isoformat() if day < end < holds else NOTHING_AVERTS
    elif every in ("day", "continuous") and day < holds - 1:
        last = day_date(holds - 1).isoformat()
    when = policy.tiers[policy.rank(state.official)].when
    return {"averted_until": last, "averted_by": criterion_text(when)}


def averted(policy: ClassPolicy, state: State, day: int, *, up: bool, down: bool, said: list[Decision]) -> State:
    """Withdraws a change to come where a close gives the tier in force; up, down: it is one of that direction."""
    if state.pending is None:
        return state
    official, gives = policy.level(state.official), policy.level(goal(policy, state))
    falls = policy.level(state.pending.tier) < official
    if (falls and down and gives >= official) or (not falls and up and gives <= official):
        return dropped(state, day, "close", said)
    return state
