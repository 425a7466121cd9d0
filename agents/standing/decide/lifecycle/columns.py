"""The state of all customers under a scheme: columns by slot, and an object for each customer with a State of his own.

Most customers have none: official tier, measured tier and months below it say everything. Rows of changed customers
go out in the transaction that changes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

import numpy as np

from agents.engine.job import Pair
from agents.engine.record_batches import Packed, few
from agents.standing.decide import state_rows
from agents.standing.decide.branches import RulesInForce
from agents.standing.decide.state_rows import NEVER_DUE, Remembered, StateColumns, columns_of_state
from agents.standing.intake.facts import grown
from agents.standing.model import Keeper, RowKey, customer_keys
from policies.compiled.classes import ClassTable
from policies.lifecycle.state import FLAGS, HELD, LOST, Card, Decision, State
from streams import tiers
from streams.accounts.ledger import Ledger
from streams.accounts.store import Array

SEEN_MAX = 64  # acts remembered a customer: the same event again changes nothing


class LifecycleColumns:
    """Official tiers are the keeper's, everything else is kept here. Arrays have room for every customer after `reserve`."""

    def __init__(self, ledger: Ledger, keeper: Keeper) -> None:
        self._ledger, self._customers, self._keeper = ledger, ledger.customers, keeper
        self._states: dict[int, State] = {}
        self._remembered: dict[int, Remembered] = {}
        self._measured, self._below = np.zeros(0, np.int8), np.zeros(0, np.int16)  # -1: as the tier in force
        self._due = np.zeros(0, np.int32)  # the next day that ends something in a State
        self._own_state = np.zeros(0, np.bool_)
        self._awaits_close = np.zeros(0, np.bool_)  # a close may move the State though the standard gives the same tier
        self._marks = np.zeros(0, state_rows.STATE_MARK)  # of States
        self._written = np.zeros(0, np.bool_)  # has a row
        self._changed: set[int] = set()

    def reserve(self) -> None:
        """Room for every customer."""
        slots = self._customers.count
        self._measured, self._below = grown(self._measured, slots, -1), grown(self._below, slots, 0)
        self._due, self._own_state = grown(self._due, slots, NEVER_DUE), grown(self._own_state, slots, 0)
        self._awaits_close, self._written = grown(self._awaits_close, slots, 0), grown(self._written, slots, 0)
        self._marks = grown(self._marks, slots, 0)

    # -- many customers

    def tiers(self, table: ClassTable, slots: Array) -> tuple[Array, Array]:
        """(official, measured) as indices of the table: the tier in force, and the one that the standard gave last."""
        official = table.index[self._keeper.held()["tier"][slots, 0]]
        known = np.where(self._measured[slots] < 0, official, self._measured[slots]).astype(np.int64)
        return official, np.minimum(known, len(table.codes) - 1)  # after a change of the class

    def measured(self, slots: Array) -> Array:
        """int8[n]: measured tiers as indices, -1 where they are those in force."""
        column: Array = self._measured[slots]
        return column

    def below(self, slots: Array) -> Array:
        """int16[n]: closes in a row that gave less than the tier in force."""
        column: Array = self._below[slots]
        return column

    def own_state(self, slots: Array) -> Array:
        """bool[n]: which customers have a State of their own."""
        column: Array = self._own_state[slots]
        return column

    def pending(self, slots: Array) -> Array:
        """bool[n]: of whom there is more to say than the tier in force."""
        found: Array = self._own_state[slots] | (self._measured[slots] >= 0) | (self._below[slots] != 0)
        return found

    def awaits_close(self, slots: Array) -> Array:
        """bool[n]: whose State a close may move although the standard gives the same tier."""
        column: Array = self._awaits_close[slots]
        return column

    def due(self, slots: Array, day: int) -> Array:
        """bool[n]: in whose State something ends by a day."""
        column: Array = self._due[slots] <= day
        return column

    def deferred(self, slots: Array) -> Array:
        """bool[n]: which customers' changes wait for a source."""
        late = np.zeros(len(slots), np.bool_)
        for i in np.flatnonzero(self._own_state[slots]).tolist():
            late[i] = self._states[int(slots[i])].deferred is not None
        return late

    def billed(self, slots: Array) -> Array:
        """bool[n]: who has services that are due or free."""
        found = np.zeros(len(slots), np.bool_)
        for i in np.flatnonzero(self._own_state[slots]).tolist():
            found[i] = bool(self._states[int(slots[i])].services)
        return found

    def vetoed(self, slots: Array) -> Array:
        """bool[n]: whose tier a veto that acts at once has taken."""
        found = np.zeros(len(slots), np.bool_)
        for i in np.flatnonzero(self._own_state[slots]).tolist():
            found[i] = self._states[int(slots[i])].vetoed
        return found

    def waiting(self, day: int, before: int) -> Array:
        """Slots that a close has to look at though nothing has come: something of theirs ends, or people have acted."""
        self.reserve()
        acted = [slot for slot, known in self._remembered.items() if known.touched == before]
        ended = np.flatnonzero(self._due[: self._customers.count] <= day)
        slots: Array = np.union1d(ended, acted).astype(np.int64)
        return slots

    def flags(self, slots: Array, day: int) -> Array:
        """int64[n]: flags of customers with a State, kept when it last changed; what is due goes by the day."""
        marks = self._marks[slots]
        out: Array = marks["flags"].astype(np.int64)
        for name in ("renewal", "review"):
            out |= (marks[name] <= day).astype(np.int64) << FLAGS.index(f"{name}-due")
        return out

    def reminded(self, name: str, day: int) -> Array:
        """Slots, ascending, of customers with a State whose `renewal` or `review` is to be told of as of a day."""
        self.reserve()
        count = self._customers.count
        found: Array = np.flatnonzero(self._own_state[:count] & (self._marks[name][:count] <= day))
        return found

    def put_measured(self, slots: Array, plain: Array, official: Array, measured: Array, below: Array) -> None:
        """What the standard gives the customers `plain` (bool[n]), who have no State."""
        trivial = (official == measured) & (below == 0)
        kept = np.where(trivial, -1, measured)
        changed = plain & ((kept != self._measured[slots]) | (below != self._below[slots]))
        self._measured[slots[plain]], self._below[slots[plain]] = kept[plain], below[plain]
        self._changed.update(slots[changed].tolist())

    def begin(self, slots: Array, official: Array, measured: Array) -> None:
        """Customers without a State begin under another pack."""
        last = np.where(official == measured, -1, measured)
        self._changed.update(slots[(last != self._measured[slots]) | (self._below[slots] != 0)].tolist())
        self._measured[slots], self._below[slots], self._due[slots] = last, 0, NEVER_DUE
        self._awaits_close[slots] = False

    # -- one customer

    def state(self, slot: int, table: ClassTable) -> State:
        """The state of a customer under his class."""
        self.reserve()
        policy, known = table.policy, self._states.get(slot)
        if known is None:
            official = int(table.index[self._keeper.held()["tier"][slot, 0]])
            measured = official if self._measured[slot] < 0 else int(self._measured[slot])
            below = int(self._below[slot])
            return state_rows.plain_state(policy, official, min(measured, len(policy.tiers) - 1), below)
        names = {tier.id for tier in policy.tiers}
        if {known.official, known.measured} <= names:
            return known
        lowest = policy.tiers[0].id  # of another class or pack
        return State(lowest, lowest, known.records, known.card)

    def own(self, slot: int) -> State | None:
        """The State of his own, as it was put last; None for a customer without one."""
        return self._states.get(slot)

    def put(self, slot: int, table: ClassTable, before: State, after: State, said: Sequence[Decision]) -> None:
        """Keeps a customer's new state, and puts his tier in force."""
        policy, held = table.policy, self._keeper.held()
        moves = [decision for decision in said if decision.kind == "tier"]
        for decision, following in zip_longest(moves, moves[1:]):
            code = int(table.codes[policy.rank(decision.after or "")])
            replaced = following is not None and following.effective <= decision.effective  # before it came into force
            if not replaced and code != held["tier"][slot, 0]:
                tiers.put_in_force(held, np.array([slot]), np.array([code]), decision.effective)
        if after == before and self._due[slot] > 0:
            return
        if after.card != before.card:
            self.hold(slot, after.card)
        self.place(slot, after, columns_of_state(policy, after))
        self._changed.add(slot)
        self._keeper.changed(np.array([slot]))

    def place(self, slot: int, state: State, found: StateColumns) -> None:
        """A state into the columns, and as a State of his own if they don't say everything."""
        if found.own:
            self._states[slot] = state
        else:
            self._states.pop(slot, None)
        self._measured[slot], self._below[slot], self._own_state[slot] = found.measured, state.below, found.own
        self._awaits_close[slot], self._due[slot], self._marks[slot] = found.awaits_close, found.due, found.mark

    def begin_anew(self, slot: int, table: ClassTable | None) -> None:
        """Another class: records and card stay, and what waited under the rules of the one before ends."""
        self.reserve()
        if self.pending(np.array([slot]))[0]:
            self._rest(slot, table)
            self._changed.add(slot)

    def _rest(self, slot: int, table: ClassTable | None) -> None:
        known = self._states.get(slot)
        records, card = (frozenset[str](), None) if known is None else (known.records, known.card)
        if table is None:
            tier, own = self._tier_name(slot), bool(records) or card is not None
            found = StateColumns(own, -1, False, NEVER_DUE, (0, NEVER_DUE, NEVER_DUE))
        else:
            tier = table.program.tier_ids[int(table.index[self._keeper.held()["tier"][slot, 0]])]
            found = columns_of_state(table.policy, State(tier, tier, records, card))
        self.place(slot, State(tier, tier, records, card), found)

    def put_due(self, slot: int, state: State) -> None:
        """A State that the next close has to look at."""
        self._states[slot], self._own_state[slot], self._due[slot] = state, True, 0
        self._changed.add(slot)

    def hold(self, slot: int, card: Card | None) -> None:
        """The card by which the customer queues."""
        self._recall(slot)
        holds = card is not None and card.state in (HELD, LOST)
        self._keeper.put_card(slot, card.card if card is not None and holds else None)

    def remembered(self, slot: int) -> Remembered | None:
        """What is known of a customer beside his state; None where nothing was ever noted."""
        return self._remembered.get(slot)

    def remember_card(self, slot: int, named: str | None) -> None:
        """The card that the profile names now."""
        self._remembered.setdefault(slot, Remembered()).profile_card = named

    def take_act(self, slot: int, event_id: str, *, moves: bool = True) -> bool:
        """Notes an act on a customer, after which a close has to look at him if it `moves` him; False for one taken before."""
        known = self._recall(slot)
        if event_id in known.seen:
            return False
        known.seen = (*known.seen, event_id)[-SEEN_MAX:]
        if moves:
            known.touched = self._ledger.closed
        self._changed.add(slot)
        return True

    def _recall(self, slot: int) -> Remembered:
        if slot not in self._remembered:
            self._remembered[slot] = Remembered(self._keeper.card(slot))
        return self._remembered[slot]

    # -- rows

    def mark_changed(self, slots: Iterable[int]) -> None:
        """The rows of these customers go out with the next ones."""
        self._changed.update(slots)

    def mark_written(self) -> None:
        """Every row that there is goes out with the next ones: rows name tiers of the pack."""
        self.reserve()
        self._changed.update(np.flatnonzero(self._written).tolist())

    def take_changed(self) -> Array:
        """int64: slots changed since the last call, ascending."""
        slots = np.sort(np.fromiter(self._changed, np.int64, len(self._changed)))
        self._changed.clear()
        self.reserve()
        return slots

    def take_rows(self, rules: RulesInForce) -> list[Pair | Packed]:
        """Rows changed since the last call; of customers without a State many are the same."""
        if not len(slots := self.take_changed()):  # as after most postings
            return []
        self.written(slots)
        alone = self._own_state[slots] | np.isin(slots, np.fromiter(self._remembered, np.int64, len(self._remembered)))
        out: list[Pair | Packed] = [
            (RowKey.LIFECYCLE + self._customers.id(slot).encode(), self._row(slot, rules))
            for slot in slots[alone].tolist()
        ]
        if not len(slots := slots[~alone]):
            return out
        classes, codes = self._customers.classes(slots), self._customers.tiers(slots)
        parts = classes, codes, self._measured[slots], self._below[slots]
        values = state_rows.shared(parts, lambda i: self._row(int(slots[i]), rules))
        return out + few(Packed(*customer_keys(self._ledger, slots, RowKey.LIFECYCLE), *values))

    def _row(self, slot: int, rules: RulesInForce) -> bytes:
        table = rules.of(*self._customers.class_and_branch(slot))
        if table is not None:
            state = self.state(slot, table)
        elif (found := self._states.get(slot)) is not None:
            state = found
        else:
            tier = self._tier_name(slot)
            state = State(tier, tier)
        return state_rows.encode_state(state, self._remembered.get(slot, Remembered()))

    def _tier_name(self, slot: int) -> str:
        return self._keeper.tier_names()[int(self._keeper.held()["tier"][slot, 0])]

    def load(self, rows: Iterable[tuple[bytes, bytes | None]], rules: RulesInForce) -> None:
        """Rows back, one a customer, after the profiles'."""
        for key, value in rows:
            slot = self._ledger.customer(key[1:].decode())
            state, remembered = state_rows.decode_state(value or b"")
            table = rules.of(*self._customers.class_and_branch(slot))
            self.written(slot)
            if remembered != Remembered():
                self._remembered[slot] = remembered
            if table is not None:
                self.restore_state(slot, table, state)
            else:
                self._states[slot] = state
                self._rest(slot, None)

    def written(self, slots: Array | int) -> None:
        """These customers have rows."""
        self.reserve()
        self._written[slots] = True

    def restore(self, slot: int, measured: int, below: int) -> None:
        """The columns of a customer, from a row."""
        self._measured[slot], self._below[slot] = measured, below

    def restore_state(self, slot: int, table: ClassTable, state: State) -> None:
        """The State of a customer, from a row."""
        self._states[slot] = state
        known = self.state(slot, table)
        self.place(slot, known, columns_of_state(table.policy, known))
