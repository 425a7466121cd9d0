"""Tiers by any pack: its criteria over columns at the closes, and the lifecycle of each customer (policies.lifecycle.transitions).

Most customers have nothing of their own: official tier, measured tier and months below it are columns, and a close
moves them all at once. Who holds a card, a grant or a request, waits for a review or a source, goes through the pure
functions one by one. Rows of changed customers go out in the transaction that changes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from agents.engine.job import Pair, Rows
from agents.engine.packing import Packed, few, texts
from agents.standing.decide import state_rows
from agents.standing.decide.branches import ANY, Rules, parted
from agents.standing.decide.state_rows import NEVER, Beside, Kept, kept
from agents.standing.intake.facts import Facts, grown
from agents.standing.intake.lanes import Close
from agents.standing.publish.tier_changes import Switched
from policies.compiled.classes import ClassTable, CompiledClasses
from policies.compiled.program import Column, Key, Plain, Program, close_plain, from_metrics
from policies.lifecycle import state, transitions
from policies.lifecycle.acts import act
from policies.lifecycle.state import HELD, LOST, Act, Card, Decision, State, tier_of
from policies.model.pack import Pack
from streams import tiers
from streams.accounts.ledger import Ledger
from streams.accounts.store import Array, Names
from streams.averages.metrics import Metrics
from streams.calendar import NO_DAY, last_ended_month
from streams.workdays import business_days

KEY = b"l"
SEEN_MAX = 64  # acts remembered a customer: the same event again changes nothing
ALL_CLOSES = ("day", "month", "quarter", "year")


class Older(NamedTuple):
    """A class of an older version of a pack, for customers who are pinned to it."""

    program: Program
    scopes: Mapping[str, frozenset[str]]


class Evidence(NamedTuple):
    """What a decision of a close rests on: the columns that were looked at, and the customer's place in them.

    `as_of` is the day of a former close that is looked at again.
    """

    columns: dict[Key, Column]
    row: int
    as_of: int | None = None


def ends(before: int, day: int) -> frozenset[str]:
    """The closes that the close of `day` makes, `before` being the last closed day."""
    was, now = (int(last_ended_month(at)) + 1 for at in (before if before != NO_DAY else day - 1, day))
    spans = zip(ALL_CLOSES[1:], (1, 3, 12), strict=True)
    return frozenset({"day", *(name for name, months in spans if now // months > was // months)})


class Lifecycle:
    """The order-sensitive part of standings that a pack's rules decide."""

    def __init__(self, ledger: Ledger, classes: CompiledClasses, facts: Facts, keeper: Keeper, sink: Sink) -> None:
        self.ledger, self.classes, self.facts, self.keeper = ledger, classes, facts, keeper
        self.states: dict[int, State] = {}
        self.beside: dict[int, Beside] = {}
        self.measured, self.below = np.zeros(0, np.int8), np.zeros(0, np.int16)  # -1: as the tier in force
        self.due = np.zeros(0, np.int32)  # the next day that ends something of a customer's own
        self.special = np.zeros(0, np.bool_)  # has a state of his own
        self.restless = np.zeros(0, np.bool_)  # … that a close may move although the standard gives the same tier
        self.marks = np.zeros(0, state_rows.MARK)  # of who has a state of his own
        self.counts: Counter[str] = Counter()
        self.sink: Sink = sink
        self.branch_code: Callable[[str], int] = lambda _branch: ANY
        self.rules = Rules(classes, self.branch_code)
        self.older: Callable[[str, int, str], Older | None] = lambda _pack, _version, _customer_class: None
        self.written = np.zeros(0, np.bool_)  # has a row
        self.changed: set[int] = set()
        self.touched: dict[int, str] | None = None  # slot -> event id of an act, for who wants to know

    def use(self, classes: CompiledClasses) -> None:
        """The rules of other packs from now on; who has a state goes over by agents.standing.decide.changeover."""
        self.classes, self.rules = classes, Rules(classes, self.branch_code)

    def reserve(self) -> None:
        """Room for every customer."""
        slots = self.ledger.columns.customer_count
        self.measured, self.below = grown(self.measured, slots, -1), grown(self.below, slots, 0)
        self.due, self.special = grown(self.due, slots, NEVER), grown(self.special, slots, 0)
        self.restless, self.written = grown(self.restless, slots, 0), grown(self.written, slots, 0)
        self.marks = grown(self.marks, slots, 0)

    def table(self, slot: int) -> ClassTable | None:
        """The rules of a customer's class in his branch."""
        c = self.ledger.store.customers[slot]
        return self.rules.of(int(c["customer_class"]), int(c["branch"]))

    # -- closes

    def everyone(self, closes: frozenset[str]) -> bool:
        """Whether these closes decide for all customers of some class."""
        return any(_decides(table, closes) for table in self.rules.every())

    def waiting(self, day: int, before: int) -> Array:
        """Slots that a close has to look at though nothing has come: something of theirs ends, or people have acted."""
        self.reserve()
        acted = [slot for slot, beside in self.beside.items() if beside.touched == before]
        ended = np.flatnonzero(self.due[: self.ledger.columns.customer_count] <= day)
        slots: Array = np.union1d(ended, acted).astype(np.int64)
        return slots

    def close(self, at: Close, closes: frozenset[str], scope: frozenset[str], slots: Array, found: Metrics) -> None:
        """Decides customers at a close; `found` are their metrics over a scope of asset classes."""
        self.reserve()
        for kind, branch, rows in parted(self.ledger.store.customers, slots, self.rules.own):
            if (table := self.rules.of(kind, branch)) is not None:
                self.decide(table, at, closes, slots[rows], Chosen(scope, found, rows))

    def decide(self, table: ClassTable, at: Close, closes: frozenset[str], slots: Array, found: Chosen) -> None:
        """Decides customers of a class at a close."""
        policy, deciding = table.policy, _decides(table, closes)
        official, known = self.known(table, slots)
        special, due = self.special[slots], self.due[slots] <= at.day
        late = self._deferred(slots)
        if not deciding and not late.any():
            for i in np.flatnonzero(due).tolist():
                self._slow(table, at, frozenset({"day"}), int(slots[i]), int(known[i]), (), None)
            return
        columns = self.columns(table, slots, found, at.day)
        measured, held = table.program.evaluate(columns) if columns else (np.zeros_like(known), known < 0)
        measured, stale = np.where(held, known, measured), self.stale(table.pack, at.day)
        step = Step(at, closes, found.chosen(), columns, official, known, measured, stale)
        if deciding:
            self.counts["held"] += int(held.sum())
            due |= special & (self.restless[slots] | (measured != known))
            if policy.review is not None:
                due |= ~special & (table.levels[measured] > 0)
            due |= self._plain(table, slots, ~special & ~due & ~held, step)
        for i in np.flatnonzero(due).tolist():
            again = closes if deciding and not held[i] else frozenset({"day"})
            if late[i] and not deciding and not stale:
                was = (self.states[int(slots[i])].deferred or at.day + 1) - 1  # the day of the close that was put off
                again = ends(was - 1, was)
            now = measured if deciding or late[i] else known
            self._slow(table, at, again, int(slots[i]), int(now[i]), stale, Evidence(columns, i))

    def known(self, table: ClassTable, slots: Array) -> tuple[Array, Array]:
        """(official, measured) as indices of the table: what holds, and what the standard gave last."""
        official = table.index[self.keeper.held()["tier"][slots, 0]]
        known = np.where(self.measured[slots] < 0, official, self.measured[slots]).astype(np.int64)
        return official, np.minimum(known, len(table.codes) - 1)  # after a change of the class

    def _deferred(self, slots: Array) -> Array:
        """bool[n]: whose change waits for a source."""
        late = np.zeros(len(slots), np.bool_)
        for i in np.flatnonzero(self.special[slots]).tolist():
            late[i] = self.states[int(slots[i])].deferred is not None
        return late

    def _plain(self, table: ClassTable, slots: Array, plain: Array, step: Step) -> Array:
        """Moves the customers without anything of their own; True for who has to be looked at one by one instead."""
        policy, n = table.policy, len(slots)
        was = Plain(step.official, self.below[slots].astype(np.int64), np.full(n, not policy.status.requires))
        if policy.status.basis == "card" or policy.review is not None:
            now = Plain(step.official, np.zeros(n, np.int64), was.is_ready)
        else:
            now = close_plain(policy, step.closes, was, step.measured)
        moved = plain & (now.official != step.official)
        if step.stale:
            return moved
        self._offers(table, slots, np.flatnonzero(plain), now.official, step)
        day = step.at.day + 1
        tiers.put_in_force(self.keeper.held(), slots[moved], table.codes[now.official[moved]], day)
        if moved.any():
            self.sink.many(table, slots, np.flatnonzero(moved), now.official, step)
            self.keeper.changed(slots[moved])
        trivial = (now.official == step.measured) & (now.below == 0)
        kept = np.where(trivial, -1, step.measured)
        changed = plain & ((kept != self.measured[slots]) | (now.below != self.below[slots]))
        self.measured[slots[plain]], self.below[slots[plain]] = kept[plain], now.below[plain]
        self.changed.update(slots[changed].tolist())
        return np.zeros(n, np.bool_)

    def _offers(self, table: ClassTable, slots: Array, rows: Array, given: Array, step: Step) -> None:
        """Offers and downgrade cases that are new with this close."""
        if "application" not in (table.policy.evaluation.upgrades, table.policy.evaluation.downgrades):
            return
        day, ids = step.at.day, table.program.tier_ids
        for i in rows[(step.measured != step.known)[rows]].tolist():
            measured = ids[int(step.measured[i])]
            was = transitions.offered(table.policy, State(ids[int(step.official[i])], ids[int(step.known[i])]))
            now = transitions.offered(table.policy, State(ids[int(given[i])], measured))
            if now is not None and now != was:
                said = Decision("offer", now[0], day, day + 1, ids[int(given[i])], measured)
                self.sink.one(int(slots[i]), table, (said,), Evidence(step.columns, i), step.at)

    def _slow(
        self, table: ClassTable, at: Close, closes: frozenset[str], slot: int, measured: int, stale: tuple[str, ...],
        evidence: Evidence | None,
    ) -> None:  # fmt: skip
        before = self.state(slot, table)
        pinned = None if before.pinned_version is None else self._pinned(table, before, slot, at.day)
        given = table.program.tier_ids[measured]
        after, said = transitions.close(table.policy, before, state.Close(at.day, closes, given, pinned, stale))
        self.put(slot, table, before, after, said)
        if said:
            self.sink.one(slot, table, said, evidence, at)

    def look(
        self, table: ClassTable, day: int, slot: int, measured: int, cause: str, evidence: Evidence, at: Close | None
    ) -> None:  # fmt: skip
        """Decides a customer as of `day`, the day being lived; `cause` is the event, `at` a close that has begun it."""
        before = self.state(slot, table)
        given = table.program.tier_ids[measured]
        given = given if before.pinned_version is None else self._pinned(table, before, slot, day)
        after, said = transitions.look(table.policy, before, day, given, cause)
        if after == before:
            return
        self.put(slot, table, before, after, said)
        if said:
            self.sink.one(slot, table, said, evidence, at)

    def _pinned(self, table: ClassTable, state: State, slot: int, day: int) -> str:
        """The tier of a customer under the version that he is pinned to; the one he has where nobody knows that version."""
        older = self.older(table.pack.id, state.pinned_version or 0, table.policy.customer_class)
        if older is None:
            return state.official
        one, out = np.array([slot]), dict[Key, Column]()
        for scope in dict.fromkeys(scope for _, scope in older.program.needs):
            wanted = tuple(key for key in older.program.needs if key[1] == scope)
            if scope is None:
                out |= {key: Column(self.facts.column(key[0], one, day)) for key in wanted}
            else:
                mask = self.ledger.scope_of(sorted(older.scopes[scope]))
                out |= from_metrics(self.ledger.metrics(mask, day, one), scope, wanted)
        tiers_, held = older.program.evaluate(out)
        tier = older.program.tier_ids[int(tiers_[0])]
        return state.official if held[0] or tier not in table.program.tier_ids else tier

    def columns(
        self, table: ClassTable, slots: Array, found: Chosen, day: int, needs: Sequence[Key] | None = None
    ) -> dict[Key, Column]:
        """What the rules of a class need of some customers as of a day, or what `needs` says."""
        out: dict[Key, Column] = {}
        needs, scopes = table.program.needs if needs is None else needs, table.pack.scopes
        for scope in dict.fromkeys(scope for _, scope in needs):
            wanted = tuple(key for key in needs if key[1] == scope)
            if scope is None:
                out |= {key: Column(self.facts.column(key[0], slots, day)) for key in wanted}
            elif scopes[scope] == found.scope:
                out |= from_metrics(found.chosen(), scope, wanted)
            else:
                mask = self.ledger.scope_of(sorted(scopes[scope]))
                out |= from_metrics(self.ledger.metrics(mask, day, slots), scope, wanted)
        return out

    def stale(self, pack: Pack, day: int) -> tuple[str, ...]:
        """Required sources that lag more business days behind than their pack allows (docs/tiers.md#stale-sources).

        A source is watched from its first mark on; business days are those of the bank's calendar.
        """
        found = []
        for name, source in sorted(pack.sources.items()):
            complete = self.facts.complete.get(name)
            if complete is not None and source.required:
                lag = business_days(complete + 1, day, self.facts.calendar)
                found += [name] if lag > source.freshness_business_days else []
        return tuple(found)

    def take_counts(self) -> Counter[str]:
        """What has been counted since the last call."""
        counts, self.counts = self.counts, Counter()
        return counts

    # -- one customer

    def state(self, slot: int, table: ClassTable) -> State:
        """The state of a customer under his class."""
        self.reserve()
        policy, known = table.policy, self.states.get(slot)
        if known is None:
            official = int(table.index[self.keeper.held()["tier"][slot, 0]])
            measured = official if self.measured[slot] < 0 else int(self.measured[slot])
            return state_rows.plain_state(policy, official, min(measured, len(policy.tiers) - 1), int(self.below[slot]))
        names = {tier.id for tier in policy.tiers}
        if {known.official, known.measured} <= names:
            return known
        lowest = policy.tiers[0].id  # of another class or pack
        return State(lowest, lowest, known.records, known.card)

    def put(self, slot: int, table: ClassTable, before: State, after: State, said: Sequence[Decision]) -> None:
        """Keeps a customer's new state, and puts his tier in force."""
        policy, held = table.policy, self.keeper.held()
        code = int(table.codes[policy.rank(tier_of(policy, after))])
        effective = [decision.effective for decision in said if decision.kind == "tier"]
        if effective and code != held["tier"][slot, 0]:
            tiers.put_in_force(held, np.array([slot]), np.array([code]), effective[-1])
        if after == before and self.due[slot] > 0:
            return
        if after.card != before.card:
            self.hold(slot, after.card)
        self.keep(slot, table, after)
        self.changed.add(slot)
        self.keeper.changed(np.array([slot]))

    def keep(self, slot: int, table: ClassTable, state: State) -> None:
        """A state into the columns, and beside them what does not fit."""
        self.place(slot, state, kept(table.policy, state))

    def place(self, slot: int, state: State, found: Kept) -> None:
        """The same with what is known of the state already."""
        if found.own:
            self.states[slot] = state
        else:
            self.states.pop(slot, None)
        self.measured[slot], self.below[slot], self.special[slot] = found.measured, state.below, found.own
        self.restless[slot], self.due[slot], self.marks[slot] = found.restless, found.due, found.mark

    def hold(self, slot: int, card: Card | None) -> None:
        """The card by which the customer queues."""
        column = self.ledger.store.customers["card"]
        if slot not in self.beside:
            self.beside[slot] = Beside(self.keeper.card(slot))
        holds = card is not None and card.state in (HELD, LOST)
        column[slot] = self.keeper.cards.code(card.card) if card is not None and holds else -1

    def profile(self, slot: int) -> None:
        """The profile has come anew: a card that it names, and did not name before, is one that the customer holds."""
        self.reserve()
        table, named = self.table(slot), self.keeper.card(slot)
        known = self.beside.get(slot)
        if table is None or (known is None and table.policy.status.basis != "card"):
            return
        if known is None and named is None:
            return
        before = self.state(slot, table)
        if known is not None and named == known.profile_card:
            if before.card is not None:
                self.hold(slot, before.card)
            return
        self.beside[slot] = known or Beside()
        self.beside[slot].profile_card = named
        issued = max(self.ledger.closed + 1, 0)
        after = State(before.official, before.measured, before.records) if known is None else before
        after = replace(after, card=None if named is None else Card(named, issued))
        self.states[slot], self.special[slot], self.due[slot] = after, True, 0
        self.changed.add(slot)

    def act(self, slot: int, what: Act) -> bool:
        """Takes what somebody did; False for an event taken before."""
        table = self.table(slot)
        beside = self.beside.setdefault(slot, Beside(self.keeper.card(slot)))
        if what.event_id in beside.seen:
            return False
        beside.seen, beside.touched = (*beside.seen, what.event_id)[-SEEN_MAX:], self.ledger.closed
        if self.touched is not None:
            self.touched[slot] = what.event_id
        self.changed.add(slot)
        if table is None:
            self.refuse(slot, what, "no_scheme")
            return True
        before = self.state(slot, table)
        if slot not in self.states and before.card is None and beside.profile_card is not None:
            before = replace(before, card=Card(beside.profile_card, max(self.ledger.closed + 1, 0)))
        after, said = act(table.policy, before, what)
        self.put(slot, table, before, after, said)
        if said:
            self.sink.one(slot, table, said, None, None)
        return True

    def refuse(self, slot: int, what: Act, code: str) -> None:
        """Says that an act is refused, which changes nothing."""
        table = self.table(slot) or next(table for table in self.classes.tables if table is not None)
        said = Decision("refused", code, what.day, what.day, caused_by=what.event_id, evidence={"action": what.action})
        self.sink.one(slot, table, (said,), None, None)

    # -- rows

    def take_rows(self) -> list[Pair | Packed]:
        """Rows changed since the last call; of those without anything of their own many are the same."""
        slots = np.sort(np.fromiter(self.changed, np.int64, len(self.changed)))
        self.changed.clear()
        kinds = self.ledger.store.customers["customer_class"][slots]
        slots = slots[np.array([table is not None for table in self.classes.tables])[kinds]]
        self.reserve()
        self.written[slots] = True
        alone, store = (
            self.special[slots] | np.isin(slots, np.fromiter(self.beside, np.int64, len(self.beside))),
            self.ledger.store,
        )
        out: list[Pair | Packed] = [
            (KEY + self.ledger.customer_id(slot).encode(), self._row(slot)) for slot in slots[alone].tolist()
        ]
        if not len(slots := slots[~alone]):
            return out
        customers = store.customers[slots]
        parts = customers["customer_class"], customers["tier"][:, 0], self.measured[slots], self.below[slots]
        values = state_rows.shared(parts, lambda i: self._row(int(slots[i])))
        return out + few(Packed(*texts(store.customer_ids.arena, customers["ref"], KEY), *values))

    def _row(self, slot: int) -> bytes:
        table = self.table(slot)
        assert table is not None
        return state_rows.encode(self.state(slot, table), self.beside.get(slot, Beside()))

    def load(self, rows: Rows) -> None:
        """Rows back, after the profiles'; later ones count."""
        for key, value in rows:
            slot = self.ledger.customer(key[1:].decode())
            state, beside = state_rows.decode(value or b"")
            self.reserve()
            table, self.written[slot] = self.table(slot), True
            if table is None:
                continue
            if beside != Beside():
                self.beside[slot] = beside
            self.states[slot] = state
            self.keep(slot, table, self.state(slot, table))


