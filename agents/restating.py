"""Closes of the past that would give another thing now: on record always, and for the tier as the pack says (design §5)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from agents.lanes import Close
from agents.lifecycle import Evidence, Lifecycle
from agents.publishing import Publisher
from policies import lifecycle
from policies.columns import Column, Key
from policies.several import ClassTable, in_branch
from streams.calendar import NO_DAY, date_of, month_start
from streams.ledger import Ledger
from streams.store import Array

STEPS = {"month": 1, "quarter": 3, "year": 12}  # months from one evaluation to the next
MONTH_AVG = re.compile(r"month_avg\[(\d+)\]")


class _Then(NamedTuple):
    """What the metrics of a month's close were and are, and the first of them that differs."""

    before: dict[Key, Column]
    now: dict[Key, Column]
    differs: Key | None
    held: bool


class Restating:
    """Looks at customers whose closed months have changed since the last close."""

    def __init__(self, ledger: Ledger, life: Lifecycle, publisher: Publisher) -> None:
        self.ledger, self.life, self.publisher = ledger, life, publisher

    def close(self, at: Close, late: Sequence[tuple[int, int]], opened: int, first_months: dict[str, int]) -> int:
        """Restates closes of months from the class's first one on, before `opened`; how many."""
        count = 0
        for slot, since in late:
            table = self.life.table(slot)
            step = None if table is None else STEPS.get(table.policy.evaluation.close)
            if table is None or step is None:
                continue
            last = opened - 1 - opened % step  # the month whose close decided last
            name, own = table.policy.customer_class, table.pack.supplement
            key = name if own is None else in_branch(name, own.branch)
            for month in range(max(since, first_months[name], first_months.get(key, NO_DAY)), last + 1):
                if (month + 1) % step == 0:
                    count += self._month(at, slot, table, month, is_last=month == last)
        return count

    def _month(self, at: Close, slot: int, table: ClassTable, month: int, *, is_last: bool) -> int:
        then = self._then(table, slot, month, at.day)
        if then is None or then.held or then.differs is None:
            return 0
        ids = table.program.tier_ids
        before, now = (ids[int(table.program.evaluate(columns)[0][0])] for columns in (then.before, then.now))
        key = then.differs
        self.publisher.restated(slot, at.day, month, key, (then.before[key], then.now[key]), (before, now))
        if is_last and table.policy.evaluation.restatement != "record_only":
            self._correct(at, slot, table, month, now, then)
        return 1

    def _correct(self, at: Close, slot: int, table: ClassTable, month: int, now: str, then: _Then) -> None:
        """The tier follows where the pack says so; the event names the decision that it corrects."""
        end = int(month_start(month + 1)) - 1
        corrects = f"{self.ledger.customer_id(slot)}/tier/{table.program.pack_id}/{date_of(end)}"
        before = self.life.state(slot, table)
        after, said = lifecycle.restate(table.policy, before, at.day, now, corrects)
        self.life.put(slot, table, before, after, said)
        self.life.sink.one(slot, table, said, Evidence(then.now, 0, end), at)

    def _then(self, table: ClassTable, slot: int, month: int, day: int) -> _Then | None:
        """None where a metric is not made of months that are still held."""
        before: dict[Key, Column] = {}
        now: dict[Key, Column] = {}
        differs, held = None, False
        for key in table.program.needs:
            name, scope = key
            if scope is None:
                before[key] = now[key] = Column(self.life.facts.column(name, np.array([slot]), day))
                continue
            months = list(months_of(name, month))
            if not months or months[0] < self.ledger.held_since():
                return None
            mask = self.ledger.scope_of(sorted(table.pack.scopes[scope]))
            found = self.ledger.restated(mask, slot, months)
            days = int(month_start(months[-1] + 1)) - int(month_start(months[0]))
            before[key], now[key] = (Column(_one(v[0]), _one(v[1]), days) for v in (found.before, found.now))
            held |= found.held
            if differs is None and found.now != found.before:
                differs = key
        return _Then(before, now, differs, held)


def months_of(metric: str, month: int) -> Iterator[int]:
    """The months whose days a metric averages at the close of `month`, oldest first; none for other metrics."""
    if found := MONTH_AVG.fullmatch(metric):
        yield month - int(found[1])
    elif metric in ("quarter_avg", "year_avg"):
        yield from range(month - (2 if metric == "quarter_avg" else 11), month + 1)


def _one(value: int) -> Array:
    return np.array([value], np.int64)
