"""Tiers by any pack: its criteria over columns at the closes, and the lifecycle of each customer (policies.lifecycle).

A close moves all customers without a State of their own at once. Customers with a card, a grant or a request, and those
who wait for a review or a source, go through the pure functions one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from agents.engine.job import Pair
from agents.engine.record_batches import Packed
from agents.standing.decide.branches import RulesInForce
from agents.standing.decide.lifecycle.columns import LifecycleColumns
from agents.standing.decide.lifecycle.measures import Measures
from agents.standing.decide.lifecycle.services import ServiceDecider
from agents.standing.intake.touched import TouchedCustomers
from agents.standing.model import Chosen, CloseStep, DayClose, Evidence, Keeper, Older, Sink, Tally
from policies.compiled.classes import ClassTable
from policies.compiled.program import Column, Plain, close_plain
from policies.lifecycle import state, transitions
from policies.lifecycle.acts import act
from policies.lifecycle.state import Act, Card, Decision, State
from policies.model.figures import Key
from streams import tiers
from streams.accounts.ledger import Ledger
from streams.accounts.store import Array
from streams.averages.metrics import Metrics
from streams.calendar import NO_DAY, last_ended_month

CLOSES_OF_YEAR = ("day", "month", "quarter", "half_year", "year")


def closes_ending(before: int, day: int) -> frozenset[str]:
    """The closes that the close of `day` makes, `before` being the last closed day."""
    was, now = (int(last_ended_month(at)) + 1 for at in (before if before != NO_DAY else day - 1, day))
    spans = zip(CLOSES_OF_YEAR[1:], (1, 3, 6, 12), strict=True)
    return frozenset({"day", *(name for name, months in spans if now // months > was // months)})


class LifecycleDecider:
    """Decides customers by the rules in force: at closes, on acts, and as events come where a pack asks for it."""

    def __init__(
        self, ledger: Ledger, rules: RulesInForce, measures: Measures, columns: LifecycleColumns, keeper: Keeper, sink: Sink,
        older: Older, touched: TouchedCustomers, counts: Tally,
    ) -> None:  # fmt: skip
        self.ledger, self.rules, self.measures, self.columns = ledger, rules, measures, columns
        self.keeper, self.sink = keeper, sink
        self.services = ServiceDecider(self)
        self._older, self._touched, self._counts = older, touched, counts

    def use(self, rules: RulesInForce) -> RulesInForce:
        """The rules of other packs from now on; those before. Customers with a State are migrated by Changeover."""
        before, self.rules = self.rules, rules
        return before

    def table(self, slot: int) -> ClassTable | None:
        """The rules of a customer's class in his branch."""
        return self.rules.of(*self.ledger.customers.class_and_branch(slot))

    # -- what others ask

    def is_continuous(self) -> bool:
        """Whether any class is decided between closes too."""
        return any(continuous(table) for table in self.rules.every())

    def state_of(self, slot: int, table: ClassTable) -> State:
        """The state of a customer under his class."""
        return self.columns.state(slot, table)

    def own(self, slot: int) -> State | None:
        """The State of his own, as it was put last; None for a customer without one."""
        return self.columns.own(slot)

    def reminded(self, name: str, day: int) -> Array:
        """Slots, ascending, of customers with a State whose `renewal` or `review` is to be told of as of a day."""
        return self.columns.reminded(name, day)

    def waiting(self, day: int, before: int) -> Array:
        """Slots that a close has to look at though nothing has come; `before`: the day closed before it."""
        return self.columns.waiting(day, before)

    def take_rows(self) -> list[Pair | Packed]:
        """Rows of the states changed since the last call."""
        return self.columns.take_rows(self.rules)

    def load(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Rows back, one a customer, after the profiles'."""
        self.columns.load(rows, self.rules)

    # -- closes

    def everyone(self, closes: frozenset[str]) -> bool:
        """Whether these closes decide for all customers of some class."""
        return any(_decides(table, closes) or table.policy.vetoes_at_once for table in self.rules.every())

    def close(self, at: DayClose, closes: frozenset[str], scope: frozenset[str], slots: Array, found: Metrics) -> None:
        """Decides customers at a close; `found` are their metrics over a scope of asset classes."""
        self.columns.reserve()
        for table, rows in self.rules.parts(self.ledger.customers, slots):
            self.decide(table, at, closes, slots[rows], Chosen(scope, found, rows))
            self.services.close(table, at, closes, slots[rows], Chosen(scope, found, rows))

    def decide(self, table: ClassTable, at: DayClose, closes: frozenset[str], slots: Array, found: Chosen) -> None:
        """Decides customers of a class at a close."""
        policy, deciding = table.policy, _decides(table, closes)
        official, known = self.columns.tiers(table, slots)
        own, due = self.columns.own_state(slots), self.columns.due(slots, at.day)
        late = self.columns.deferred(slots)
        if not deciding and not late.any() and not policy.vetoes_at_once:
            for i in np.flatnonzero(due).tolist():
                self._slow(table, at, frozenset({"day"}), int(slots[i]), int(known[i]), (), None)
            return
        columns = self.measures.of(table, slots, at.day, found)
        measured, held = table.program.evaluate(columns) if columns else (np.zeros_like(known), known < 0)
        measured, stale = np.where(held, known, measured), self.measures.stale(table.pack, at.day)
        step = CloseStep(at, closes, found.chosen(), columns, official, known, measured, stale)
        barred = self._barred(table, slots, columns) if policy.vetoes_at_once else None
        if barred is not None:
            due |= (barred & (official > 0)) | (barred != self.columns.vetoed(slots))
        if deciding:
            if missing := int(held.sum()):
                self._counts.add("held", missing)
            due |= own & (self.columns.awaits_close(slots) | (measured != known))
            if policy.review is not None:
                due |= ~own & (table.levels[measured] > 0)
            if policy.one_by_one:
                due |= ~own & (measured != official)
            due |= self._plain(table, slots, ~own & ~due & ~held, step)
        for i in np.flatnonzero(due).tolist():
            again = closes if deciding and not held[i] else frozenset({"day"})
            if late[i] and not deciding and not stale:
                was = self._deferred_at(int(slots[i]), at.day)
                again = closes_ending(was - 1, was)
            now = measured if deciding or late[i] else known
            vetoed = barred is not None and bool(barred[i])
            self._slow(table, at, again, int(slots[i]), int(now[i]), stale, Evidence(columns, i), vetoed=vetoed)

    def _barred(self, table: ClassTable, slots: Array, columns: dict[Key, Column]) -> Array:
        """bool[n]: who meets a veto that acts at once; where that cannot be said, as it was."""
        met, held = table.program.barred(columns)
        barred: Array = np.where(held, self.columns.vetoed(slots), met)
        return barred

    def _deferred_at(self, slot: int, day: int) -> int:
        """The day of the close at which a source put the customer's change off."""
        own = self.columns.own(slot)
        assert own is not None
        return (own.deferred or day + 1) - 1

    def _plain(self, table: ClassTable, slots: Array, plain: Array, step: CloseStep) -> Array:
        """Moves the customers without a State; True for a customer who has to be looked at one by one instead."""
        policy, n = table.policy, len(slots)
        below = self.columns.below(slots).astype(np.int64)
        was = Plain(step.official, below, np.full(n, not policy.status.requires))
        if policy.status.basis == "card" or policy.review is not None:
            now = Plain(step.official, np.zeros(n, np.int64), was.is_ready)
        else:
            now = close_plain(policy, step.closes, was, step.measured)
        moved: Array = plain & (now.official != step.official)
        if step.stale:
            return moved
        self._offers(table, slots, np.flatnonzero(plain), now.official, step)
        day = step.at.day + 1
        tiers.put_in_force(self.keeper.held(), slots[moved], table.codes[now.official[moved]], day)
        if moved.any():
            self.sink.many(table, slots, np.flatnonzero(moved), now.official, step)
            self.keeper.changed(slots[moved])
        self.columns.put_measured(slots, plain, now.official, step.measured, now.below)
        return np.zeros(n, np.bool_)

    def _offers(self, table: ClassTable, slots: Array, rows: Array, given: Array, step: CloseStep) -> None:
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
        self, table: ClassTable, at: DayClose, closes: frozenset[str], slot: int, measured: int, stale: tuple[str, ...],
        evidence: Evidence | None, *, vetoed: bool = False,
    ) -> None:  # fmt: skip
        before = self.columns.state(slot, table)
        pinned = None if before.pinned_version is None else self._pinned(table, before, slot, at.day)
        given = table.program.tier_ids[measured]
        after, said = transitions.close(
            table.policy,
            before,
            self._at(table, slot, state.Close(at.day, closes, given, pinned, stale, vetoed=vetoed)),
        )
        self.put(slot, table, before, after, said, evidence, at)

    def _at(self, table: ClassTable, slot: int, close: state.Close) -> state.Close:
        """A close with what else the rules may look at."""
        if not table.policy.one_by_one:
            return close
        return replace(close, joined=self.measures.joined(slot), calendar=self.measures.calendar)

    def put(
        self, slot: int, table: ClassTable, before: State, after: State, said: tuple[Decision, ...],
        evidence: Evidence | None, at: DayClose | None,
    ) -> None:  # fmt: skip
        """Keeps a customer's new state, and publishes what was said."""
        self.columns.put(slot, table, before, after, said)
        if said:
            self.sink.one(slot, table, said, evidence, at)

    # -- one customer

    def look(
        self, table: ClassTable, day: int, slot: int, measured: int, cause: str, evidence: Evidence, at: DayClose | None
    ) -> None:  # fmt: skip
        """Decides a customer as of `day`, the day being lived; `cause` is the event, `at` a close that has begun it."""
        before = self.columns.state(slot, table)
        given = table.program.tier_ids[measured]
        given = given if before.pinned_version is None else self._pinned(table, before, slot, day)
        after, said = transitions.look(table.policy, before, day, given, cause)
        if after != before:
            self.put(slot, table, before, after, said, evidence, at)

    def restate(
        self, table: ClassTable, slot: int, tier: str, corrects: str, evidence: Evidence, at: DayClose, *, last: bool
    ) -> None:  # fmt: skip
        """Gives a customer the tier of a close that is looked at again; `corrects` is the event of its decision.

        last: it is the last close at which the tier could go that way.
        """
        before = self.columns.state(slot, table)
        now = self._at(table, slot, state.Close(at.day, frozenset(), tier))
        after, said = transitions.restate(table.policy, before, now, corrects, evidence.as_of, last=last)
        self.put(slot, table, before, after, said, evidence, at)

    def _pinned(self, table: ClassTable, known: State, slot: int, day: int) -> str:
        """The tier of a customer under the version that he is pinned to; his own where that version is not known."""
        older = self._older(table.pack.id, known.pinned_version or 0, table.policy.customer_class)
        tier = None if older is None else self.measures.older_tier(older, slot, day)
        return known.official if tier is None or tier not in table.program.tier_ids else tier

    def begin_anew(self, slot: int) -> None:
        """A customer comes into another class (docs/tiers.md#another-class)."""
        self.columns.begin_anew(slot, self.table(slot))

    def profile(self, slot: int) -> None:
        """Takes a new profile: a card that it names, and did not name before, is one that the customer holds."""
        self.columns.reserve()
        table, named = self.table(slot), self.keeper.card(slot)
        known = self.columns.remembered(slot)
        if table is None or (known is None and table.policy.status.basis != "card"):
            return
        if known is None and named is None:
            return
        before = self.columns.state(slot, table)
        if known is not None and named == known.profile_card:
            if before.card is not None:
                self.columns.hold(slot, before.card)
            return
        self.columns.remember_card(slot, named)
        issued = max(self.ledger.closed + 1, 0)
        after = State(before.official, before.measured, before.records) if known is None else before
        self.columns.put_due(slot, replace(after, card=None if named is None else Card(named, issued)))

    def act(self, slot: int, what: Act) -> str | None:
        """Takes what an employee or a customer did: "", or the code of why it is refused; None for an event taken before."""
        table = self.table(slot)
        if not self.columns.take_act(slot, what.event_id):
            return None
        self._touched.note(slot, what.event_id)
        if table is None:
            self.refuse(slot, what, "no_scheme")
            return "no_scheme"
        before, known = self.columns.state(slot, table), self.columns.remembered(slot)
        named = None if known is None else known.profile_card
        if self.columns.own(slot) is None and before.card is None and named is not None:
            before = replace(before, card=Card(named, max(self.ledger.closed + 1, 0)))
        if table.policy.evaluation.exempt_months:
            what = replace(what, joined=self.measures.joined(slot))
        after, said = act(table.policy, before, what)
        self.put(slot, table, before, after, said, None, None)
        return next((one.reason for one in said if one.kind == "refused"), "")

    def turn_away(self, slot: int, what: Act, code: str) -> str | None:
        """Refuses an act that nobody looks at; None, and nothing is said, for one that was taken before."""
        if not self.columns.take_act(slot, what.event_id, moves=False):
            return None
        self.refuse(slot, what, code)
        return code

    def refuse(self, slot: int, what: Act, code: str) -> None:
        """Publishes that an act is refused, which changes nothing."""
        table = self.table(slot) or self.rules.first()
        named = {name: what.details[name] for name in CASE_NAMED if name in what.details}
        said = Decision(
            "refused", code, what.day, what.day, caused_by=what.event_id, evidence={"action": what.action} | named
        )
        self.sink.one(slot, table, (said,), None, None)


CASE_NAMED = ("case", "step")  # details by which an act names the case that it is about


def continuous(table: ClassTable) -> bool:
    """Whether a class of customers is decided between closes too."""
    return table.policy.evaluation.close == "continuous"


def _decides(table: ClassTable, closes: frozenset[str]) -> bool:
    return continuous(table) or table.policy.evaluation.close in closes
