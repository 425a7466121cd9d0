"""Decisions of the lifecycle as records: tiers with their evidence on tier-changes, everything else on decisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from agents.standing.model import CloseStep, DayClose, Evidence, Switched, Tally
from agents.standing.publish.publisher import OutputPublisher
from agents.standing.publish.tier_changes import MovedTiers, metric_value, parts_told, period_of, thresholds_of
from policies.compiled.classes import ClassTable, CompiledClasses
from policies.lifecycle.leaving import TO_COME
from policies.lifecycle.state import Decision
from policies.model.metrics import NOT_KNOWN
from streams.accounts.store import Array
from streams.money import NANO

WITH_VALUES = (*TO_COME, "service")  # kinds of decisions whose evidence has the values that were looked at


class Decisions:
    """See agents.standing.model.Sink."""

    def __init__(self, publisher: OutputPublisher, classes: CompiledClasses, counts: Tally) -> None:
        self.publisher, self.classes, self.counts = publisher, classes, counts
        self.before: CompiledClasses | None = None  # of the pack that was in force before
        self._told = parts_told(publisher.registry)

    def use(self, classes: CompiledClasses) -> None:
        """Another pack from now on."""
        self.before, self.classes = self.classes, classes

    def count(self, decisions: int) -> None:
        """Records of `decisions` that were published beside these."""
        self.counts.add("decisions", decisions)

    def switched(
        self, table: ClassTable, slots: Array, moved: Array, given: Array, step: CloseStep, old: Switched
    ) -> None:
        """Tiers that a change of packs has moved: slots[i], from code step.official[i] to tier index given[i]."""
        self._moved(table, slots, moved, given, step, (tuple(old.names), old.up, "policy"))

    def many(self, table: ClassTable, slots: Array, moved: Array, given: Array, step: CloseStep) -> None:
        """Tiers that a close has moved."""
        up = table.levels[given] >= table.levels[step.official]
        self._moved(table, slots, moved, given, step, (table.program.tier_ids, up, "close"))

    def _moved(
        self, table: ClassTable, slots: Array, moved: Array, given: Array, step: CloseStep,
        how: tuple[tuple[str, ...], Array, str],
    ) -> None:  # fmt: skip
        self.counts.add("tier_changes", len(moved))
        names, up, reason = how
        self.publisher.tier_changes(MovedTiers(
            table, step.at.day, self.publisher.cut(step.at), step.columns, moved, slots[moved], names,
            step.official[moved], given[moved], up[moved], reason,
        ))  # fmt: skip

    def one(
        self, slot: int, table: ClassTable, said: Sequence[Decision], evidence: Evidence | None, at: DayClose | None
    ) -> None:
        """Decisions about one customer, at a close or by an act."""
        for decision in said:
            if decision.kind == "tier":
                self._tier(slot, table, decision, evidence, at)
                self.counts.add("tier_changes")
            else:
                self._other(slot, table, decision, evidence, at)
                self.counts.add("decisions")

    def _head(self, slot: int, table: ClassTable, said: Decision, at: DayClose | None) -> dict[str, Any]:
        program = table.program
        return {
            "customer_id": self.publisher.ledger.customer_id(slot), "customer_class": table.policy.customer_class,
            "reason": said.reason, "effective_date": said.effective, "pack_id": program.pack_id,
            "pack_version": program.version,
            "business_day": None if at is None or said.reason == "continuous" else at.day,
            "caused_by": said.caused_by or None,
        }  # fmt: skip

    def _other(
        self, slot: int, table: ClassTable, said: Decision, evidence: Evidence | None, at: DayClose | None
    ) -> None:  # fmt: skip
        head = self._head(slot, table, said, at)
        close = self.publisher.close_name(said.day)
        cause = close if said.kind == "restated" else said.caused_by or close
        cause += f"/{said.evidence['service']}" if said.kind == "service" else ""
        names = {
            "event_id": f"{head['customer_id']}/{said.kind}/{table.program.pack_id}/{cause}/{said.reason}",
            "kind": said.kind, "day": said.day, "before": said.before, "after": said.after,
            "evidence": dict(said.evidence) | (looked_at(evidence) if evidence and said.kind in WITH_VALUES else {}),
        }  # fmt: skip
        self.publisher.put("decisions", head["customer_id"], head | names)

    def _tier(
        self, slot: int, table: ClassTable, said: Decision, evidence: Evidence | None, at: DayClose | None
    ) -> None:  # fmt: skip
        head, policy = self._head(slot, table, said, at), table.policy
        assert said.before is not None
        assert said.after is not None
        up = policy.level(said.after) >= self._level(table, said)
        cause, corrects = said.caused_by, None
        if said.reason == "restated":
            corrects, cause, head["caused_by"] = said.caused_by, "", None
        cause = cause or f"{self.publisher.close_name(said.day)}{'' if said.reason == 'close' else '/' + said.reason}"
        cause += "/continuous" if said.reason == "continuous" else ""
        if said.reason == "pending":  # its evidence stands in the decision that has told it
            kind, why = said.evidence["told"].split("/")
            decided = self.publisher.close_name(int(said.evidence["decided"]))
            head["caused_by"] = f"{head['customer_id']}/{kind}/{table.program.pack_id}/{decided}/{why}"
            evidence = None
        record = head | {
            "event_id": f"{head['customer_id']}/tier/{table.program.pack_id}/{cause}",
            "from_tier": said.before, "to_tier": said.after, "direction": "up" if up else "down",
            "metrics": [] if evidence is None else self._known(
                "metrics", _metrics(evidence, said.day if at is None else at.day)),
            "thresholds": [] if evidence is None else self._known(
                "thresholds", thresholds_of(table, evidence.columns)),
            "cut": [] if at is None else self.publisher.cut(at),
            "corrects": corrects,
        }  # fmt: skip
        self.publisher.put("tier-changes", head["customer_id"], record)

    def _known(self, field: str, parts: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
        """The parts of a list without what the version that is written has no field for."""
        told = self._told[field]
        return [{name: value for name, value in part.items() if name in told} for part in parts]

    def _level(self, table: ClassTable, said: Decision) -> int:
        """The rank of the tier before, counted from the lowest: at a change of packs, in the pack of before."""
        known, before = table.policy, said.before or ""
        if said.reason == "policy" and self.before is not None:
            tables = (t for t in self.before.tables if t is not None)
            known = next((t.policy for t in tables if t.policy.customer_class == known.customer_class), known)
        return known.level(before) if any(tier.id == before for tier in known.tiers) else 0


def looked_at(evidence: Evidence) -> dict[str, str]:
    """The values that were looked at, exact: minor units, counts, or flags as 0 and 1; as a fraction where not whole.

    One that is not known is `unknown`.
    """
    found, row = {}, evidence.row
    for (metric, scope), column in evidence.columns.items():
        if column.texts is not None:
            found[metric] = column.texts[int(column.units[row])] or NOT_KNOWN
            continue
        units, nano = int(column.units[row]), 0 if column.nano is None else int(column.nano[row])
        whole = nano == 0 and column.divisor == 1
        name = metric if scope is None else f"{metric}({scope})"
        found[name] = str(units) if whole else f"{units * NANO + nano}/{column.divisor * NANO}"
        if column.scale is not None:
            found[name] = str(Fraction(units, column.divisor * 10**column.scale))
        if column.unknown is not None and column.unknown[row]:
            found[name] = NOT_KNOWN
    return found


def _metrics(evidence: Evidence, day: int) -> Iterator[dict[str, Any]]:
    """The values that were looked at, exact and rounded."""
    day = day if evidence.as_of is None else evidence.as_of
    for key, column in evidence.columns.items():
        yield metric_value(key, column, evidence.row, period_of(key[0], day))
