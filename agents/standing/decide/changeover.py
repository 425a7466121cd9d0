"""Packs that `tidegauge policy activate` sends: the book of a partition, and everybody's way from one pack to the next.

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
from agents.standing.decide.branches import Rules, parted
from agents.standing.decide.lifecycle import Chosen, Evidence, Lifecycle, Older, Sink, Step
from agents.standing.decide.state_rows import NEVER, Beside, Kept, kept
from agents.standing.intake.lanes import Close
from agents.standing.publish.tier_changes import Switched
from policies.book import Book
from policies.compiled.classes import ClassTable, CompiledClasses, by_class, in_branch
from policies.compiled.program import compile_program
from policies.diff import obstacles
from policies.language.loader import parse_pack
from policies.language.reader import PackError
from policies.lifecycle import transitions
from policies.lifecycle.state import Card, Decision, State, day_number
from policies.model.pack import Pack
from streams import tiers
from streams.accounts.store import Array
from streams.averages.metrics import Metrics
from streams.calendar import NO_DAY
from streams.vocabulary.terms import CUSTOMER_CLASSES

KEY = b"k"  # first byte of a changelog key
REFUSED = "the pack is refused"
Follow = Callable[[Pack], object]


class Packs:
    """The book of packs of a partition. `follow` raises PackError for a pack that the job cannot follow.

    The first ones are in force until others take effect, whatever their own dates.
    """

    def __init__(self, first: Sequence[Pack], layers: Pack | None, base_exponent: int, follow: Follow) -> None:
        begun = [replace(pack, effective_from=date.min) for pack in first]
        self.running = by_class(*begun)  # the tier scheme of each class of customers
        self.layers = None if layers is None else replace(layers, effective_from=date.min)
        self.book = Book(begun if self.layers is None else [*begun, self.layers])
        self.trial: Pack | None = None  # in force from its day on, whatever else the book says
        self.base_exponent, self.follow = base_exponent, follow
        self._older: dict[tuple[str, int, str], Older] = {}
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
        self._rows.append((KEY + f"{len(self.book.packs) - 1:06}".encode(), text.encode()))
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

    def due(self, day: int) -> dict[str, Pack] | None:
        """The tier schemes in force on a day, by class of customers, where they are others than the running ones.

        A supplement has its branch in its key. It lapses where its base is no longer in force, or has changed what it locks.
        """
        found = {name: pack for name in CUSTOMER_CLASSES if (pack := self.book.in_force(name, day)) is not None}
        trial = self.trial
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
        found, trial = self.book.in_force_anywhere(day, "layers"), self.trial
        if trial is not None and trial.kind == "layers" and day_number(trial.effective_from) <= day:
            found = trial
        return None if found == self.layers else found

    def older(self, pack_id: str, version: int, customer_class: str) -> Older | None:
        """A class of an older version of a pack."""
        key = pack_id, version, customer_class
        if key not in self._older:
            pack = self.book.version(pack_id, version)
            if pack is None or customer_class not in pack.classes:
                return None
            self._older[key] = Older(compile_program(pack, self.base_exponent, customer_class), pack.scopes)
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


class Over(NamedTuple):
    """What becomes of a state with a change of packs.

    code: of the tier from then on; moved: (place of the tier before in `_places`, index of the new one, is it higher).
    """

    after: State
    kept: Kept
    code: int
    moved: tuple[int, int, bool] | None
    rest: tuple[Decision, ...]


class Changeover:
    """The close at which a pack takes the place of another. The job has been told of the new one already.

    A class of customers whose pack stays is decided as at any close, and so are those of a branch whose supplement does.
    """

    def __init__(self, life: Lifecycle, sink: Sink, classes: CompiledClasses | None) -> None:
        self.life, self.sink = life, sink
        self.before = Rules(classes, life.branch_code)
        self.names = life.keeper.tiers.all()
        self._known: dict[tuple[int, int, State, int], Over] = {}
        self._places: dict[str, int] = {}  # of the tiers that customers with something of their own come from
        life.reserve()
        life.changed.update(np.flatnonzero(life.written).tolist())  # rows name tiers of the pack before

    def close(self, at: Close, closes: frozenset[str], scope: frozenset[str], slots: Array, found: Metrics) -> None:
        """Decides customers under the new pack as of the close; `found` are their metrics over a scope."""
        held = self.life.keeper.held()
        undecided = slots[held["tier_day"][slots, 0] == NO_DAY]
        held["tier"][undecided] = 0
        rules = self.life.rules
        for kind, branch, rows in parted(self.life.ledger.store.customers, slots, {*rules.own, *self.before.own}):
            table, old = rules.of(kind, branch), self.before.of(kind, branch)
            if table is None:
                self._forget(slots[rows])
            elif old is not None and old.pack == table.pack:
                self.life.decide(table, at, closes, slots[rows], Chosen(scope, found, rows))
            else:
                self._class(table, old, at, slots[rows], Chosen(scope, found, rows))

    def _forget(self, slots: Array) -> None:
        """Of customers whose class has no scheme now: a tier of before that no scheme has any more."""
        held = self.life.keeper.held()
        gone = slots[held["tier"][slots, 0] >= len(self.life.classes.shown.tier_ids)]
        held["tier"][gone], held["tier_day"][gone] = 0, NO_DAY
        self.life.keeper.changed(gone)

    def _class(self, table: ClassTable, old: ClassTable | None, at: Close, slots: Array, found: Chosen) -> None:
        life, policy, held_now = self.life, table.policy, self.life.keeper.held()
        codes = held_now["tier"][slots, 0].astype(np.int64)
        undecided = held_now["tier_day"][slots, 0] == NO_DAY
        was = np.where(undecided, 0, self._levels(old)[codes])
        columns = life.columns(table, slots, found, at.day)
        measured, held = table.program.evaluate(columns) if columns else (np.zeros_like(was), was < 0)
        measured = np.where(held, self._same(table)[codes], measured)
        named = (
            life.ledger.store.customers["card"][slots] >= 0
            if policy.status.basis == "card"
            else np.zeros(len(slots), np.bool_)
        )
        older = old.pack.version if old is not None and old.pack.id == table.pack.id else None
        pinning = policy.pinning is not None and older is not None
        slow = life.special[slots] | named | ((was > 0) & pinning)
        gets = policy.status.basis == "metric" and not policy.status.requires
        official = measured if gets else np.zeros_like(measured)
        other = ~slow & (codes != table.codes[official]) & ~undecided | (~slow & undecided & (official > 0))
        moved = other & ((was > 0) | (official > 0))
        tiers.put_in_force(held_now, slots[other], table.codes[official[other]], at.day + 1)
        life.keeper.changed(slots[other])
        mine, last = slots[~slow], np.where(official == measured, -1, measured)[~slow]
        life.changed.update(mine[(last != life.measured[mine]) | (life.below[mine] != 0)].tolist())
        life.measured[mine], life.below[mine], life.due[mine], life.restless[mine] = last, 0, NEVER, False
        step = Step(at, frozenset(), found.chosen(), columns, codes, measured, measured, ())
        switched = Switched(self._told(old), official >= was)
        self.sink.switched(table, slots, np.flatnonzero(moved), official, step, switched)
        self._slowly(table, old, slots, np.flatnonzero(slow), step)

    def _slowly(self, table: ClassTable, old: ClassTable | None, slots: Array, rows: Array, step: Step) -> None:
        """Customers with something of their own, by the pure function: once for all whose states are the same."""
        if not len(rows):
            return
        life, day = self.life, step.at.day + 1
        ids = (old or table).program.tier_ids
        before, given, codes = np.zeros_like(step.official), np.zeros_like(step.official), step.official.copy()
        up, moved = np.zeros(len(slots), np.bool_), []
        mine = slots[rows].tolist(), step.official[rows].tolist(), step.measured[rows].tolist()
        for i, slot, code, measured in zip(rows.tolist(), *mine, strict=True):
            over = self._over(table, old, self._state(slot, self.names[code], ids, day), measured, day)
            life.place(slot, over.after, over.kept)
            if over.after.card is not None:
                life.hold(slot, over.after.card)
            codes[i] = over.code
            if over.moved is not None:
                before[i], given[i], up[i] = over.moved
                moved.append(i)
            if over.rest:
                self.sink.one(slot, table, over.rest, Evidence(step.columns, i), step.at)
        other = rows[codes[rows] != step.official[rows]]
        tiers.put_in_force(life.keeper.held(), slots[other], codes[other], day)
        life.changed.update(slots[rows].tolist())
        life.keeper.changed(slots[rows])
        if moved:
            step = step._replace(official=before)
            self.sink.switched(table, slots, np.array(moved), given, step, Switched(tuple(self._places), up))

    def _over(self, table: ClassTable, old: ClassTable | None, state: State, measured: int, day: int) -> Over:
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
        code = int(table.codes[policy.rank(transitions.tier_of(policy, after))])
        rest = tuple(decision for decision in said if decision.kind != "tier")
        self._known[key] = found = Over(after, kept(policy, after), code, moved, rest)
        return found

    def _levels(self, old: ClassTable | None) -> Array:
        """int64[codes]: ranks of the tiers under the pack before, 0 for a tier that it does not have."""
        known = {} if old is None else {tier.id: old.policy.level(tier.id) for tier in old.policy.tiers}
        return np.array([known.get(name, 0) for name in self.names], np.int64)

    def _same(self, table: ClassTable) -> Array:
        """int64[codes]: the tier of that name in the new pack, else the lowest: for who cannot be measured."""
        own = {name: i for i, name in enumerate(table.program.tier_ids)}
        return np.array([own.get(name, 0) for name in self.names], np.int64)

    def _told(self, old: ClassTable | None) -> list[str]:
        """Names of the codes before; what the pack before does not have is told as its lowest tier."""
        known = () if old is None else old.program.tier_ids
        return [name if name in known or not known else known[0] for name in self.names]

    def _state(self, slot: int, name: str, ids: tuple[str, ...], day: int) -> State:
        """The state under the pack before, with the card that the profile names where no other is known."""
        life, name = self.life, name if name in ids else ids[0]
        known, named = life.states.get(slot), None
        if known is None or known.card is None:
            named = life.keeper.card(slot)
        if named is None:
            return known or State(name, name)
        life.beside.setdefault(slot, Beside()).profile_card = named
        if known is not None:
            return replace(known, card=Card(named, day))
        return State(name, name, card=Card(named, day))
