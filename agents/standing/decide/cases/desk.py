"""What people make of a partition's open cases, and the acts on them, applied at their place in the log.

A case belongs to its kind, which publishes its steps; the desk says whether an act fits, and what it changes. Rows go out in
the transaction of the step.
"""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass, field, replace
from typing import Any, Final, Protocol

import numpy as np

from agents.engine.job import Pair, Rows
from agents.standing.intake.facts import FAR
from agents.standing.intake.profiles import Profiles
from agents.standing.model import RowKey
from streams.accounts.ledger import Ledger
from streams.accounts.store import Array
from streams.alerts.acts import ENDED, ActRefusedError, CaseAct, CaseCare, answer
from streams.alerts.cases import LIVE_DAYS_MAX, NO_END
from streams.alerts.lifecycle import DEEPENED, RAISED
from streams.calendar import NO_DAY

CORRECTED: Final = "corrected"
ENDED_MAX: Final = 8  # cases remembered a customer: an act on one of them is told that it is closed
ACTS_SEEN_MAX: Final = 16  # remembered a customer: the same event again changes nothing


class CaseKind(Protocol):
    """Publishes the steps of the cases of a kind."""

    def acted(self, slot: int, care: CaseCare, act: CaseAct) -> None:
        """An act was applied: its step, or the end of the case."""

    def woke(self, slot: int, care: CaseCare, day: int) -> None:
        """The close of a day has ended a snooze."""


@dataclass(slots=True)
class Kept:
    """Of a customer. resolved: days at whose end an act has ended a case, until they are settled."""

    open: dict[str, CaseCare] = field(default_factory=dict)
    ended: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    resolved: tuple[int, ...] = ()


