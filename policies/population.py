"""The standings of all customers of a class: most of them in columns, the few with a history of their own one by one.

The state machine of lifecycle.py decides for every customer; where a customer has no card, record, exception, review or
pin, what it would say is computed for all such customers at once. A test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from policies import acts, lifecycle
from policies.columns import Bools, Ints, Plain, close_plain
from policies.state import Act, Close, Decision, State, months_later, tier_of

if TYPE_CHECKING:
    from policies.model import ClassPolicy

NONE = -(2**31)  # no day
NEVER = 2**31


@dataclass(frozen=True, slots=True)
class Moves:
    """Tier changes and deferrals of customers in columns, and every decision on the others.

    slots, before, after (tier indices) and effective (day numbers): int64[m], m the number that moved.
    deferred: slots whose change is put off from this close on; offers: slots to which lifecycle.offered now says another
    offer. said: (slot, decision), in the order of the slots.
    """

    slots: Ints
    before: Ints
    after: Ints
    effective: Ints
    deferred: Ints
    offers: Ints
    said: list[tuple[int, Decision]]


@dataclass(slots=True)
class Population:
    """n customers of one class under one policy. Tier indices count from the lowest; day numbers from 1970-01-01."""

    policy: ClassPolicy
    official: Ints
    measured: Ints
    below: Ints
    deferred: Ints
    wake: Ints  # the first day whose close looks at a customer of `special` even if the standard gives the same
    special: dict[int, State] = field(default_factory=dict)

    @classmethod
    def fresh(cls, policy: ClassPolicy, n: int) -> Population:
        """n customers of whom nothing is known."""
        numbers = [np.full(n, value, np.int64) for value in (0, 0, 0, NONE, NONE)]
        return cls(policy, numbers[0], numbers[1], numbers[2], numbers[3], numbers[4])

    def grow(self, n: int) -> None:
        """Room for n customers; new ones are fresh."""
        more = n - len(self.official)
        for name, value in (("official", 0), ("measured", 0), ("below", 0), ("deferred", NONE), ("wake", NONE)):
            setattr(self, name, np.append(getattr(self, name), np.full(more, value, np.int64)))

    def state(self, slot: int) -> State:
        """The state of one customer."""
        if slot in self.special:
            return self.special[slot]
        tiers, deferred = self.policy.tiers, int(self.deferred[slot])
        return State(
            tiers[int(self.official[slot])].id, tiers[int(self.measured[slot])].id, below=int(self.below[slot]),
            deferred=None if deferred == NONE else deferred,
        )  # fmt: skip

    def put(self, slot: int, state: State) -> None:
        """Takes a state from elsewhere, such as a changelog row; the next close looks at it."""
        self._keep(slot, state)
        self.wake[slot] = NONE

    def _keep(self, slot: int, state: State) -> None:
        """Keeps a state: in columns where they hold all of it."""
        rank = self.policy.rank
        self.official[slot], self.measured[slot] = rank(state.official), rank(state.measured)
        self.below[slot] = state.below
        self.deferred[slot] = NONE if state.deferred is None else state.deferred
        self.special.pop(slot, None)
        if self.state(slot) != state:
            self.special[slot] = state
            self.wake[slot] = self._wake(state)

    def _wake(self, state: State) -> int:
        """The first day on which a state may change by itself."""
        if state.pinned_version is not None:
            return NONE
        ends = [part.last_day for part in (state.card, state.grant) if part is not None and part.last_day is not None]
        if self.policy.review is not None:
            ends.append(
                NONE if state.reviewed_on is None else months_later(state.reviewed_on, self.policy.review.months)
            )
        return min(ends, default=NEVER)

    def tiers(self) -> Ints:
        """int64[n]: the tier of every customer, exceptions included."""
        found = self.official.copy()
        for slot, state in self.special.items():
            found[slot] = self.policy.rank(tier_of(self.policy, state))
        return found

    def act(self, slot: int, what: Act) -> tuple[Decision, ...]:
        """One act on one customer."""
        state, said = acts.act(self.policy, self.state(slot), what)
        self.put(slot, state)
        return said

    def close(
        self, day: int, ends: frozenset[str], measured: Ints, held: Bools,
        stale: tuple[str, ...] = (), pinned: Mapping[int, str] | None = None,
    ) -> Moves:  # fmt: skip
        """A close for everybody but the customers that are `held` (no rate), whose state stays.

        measured: int64[n], what columns.Program.evaluate gave. pinned: the tier of pinned customers under their version.
        """
        slow = self._one_by_one(day, measured) & ~held
        aside = np.zeros(len(held), np.bool_)
        aside[list(self.special)] = True
        moves = self._close_fast(day, ends, measured, np.flatnonzero(~held & ~slow & ~aside), stale)
        for slot in np.flatnonzero(slow).tolist():
            tier = self.policy.tiers[int(measured[slot])].id
            at = Close(day, ends, tier, (pinned or {}).get(slot), stale)
            state, decisions = lifecycle.close(self.policy, self.state(slot), at)
            self._keep(slot, state)
            moves.said.extend((slot, decision) for decision in decisions)
        return moves

    def _one_by_one(self, day: int, measured: Ints) -> Bools:
        """bool[n]: who is decided by the state machine itself. Nothing can happen to the others with a state of their own."""
        policy, slow = self.policy, np.zeros(len(measured), np.bool_)
        own = np.array(list(self.special), np.int64)
        still = (measured[own] == self.measured[own]) & (self.wake[own] > day) & (self.deferred[own] == NONE)
        if policy.status.basis == "metric":
            still &= measured[own] == self.official[own]
        slow[own[~still]] = True
        if policy.review is not None and not policy.status.requires:
            slow |= (measured != 0) | (self.official != 0)
            slow[own[still]] = False
        return slow

    def _close_fast(self, day: int, ends: frozenset[str], measured: Ints, fast: Ints, stale: tuple[str, ...]) -> Moves:
        """Customers in columns: without a card under basis card, and without the records that a pack asks for."""
        none: Ints = np.zeros(0, np.int64)
        official, before = self.official[fast], self.measured[fast]
        if self.policy.status.basis == "card":
            now = Plain(official, np.zeros_like(official), np.ones(len(fast), np.bool_))
        else:
            at = Plain(official, self.below[fast], np.full(len(fast), not self.policy.status.requires))
            now = close_plain(replace(self.policy, review=None), ends, at, measured[fast])
        moved = now.official != official
        slots = fast[moved]
        if stale:
            deferred = slots[self.deferred[slots] == NONE]
            self.deferred[deferred] = day + 1
            return Moves(none, none, none, none, deferred, none, [])
        effective = np.where(self.deferred[slots] == NONE, day + 1, self.deferred[slots])
        offer = self._offer(now.official, measured[fast])
        offers = fast[(offer != 0) & (offer != self._offer(official, before))]
        self.official[fast], self.below[fast] = now.official, now.below
        self.measured[fast], self.deferred[fast] = measured[fast], NONE
        return Moves(slots, official[moved], now.official[moved], effective, none, offers, [])

    def _offer(self, official: Ints, measured: Ints) -> Ints:
        """int64[n]: lifecycle.offered in columns: the tier above 0 for an upgrade, below 0 for a downgrade, 0 for none."""
        levels = np.array([self.policy.level(tier.id) for tier in self.policy.tiers], np.int64)
        step = levels[measured] - levels[official]
        up = (step > 0) & (self.policy.evaluation.upgrades == "application")
        down = (step < 0) & (self.policy.evaluation.downgrades == "application")
        return np.where(up, measured + 1, np.where(down, -measured - 1, 0))

    def switch(self, new: ClassPolicy, day: int, measured: Ints, older: int | None) -> tuple[Population, Moves]:
        """Everybody goes over to another pack or version from `day` on; the population before is left as it was.

        older: see lifecycle.switch. In Moves `before` counts in the tiers of the old policy, `after` in those of the new.
        """
        after = Population.fresh(new, len(measured))
        places = {tier.id: i for i, tier in enumerate(new.tiers)}
        known = np.array([places.get(tier.id, -1) for tier in self.policy.tiers], np.int64)
        slow = np.zeros(len(measured), np.bool_)
        slow[list(self.special)] = True
        if new.pinning is not None and older is not None:
            slow |= self.official != 0
        fast, said = np.flatnonzero(~slow), list[tuple[int, Decision]]()
        after.measured[fast] = measured[fast]
        if new.status.basis == "metric" and not new.status.requires:
            after.official[fast] = measured[fast]
        moved = (after.official[fast] != known[self.official[fast]]) & (
            (after.official[fast] != 0) | (self.official[fast] != 0)
        )
        for slot in np.flatnonzero(slow).tolist():
            tier = new.tiers[int(measured[slot])].id
            state, decisions = lifecycle.switch(new, self.policy, self.state(slot), day, tier, older)
            after.put(slot, state)
            said.extend((slot, decision) for decision in decisions)
        slots = fast[moved]
        effective, none = np.full(len(slots), day, np.int64), np.zeros(0, np.int64)
        return after, Moves(slots, self.official[slots], after.official[slots], effective, none, none, said)
