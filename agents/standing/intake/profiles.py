"""What only events in their order decide: profile, tiers, alerts, published queue class; and its changelog rows."""

from __future__ import annotations

import json

import numpy as np

from agents.engine.job import Pair, Rows
from agents.engine.record_batches import Packed, few
from agents.standing.intake import profile_rows
from agents.standing.intake.touched import TouchedCustomers
from agents.standing.model import RowKey, customer_keys
from policies.compiled.classes import ClassTable, CompiledClasses
from schemas.codec.blocks import Columns
from streams.accounts.ledger import Ledger
from streams.accounts.store import ID_BYTES_MAX, NULL, Array, Names
from streams.alerts.lifecycle import ALERTS_MAX, Alert
from streams.calendar import NO_DAY

GONE = 126  # published: a queue class that the pack in force does not have
NAMES_AHEAD = 256  # texts for which room is made at a time
# Columns of the customers contract.
_EVENT_ID, _CUSTOMER_ID, _CUSTOMER_CLASS, _BRANCH, _RM, _CARD = 0, 1, 2, 3, 4, 7


class Profiles:
    """Order-sensitive facts of the partition's customers. Changed rows go out in the same transaction."""

    def __init__(self, ledger: Ledger, classes: CompiledClasses, touched: TouchedCustomers) -> None:
        self.ledger, self._touched = ledger, touched
        self.pack, self.tables = classes.shown, classes.tables
        # Codes live in memory only; rows have the texts.
        self.branches, self.people, self.cards = Names(), Names(), Names()
        self.tiers = Names(self.pack.tier_ids)
        self.alerts: dict[int, dict[str, Alert]] = {}
        self._requeue: set[int] = set()  # queue class may be another one now
        self._changed: set[int] = set()

    def use(self, classes: CompiledClasses) -> None:
        """Tiers of another pack. Former ones stay readable: their codes come behind the new ones."""
        names, customers = self.tiers.all(), self.ledger.customers.rows[: self.ledger.customers.count]
        self.pack, self.tables, self.tiers = classes.shown, classes.tables, Names(classes.shown.tier_ids)
        codes = np.array([self.tiers.code(name) for name in names], np.int8)
        undecided = customers["tier_day"] == NO_DAY  # of the lowest tier, whatever it is called
        customers["tier"] = np.where(undecided, 0, codes[customers["tier"]])

    def requeue_all(self, before: tuple[str, ...]) -> None:
        """Queue classes are of another pack now, `before` being those of the last one: everybody is looked at again."""
        customers = self.ledger.customers.rows[: self.ledger.customers.count]
        places = {name: i for i, name in enumerate(self.pack.queue_class_ids)}
        codes = [places[name] * 2 + area if name in places else GONE for name in before for area in (0, 1)]
        known = customers["published"]
        self._changed.update(np.flatnonzero(known >= 0).tolist())
        gone = len(codes)  # the place of one that an earlier switch has already lost
        now = np.array([*codes, GONE], np.int8)[np.where(known == GONE, gone, known)]
        customers["published"] = np.where(known < 0, known, now)
        self._requeue.update(range(len(customers)))

    def put(self, columns: Columns, i: int) -> tuple[int, bool]:
        """Takes a profile as it is now: its slot, and whether it names another class of customers."""
        row = columns.data[i]
        slot = self.ledger.customer(columns.text_at(int(row[_CUSTOMER_ID])) or "")
        c = self.ledger.customers.rows[slot]
        before = int(c["customer_class"]), int(c["branch"])
        c["customer_class"] = row[_CUSTOMER_CLASS]
        c["branch"] = self.branch_code(columns.text_at(int(row[_BRANCH])) or "")
        if self._touched.wanted and before != (int(c["customer_class"]), int(c["branch"])):
            self._touched.note(slot, columns.text_at(int(row[_EVENT_ID])) or "")
        c["rm"] = self._code(self.people, columns, int(row[_RM]))
        c["card"] = self._code(self.cards, columns, int(row[_CARD]))
        self._changed.add(slot)
        self._requeue.add(slot)
        return slot, before[0] != int(c["customer_class"])

    def withdraw(self, customer_id: bytes, cause: str) -> tuple[int, bool] | None:
        """As if no profile had been sent: the slot, and whether his class is another now; None where he is not known."""
        slot = self.ledger.customer_known(customer_id)
        if slot is None:
            return None
        c = self.ledger.customers.rows[slot]
        before = int(c["customer_class"]), int(c["branch"])
        if self._touched.wanted and before != (0, -1):
            self._touched.note(slot, cause)
        c["customer_class"], c["branch"], c["rm"], c["card"] = 0, -1, -1, -1
        self._changed.add(slot)
        self._requeue.add(slot)
        return slot, before[0] != 0

    @staticmethod
    def _code(names: Names, columns: Columns, ref: int) -> int:
        return -1 if ref == NULL else names.code(columns.text_at(ref) or "")

    def held(self) -> Array:
        """`tier` and `tier_day` of every customer."""
        return self.ledger.customers.rows

    def tier_names(self) -> list[str]:
        """The names behind the codes of tiers, those of former packs behind the pack's own."""
        return self.tiers.all()

    def changed(self, slots: Array) -> None:
        """Tiers of these customers have changed."""
        self._changed.update(slots.tolist())
        self._requeue.update(slots.tolist())

    def take_requeued(self) -> Array:
        """int64: slots of customers whose queue class may have changed since the last call, ascending."""
        slots = np.sort(np.fromiter(self._requeue, np.int64, len(self._requeue)))
        self._requeue.clear()
        return slots

    def published(self, slots: Array, codes: Array) -> None:
        """The queue classes now published."""
        self.ledger.customers.rows["published"][slots] = codes
        self._changed.update(slots.tolist())

    def alert(self, slot: int, rule: str) -> Alert | None:
        """The last alert of a rule."""
        return self.alerts.get(slot, {}).get(rule)

    def set_alert(self, slot: int, rule: str, alert: Alert) -> None:
        """Remembers the last alert of a rule."""
        known = self.alerts.setdefault(slot, {})
        if rule not in known and len(known) >= ALERTS_MAX:
            del known[min(known, key=lambda r: known[r].day)]
        known[rule] = alert
        self._changed.add(slot)

    def tier_name(self, slot: int) -> str:
        """The id of the tier last decided."""
        return self.pack.tier_ids[int(self.ledger.customers.rows["tier"][slot, 0])]

    def branch(self, slot: int) -> str | None:
        """The owning branch of the profile."""
        code = int(self.ledger.customers.rows["branch"][slot])
        return None if code < 0 else self.branches.text(code)

    def branch_code(self, branch: str) -> int:
        """The code of a branch in the customers' rows."""
        return self.branches.code(branch)

    def rm(self, slot: int) -> str | None:
        """The relationship manager of the profile."""
        code = int(self.ledger.customers.rows["rm"][slot])
        return None if code < 0 else self.people.text(code)

    def card(self, slot: int) -> str | None:
        """The card held."""
        code = int(self.ledger.customers.rows["card"][slot])
        return None if code < 0 else self.cards.text(code)

    def put_card(self, slot: int, card: str | None) -> None:
        """The card by which the customer queues from now on."""
        self.ledger.customers.rows["card"][slot] = -1 if card is None else self.cards.code(card)

    # -- rows

    def _texts(self) -> profile_rows.Texts:
        return profile_rows.Texts(self.tiers.index, self.branches.index, self.people.index, self.cards.index)

    def take_rows(self) -> list[Pair | Packed]:
        """Rows of the customers changed since the last call, in order of their slots."""
        if not self._changed:
            return []
        slots = np.sort(np.fromiter(self._changed, np.int64, len(self._changed)))
        self._changed.clear()
        rest = [self._rest(slot) for slot in slots.tolist()] if self.alerts else [b""] * len(slots)
        rest_end = np.cumsum(np.fromiter(map(len, rest), np.int64, len(rest)))
        out = np.empty(len(slots) * profile_rows.ROW_BYTES_MAX + int(rest_end[-1]), np.uint8)
        ends, customers = np.empty(len(slots), np.int64), self.ledger.customers.rows
        size = profile_rows.encode_profiles(
            customers, slots, self._texts(), np.frombuffer(b"".join(rest), np.uint8), rest_end, out, ends
        )
        keys = customer_keys(self.ledger, slots, RowKey.CUSTOMER)
        return few(Packed(*keys, out[:size], ends))

    def _rest(self, slot: int) -> bytes:
        """JSON of what few customers have."""
        if not (held := self.alerts.get(slot)):
            return b""
        rest = {"a": [(rule, *alert) for rule, alert in sorted(held.items())]}
        return json.dumps(rest, separators=(",", ":")).encode()

    def load(self, rows: Rows) -> None:
        """Rows back."""
        n, first, why = len(rows), 0, profile_rows.DONE
        slots, rest = np.empty(n, np.int64), np.empty(n, np.int64)
        self.ledger.customers.reserve(n, int((rows.key_end - rows.key).sum()))
        customers = self.ledger.customers
        while True:
            for names in (self.branches, self.people, self.cards):
                names.reserve(NAMES_AHEAD, NAMES_AHEAD * ID_BYTES_MAX)
            first, why = profile_rows.load_profiles(
                customers.rows, customers.index, self._texts(), rows.raw, rows.key + len(RowKey.CUSTOMER), rows.key_end,
                rows.value, rows.value_end, first, slots, rest,
            )  # fmt: skip
            if why == profile_rows.UNKNOWN_TIER:  # of a pack that was in force before, or is to be installed yet
                for name in profile_rows.tiers_of(rows.raw[rows.value[first] : rows.value_end[first]].tobytes()):
                    self.tiers.code(name)
            if why == profile_rows.MALFORMED:
                raise ValueError("a customer's row is cut short")
            if first == n:
                break
        for i in np.flatnonzero(rest < rows.value_end).tolist():
            held = json.loads(rows.raw[rest[i] : rows.value_end[i]].tobytes())
            self.alerts[int(slots[i])] = {r: Alert(alert_id, day, outflow) for r, alert_id, day, outflow in held["a"]}

    def queue_classes(self, slots: Array) -> tuple[Array, Array]:
        """(index of the queue class, 1 for who is led to the VIP area) of customers by their classes' basis (C-37).

        A class of customers that the pack knows not queues as the lowest tier of the one that it knows.
        """
        queue_class, area = np.empty(len(slots), np.int64), np.empty(len(slots), np.int64)
        kinds = self.ledger.customers.classes(slots)
        first = next(table for table in self.tables if table is not None)
        for kind, table in enumerate(self.tables):
            if (mine := kinds == kind).any():
                queue_class[mine], area[mine] = self._queue(table or first, slots[mine])
        return queue_class, area

    def _queue(self, table: ClassTable, slots: Array) -> tuple[Array, Array]:
        customers, basis = self.ledger.customers, table.policy.queue.basis
        tier, card = customers.tiers(slots), customers.cards(slots)
        by_tier = table.queue_class[tier]
        if basis != "tier":
            known = [table.queue_class_of_card.get(name, -1) for name in self.cards.all()]
            by_card = np.array([*known, -1], np.int64)[card]  # no card is -1: the last
            by_tier = np.where(by_card >= 0, by_card if basis == "card" else np.minimum(by_tier, by_card), by_tier)
        return by_tier, table.vip_area[tier].astype(np.int64)