class CaseDesk:
    """See the module."""

    def __init__(self, ledger: Ledger, profiles: Profiles) -> None:
        self.ledger, self.profiles = ledger, profiles
        self.kinds: dict[str, CaseKind] = {}
        self._kept: dict[int, Kept] = {}
        self._snoozed: set[int] = set()  # slots with a case that sleeps
        self._resolved: set[int] = set()
        self._changed: set[int] = set()

    def _of(self, slot: int) -> Kept:
        self._changed.add(slot)
        return self._kept.setdefault(slot, Kept())

    # -- steps

    def told(self, slot: int, step: CaseCare, status: str) -> CaseCare:
        """Notes a step that is not of an act; `step` says what is new. What people make of the case from then on."""
        kept = self._of(slot)
        before = kept.open.get(step.case_id, step)
        if status in (RAISED, DEEPENED):
            after = before.told_again(step.step, step.day, step.gross)
        elif status == CORRECTED:
            after = replace(before, day=step.day, gross=step.gross)
        else:
            kept.open.pop(step.case_id, None)
            kept.ended = (*kept.ended, step.case_id)[-ENDED_MAX:]
            self._note(slot, kept)
            return replace(before, day=step.day, gross=step.gross, attention=ENDED, until=None)
        self._put(slot, kept, after)
        return after

    def _put(self, slot: int, kept: Kept, care: CaseCare) -> None:
        kept.open[care.case_id] = care
        self._note(slot, kept)

    def _note(self, slot: int, kept: Kept) -> None:
        sleeps = any(care.until is not None for care in kept.open.values())
        (self._snoozed.add if sleeps else self._snoozed.discard)(slot)
        (self._resolved.add if kept.resolved else self._resolved.discard)(slot)

    def drop(self, kind: str) -> None:
        """Cases of a kind are over without a step: no pack has rules for them."""
        for slot, kept in self._kept.items():
            if gone := [care.case_id for care in kept.open.values() if care.kind == kind]:
                for case_id in gone:
                    del kept.open[case_id]
                self._changed.add(slot)
                self._note(slot, kept)

    def forget(self, slot: int, case_id: str) -> None:
        """A case is over without a step: its rule is in no pack."""
        if (kept := self._kept.get(slot)) is not None and kept.open.pop(case_id, None) is not None:
            self._changed.add(slot)
            self._note(slot, kept)

    # -- acts

    def is_new(self, slot: int, event_id: str) -> bool:
        """Notes an act on a customer; False for one that was taken before."""
        kept = self._of(slot)
        if event_id in kept.seen:
            return False
        kept.seen = (*kept.seen, event_id)[-ACTS_SEEN_MAX:]
        return True

    def take(self, slot: int, act: CaseAct) -> str | None:
        """Applies an act: "", or the code of why it is refused; None for one that was taken before."""
        if not self.is_new(slot, act.event_id):
            return None
        kept = self._of(slot)
        case_id = act.said("case")
        if (care := kept.open.get(case_id)) is None:
            return "case_closed" if case_id in kept.ended else "unknown_case"
        closed = self.ledger.closed
        reach = FAR if closed == NO_DAY else closed + LIVE_DAYS_MAX
        try:
            after = answer(care, act, self.profiles.rm(slot), reach)
        except ActRefusedError as refused:
            return str(refused)
        self._put(slot, kept, after)
        self.kinds[care.kind].acted(slot, after, act)
        return ""

    def close(self, day: int) -> None:
        """The close of the last day of a snooze ends it."""
        for slot in sorted(self._snoozed):
            kept = self._of(slot)
            for care in [one for one in kept.open.values() if one.until is not None and one.until <= day]:
                self._put(slot, kept, care.awake())
                self.kinds[care.kind].woke(slot, care.awake(), day)

    # -- resolutions

    def resolve(self, slot: int, day: int) -> None:
        """A case that is open at the end of a day ends then."""
        kept = self._of(slot)
        kept.resolved = tuple(sorted({*kept.resolved, day}))
        self._note(slot, kept)

    def resolved_since(self, slot: int, day: int) -> bool:
        """Whether an act has ended a case on that day or later."""
        kept = self._kept.get(slot)
        return kept is not None and any(one >= day for one in kept.resolved)

    def resolved_slots(self) -> Array:
        """int64[n]: customers with a resolution that is not settled."""
        return np.array(sorted(self._resolved), np.int64)

    def resolved_days(self, slots: Array) -> Array:
        """int64[n, k]: of each of `slots` the days of resolutions, filled with NO_END."""
        days = {i: self._kept[slot].resolved for i, slot in enumerate(slots.tolist()) if slot in self._resolved}
        found = np.full((len(slots), max(map(len, days.values()), default=1)), NO_END, np.int64)
        for i, mine in days.items():
            found[i, : len(mine)] = mine
        return found

    def settle(self, day: int) -> None:
        """Resolutions up to a day are part of the anchors."""
        for slot in sorted(self._resolved):
            kept = self._kept[slot]
            if (left := tuple(one for one in kept.resolved if one > day)) != kept.resolved:
                kept.resolved = left
                self._changed.add(slot)
                self._note(slot, kept)

    # -- rows

    def take_rows(self) -> list[Pair]:
        """Rows of the customers changed since the last call, in order of their slots."""
        changed = sorted(self._changed)
        out: list[Pair] = [
            (RowKey.CASE_DESK + self.ledger.customer_id(slot).encode(), _row(self._kept[slot])) for slot in changed
        ]
        self._changed.clear()
        return out

    def load(self, rows: Rows) -> None:
        """Rows back; later ones count."""
        for key, value in rows:
            slot, saved = self.ledger.customer(key[len(RowKey.CASE_DESK) :].decode()), json.loads(value or b"")
            cares = (CaseCare(*one) for one in saved["open"])
            kept = Kept(
                {care.case_id: care for care in cares},
                tuple(saved["ended"]),
                tuple(saved["seen"]),
                tuple(saved["resolved"]),
            )
            self._kept[slot] = kept
            self._note(slot, kept)

    def state(self) -> dict[str, Kept]:
        """By customer, what is kept."""
        return {self.ledger.customer_id(slot): kept for slot, kept in self._kept.items()}


def care_fields(care: CaseCare, act: CaseAct | None) -> dict[str, Any]:
    """What a step says of people: fields of rm-alerts."""
    return {
        "told_step": care.step, "attention": care.attention, "snoozed_until": care.until, "level": care.level or None,
        "acted_by": act.by if act else None, "outcome": act.said("outcome") or None if act else None,
        "note": act.said("reason") or None if act else None,
    }  # fmt: skip


def _row(kept: Kept) -> bytes:
    row = {
        "open": [astuple(care) for care in kept.open.values()], "ended": kept.ended, "seen": kept.seen,
        "resolved": kept.resolved,
    }  # fmt: skip
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()
