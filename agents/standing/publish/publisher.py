"""Turns what the standing job found into records of the output topics. Ids come from causes: a replay repeats them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from agents.engine.job import Pair
from agents.engine.record_batches import Packed, few
from agents.standing.intake.profiles import Profiles
from agents.standing.model import DayClose, Keyring
from agents.standing.publish.standings import References, ShownLayers, StandingWriter
from agents.standing.publish.tier_changes import ChangeWriter, MovedTiers, QueueWriter, RestatementWriter, rounded
from policies.compiled.classes import CompiledClasses
from policies.compiled.program import Column
from schemas.codec.records import encode
from schemas.letters import LettersAtOnce, Original, dead_letter
from schemas.registry import Registry, file_registry
from streams.accounts.entries import BASE
from streams.accounts.findings import Break, Candidate, UnmatchedReversal
from streams.accounts.ledger import Ledger
from streams.accounts.store import POSTING, Array
from streams.alerts.lifecycle import AlertEvent, Cause
from streams.alerts.outflow import EXTERNAL_CODE, SHARE_ONE, in_base
from streams.averages.metrics import Metrics
from streams.calendar import business_day, date_of
from streams.closing import NOTHING_LEFT_OUT, Run, close_name

COUNTERPARTIES_MAX = 3
REVERSAL_UNMATCHED = "reversal_unmatched"
_ENCODED = (
    "rm-alerts",
    "restatements",
    "tier-changes",
    "decisions",
    "command-results",
    "dead-letters",
)  # also or only one by one


class OutputPublisher:
    """Collects the records of one transaction."""

    def __init__(
        self,
        registry: Registry | None,
        keys: Keyring,
        classes: CompiledClasses,
        ledger: Ledger,
        profiles: Profiles,
        epoch: int = 0,
        left_out: frozenset[Run] = NOTHING_LEFT_OUT,
        letters_max: int | None = None,
    ) -> None:
        self.registry, self.alert_key, self.partition = registry or file_registry(), keys.alerts, 0
        for topic in _ENCODED:  # now, so that a registry that is down later does not come in the way of a transaction
            self.registry.id_of(topic)
        self.ledger, self.profiles, self.left_out = ledger, profiles, left_out
        self._records: dict[str, list[Pair | Packed]] = defaultdict(list)
        self.count = 0  # records collected
        self.letters = LettersAtOnce(letters_max)
        self.bulk = StandingWriter(self.registry, keys.references, classes, ledger, epoch)
        self.changes = ChangeWriter(self.registry, ledger)
        self.restatements = RestatementWriter(self.registry, ledger)
        self.queue = QueueWriter(self.registry, classes.shown, self.bulk.references)
        self._previous = None if keys.previous is None else References(keys.previous, ledger)
        self.use(classes)

    def begin(self, partition: int) -> None:
        """Records name this partition from now on."""
        self.partition = partition

    def use(self, classes: CompiledClasses) -> None:
        """Records of other packs from now on."""
        self.compiled = compiled = classes.shown
        self.bulk.use(classes)
        self.queue.use(compiled)
        self._ordinary = int(compiled.queue_class_of_tier[0]) * 2 + int(compiled.vip_area_of_tier[0])

    def fields(self, topic: str) -> frozenset[str]:
        """Names of the fields that the written version of a contract has."""
        schema: Any = self.registry.schema(self.registry.id_of(topic))
        return frozenset(field["name"] for field in schema["fields"])

    def put(self, topic: str, key: str, record: dict[str, Any]) -> None:
        """One record of an output topic."""
        self._records[topic].append((key.encode(), encode(topic, record, self.registry)))
        self.count += 1

    def packed(self, topic: str, records: Packed) -> None:
        """Many records of an output topic."""
        self._records[topic].append(records)
        self.count += records.records

    def take(self) -> list[tuple[str, list[Pair | Packed]]]:
        """What has been collected, by topic."""
        for letter in self.letters.take():
            self._put_letter(letter)
        out = sorted(self._records.items())
        self._records, self.count = defaultdict(list), 0
        return out

    # -- bad input

    def dead_letter(
        self, topic: str, offset: int, reason: str, original: Original, field: str | None = None, detail: str = ""
    ) -> None:
        """A record of this partition that could not be taken; many for one reason share a letter."""
        letter = dead_letter(topic, self.partition, offset, reason, original, field=field, detail=detail)
        if self.letters.one(letter):
            self._put_letter(letter)

    def _put_letter(self, letter: dict[str, Any]) -> None:
        self.put("dead-letters", f"{letter['topic']}-{letter['partition']}", letter)

    # -- closes

    def standings(
        self, found: Metrics, slots: Array, kept: Array, metric: Sequence[int], flags: Array, layers: ShownLayers | None,
        scope: int,
    ) -> None:  # fmt: skip
        """The standings of slots[kept] as of a close, in bulk; `flags` as bits of policies.lifecycle.state.FLAGS."""
        if len(kept):
            self.packed("standings", self.bulk.standings(found, slots, kept, metric, flags, layers, scope))

    @property
    def has_nulls(self) -> bool:
        """Whether records are of the versions with null for what is not known."""
        return self.bulk.held.known

    def tier_changes(self, moved: MovedTiers) -> None:
        """Tier changes of a close with all that is needed to decide them again (docs/tiers.md#evidence)."""
        if len(moved.slots):
            self.packed("tier-changes", self.changes.changes(moved, self.close_name(moved.day)))

    def close_name(self, day: int) -> str:
        """How ids name the close of a day."""
        return close_name(day, self.left_out)

    def cut(self, close: DayClose) -> list[dict[str, Any]]:
        """The cut of a close for this partition, as a record has it."""
        return [{"topic": topic, "partition": self.partition, "offset": o} for topic, o in sorted(close.cut.items())]

    def breaks(self, breaks: Iterable[Break], day: int) -> None:
        """Snapshots that the postings don't explain, any more, or otherwise than reported (docs/aum.md#breaks)."""
        for found in breaks:
            kind = "break_opened" if found.before == 0 else "break_resolved" if found.now == 0 else "break_changed"
            customer_id = self.ledger.customer_id(self.ledger.owner_of(found.account))
            account_id = self.ledger.account_id(found.account)
            event_id = f"{account_id}/{kind}/{found.instant}/{self.close_name(day)}"
            record = _restatement(event_id, kind, customer_id, found.day, day)
            record |= {
                "account_id": account_id,
                "amount_minor": found.now,
                "currency": self.ledger.currencies.text(self.ledger.currency_of(found.account)),
            }
            record |= {"previous_minor": found.before, "current_minor": found.now}
            self.put("restatements", customer_id, record)

    def unmatched_reversals(self, found: Iterable[UnmatchedReversal], day: int) -> None:
        """Reversals without a partner: they count as movements like others (docs/aum.md#reversals)."""
        for one in found:
            customer_id = self.ledger.customer_id(self.ledger.owner_of(one.account))
            account_id = self.ledger.account_id(one.account)
            which = f"{one.booked}/{one.amount}/{date_of(one.day)}/{one.twin}"
            event_id = f"{customer_id}/{account_id}/{REVERSAL_UNMATCHED}/{which}"
            record = _restatement(event_id, REVERSAL_UNMATCHED, customer_id, one.day, day)
            record |= {
                "account_id": account_id, "amount_minor": one.amount,
                "currency": self.ledger.currencies.text(self.ledger.currency_of(one.account)),
            }  # fmt: skip
            self.put("restatements", customer_id, record)

    def restated(
        self, slots: Array, rows: Array, day: int, month: int, metric: str, values: tuple[Column, Column],
        tier_ids: tuple[str, ...], tiers: tuple[Array, Array],
    ) -> None:  # fmt: skip
        """What the close of a month had for customers slots[rows] and would have now: a metric, and the standard's tiers.

        `values` have a row for each of `slots`, `tiers` one for each of `rows`.
        """
        amounts = [rounded(value, rows) for value in values]
        packed = self.restatements.late(slots[rows], day, self.close_name(day), month, metric, amounts, tier_ids, tiers)
        self._records["restatements"] += few(packed)
        self.count += packed.records

    # -- between closes

    def queue_changes(self, slots: Array, version: int, *, both: bool) -> None:
        """Queue classes that differ from what was published; an ordinary customer never published stays unknown.

        `version` rises from transaction to transaction (agents.standing.publish.versions). both: under the previous
        references too.
        """
        if not len(slots):
            return
        queue_class, vip_area = self.profiles.queue_classes(slots)
        code, known = queue_class * 2 + vip_area, self.ledger.customers.queue_classes(slots).astype(np.int64)
        moved = np.flatnonzero(code != np.where(known >= 0, known, self._ordinary))
        if len(moved):
            self._told(slots[moved], queue_class[moved], vip_area[moved], version, both=both)

    def queue_anew(self, slots: Array, version: int, *, both: bool) -> None:
        """The queue classes of customers whatever was published before; ordinary ones, too."""
        self._told(slots, *self.profiles.queue_classes(slots), version, both=both)

    def _told(self, slots: Array, queue_class: Array, vip_area: Array, version: int, *, both: bool) -> None:
        self.profiles.published(slots, queue_class * 2 + vip_area)
        for mine in (None, self._previous) if both else (None,):
            self._queue(slots, queue_class, vip_area, version, mine)

    def _queue(
        self, slots: Array, queue_class: Array, vip_area: Array, version: int, references: References | None = None
    ) -> None:
        as_of = max(self.ledger.closed, 0)
        packed = self.queue.classes(slots, queue_class, vip_area, as_of, version, references)
        self._records["queue-priority"] += few(packed)
        self.count += packed.records

    def show(self, slots: Array, version: int) -> None:
        """The queue classes of customers under their new references."""
        self._queue(slots, *self.profiles.queue_classes(slots), version)

    def retire(self, slots: Array) -> None:
        """Takes the previous references of customers back."""
        assert self._previous is not None
        self._records["queue-priority"] += [(ref.tobytes(), None) for ref in self._previous.of(slots)]
        self.count += len(slots)

    def alert(
        self, event: AlertEvent, cause: Cause, found: Candidate, severity: str, window_days: int, branch: str
    ) -> None:
        """An outflow alert with its evidence (docs/alerts.md#life-of-an-alert)."""
        slot, reference = found.customer, found.reference
        share = found.outflow * SHARE_ONE // reference if reference > 0 else SHARE_ONE
        tier = self.profiles.tier_name(slot)
        record = {
            "alert_id": event.alert.alert_id, "event_id": f"{event.alert.alert_id}/{event.status}/{cause.event_id}",
            "customer_id": cause.customer_id, "rule": cause.rule, "severity": severity, "status": event.status,
            "window_days": window_days, "outflow_minor": found.outflow, "reference_aum_minor": reference,
            "share_bp": share,
            "tier": tier, "branch": self.profiles.branch(slot) or branch, "rm_id": self.profiles.rm(slot),
            "raised_day": event.alert.day, "caused_by": cause.event_id,
            "counterparties": self._counterparties(slot, cause.day, max(window_days, 1)),
            "pack_id": self.compiled.pack_id, "pack_version": self.compiled.version,
        }  # fmt: skip
        self.put("rm-alerts", cause.customer_id, record)

    def _counterparties(self, slot: int, day: int, days: int) -> list[dict[str, Any]]:
        """The banks that got most in the window, in base minor units, rounded down."""
        ledger, gone = self.ledger, Counter[str]()
        for account in ledger.accounts_of(slot):
            currency = ledger.currency_of(account)
            entries = ledger.entries_of(account)
            debit = (entries["kind"] == POSTING) & (entries["nature"] == EXTERNAL_CODE) & (entries["amount"] < 0)
            for e in entries[debit & ~ledger.paired(account) & (entries["extra"] >= 0)]:
                on = int(business_day(int(e["booked"]), ledger.zone.starts, ledger.zone.offsets))
                if day - days < on <= day:
                    table, base = ledger.rates.table(), int(ledger.clock[BASE])
                    gone[ledger.banks.text(int(e["extra"]))] += in_base(table, base, currency, on, -int(e["amount"]))[0]
        return [{"bank": bank, "amount_minor": amount} for bank, amount in gone.most_common(COUNTERPARTIES_MAX)]


def _restatement(event_id: str, kind: str, customer_id: str, restated_day: int, day: int) -> dict[str, Any]:
    return {
        "event_id": event_id, "kind": kind, "customer_id": customer_id, "account_id": None,
        "restated_day": restated_day,
        "business_day": day, "metric": None, "previous_minor": None, "current_minor": None, "previous_tier": None,
        "current_tier": None, "amount_minor": None, "currency": None,
    }  # fmt: skip
