"""What only events in their order decide: profile, tiers, alerts, published queue class; and its changelog rows."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from policies.compiled import CompiledPack
from schemas.blocks import Columns
from streams.alerts import ALERTS_MAX, Alert
from streams.calendar import NO_DAY
from streams.ledger import Ledger
from streams.store import ID_BYTES_MAX, NULL, Array, Names
from streams.tiers import HISTORY

KEY = b"c"
EVENT_ID, CUSTOMER_ID, CUSTOMER_CLASS, BRANCH, RM, CARD = 0, 1, 2, 3, 4, 7  # columns of the customers contract


class Profiles:
    """Order-sensitive facts of the partition's customers. Changed rows go out in the same transaction."""

    def __init__(self, ledger: Ledger, pack: CompiledPack) -> None:
        self.ledger, self.pack = ledger, pack
        self.branches, self.people, self.cards = (
            Names(),
            Names(),
            Names(),
        )  # codes live in memory only; rows have the texts
        self.alerts: dict[int, dict[str, Alert]] = {}
        self.requeue: set[int] = set()  # queue class may be another one now
        self._changed: set[int] = set()

    def put(self, columns: Columns, i: int, live: bool) -> bool:
        """Takes a profile as it is now; False if its id is none. In a replay the row has it, or a newer one."""
        row = columns.data[i]
        customer_id = columns.text_at(int(row[CUSTOMER_ID])) or ""
        if not live or not 0 < len(customer_id.encode()) <= ID_BYTES_MAX:
            return not live
        slot = self.ledger.customer(customer_id)
        c = self.ledger.store.customers[slot]
        c["customer_class"] = row[CUSTOMER_CLASS]
        c["branch"] = self.branches.code(columns.text_at(int(row[BRANCH])) or "-")
        c["rm"] = self._code(self.people, columns, int(row[RM]))
        c["card"] = self._code(self.cards, columns, int(row[CARD]))
        self._changed.add(slot)
        self.requeue.add(slot)
        return True

    @staticmethod
    def _code(names: Names, columns: Columns, ref: int) -> int:
        return -1 if ref == NULL else names.code(columns.text_at(ref) or "-")

    def changed(self, slots: Array) -> None:
        """Tiers of these customers have changed."""
        self._changed.update(slots.tolist())
        self.requeue.update(slots.tolist())

    def published(self, slot: int, code: int) -> None:
        """The queue class now published."""
        self.ledger.store.customers["published"][slot] = code
        self._changed.add(slot)

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

    def tier_name(self, index: int) -> str:
        """The pack's id of a tier."""
        return self.pack.tier_ids[index]

    def branch(self, slot: int) -> str | None:
        """The owning branch of the profile."""
        code = int(self.ledger.store.customers["branch"][slot])
        return None if code < 0 else self.branches.text(code)

    def rm(self, slot: int) -> str | None:
        """The relationship manager of the profile."""
        code = int(self.ledger.store.customers["rm"][slot])
        return None if code < 0 else self.people.text(code)

    def card(self, slot: int) -> str | None:
        """The card held."""
        code = int(self.ledger.store.customers["card"][slot])
        return None if code < 0 else self.cards.text(code)

    # -- rows

    def take_rows(self) -> list[tuple[bytes, bytes | None]]:
        """Rows of the customers changed since the last call, in order of their slots."""
        out: list[tuple[bytes, bytes | None]] = []
        for slot in sorted(self._changed):
            c = self.ledger.store.customers[slot]
            held = [k for k in range(HISTORY) if c["tier_day"][k] != NO_DAY]
            row: dict[str, Any] = {
                "t": [(self.tier_name(int(c["tier"][k])), int(c["tier_day"][k])) for k in held],
                "k": int(c["customer_class"]), "b": self.branch(slot), "r": self.rm(slot), "c": self.card(slot),
                "q": int(c["published"]),
                "a": [(rule, *alert) for rule, alert in sorted(self.alerts.get(slot, {}).items())],
            }  # fmt: skip
            out.append((KEY + self.ledger.customer_id(slot).encode(), json.dumps(row, separators=(",", ":")).encode()))
        self._changed.clear()
        return out

    def load(self, customer_id: str, value: bytes) -> None:
        """A row back."""
        row = json.loads(value)
        slot = self.ledger.customer(customer_id)
        c = self.ledger.store.customers[slot]
        c["tier"][:], c["tier_day"][:] = 0, NO_DAY
        for k, (tier, day) in enumerate(row["t"]):
            c["tier"][k], c["tier_day"][k] = self.pack.tier_ids.index(tier), day
        c["customer_class"], c["published"] = row["k"], row["q"]
        c["branch"] = -1 if row["b"] is None else self.branches.code(row["b"])
        c["rm"] = -1 if row["r"] is None else self.people.code(row["r"])
        c["card"] = -1 if row["c"] is None else self.cards.code(row["c"])
        if row["a"]:
            self.alerts[slot] = {rule: Alert(alert_id, day, outflow) for rule, alert_id, day, outflow in row["a"]}

    def queue_class(self, slot: int) -> tuple[int, bool]:
        """(index of the queue class, led to the VIP area) by the pack's basis (C-37)."""
        tier = int(self.ledger.store.customers["tier"][slot, 0])
        by_tier, card = int(self.pack.queue_class_of_tier[tier]), self.card(slot)
        by_card = self.pack.queue_class_of_card.get(card) if card else None
        chosen = by_tier
        if by_card is not None and self.pack.queue_basis != "tier":
            chosen = by_card if self.pack.queue_basis == "card" else min(by_tier, by_card)
        return chosen, bool(np.bool_(self.pack.vip_area_of_tier[tier]))
