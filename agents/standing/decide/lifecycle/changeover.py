"""The migration of customers to a new pack, at the close that ends the last day of the one before.

Everybody is decided under the new pack as of that close instead of under the one before; what was published stays.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from agents.standing.decide.branches import RulesInForce, parted
from agents.standing.decide.lifecycle.decider import LifecycleDecider
from agents.standing.decide.state_rows import StateColumns, columns_of_state
from agents.standing.model import Chosen, CloseStep, DayClose, Evidence, Switched
from policies.compiled.classes import ClassTable
from policies.lifecycle import transitions
from policies.lifecycle.state import Card, Decision, State, tier_of
from streams import tiers
from streams.accounts.store import Array
from streams.averages.metrics import Metrics
from streams.calendar import NO_DAY


class _Migrated(NamedTuple):
    """What becomes of a state with a change of packs.

    code: of the tier from then on; moved: (place of the tier before in `_places`, index of the new one, is it higher).
    """

    after: State
    columns: StateColumns
    code: int
    moved: tuple[int, int, bool] | None
    rest: tuple[Decision, ...]


class Changeover:
    """The close at which packs take the place of others. The rules of the lifecycle are the new ones already.

    A class of customers whose pack stays is decided as at any close, and so are those of a branch whose supplement does.
    """

    def __init__(self, lifecycle: LifecycleDecider, before: RulesInForce) -> None:
        self.lifecycle, self.before = lifecycle, before
        self.keeper, self.sink, self.columns = lifecycle.keeper, lifecycle.sink, lifecycle.columns
        self.customers = lifecycle.ledger.customers
        self.names = self.keeper.tier_names()
        self._known: dict[tuple[int, int, State, int, bool], _Migrated] = {}
        self._places: dict[str, int] = {}  # of the tiers that customers with a State come from
        self.columns.mark_written()

    def close(self, at: DayClose, closes: frozenset[str], scope: frozenset[str], slots: Array, found: Metrics) -> None:
        """Decides customers under the new pack as of the close; `found` are their metrics over a scope."""
        held = self.keeper.held()
        undecided = slots[held["tier_day"][slots, 0] == NO_DAY]
        held["tier"][undecided] = 0
        rules = self.lifecycle.rules
        apart = {*rules.branches(), *self.before.branches()}
        for kind, branch, rows in parted(self.customers, slots, apart):
            table, old = rules.of(kind, branch), self.before.of(kind, branch)
            if table is None:
                self._forget(slots[rows])
                for slot in slots[rows][self.columns.pending(slots[rows])].tolist():
                    self.columns.begin_anew(slot, None)
            elif old is not None and old.pack == table.pack:
                self._forget(slots[rows])
                self.lifecycle.decide(table, at, closes, slots[rows], Chosen(scope, found, rows))
            else:
                self._class(table, old, at, slots[rows], Chosen(scope, found, rows))

    def _forget(self, slots: Array) -> None:
        """Drops tiers that no scheme has any more: of a class without a scheme now, or of a class that a customer has left."""
        held, classes = self.keeper.held(), self.lifecycle.rules.classes
        assert classes is not None
        gone = slots[held["tier"][slots, 0] >= len(classes.shown.tier_ids)]
        held["tier"][gone], held["tier_day"][gone] = 0, NO_DAY
        self.keeper.changed(gone)

    def _class(self, table: ClassTable, old: ClassTable | None, at: DayClose, slots: Array, found: Chosen) -> None:
        policy, held_now = table.policy, self.keeper.held()
        codes = held_now["tier"][slots, 0].astype(np.int64)
        undecided = held_now["tier_day"][slots, 0] == NO_DAY
        was = np.where(undecided, 0, self._levels(old)[codes])
        columns = self.lifecycle.measures.of(table, slots, at.day, found)
        measured, held = table.program.evaluate(columns) if columns else (np.zeros_like(was), was < 0)
        measured = np.where(held, self._same(table)[codes], measured)
        by_card = policy.status.basis == "card"
        named = self.customers.cards(slots) >= 0 if by_card else np.zeros(len(slots), np.bool_)
        older = old.pack.version if old is not None and old.pack.id == table.pack.id else None
        pinning = policy.pinning is not None and older is not None
        slow = self.columns.own_state(slots) | named | ((was > 0) & pinning)
        if policy.one_by_one:
            slow |= (was > 0) | (measured > 0)
        barred = table.program.barred(columns)[0] if columns and policy.vetoes_at_once else slow & ~slow
        gets = policy.status.basis == "metric" and not policy.status.requires
        official = measured if gets else np.zeros_like(measured)
        other = ~slow & (codes != table.codes[official]) & ~undecided | (~slow & undecided & (official > 0))
        moved = other & ((was > 0) | (official > 0))
        tiers.put_in_force(held_now, slots[other], table.codes[official[other]], at.day + 1)
        self.keeper.changed(slots[other])
        self.columns.begin(slots[~slow], official[~slow], measured[~slow])
        step = CloseStep(at, frozenset(), found.chosen(), columns, codes, measured, measured, ())
        switched = Switched(self._names_before(old), official >= was)
        self.sink.switched(table, slots, np.flatnonzero(moved), official, step, switched)
        self._slowly(table, old, slots, np.flatnonzero(slow), step, barred)

    def _slowly(
        self, table: ClassTable, old: ClassTable | None, slots: Array, rows: Array, step: CloseStep, barred: Array
    ) -> None:  # fmt: skip
        """Customers with a State, by the pure function: once for all whose states are the same."""
        if not len(rows):
            return
        day = step.at.day + 1
        ids = (old or table).program.tier_ids
        before, given, codes = np.zeros_like(step.official), np.zeros_like(step.official), step.official.copy()
        up, moved = np.zeros(len(slots), np.bool_), []
        mine = slots[rows].tolist(), step.official[rows].tolist(), step.measured[rows].tolist()
        for i, slot, code, measured in zip(rows.tolist(), *mine, strict=True):
            known = self._state(slot, self.names[code], ids, day)
            found = self._migrated(table, old, known, measured, day, vetoed=bool(barred[i]))
            self.columns.place(slot, found.after, found.columns)
            if found.after.card is not None:
                self.columns.hold(slot, found.after.card)
            codes[i] = found.code
            if found.moved is not None:
                before[i], given[i], up[i] = found.moved
                moved.append(i)
            if found.rest:
                self.sink.one(slot, table, found.rest, Evidence(step.columns, i), step.at)
        other = rows[codes[rows] != step.official[rows]]
        tiers.put_in_force(self.keeper.held(), slots[other], codes[other], day)
        self.columns.mark_changed(slots[rows].tolist())
        self.keeper.changed(slots[rows])
        if moved:
            step = step._replace(official=before)
            self.sink.switched(table, slots, np.array(moved), given, step, Switched(tuple(self._places), up))

    def _migrated(
        self, table: ClassTable, old: ClassTable | None, state: State, measured: int, day: int, *, vetoed: bool
    ) -> _Migrated:  # fmt: skip
        """What becomes of a state."""
        key = id(table), id(old), state, measured, vetoed
        if key in self._known:
            return self._known[key]
        policy, ids = table.policy, (old or table).program.tier_ids
        was = (old or table).policy
        older = old.pack.version if old is not None and old.pack.id == table.pack.id else None
        after, said = transitions.switch(
            policy, was, state, day, table.program.tier_ids[measured], older, vetoed=vetoed
        )
        moved = None
        for decision in said:
            if decision.kind == "tier":
                assert decision.before is not None
                assert decision.after is not None
                place = self._places.setdefault(decision.before, len(self._places))
                level = was.level(decision.before) if decision.before in ids else 0  # else of a former class or pack
                moved = place, policy.rank(decision.after), policy.level(decision.after) >= level
        code = int(table.codes[policy.rank(tier_of(policy, after))])
        rest = tuple(decision for decision in said if decision.kind != "tier")
        self._known[key] = found = _Migrated(after, columns_of_state(policy, after), code, moved, rest)
        return found

    def _levels(self, old: ClassTable | None) -> Array:
        """int64[codes]: ranks of the tiers under the pack before, 0 for a tier that it does not have."""
        known = {} if old is None else {tier.id: old.policy.level(tier.id) for tier in old.policy.tiers}
        return np.array([known.get(name, 0) for name in self.names], np.int64)

    def _same(self, table: ClassTable) -> Array:
        """int64[codes]: the tier of that name in the new pack, else the lowest: for who cannot be measured."""
        own = {name: i for i, name in enumerate(table.program.tier_ids)}
        return np.array([own.get(name, 0) for name in self.names], np.int64)

    def _names_before(self, old: ClassTable | None) -> list[str]:
        """Names of the codes before; what the pack before does not have counts as its lowest tier."""
        known = () if old is None else old.program.tier_ids
        return [name if name in known or not known else known[0] for name in self.names]

    def _state(self, slot: int, name: str, ids: tuple[str, ...], day: int) -> State:
        """The state under the pack before, with the card that the profile names where no other is known."""
        name = name if name in ids else ids[0]
        known, named = self.columns.own(slot), None
        if known is None or known.card is None:
            named = self.keeper.card(slot)
        if named is None:
            return known or State(name, name)
        self.columns.remember_card(slot, named)
        if known is not None:
            return replace(known, card=Card(named, day))
        return State(name, name, card=Card(named, day))
