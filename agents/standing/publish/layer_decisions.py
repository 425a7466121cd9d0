"""Changes of layers as records of `decisions`, of kind `layer`, each with its evidence."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

import fastavro
import numpy as np

from agents.engine.record_batches import Packed, texts
from agents.standing.model import CloseStep, DayClose, Evidence, Switched
from agents.standing.publish.decisions import Decisions, looked_at
from agents.standing.publish.publisher import OutputPublisher
from agents.standing.publish.standings import Buffer, filled
from agents.standing.publish.tier_changes import appended
from policies.compiled.classes import ClassTable
from policies.lifecycle.state import Decision
from policies.lifecycle.transitions import closes_text
from schemas.codec.encoder import Writer, encode_columns
from streams.accounts.store import Array
from streams.calendar import date_of

_KIND = "layer"
_MAP = fastavro.parse_schema({"type": "map", "values": "string"})


class LayerDecisions:
    """See agents.standing.model.Sink."""

    def __init__(self, publisher: OutputPublisher, decisions: Decisions) -> None:
        self.publisher, self.decisions = publisher, decisions
        self.writer = Writer("decisions", publisher.registry)

    def one(
        self, slot: int, table: ClassTable, said: Sequence[Decision], evidence: Evidence | None, at: DayClose | None
    ) -> None:
        """Decisions about one customer."""
        values = {} if evidence is None else looked_at(evidence)
        for decision in said:
            kind = _KIND if decision.kind == "tier" else decision.kind
            mine = replace(decision, kind=kind, evidence={**decision.evidence, **values})
            self.decisions.one(slot, table, (mine,), evidence, at)

    def switched(
        self, table: ClassTable, slots: Array, moved: Array, given: Array, step: CloseStep, old: Switched
    ) -> None:
        """Layers that a change of packs has moved."""
        self._many(table, slots, moved, given, step, tuple(old.names), "policy")

    def many(self, table: ClassTable, slots: Array, moved: Array, given: Array, step: CloseStep) -> None:
        """Layers that a close has moved."""
        self._many(table, slots, moved, given, step, table.program.tier_ids, "close")

    def _many(
        self, table: ClassTable, slots: Array, moved: Array, given: Array, step: CloseStep, names: tuple[str, ...],
        reason: str,
    ) -> None:  # fmt: skip
        """Records of slots[moved], from names[step.official] to the tier index `given`."""
        if not len(moved):
            return
        customers, program, effective = self.publisher.ledger.customers, table.program, step.at.day + 1
        ids, refs = customers.ids(), customers.refs(slots[moved])
        raw = Buffer(ids)
        day = step.at.day if reason == "close" else effective
        again = self.publisher.close_name(step.at.day).removeprefix(str(date_of(step.at.day)))
        suffix = f"/{_KIND}/{program.pack_id}/{date_of(day)}{again}/{reason}"
        columns: dict[str, Array | int] = {
            "event_id": raw.spans(*appended(ids, refs, suffix.encode())), "customer_id": refs,
            "customer_class": raw.text(table.policy.customer_class), "kind": raw.text(_KIND), "reason": raw.text(reason),
            "day": day, "effective_date": effective, "before": raw.choice(names, step.official[moved]),
            "after": raw.choice(program.tier_ids, given[moved]),
            "evidence": raw.spans(*self._evidence(table, step, moved)), "pack_id": raw.text(program.pack_id),
            "pack_version": program.version, "business_day": step.at.day,
        }  # fmt: skip
        data = filled(self.writer, len(moved), columns)
        packed = Packed(*texts(ids, refs), *encode_columns(self.writer, data, raw.bytes()))
        self.publisher.packed("decisions", packed)
        self.decisions.count(len(moved))

    def _evidence(self, table: ClassTable, step: CloseStep, moved: Array) -> tuple[Array, Array]:
        """(buffer, ends) of maps in Avro."""
        out, ends, ids = io.BytesIO(), [], table.program.tier_ids
        closes = closes_text(table.policy, step.closes)
        for i in moved.tolist():
            known = {"measured": ids[int(step.measured[i])], **({"closes": closes} if closes else {})}
            fastavro.schemaless_writer(out, _MAP, known | looked_at(Evidence(step.columns, i)))
            ends.append(out.tell())
        return np.frombuffer(out.getvalue(), np.uint8), np.array(ends, np.int64)