class Chosen(NamedTuple):
    """Metrics over one scope of asset classes, and which rows of them are meant."""

    scope: frozenset[str]
    found: Metrics
    rows: Array

    def chosen(self) -> Metrics:
        """Those rows."""
        if len(self.rows) == len(self.found.units):
            return self.found
        units, nano, held = (part[self.rows] for part in (self.found.units, self.found.nano, self.found.held))
        return Metrics(self.found.as_of, self.found.days, units, nano, held)


class Step(NamedTuple):
    """A close as columns: tier indices before it, those that the standard gives, and what they rest on."""

    at: Close
    closes: frozenset[str]
    found: Metrics
    columns: dict[Key, Column]
    official: Array
    known: Array
    measured: Array
    stale: tuple[str, ...]


class Keeper(Protocol):
    """Where the tiers of a scheme are kept by slot: the profiles, or agents.standing.decide.layers."""

    tiers: Names
    cards: Names

    def held(self) -> Array:
        """`tier` and `tier_day` of every customer, as streams.tiers has them: codes of `tiers`."""

    def changed(self, slots: Array) -> None:
        """Tiers, or what stands beside them, are other ones now."""

    def card(self, slot: int) -> str | None:
        """The card held, where the tier may rest on one."""


class Sink(Protocol):
    """Where decisions go."""

    def one(
        self, slot: int, table: ClassTable, said: Sequence[Decision], evidence: Evidence | None, at: Close | None
    ) -> None:
        """Decisions about one customer, at a close or by an act."""

    def switched(self, table: ClassTable, slots: Array, moved: Array, given: Array, step: Step, old: Switched) -> None:
        """Tiers that a change of packs has moved."""

    def many(self, table: ClassTable, slots: Array, moved: Array, given: Array, step: Step) -> None:
        """Tiers that a close has moved: slots[i] to tier index given[i], for i in moved."""


def continuous(table: ClassTable) -> bool:
    """Whether a class of customers is decided between closes too."""
    return table.policy.evaluation.close == "continuous"


def _decides(table: ClassTable, closes: frozenset[str]) -> bool:
    return continuous(table) or table.policy.evaluation.close in closes
