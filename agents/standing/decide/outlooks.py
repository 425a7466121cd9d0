"""Outlooks at day closes: computed for every customer, idle ones too, and published where there is something to tell.

Told is what came out anew or otherwise than told last; amounts alone are restated when a month has ended. What was told
last is kept only of customers whose outlook is not steady (the tier stays, and every tier can be reached): few rows.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import fastavro
import numpy as np

from agents.engine.job import Pair, Rows
from agents.engine.packing import Packed, few, texts
from agents.standing.publish.standings import SEQ_BITS, Buffer, StandingWriter
from policies.compiled.classes import CompiledClasses
from schemas.codec.encoder import Writer, encode_columns
from schemas.codec.records import decode_one
from schemas.registry import Registry
from streams.accounts.ledger import Ledger
from streams.accounts.store import NULL, Array, find
from streams.averages import outlook
from streams.averages.metrics import first_days
from streams.averages.spans import span_sums
from streams.calendar import NO_DAY
from streams.vocabulary.terms import CUSTOMER_CLASSES, PERSONAL

KEY, TOPIC = b"o", "outlooks"
KIND = CUSTOMER_CLASSES.index(PERSONAL)
CHUNK_CELLS = 1 << 16  # customers at a time, times the closes that are looked at
Watch = Callable[[outlook.Outlook, Array], object]  # is told the outlooks of a close and whose they are
HELD = "no exchange rate for a day with a holding"
# What was told last, as its changelog row. All zero is the steady outlook: who never had another one has no row.
TOLD = np.dtype([("lost", "<i4"), ("barred", "<u4"), ("shift", "i1"), ("held", "u1")])


class Outlooks:
    """The outlooks of a partition's customers, and what was told of them."""

    def __init__(
        self, registry: Registry, classes: CompiledClasses, timing: outlook.Timing, writer: StandingWriter
    ) -> None:
        self.ledger: Ledger = writer.ledger
        self.standings, self.registry = writer, registry
        self.watch: Watch = lambda _found, _slots: None
        self.apart = np.zeros(0, np.int64)  # branches whose own rules it does not know
        self.use(classes, timing)
        self._told = np.zeros(0, TOLD)
        self._rows: list[Pair | Packed] = []

    def use(self, classes: CompiledClasses, timing: outlook.Timing) -> None:
        """Outlooks by another pack from now on; what was told last stays known."""
        pack, table = classes.personal, classes.tables[KIND]
        self.index = np.zeros(0, np.int64) if table is None else table.index  # tier of a code
        self.pack, self.timing, tiers = pack, timing, len(pack.thresholds_minor)
        self.writer = Writer(TOPIC, self.registry, {"thresholds_minor": tiers, "to_hold_minor": tiers})
        names = io.BytesIO()
        fastavro.schemaless_writer(names, {"type": "array", "items": "string"}, list(pack.tier_ids[1:]))
        self._tiers = np.frombuffer(names.getvalue(), np.uint8)[None, :]  # the same in every record

    # -- closes

    def close(self, day: int, before: int, scope: int, *, restate: bool) -> Iterator[Packed]:
        """What the close of `day` has to tell, `before` being the last closed one; of all customers if `restate`."""
        count = self.ledger.columns.customer_count
        step = max(CHUNK_CELLS // len(outlook.closes_ahead(self.pack.metric, self.timing.downgrades, day)), 1)
        for at in range(0, count, step):
            slots = np.arange(at, min(at + step, count))
            customers, first = self.ledger.store.customers[slots], first_days(self.ledger.store, slots)
            mine = (
                (customers["customer_class"] == KIND) & (first <= day) & ~np.isin(customers["branch"], self.apart)
            )
            found = self.look(day, slots[mine], scope)
            self.watch(found, slots[mine])
            moved = customers["tier_day"][mine, 0] == day + 1
            if self.timing.close == "continuous":
                moved |= customers["tier_day"][mine, 0] > before
            due = self._tell(slots[mine], found) | moved | (first[mine] > before) | restate
            if due.any():
                yield self._packed(found, slots[mine], np.flatnonzero(due))

    def look(self, day: int, slots: Array, scope: int) -> outlook.Outlook:
        """The outlook of customers as of a day: the last closed one, or one that is just being closed."""
        ledger = self.ledger

        def sums(spans: list[tuple[int, int]]) -> tuple[Array, Array, Array]:
            return span_sums(ledger.store, ledger.rates.table(), ledger.clock, scope, day, spans, slots)

        tier = self.index[ledger.store.customers["tier"][slots, 0]]
        return outlook.look(self.pack.metric, self.timing, self.pack.thresholds_minor, day, tier, sums)

    def slot_of(self, customer_id: str) -> int | None:
        """The slot of a customer; None if nobody knows him."""
        raw = np.frombuffer(customer_id.encode(), np.uint8)
        slot = int(find(self.ledger.store.customer_ids, raw, 0, len(raw)))
        return None if slot < 0 else slot

    def record(self, day: int, slot: int, scope: int) -> dict[str, Any]:
        """The record of one customer as it would be published."""
        found = self.look(day, np.array([slot]), scope)
        [(_, value)] = self._packed(found, np.array([slot]), np.array([0])).pairs()
        return decode_one(value, self.registry, name=TOPIC)

    def _tell(self, slots: Array, found: outlook.Outlook) -> Array:
        """bool[n]: whose outlook is another one than was told; it is told now."""
        self._reserve(self.ledger.columns.customer_count)
        now = np.zeros(len(slots), TOLD)
        now["held"] = found.held
        for name, value in (("lost", found.lost_close), ("barred", found.barred), ("shift", found.shift)):
            now[name] = np.where(found.held | (value == NO_DAY if name == "lost" else False), 0, value)
        changed: Array = now != self._told[slots]
        self._told[slots] = now
        if changed.any():
            ids, refs = self.ledger.store.customer_ids, self.ledger.store.customers["ref"][slots[changed]]
            ends = np.arange(1, len(refs) + 1) * TOLD.itemsize
            self._rows += few(Packed(*texts(ids.arena, refs, KEY), now[changed].view(np.uint8), ends))
        return changed

    # -- rows

    def take_rows(self) -> list[Pair | Packed]:
        """Rows changed since the last call; they belong into the transaction of the outlooks."""
        rows, self._rows = self._rows, []
        return rows

    def load(self, rows: Rows) -> None:
        """Rows back."""
        for key, value in rows:
            slot = self.ledger.customer(key[len(KEY) :].decode())
            self._reserve(slot + 1)
            self._told[slot] = np.frombuffer(value or bytes(TOLD.itemsize), TOLD)[0]

    def _reserve(self, slots: int) -> None:
        if slots > len(self._told):
            grown = np.zeros(max(slots, 2 * len(self._told)), TOLD)
            grown[: len(self._told)] = self._told
            self._told = grown

    # -- records

    def _packed(self, found: outlook.Outlook, slots: Array, due: Array) -> Packed:
        """Records of the customers slots[due]; `found` has a row for each of `slots`."""
        mine, index, pack, ids = slots[due], self.writer.index, self.pack, self.ledger.store.customer_ids
        customers = self.ledger.store.customers
        raw = Buffer(ids.arena[: int(ids.meta[1])])
        data = np.full((len(mine), self.writer.width), NULL, np.int64)
        known, tier, projected = ~found.held[due], found.tier[due], found.projected[due]
        lost = np.where(known, found.lost_close[due], NO_DAY)
        columns = {
            "customer_id": customers["ref"][mine],
            "customer_ref": raw.block(self.standings.references.of(mine)),
            "as_of": found.as_of,
            "customer_class": raw.text(PERSONAL),
            "pack_id": raw.text(pack.pack_id),
            "pack_version": pack.version,
            "tier": raw.choice(pack.tier_ids, tier),
            "next_close": found.next_close,
            "projected_tier": np.where(known, raw.choice(pack.tier_ids, projected), NULL),
            "direction": np.where(known, raw.choice(("down", "same", "up"), np.sign(projected - tier) + 1), NULL),
            "metric": raw.text(pack.metric),
            "scope": raw.text(pack.scope_name),
            "projected_minor": np.where(known, found.value[due], NULL),
            "aum_minor": np.where(known, found.aum[due], NULL),
            "tiers": raw.block(self._tiers)[0],
            "lost_close": np.where(lost == NO_DAY, NULL, lost),
            "lost_from": np.where(lost == NO_DAY, NULL, lost + 1),
            "currency": raw.text(self.ledger.base_currency),
            "held_reason": np.where(known, NULL, raw.text(HELD)),
            "source_seq": found.as_of << SEQ_BITS,
        }
        for name, column in columns.items():
            data[:, index[name]] = column
        tiers = len(pack.thresholds_minor)
        data[:, index["thresholds_minor"] : index["thresholds_minor"] + tiers] = pack.thresholds_minor
        to_hold = np.where(known[:, None], found.to_hold[due], outlook.UNREACHABLE)
        data[:, index["to_hold_minor"] : index["to_hold_minor"] + tiers] = to_hold
        return Packed(*texts(ids.arena, customers["ref"][mine]), *encode_columns(self.writer, data, raw.bytes()))
