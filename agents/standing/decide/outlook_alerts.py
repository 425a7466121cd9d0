"""Alerts out of the outlook at day closes: columns for everybody, Python only for those who get one.

The last alert of each rule and customer is kept by the rule's id and the tier's name, so that it outlives a change of
packs. Rows of changed customers go out in the transaction of the alerts.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from agents.engine.job import Pair, Rows
from agents.standing.intake.facts import grown
from agents.standing.model import RowKey, Tally
from agents.standing.publish.publisher import OutputPublisher
from policies.compiled.pack import CompiledPack
from streams.accounts.store import Array
from streams.alerts import outlook_alerts
from streams.alerts.lifecycle import DEEPENED, RAISED
from streams.averages.outlook import UNREACHABLE, Outlook
from streams.calendar import NO_DAY, date_of
from streams.reference import customer_ref
from streams.vocabulary.terms import UPGRADE_NEAR

_TOPIC = "rm-alerts"
_CLOSED = "closed"
LAST_ALERT = np.dtype([("day", "<i4"), ("lost", "<i4"), ("tier", "i1"), ("shift", "i1"), ("life", "u1")])


class OutlookAlerts:
    """The alerts of a partition's customers that outlooks raise."""

    def __init__(self, publisher: OutputPublisher, pack: CompiledPack, counts: Tally) -> None:
        self.publisher, self.ledger, self.counts = publisher, publisher.ledger, counts
        self.tiers: list[str] = []  # names behind the codes in `last`
        self.last: dict[str, Array] = {}  # rule -> LAST_ALERT by slot
        self._changed: set[int] = set()
        self.use(pack)

    def use(self, pack: CompiledPack) -> None:
        """Rules of another pack from now on; alerts of rules that it does not have are forgotten."""
        self.pack, self.rules = pack, pack.foresight
        for rule in [rule for rule in self.last if rule not in self.rules.ids]:
            self._changed.update(np.flatnonzero(self.last.pop(rule)["life"]).tolist())
        self.codes = np.array([self._code(name) for name in pack.tier_ids], np.int64)

    def _code(self, tier: str) -> int:
        if tier not in self.tiers:
            self.tiers.append(tier)
        return self.tiers.index(tier)

    def close(self, now: Outlook, slots: Array) -> None:
        """Alerts of customers as of a close; `now` has a row for each of `slots`."""
        tier = self.codes[now.tier]
        for rule, name in enumerate(self.rules.ids):
            self._reserve(name)
            kind, last = self.rules.kinds[rule], self.last[name][slots]
            if kind == UPGRADE_NEAR:
                met = outlook_alerts.near(now, self.rules.at_most_minor[rule], self.rules.share_bp[rule])
            else:
                met = outlook_alerts.at_risk(now, self.rules.within_days[rule])
            steps = outlook_alerts.follow(kind, last, met, tier, now, self.rules.cool_down_days[rule])
            after = outlook_alerts.told(last, steps, tier, now)
            for status, rows, days in (
                (_CLOSED, steps.closed, last["day"]),
                (RAISED, steps.raised, after["day"]),
                (DEEPENED, steps.deepened, last["day"]),
            ):
                for i in np.flatnonzero(rows).tolist():
                    self._publish(rule, status, int(days[i]), now, i, int(slots[i]))
            self.last[name][slots] = after
            self._changed.update(slots[steps.closed | steps.raised | steps.deepened].tolist())

    def _publish(self, rule: int, status: str, raised: int, now: Outlook, i: int, slot: int) -> None:
        """One record, with what is expected as its evidence."""
        publisher, profiles, pack, name = self.publisher, self.publisher.profiles, self.pack, self.rules.ids[rule]
        customer_id, tier, lost = self.ledger.customer_id(slot), int(now.tier[i]), int(now.lost_close[i])
        alert_id = customer_ref(publisher.alert_key, f"{customer_id}/{name}/{date_of(raised)}")
        near = self.rules.kinds[rule] == UPGRADE_NEAR
        no_figure = None if publisher.has_nulls else 0
        to_hold: int | None = [0, *now.to_hold[i].tolist(), UNREACHABLE][tier + 1 if near else tier]
        if to_hold == UNREACHABLE and publisher.has_nulls:
            to_hold = None
        record: dict[str, Any] = {
            "alert_id": alert_id, "event_id": f"{alert_id}/{status}/{publisher.close_name(now.as_of)}",
            "customer_id": customer_id,
            "rule": name, "severity": self.rules.severity[rule], "status": status,
            "window_days": no_figure, "outflow_minor": no_figure, "reference_aum_minor": int(now.aum[i]),
            "share_bp": no_figure, "tier": pack.tier_ids[tier],
            "branch": profiles.branch(slot) or "", "rm_id": profiles.rm(slot), "raised_day": raised,
            "caused_by": f"close/{date_of(now.as_of)}", "counterparties": [], "pack_id": pack.pack_id,
            "pack_version": pack.version, "kind": self.rules.kinds[rule], "next_close": now.next_close,
            "projected_tier": pack.tier_ids[int(now.projected[i])],
            "next_tier": pack.tier_ids[tier + 1] if tier + 1 < len(pack.tier_ids) else None,
            "to_hold_minor": to_hold, "projected_minor": int(now.value[i]),
            "lost_close": None if lost == NO_DAY else lost, "lost_from": None if lost == NO_DAY else lost + 1,
        }  # fmt: skip
        publisher.put(_TOPIC, customer_id, record)
        self.counts.add("alerts", status != _CLOSED)

    # -- rows

    def _reserve(self, rule: str, slots: int = 0) -> None:
        slots = max(slots, self.ledger.customers.count)
        self.last[rule] = grown(self.last.get(rule, np.zeros(0, LAST_ALERT)), slots, 0)

    def take_rows(self) -> list[Pair]:
        """Rows of the customers changed since the last call, in order of their slots."""
        out: list[Pair] = []
        for slot in sorted(self._changed):
            kept = {}
            for rule in sorted(self.last):
                day, lost, tier, shift, life = self.last[rule][slot].item() if slot < len(self.last[rule]) else (0,) * 5
                if life != outlook_alerts.NONE:
                    kept[rule] = day, lost, self.tiers[tier], shift, life
            key = RowKey.OUTLOOK_ALERTS + self.ledger.customer_id(slot).encode()
            out.append((key, json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()))
        self._changed.clear()
        return out

    def load(self, rows: Rows) -> None:
        """Rows back; later ones count."""
        for key, value in rows:
            slot = self.ledger.customer(key[len(RowKey.OUTLOOK_ALERTS) :].decode())
            for last in self.last.values():
                if slot < len(last):
                    last[slot] = np.zeros((), LAST_ALERT)
            for rule, (day, lost, tier, shift, life) in json.loads(value or b"{}").items():
                self._reserve(rule, slot + 1)
                self.last[rule][slot] = day, lost, self._code(tier), shift, life
