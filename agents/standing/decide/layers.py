"""The layer scheme that may stand beside the tier scheme (docs/tiers.md#schemes): who is responsible for a customer.

Layers go through the same lifecycle as tiers, over columns of their own. They rest on criteria alone: no card, record or
act moves them, and no closed month is restated. Rows of changed customers go out in the transaction that changes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from agents.engine.job import Pair
from agents.engine.record_batches import Packed, few, texts
from agents.standing.decide import state_rows
from agents.standing.decide.branches import ANY, RulesInForce
from agents.standing.decide.lifecycle.changeover import Changeover
from agents.standing.decide.lifecycle.columns import LifecycleColumns
from agents.standing.decide.lifecycle.decider import LifecycleDecider
from agents.standing.decide.lifecycle.measures import Measures
from agents.standing.decide.state_rows import Remembered
from agents.standing.intake.touched import TouchedCustomers
from agents.standing.model import DayClose, OlderClass, RowKey, Sink, Tally, customer_keys
from agents.standing.publish.standings import ShownLayers
from policies.compiled.classes import CompiledClasses
from streams import tiers
from streams.accounts.ledger import Ledger
from streams.accounts.store import REF_BITS, Array, Names
from streams.averages.metrics import Metrics
from streams.calendar import NO_DAY
from streams.tiers import HISTORY

_HELD = np.dtype([("tier_day", np.int32, (HISTORY,)), ("tier", np.int8, (HISTORY,))])


class Layers:
    """The layers of a partition's customers. Without a layer scheme (`classes` None) there are none."""

    def __init__(
        self, ledger: Ledger, measures: Measures, sink: Sink, classes: CompiledClasses | None, counts: Tally
    ) -> None:
        self.ledger, self.measures, self.sink, self._counts = ledger, measures, sink, counts
        self.tiers = Names()
        self._held = np.zeros(0, _HELD)
        self.rules, self.columns = RulesInForce(None, _no_branch), LifecycleColumns(ledger, self)
        self.lifecycle: LifecycleDecider | None = None
        if classes is not None:
            self.use(classes)

    def use(self, classes: CompiledClasses) -> None:
        """Another pack from now on. Former layers stay readable: their codes come behind the new ones."""
        names, held = self.tiers.all(), self.held()
        self.tiers, self.rules = Names(classes.shown.tier_ids), RulesInForce(classes, _no_branch)
        codes = np.array([self.tiers.code(name) for name in names] or [0], np.int8)
        held["tier"] = np.where(held["tier_day"] == NO_DAY, 0, codes[held["tier"]])
        if self.lifecycle is None:
            none = TouchedCustomers()
            self.lifecycle = LifecycleDecider(
                self.ledger, self.rules, self.measures, self.columns, self, self.sink, _no_older, none, self._counts
            )  # fmt: skip
        else:
            self.lifecycle.use(self.rules)

    # -- as agents.standing.model.Keeper

    def held(self) -> Array:
        """`tier` and `tier_day` of every customer."""
        count = self.ledger.customers.count
        if count > len(self._held):
            more = np.zeros(max(count, 2 * len(self._held)), _HELD)
            more["tier_day"] = NO_DAY
            more[: len(self._held)] = self._held
            self._held = more
        return self._held

    def tier_names(self) -> list[str]:
        """The names behind the codes."""
        return self.tiers.all()

    def changed(self, slots: Array) -> None:
        """Layers of these customers have changed."""
        if self.lifecycle is not None:
            self.columns.mark_changed(slots.tolist())

    def card(self, _slot: int) -> str | None:
        """No layer rests on a card."""
        return None

    def put_card(self, slot: int, card: str | None) -> None:
        """Never called: no layer rests on a card."""
        raise NotImplementedError(f"a card ({card}) of customer {slot} in a layer scheme")

    def begin_anew(self, slot: int) -> None:
        """A customer comes into another class."""
        if self.lifecycle is not None:
            self.lifecycle.begin_anew(slot)

    # -- closes

    def everyone(self, closes: frozenset[str]) -> bool:
        """Whether these closes decide for all customers of some class."""
        return self.lifecycle is not None and self.lifecycle.everyone(closes)

    def waiting(self, day: int, before: int) -> Array:
        """Slots that a close has to look at though nothing has come."""
        return np.zeros(0, np.int64) if self.lifecycle is None else self.lifecycle.waiting(day, before)

    def switch(self, classes: CompiledClasses) -> Changeover:
        """A pack takes effect with this close, in place of another or of none."""
        before = self.rules
        self.use(classes)
        assert self.lifecycle is not None
        return Changeover(self.lifecycle, before)

    def close(self, at: DayClose, closes: frozenset[str], scope: frozenset[str], slots: Array, found: Metrics) -> None:
        """Decides customers at a close; `found` are their metrics over a scope of asset classes."""
        if self.lifecycle is not None:
            self.lifecycle.close(at, closes, scope, slots, found)

    def shown(self, slots: Array) -> ShownLayers | None:
        """What standings show of customers; None where no layer scheme runs."""
        if self.rules.classes is None:
            return None
        held, kinds, classes = self.held(), self.ledger.customers.classes(slots), self.rules.classes
        codes = np.full(len(slots), -1, np.int64)
        for kind, table in enumerate(classes.tables):
            mine = kinds == kind
            if table is not None:
                codes[mine] = table.codes[table.index[held["tier"][slots[mine], 0]]]
        since = held["tier_day"][slots, 0].astype(np.int64)
        shown = classes.shown
        return ShownLayers(shown.tier_ids, codes, since, shown.pack_id, shown.version)

    def named(self, slots: Array, day: int) -> list[str | None] | None:
        """The layers in force on a day; None where no layer scheme runs, in its place for a class without layers."""
        if self.rules.classes is None:
            return None
        codes, _ = tiers.in_force(self.held(), slots, day)
        kinds, found = self.ledger.customers.classes(slots), list[str | None]()
        for code, kind in zip(codes.tolist(), kinds.tolist(), strict=True):
            table = self.rules.classes.tables[kind]
            of_before = table is None or code >= len(table.index)
            known = self.tiers.text(code) if of_before or table is None else table.program.tier_ids[table.index[code]]
            found.append(None if table is None else known)
        return found

    # -- rows

    def take_rows(self) -> list[Pair | Packed]:
        """Rows changed since the last call, in order of their slots; most customers share theirs with many others."""
        if self.lifecycle is None or not len(slots := self.columns.take_changed()):
            return []
        columns = self.columns
        columns.written(slots)
        held, own = self.held()[slots], np.where(columns.own_state(slots), slots, -1)
        kinds = self.ledger.customers.classes(slots)
        parts = [held["tier_day"], held["tier"], kinds, columns.measured(slots), columns.below(slots), own]
        distinct, which = np.unique(np.column_stack(parts).astype(np.int64), axis=0, return_inverse=True)
        rows = [self._row(*row) for row in distinct.tolist()]
        sizes = np.fromiter(map(len, rows), np.int64, len(rows))
        refs = ((np.cumsum(sizes) - sizes) << REF_BITS | sizes)[which.reshape(-1)]
        values = texts(np.frombuffer(b"".join(rows), np.uint8), refs)
        return few(Packed(*customer_keys(self.ledger, slots, RowKey.LAYER), *values))

    def _row(self, *columns: int) -> bytes:
        """[[layer, in force from], …], the layer that the criteria give (null: the same), closes below it, a State."""
        days, codes, (kind, measured, below, own) = columns[:HISTORY], columns[HISTORY:-4], columns[-4:]
        assert self.lifecycle is not None
        assert self.rules.classes is not None
        table = self.rules.classes.tables[kind]
        known = None if measured < 0 or table is None else table.program.tier_ids[measured]
        state = None if own < 0 else self.columns.own(own)
        text = None if state is None else state_rows.encode_state(state, Remembered()).decode()
        held = [[self.tiers.text(code), day] for code, day in zip(codes, days, strict=True) if day != NO_DAY]
        return json.dumps([held, known, below, text], ensure_ascii=False, separators=(",", ":")).encode()

    def load(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Rows back, one a customer, after the profiles' and once the pack is known."""
        if self.lifecycle is None:
            return
        columns, held = self.columns, self.held()
        read: dict[bytes, Any] = {}
        for key, value in rows:
            slot, raw = self.ledger.customer(key[len(RowKey.LAYER) :].decode()), value or b""
            if slot >= len(held):
                held = self.held()
            if raw not in read:
                read[raw] = json.loads(raw)
            layers, measured, below, state = read[raw]
            held["tier_day"][slot], held["tier"][slot] = NO_DAY, 0
            for k, (name, day) in enumerate(layers):
                held["tier"][slot, k], held["tier_day"][slot, k] = self.tiers.code(name), day
            columns.written(slot)
            table = self.lifecycle.table(slot)
            if table is not None:
                ids = table.program.tier_ids
                columns.restore(slot, ids.index(measured) if measured in ids else -1, below)
            if table is not None and state is not None:
                columns.restore_state(slot, table, state_rows.decode_state(state.encode())[0])


def _no_branch(_branch: str) -> int:
    """Layers have no rules of a branch."""
    return ANY


def _no_older(_pack: str, _version: int, _customer_class: str) -> OlderClass | None:
    """Nobody is pinned to a layer scheme."""
    return None
