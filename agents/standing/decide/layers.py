"""The layer scheme that may stand beside the tier scheme (docs/tiers.md#schemes): who is responsible for a customer.

Layers go through the same lifecycle as tiers, over columns of their own. They rest on criteria alone: no card, record or
act moves them, and no closed month is restated. Rows of changed customers go out in the transaction that changes them.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import fastavro
import numpy as np

from agents.engine.job import Pair, Rows
from agents.engine.packing import Packed, few, texts
from agents.standing.decide import state_rows
from agents.standing.decide.changeover import Changeover
from agents.standing.decide.lifecycle import Evidence, Lifecycle, Step
from agents.standing.decide.state_rows import Beside
from agents.standing.intake.facts import Facts
from agents.standing.intake.lanes import Close
from agents.standing.publish.decisions import Decisions
from agents.standing.publish.publisher import Publisher
from agents.standing.publish.standings import Buffer, Shown
from agents.standing.publish.tier_changes import Switched, appended
from policies.compiled.classes import ClassTable, CompiledClasses
from policies.compiled.program import NANO, Column, Key
from policies.lifecycle.state import Decision
from schemas.codec.encoder import Writer, encode_columns
from streams import tiers
from streams.accounts.ledger import Ledger
from streams.accounts.store import NULL, REF_BITS, Array, Names
from streams.averages.metrics import Metrics
from streams.calendar import NO_DAY, date_of
from streams.tiers import HISTORY

KEY = b"y"  # first byte of a changelog key
KIND = "layer"  # of its decisions
HELD = np.dtype([("tier_day", np.int32, (HISTORY,)), ("tier", np.int8, (HISTORY,))])
MAP = fastavro.parse_schema({"type": "map", "values": "string"})


class Layers:
    """The layers of a partition's customers. Until a pack is in force there are none, and nothing happens."""

    def __init__(self, ledger: Ledger, facts: Facts, publisher: Publisher, decisions: Decisions) -> None:
        self.ledger, self.facts = ledger, facts
        self.sink = LayerDecisions(publisher, decisions)
        self.tiers, self.cards = Names(), Names()
        self.classes: CompiledClasses | None = None
        self.life: Lifecycle | None = None
        self._held = np.zeros(0, HELD)

    def use(self, classes: CompiledClasses) -> None:
        """Another pack from now on. Layers of before stay readable: their codes come behind the new ones."""
        names, held = self.tiers.all(), self.held()
        self.classes, self.tiers = classes, Names(classes.shown.tier_ids)
        codes = np.array([self.tiers.code(name) for name in names] or [0], np.int8)
        held["tier"] = np.where(held["tier_day"] == NO_DAY, 0, codes[held["tier"]])
        if self.life is None:
            self.life = Lifecycle(self.ledger, classes, self.facts, self, self.sink)
        else:
            self.life.use(classes)

    # -- as agents.standing.decide.lifecycle.Keeper

    def held(self) -> Array:
        """`tier` and `tier_day` of every customer."""
        count = self.ledger.columns.customer_count
        if count > len(self._held):
            more = np.zeros(max(count, 2 * len(self._held)), HELD)
            more["tier_day"] = NO_DAY
            more[: len(self._held)] = self._held
            self._held = more
        return self._held

    def changed(self, slots: Array) -> None:
        """Layers of these customers are other ones now."""
        if self.life is not None:
            self.life.changed.update(slots.tolist())

    def card(self, _slot: int) -> str | None:
        """No layer rests on a card."""
        return None

    # -- closes

    def everyone(self, closes: frozenset[str]) -> bool:
        """Whether these closes decide for all customers of some class."""
        return self.life is not None and self.life.everyone(closes)

    def waiting(self, day: int, before: int) -> Array:
        """Slots that a close has to look at though nothing has come."""
        return np.zeros(0, np.int64) if self.life is None else self.life.waiting(day, before)

    def switch(self, classes: CompiledClasses) -> Changeover:
        """A pack takes effect with this close, in place of another or of none."""
        before = self.classes
        self.use(classes)
        assert self.life is not None
        return Changeover(self.life, self.sink, before)

    def close(self, at: Close, closes: frozenset[str], scope: frozenset[str], slots: Array, found: Metrics) -> None:
        """Decides customers at a close; `found` are their metrics over a scope of asset classes."""
        if self.life is not None:
            self.life.close(at, closes, scope, slots, found)

    def take_counts(self) -> Counter[str]:
        """What has been counted since the last call."""
        return Counter() if self.life is None else self.life.take_counts()

    def shown(self, slots: Array) -> Shown | None:
        """What standings tell of customers; None where no layer scheme runs."""
        if self.classes is None:
            return None
        held, kinds = self.held(), self.ledger.store.customers["customer_class"][slots]
        codes = np.full(len(slots), -1, np.int64)
        for kind, table in enumerate(self.classes.tables):
            mine = kinds == kind
            if table is not None:
                codes[mine] = table.codes[table.index[held["tier"][slots[mine], 0]]]
        since = held["tier_day"][slots, 0].astype(np.int64)
        shown = self.classes.shown
        return Shown(shown.tier_ids, codes, since, shown.pack_id, shown.version)

    def named(self, slots: Array, day: int) -> list[str | None] | None:
        """The layers in force on a day; None where no layer scheme runs, in its place for a class without layers."""
        if self.classes is None:
            return None
        codes, _ = tiers.in_force(self.held(), slots, day)
        kinds, found = self.ledger.store.customers["customer_class"][slots], list[str | None]()
        for code, kind in zip(codes.tolist(), kinds.tolist(), strict=True):
            table = self.classes.tables[kind]
            of_before = table is None or code >= len(table.index)
            known = self.tiers.text(code) if of_before or table is None else table.program.tier_ids[table.index[code]]
            found.append(None if table is None else known)
        return found

    # -- rows

    def take_rows(self) -> list[Pair | Packed]:
        """Rows changed since the last call, in order of their slots; most customers share theirs with many others."""
        life = self.life
        if life is None or not life.changed:
            return []
        slots = np.sort(np.fromiter(life.changed, np.int64, len(life.changed)))
        life.changed.clear()
        life.reserve()
        life.written[slots] = True
        held, own = self.held()[slots], np.where(life.special[slots], slots, -1)
        kinds = self.ledger.store.customers["customer_class"][slots]
        columns = [held["tier_day"], held["tier"], kinds, life.measured[slots], life.below[slots], own]
        told, which = np.unique(np.column_stack(columns).astype(np.int64), axis=0, return_inverse=True)
        rows = [self._row(*row) for row in told.tolist()]
        sizes = np.fromiter(map(len, rows), np.int64, len(rows))
        refs = ((np.cumsum(sizes) - sizes) << REF_BITS | sizes)[which.reshape(-1)]
        ids, store = self.ledger.store.customer_ids, self.ledger.store
        keys = texts(ids.arena, store.customers["ref"][slots], KEY)
        return few(Packed(*keys, *texts(np.frombuffer(b"".join(rows), np.uint8), refs)))

    def _row(self, *columns: int) -> bytes:
        """[[layer, in force from], …], the layer that the criteria give (null: the same), closes below it, a state."""
        days, codes, (kind, measured, below, own) = columns[:HISTORY], columns[HISTORY:-4], columns[-4:]
        assert self.life is not None
        table = self.life.classes.tables[kind]
        known = None if measured < 0 or table is None else table.program.tier_ids[measured]
        state = None if own < 0 else state_rows.encode(self.life.states[own], Beside()).decode()
        held = [[self.tiers.text(code), day] for code, day in zip(codes, days, strict=True) if day != NO_DAY]
        return json.dumps([held, known, below, state], ensure_ascii=False, separators=(",", ":")).encode()

    def load(self, rows: Rows) -> None:
        """Rows back, after the profiles' and once the pack is known; later ones count."""
        if self.life is None:
            return
        life, held = self.life, self.held()
        read: dict[bytes, Any] = {}
        for key, value in rows:
            slot, raw = self.ledger.customer(key[len(KEY) :].decode()), value or b""
            if slot >= len(held):
                held = self.held()
            if raw not in read:
                read[raw] = json.loads(raw)
            layers, measured, below, state = read[raw]
            held["tier_day"][slot], held["tier"][slot] = NO_DAY, 0
            for k, (name, day) in enumerate(layers):
                held["tier"][slot, k], held["tier_day"][slot, k] = self.tiers.code(name), day
            life.reserve()
            life.written[slot], table = True, life.table(slot)
            if table is not None:
                ids = table.program.tier_ids
                life.measured[slot] = ids.index(measured) if measured in ids else -1
                life.below[slot] = below
            if table is not None and state is not None:
                life.states[slot], _ = state_rows.decode(state.encode())
                life.keep(slot, table, life.state(slot, table))


