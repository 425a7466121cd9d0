"""Outlooks at day closes: computed for every customer, idle ones too, and published where there is news.

Published when new or changed since last published; changes of amounts alone wait for the end of a month. What was
published last is kept only of customers whose outlook is not steady (the tier stays, and every tier can be reached): few rows.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import fastavro
import numpy as np

from agents.engine.job import Pair, Rows
from agents.engine.record_batches import Packed, few
from agents.standing.intake.known import KnownCustomers
from agents.standing.model import RowKey, customer_keys
from agents.standing.publish.held import BARRED, HELD_CHUNK, HELD_FIELD, HeldField, HeldReason, no_rate, null_where
from agents.standing.publish.standings import Buffer, StandingWriter, filled
from policies.compiled.classes import CompiledClasses
from schemas.codec.encoder import Writer, encode_columns
from schemas.codec.records import decode_one
from schemas.nulls import with_nulls
from schemas.registry import Registry
from streams.accounts.ledger import Ledger
from streams.accounts.store import NULL, Array
from streams.averages import outlook
from streams.calendar import NO_DAY
from streams.vocabulary.terms import CUSTOMER_CLASSES, PERSONAL

_TOPIC = "outlooks"
_CHUNK_CELLS = 1 << 16  # customers at a time, times the closes that are looked at
_PERSONAL = CUSTOMER_CLASSES.index(PERSONAL)
_Watch = Callable[[outlook.Outlook, Array], object]  # called with the outlooks of a close and whose they are
_HELD = "no exchange rate for a day with a holding"
# What a missing rate leaves open, before and behind the amounts to hold.
_BEFORE, _BEHIND = ("projected_tier", "direction", "projected_minor", "aum_minor"), ("lost_close", "lost_from")
# What was published last, as its changelog row. All zero is the steady outlook: a customer who never had another has no row.
_PUBLISHED = np.dtype([("lost", "<i4"), ("barred", "<u4"), ("shift", "i1"), ("held", "u1")])


class Outlooks:
    """The outlooks of a partition's customers, and what was published of them last. There are none while `timing` is None."""

    def __init__(
        self,
        registry: Registry,
        classes: CompiledClasses,
        branches: Sequence[int],
        writer: StandingWriter,
        known: KnownCustomers,
        watch: _Watch,
    ) -> None:
        self.ledger: Ledger = writer.ledger
        self.standings, self.registry, self._known, self._watch = writer, registry, known, watch
        self.use(classes, branches)
        self._published = np.zeros(0, _PUBLISHED)
        self._rows: list[Pair | Packed] = []

    def use(self, classes: CompiledClasses, branches: Sequence[int]) -> None:
        """Outlooks by another pack from now on, but for `branches` with rules of their own; what was published stays known."""
        pack, table, policy = classes.personal, classes.tables[_PERSONAL], classes.foreseen
        self.index = np.zeros(0, np.int64) if table is None else table.index  # tier of a code
        self.pack, tiers = pack, len(pack.thresholds_minor)
        when = None if policy is None else policy.evaluation
        self.timing = None if when is None else outlook.Timing(when.close, when.upgrades, when.downgrades)
        self._apart = np.array(branches, np.int64)
        self.writer = Writer(_TOPIC, self.registry, {"thresholds_minor": tiers, "to_hold_minor": tiers})
        self.held = HeldField(self.writer)
        names = io.BytesIO()
        fastavro.schemaless_writer(names, {"type": "array", "items": "string"}, list(pack.tier_ids[1:]))
        self._tiers = np.frombuffer(names.getvalue(), np.uint8)[None, :]  # the same in every record

    # -- closes

    def close(self, day: int, before: int, scope: int, *, restate: bool) -> Iterator[Packed]:
        """What the close of `day` publishes, `before` being the last closed one; of all customers if `restate`."""
        if self.timing is None:
            return
        for slots, first in self._foreseen(np.arange(self.ledger.customers.count), day):
            found, since = self.look(day, slots, scope), self.ledger.customers.tier_days(slots)
            self._watch(found, slots)
            moved = since == day + 1
            if self.timing.close == "continuous":
                moved |= since > before
            due = self._changed(slots, found) | moved | (first > before) | restate
            if due.any():
                yield self._packed(found, slots, np.flatnonzero(due), scope)

    def again(self, day: int, slots: Array, scope: int) -> Iterator[Packed]:
        """The outlooks of customers as of `day`, the last closed one, whether there is news of them or not."""
        if self.timing is None:
            return
        for mine, _ in self._foreseen(slots, day):
            found = self.look(day, mine, scope)
            self._changed(mine, found)  # these are published now
            if len(mine):
                yield self._packed(found, mine, np.arange(len(mine)), scope)

    def _foreseen(self, slots: Array, day: int) -> Iterator[tuple[Array, Array]]:
        """Those customers who have an outlook, and their first days; not too many at a time."""
        assert self.timing is not None
        known = self.ledger.customers
        step = max(_CHUNK_CELLS // len(outlook.closes_ahead(self.pack.metric, self.timing.downgrades, day)), 1)
        for at in range(0, len(slots), step):
            some = slots[at : at + step]
            first = self._known.since(some)
            mine = (known.classes(some) == _PERSONAL) & (first <= day) & ~np.isin(known.branches(some), self._apart)
            yield some[mine], first[mine]

    def look(self, day: int, slots: Array, scope: int) -> outlook.Outlook:
        """The outlook of customers as of a day: the last closed one, or one that is just being closed."""
        assert self.timing is not None

        def sums(spans: list[tuple[int, int]]) -> tuple[Array, Array, Array]:
            return self.ledger.sums(scope, day, spans, slots)

        tier = self.index[self.ledger.customers.tiers(slots)]
        return outlook.foresee(self.pack.metric, self.timing, self.pack.thresholds_minor, day, tier, sums)

    def record(self, day: int, slot: int, scope: int) -> dict[str, Any]:
        """The record of one customer as it would be published, with null for what is not known."""
        found = self.look(day, np.array([slot]), scope)
        [(_, value)] = self._packed(found, np.array([slot]), np.array([0]), scope).pairs()
        return with_nulls(_TOPIC, decode_one(value, self.registry, name=_TOPIC))

    def _changed(self, slots: Array, found: outlook.Outlook) -> Array:
        """bool[n]: whose outlook is another one than was published last; it counts as published now."""
        self._reserve(self.ledger.customers.count)
        now = np.zeros(len(slots), _PUBLISHED)
        now["held"] = found.held
        for name, value in (("lost", found.lost_close), ("barred", found.barred), ("shift", found.shift)):
            now[name] = np.where(found.held | (value == NO_DAY if name == "lost" else False), 0, value)
        changed: Array = now != self._published[slots]
        self._published[slots] = now
        if changed.any():
            keys = customer_keys(self.ledger, slots[changed], RowKey.OUTLOOK)
            ends = np.arange(1, len(keys[1]) + 1) * _PUBLISHED.itemsize
            self._rows += few(Packed(*keys, now[changed].view(np.uint8), ends))
        return changed

    # -- rows

    def take_rows(self) -> list[Pair | Packed]:
        """Rows changed since the last call; they belong into the transaction of the outlooks."""
        rows, self._rows = self._rows, []
        return rows

    def load(self, rows: Rows) -> None:
        """Rows back."""
        for key, value in rows:
            slot = self.ledger.customer(key[len(RowKey.OUTLOOK) :].decode())
            self._reserve(slot + 1)
            self._published[slot] = np.frombuffer(value or bytes(_PUBLISHED.itemsize), _PUBLISHED)[0]

    def _reserve(self, slots: int) -> None:
        if slots > len(self._published):
            grown = np.zeros(max(slots, 2 * len(self._published)), _PUBLISHED)
            grown[: len(self._published)] = self._published
            self._published = grown

    # -- records

    def _packed(self, found: outlook.Outlook, slots: Array, due: Array, scope: int) -> Packed:
        """Records of the customers slots[due]; `found` has a row for each of `slots`."""
        mine, index, pack, customers = slots[due], self.writer.index, self.pack, self.ledger.customers
        raw = Buffer(customers.ids())
        known, tier, projected = ~found.held[due], found.tier[due], found.projected[due]
        lost = np.where(known, found.lost_close[due], NO_DAY)
        columns: dict[str, Array | int] = {
            "customer_id": customers.refs(mine),
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
            "held_reason": np.where(known, NULL, raw.text(_HELD)),
            "source_seq": self.standings.sequence(found.as_of),
        }
        data = filled(self.writer, len(mine), columns)
        tiers = len(pack.thresholds_minor)
        data[:, index["thresholds_minor"] : index["thresholds_minor"] + tiers] = pack.thresholds_minor
        to_hold = np.where(known[:, None], found.to_hold[due], outlook.UNREACHABLE)
        if self.held.known:
            data[:, index[HELD_FIELD]] = self._held_fields(raw, found.as_of, scope, mine, known, to_hold)
            to_hold = null_where(to_hold == outlook.UNREACHABLE, to_hold)
        data[:, index["to_hold_minor"] : index["to_hold_minor"] + tiers] = to_hold
        return Packed(*customer_keys(self.ledger, mine), *encode_columns(self.writer, data, raw.bytes()))

    def _held_fields(self, raw: Buffer, day: int, scope: int, slots: Array, known: Array, to_hold: Array) -> Array:
        """References to each customer's list of what is held, or can't be reached by any amount."""
        assert self.timing is not None
        refs, spans = np.zeros(len(slots), np.int64), outlook.past_spans(self.pack.metric, self.timing, day)
        refs[known] = self.held.lists(raw.raw, np.asarray(to_hold[known] == outlook.UNREACHABLE), _unreachable)
        held = np.flatnonzero(~known)
        for at in range(0, len(held), HELD_CHUNK):
            rows = held[at : at + HELD_CHUNK]
            missing = self.ledger.missing_rates(scope, np.array(spans, np.int64), slots[rows])
            missing = np.asarray(missing.any(axis=1))
            refs[rows] = self.held.lists(raw.raw, missing, partial(_no_rate, to_hold.shape[1]))
        return refs


def _unreachable(barred: Array) -> list[HeldReason]:
    """The tiers that no amount reaches, bool[T - 1]."""
    return [HeldReason(f"to_hold_minor[{i}]", BARRED) for i in np.flatnonzero(barred).tolist()]


def _no_rate(tiers: int, missing: Array) -> list[HeldReason]:
    """Everything that is told of the days ahead, while these currencies lack a rate."""
    amounts = [f"to_hold_minor[{i}]" for i in range(tiers)]
    return [HeldReason(field, no_rate(missing)) for field in (*_BEFORE, *amounts, *_BEHIND)]
