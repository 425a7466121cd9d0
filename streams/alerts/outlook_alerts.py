"""Alerts out of the outlook: who is near the next tier, whose tier is at risk, and the life of such an alert.

An outflow is an event; this is a state that lasts. So an alert stands from the close at which its rule is met to the one
at which it is not, or the tier is another one: raised once, deepened when it gets more or comes sooner, then closed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streams.accounts.store import Array
from streams.averages.outlook import Outlook, turns
from streams.calendar import NO_DAY
from streams.vocabulary.terms import UPGRADE_NEAR

NONE, STANDS, OVER = 0, 1, 2
ONE_BP = 10_000


@dataclass(frozen=True, slots=True)
class Steps:
    """What a close does with the alerts of a rule: bool[n] each. One may be closed and another raised at once."""

    closed: Array
    raised: Array
    deepened: Array


def near(now: Outlook, at_most: Array, share_bp: Array) -> Array:
    """bool[n]: who has at most so much to hold for the next tier, or so many basis points of today's AUM (per tier, [T])."""
    most, share = at_most[now.tier], share_bp[now.tier]
    whole, rest = np.divmod(np.maximum(now.aum, 0), ONE_BP)  # in two steps: the product may pass 63 bits
    part = np.where((share >= 0) & (now.aum > 0), whole * share + rest * share // ONE_BP, -1)
    above = np.minimum(now.tier, now.to_hold.shape[1] - 1)
    need = now.to_hold[np.arange(len(now.tier)), above]
    found: Array = (need >= 0) & (need <= np.maximum(most, part)) & (now.tier < now.to_hold.shape[1]) & ~now.held
    return found


def at_risk(now: Outlook, within_days: Array) -> Array:
    """bool[n]: whose tier the next close takes, or one within so many days (per tier, [T]; -1: not watched)."""
    days = within_days[now.tier]
    soon = (now.lost_close <= now.next_close) | (now.lost_close - now.as_of <= days)
    found: Array = (days >= 0) & (now.lost_close != NO_DAY) & soon & ~now.held
    return found


def follow(kind: str, last: Array, met: Array, tier: Array, now: Outlook, cool_down_days: int) -> Steps:
    """The steps of a close. While a rate is missing nothing happens.

    `last` is the last alert of each customer, all zero before the first: the day that raised it, lost and shift as told,
    tier and life. `tier` is today's, counted as there.
    """
    stands = last["life"] == STANDS
    same = stands & met & (last["tier"] == tier)
    armed = (last["life"] == NONE) | (now.as_of - last["day"] >= max(cool_down_days, 1))
    more = turns(last["shift"].astype(np.int64), last["lost"].astype(np.int64), now)[kind != UPGRADE_NEAR]
    return Steps(stands & ~same & ~now.held, met & ~same & armed, same & more)


def told(last: Array, steps: Steps, tier: Array, now: Outlook) -> Array:
    """The last alerts after the steps."""
    after = last.copy()
    after["life"][steps.closed] = OVER
    anew = steps.raised | steps.deepened
    after["lost"][anew], after["shift"][anew] = now.lost_close[anew], now.shift[anew]
    after["day"][steps.raised], after["tier"][steps.raised] = now.as_of, tier[steps.raised]
    after["life"][steps.raised] = STANDS
    return after