class LayerDecisions:
    """See lifecycle.Sink: a change of a layer is a record of `decisions` of kind `layer`, with its evidence."""

    def __init__(self, publisher: Publisher, decisions: Decisions) -> None:
        self.publisher, self.decisions = publisher, decisions
        self.writer = Writer("decisions", publisher.registry)

    def one(
        self, slot: int, table: ClassTable, said: Sequence[Decision], evidence: Evidence | None, at: Close | None
    ) -> None:
        """Decisions about one customer."""
        values = {} if evidence is None else told(evidence.columns, evidence.row)
        for decision in said:
            kind = KIND if decision.kind == "tier" else decision.kind
            mine = replace(decision, kind=kind, evidence={**decision.evidence, **values})
            self.decisions.one(slot, table, (mine,), evidence, at)

    def switched(self, table: ClassTable, slots: Array, moved: Array, given: Array, step: Step, old: Switched) -> None:
        """Layers that a change of packs has moved."""
        self._many(table, slots, moved, given, step, tuple(old.names), "policy")

    def many(self, table: ClassTable, slots: Array, moved: Array, given: Array, step: Step) -> None:
        """Layers that a close has moved."""
        self._many(table, slots, moved, given, step, table.program.tier_ids, "close")

    def _many(
        self, table: ClassTable, slots: Array, moved: Array, given: Array, step: Step, names: tuple[str, ...],
        reason: str,
    ) -> None:  # fmt: skip
        """Records of slots[moved], from names[step.official] to the tier index `given`."""
        if not len(moved):
            return
        store, program, effective = self.publisher.ledger.store, table.program, step.at.day + 1
        ids = store.customer_ids.arena[: int(store.customer_ids.meta[1])]
        raw, refs, index = Buffer(ids), store.customers["ref"][slots[moved]], self.writer.index
        day = step.at.day if reason == "close" else effective
        suffix = f"/{KIND}/{program.pack_id}/{date_of(day)}/{reason}"
        columns = {
            "event_id": raw.spans(*appended(ids, refs, suffix.encode())), "customer_id": refs,
            "customer_class": raw.text(table.policy.customer_class), "kind": raw.text(KIND), "reason": raw.text(reason),
            "day": day, "effective_date": effective, "before": raw.choice(names, step.official[moved]),
            "after": raw.choice(program.tier_ids, given[moved]),
            "evidence": raw.spans(*self._evidence(program.tier_ids, step, moved)), "pack_id": raw.text(program.pack_id),
            "pack_version": program.version, "business_day": step.at.day,
        }  # fmt: skip
        data = np.full((len(moved), self.writer.width), NULL, np.int64)
        for name, column in columns.items():
            data[:, index[name]] = column
        packed = Packed(*texts(ids, refs), *encode_columns(self.writer, data, raw.bytes()))
        self.publisher.packed("decisions", packed)
        self.decisions.counts["decisions"] += len(moved)

    def _evidence(self, ids: tuple[str, ...], step: Step, moved: Array) -> tuple[Array, Array]:
        """(buffer, ends) of maps in Avro."""
        out, ends = io.BytesIO(), []
        closes = " ".join(sorted(step.closes, key=("day", "month", "quarter", "year").index))
        for i in moved.tolist():
            known = {"measured": ids[int(step.measured[i])], **({"closes": closes} if closes else {})}
            fastavro.schemaless_writer(out, MAP, known | told(step.columns, i))
            ends.append(out.tell())
        return np.frombuffer(out.getvalue(), np.uint8), np.array(ends, np.int64)


def told(columns: dict[Key, Column], row: int) -> dict[str, str]:
    """The values that were looked at, exact: minor units, counts, or flags as 0 and 1; as a fraction where not whole."""
    found = {}
    for (metric, scope), column in columns.items():
        units, nano = int(column.units[row]), 0 if column.nano is None else int(column.nano[row])
        whole = nano == 0 and column.divisor == 1
        name = metric if scope is None else f"{metric}({scope})"
        found[name] = str(units) if whole else f"{units * NANO + nano}/{column.divisor * NANO}"
    return found
