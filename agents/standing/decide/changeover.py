"""Packs that `tidegauge policy activate` sends: the book of a partition, and the migration of customers to a new pack.

A pack is taken from its lane and kept as a row of its own. At the first close whose next day is one on which it is in
force, everybody is decided under it as of that close instead of under the one before; what was published stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, NamedTuple

import numpy as np

from agents.engine.job import Pair, Rows
from agents.standing.decide.branches import RulesInForce, parted
from agents.standing.decide.lifecycle.decider import LifecycleDecider
from agents.standing.decide.state_rows import StateColumns, columns_of_state
from agents.standing.model import Chosen, CloseStep, DayClose, Evidence, OlderClass, RowKey, Switched
from policies.book import Book
from policies.compiled.classes import ClassTable, by_class, in_branch
from policies.compiled.program import compile_program
from policies.diff import obstacles
from policies.language.loader import parse_pack
from policies.language.reader import PackError
from policies.lifecycle import transitions
from policies.lifecycle.state import Card, Decision, State, day_number, tier_of
from policies.model.pack import CUSTOMER_CLASSES, Pack
from streams import tiers
from streams.accounts.store import Array
from streams.averages.metrics import Metrics
from streams.calendar import NO_DAY

REFUSED = "the pack is refused"
_Follow = Callable[[Pack], object]


class Packs:
    """The book of packs of a partition. `follow` raises PackError for a pack that the job cannot follow.

    The first ones are in force until others take effect, whatever their own dates.
    """

    def __init__(self, first: Sequence[Pack], layers: Pack | None, base_exponent: int, follow: _Follow) -> None:
        begun = [replace(pack, effective_from=date.min) for pack in first]
        self.running = by_class(*begun)  # the tier scheme of each class of customers
        self.layers = None if layers is None else replace(layers, effective_from=date.min)
        self.book = Book(begun if self.layers is None else [*begun, self.layers])
        self._trial: Pack | None = None
        self.base_exponent, self.follow = base_exponent, follow
        self._older: dict[tuple[str, int, str], OlderClass] = {}
        self._fitting: dict[tuple[int, int], bool] = {}
        self._rows: list[Pair] = []

    def take(self, record: dict[str, Any], closed: int) -> Pack | list[str]:
        """The pack in a record of `policies`, taken into the book; or why it is not. `closed`: the last closed day."""
        text = record["body"]
        try:
            pack = parse_pack(text, record["pack_id"] or "pack")
        except PackError as problem:
            return [str(one) for one in problem.problems]
        why = [*differs(record, pack), *self.unfit(pack)] or self.book.put(text, closed)
        if why:
            return why
        self._rows.append((RowKey.PACK + f"{len(self.book.packs) - 1:06}".encode(), text.encode()))
        return pack

    def unfit(self, pack: Pack) -> list[str]:
        """Why a pack cannot take the place of the one in force before its day."""
        try:
            self.follow(pack)
        except PackError as problem:
            return [str(one) for one in problem.problems]
        why = []
        if pack.supplement is not None:
            return self._unfit_supplement(pack)
        before = self.book.in_force_anywhere(day_number(pack.effective_from), "layers")
        if pack.kind == "layers" and before is not None:
            why += [f"classes: {name} is left out" for name in before.classes if name not in pack.classes]
        return why

    def _unfit_supplement(self, pack: Pack) -> list[str]:
        base = self.book.base(pack)
        if base is None:
            return []  # the book says so
        if pack.kind != "tiers":
            return ["supplement: a branch adds to tiers, not to layers"]
        same = pack.scopes == base.scopes and pack.classes.keys() == base.classes.keys()
        for name, policy in pack.classes.items():
            of_base = base.classes.get(name)
            same = same and of_base is not None and [t.id for t in of_base.tiers] == [t.id for t in policy.tiers]
            same = same and of_base is not None and of_base.queue == policy.queue
        return [] if same else ["supplement: classes, the list of tiers, queue and scopes stay those of its base"]

    def use(self, running: dict[str, Pack]) -> None:
        """These tier schemes are the running ones from now on."""
        self.running = running

    def use_layers(self, pack: Pack) -> None:
        """This layer scheme is the running one from now on."""
        self.layers = pack

    def try_out(self, pack: Pack) -> None:
        """Takes a pack that is in force from its day on, whatever else the book says."""
        self._trial = pack

    def due(self, day: int) -> dict[str, Pack] | None:
        """The tier schemes in force on a day, by class of customers, where they are others than the running ones.

        A supplement has its branch in its key. It lapses where its base is no longer in force, or has changed what it locks.
        """
        found = {name: pack for name in CUSTOMER_CLASSES if (pack := self.book.in_force(name, day)) is not None}
        trial = self._trial
        if trial is not None and trial.kind == "tiers" and day_number(trial.effective_from) <= day:
            found |= dict.fromkeys(trial.classes, trial)
        for branch, supplement in self.book.supplements(day).items():
            for name in supplement.classes:
                if name in found and self._fits(supplement, found[name]):
                    found[in_branch(name, branch)] = supplement
        return None if found == self.running else found

    def _fits(self, supplement: Pack, base: Pack) -> bool:
        key = id(supplement), id(base)  # both stay as long as the book
        if key not in self._fitting:
            self._fitting[key] = not obstacles(supplement, base)
        return self._fitting[key]

    def due_layers(self, day: int) -> Pack | None:
        """The layer scheme in force on a day, where it is another one than the running one."""
        found, trial = self.book.in_force_anywhere(day, "layers"), self._trial
        if trial is not None and trial.kind == "layers" and day_number(trial.effective_from) <= day:
            found = trial
        return None if found == self.layers else found

    def older(self, pack_id: str, version: int, customer_class: str) -> OlderClass | None:
        """A class of an older version of a pack."""
        key = pack_id, version, customer_class
        if key not in self._older:
            pack = self.book.version(pack_id, version)
            if pack is None or customer_class not in pack.classes:
                return None
            self._older[key] = OlderClass(compile_program(pack, self.base_exponent, customer_class), pack.scopes)
        return self._older[key]

    def take_rows(self) -> list[Pair]:
        """Rows changed since the last call."""
        rows, self._rows = self._rows, []
        return rows

    def load(self, rows: Rows) -> None:
        """Rows back, in the order in which the packs were taken."""
        for _, value in sorted(rows):
            self.book.packs.append(parse_pack((value or b"").decode()))


def differs(record: dict[str, Any], pack: Pack) -> list[str]:
    """Where a record says another thing of its pack than the pack itself."""
    told = record["pack_id"], record["version"], record["effective_from"]
    own = pack.id, pack.version, day_number(pack.effective_from)
    names = ("pack_id", "version", "effective_from")
    return [f"{name}: {a}, in the body {b}" for name, a, b in zip(names, told, own, strict=True) if a != b]


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
    """The close at which a pack takes the place of another. The job has been told of the new one already.

    A class of customers whose pack stays is decided as at any close, and so are those of a branch whose supplement does.
    """

    def __init__(self, lifecycle: LifecycleDecider, before: RulesInForce) -> None:
        self.lifecycle, self.before = lifecycle, before
        self.keeper, self.sink, self.columns = lifecycle.keeper, lifecycle.sink, lifecycle.columns
        self.customers = lifecycle.ledger.customers
        self.names = self.keeper.tier_names()
        self._known: dict[tuple[int, int, State, int], _Migrated] = {}
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
            elif old is not None and old.pack == table.pack:
                self._forget(slots[rows])
                self.lifecycle.decide(table, at, closes, slots[rows], Chosen(scope, found, rows))
            else:
                self._class(table, old, at, slots[rows], Chosen(scope, found, rows))

    def _forget(self, slots: Array) -> None:
        """A tier of before that no scheme has any more: of a class without a scheme now, or of another class than his."""
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
        self._slowly(table, old, slots, np.flatnonzero(slow), step)

    def _slowly(self, table: ClassTable, old: ClassTable | None, slots: Array, rows: Array, step: CloseStep) -> None:
        """Customers with a State, by the pure function: once for all whose states are the same."""
        if not len(rows):
            return
        day = step.at.day + 1
        ids = (old or table).program.tier_ids
        before, given, codes = np.zeros_like(step.official), np.zeros_like(step.official), step.official.copy()
        up, moved = np.zeros(len(slots), np.bool_), []
        mine = slots[rows].tolist(), step.official[rows].tolist(), step.measured[rows].tolist()
        for i, slot, code, measured in zip(rows.tolist(), *mine, strict=True):
            found = self._migrated(table, old, self._state(slot, self.names[code], ids, day), measured, day)
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
        self, table: ClassTable, old: ClassTable | None, state: State, measured: int, day: int
    ) -> _Migrated:  # fmt: skip
        """What becomes of a state."""
        key = id(table), id(old), state, measured
        if key in self._known:
            return self._known[key]
        policy, ids = table.policy, (old or table).program.tier_ids
        was = (old or table).policy
        older = old.pack.version if old is not None and old.pack.id == table.pack.id else None
        after, said = transitions.switch(policy, was, state, day, table.program.tier_ids[measured], older)
        moved = None
        for decision in said:
            if decision.kind == "tier":
                assert decision.before is not None
                assert decision.after is not None
                place = self._places.setdefault(decision.before, len(self._places))
                level = was.level(decision.before) if decision.before in ids else 0  # or of a class or pack of before
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
