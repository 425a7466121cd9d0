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
from policies.model import Evaluation
from policies.several import ClassTable, in_branch
from streams.calendar import NO_DAY, date_of, month_start
from streams.ledger import Ledger
from streams.metrics import NAMES, periods
from streams.money import NANO

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
            if table is None or (step := step_of(table.policy.evaluation)) is None:
                continue
            last = opened - 1 - opened % step  # the month whose close decided last
            name, own = table.policy.customer_class, table.pack.supplement
            key = name if own is None else in_branch(name, own.branch)
            for month in range(max(since, first_months[name], first_months.get(key, NO_DAY)), last + 1):
                if (month + 1) % step == 0:
                    count += self._month(at, slot, table, month, opened)
        return count

    def _month(self, at: Close, slot: int, table: ClassTable, month: int, opened: int) -> int:
        then = self._then(table, slot, month)
        if then is None or then.held or then.differs is None:
            return 0
        ids = table.program.tier_ids
        before, now = (ids[int(table.program.evaluate(columns)[0][0])] for columns in (then.before, then.now))
        key = then.differs
        self.publisher.restated(slot, at.day, month, key, (then.before[key], then.now[key]), (before, now))
        if table.policy.evaluation.restatement != "record_only" and self._decided_last(slot, table, month, now, opened):
            self._correct(at, slot, table, month, now, then)
        return 1

    def _decided_last(self, slot: int, table: ClassTable, month: int, now: str, opened: int) -> bool:
        """Whether the month's close is the last at which the tier could go the way that it would go now."""
        policy, state = table.policy, self.life.state(slot, table)
        higher = policy.level(now) >= policy.level(state.official)
        when = policy.evaluation.upgrades if higher else policy.evaluation.downgrades
        step = STEPS.get(when, None if when in ("day", "continuous") else step_of(policy.evaluation))
        return step is not None and month == opened - 1 - opened % step

    def _correct(self, at: Close, slot: int, table: ClassTable, month: int, now: str, then: _Then) -> None:
        """The tier follows where the pack says so; the event names the decision that it corrects."""
        end = int(month_start(month + 1)) - 1
        corrects = f"{self.ledger.customer_id(slot)}/tier/{table.program.pack_id}/{date_of(end)}"
        before = self.life.state(slot, table)
        after, said = lifecycle.restate(table.policy, before, at.day, now, corrects)
        self.life.put(slot, table, before, after, said)
        self.life.sink.one(slot, table, said, Evidence(then.now, 0, end), at)

    def _then(self, table: ClassTable, slot: int, month: int) -> _Then | None:
        """None where a metric's days are not held any more. Facts and profiles are as they are known now."""
        values: dict[Key, tuple[Column, Column]] = {}
        end, held = int(month_start(month + 1)) - 1, False
        for key in table.program.needs:
            name, scope = key
            if scope is None:
                known = Column(self.life.facts.column(name, np.array([slot]), end))
                values[key] = known, known
                continue
            mask = self.ledger.scope_of(sorted(table.pack.scopes[scope]))
            months = list(months_of(name, month))
            found = self._months(mask, slot, months) if months else self._days(mask, slot, name, end)
            if found is None:
                return None
            values[key], missing = found[:2], found[2]
            held |= missing
        differs = next((key for key, (was, now) in values.items() if _exact(was) != _exact(now)), None)
        return _Then({k: v[0] for k, v in values.items()}, {k: v[1] for k, v in values.items()}, differs, held)

    def _months(self, mask: int, slot: int, months: list[int]) -> tuple[Column, Column, bool] | None:
        """An average of whole months, from their sums: as the last close had it, now, and whether a rate is missing."""
        if months[0] < self.ledger.held_since():
            return None
        found = self.ledger.restated(mask, slot, months)
        days = int(month_start(months[-1] + 1)) - int(month_start(months[0]))
        return _one(found.before, days), _one(found.now, days), found.held

    def _days(self, mask: int, slot: int, name: str, end: int) -> tuple[Column, Column, bool] | None:
        """Any other metric of balances as of the month's last day, from the days that are held."""
        place = NAMES.index(name.replace("[", "_").replace("]", ""))
        first, last = periods(end)[place].tolist()
        if first < self.ledger.days_since():
            return None
        found = self.ledger.metrics(mask, end, np.array([slot]))
        now = int(found.units[0, place]) * NANO + int(found.nano[0, place])
        before = now - self.ledger.late_sum(mask, slot, first, last)
        days = int(found.days[place])
        return _one(divmod(before, NANO), days), _one(divmod(now, NANO), days), bool(found.held[0, place])


def step_of(evaluation: Evaluation) -> int | None:
    """Months between two closes that may move a tier; None where every day decides anew, so that none needs correcting."""
    if evaluation.close in STEPS:
        return STEPS[evaluation.close]
    return min((STEPS[when] for when in (evaluation.upgrades, evaluation.downgrades) if when in STEPS), default=None)


def months_of(metric: str, month: int) -> Iterator[int]:
    """The months whose days a metric averages at the close of `month`, oldest first; none for other metrics."""
    if found := MONTH_AVG.fullmatch(metric):
        yield month - int(found[1])
    elif metric in ("quarter_avg", "year_avg"):
        yield from range(month - (2 if metric == "quarter_avg" else 11), month + 1)


def _one(value: tuple[int, int], days: int) -> Column:
    return Column(np.array([value[0]], np.int64), np.array([value[1]], np.int64), days)


def _exact(column: Column) -> tuple[int, int]:
    return int(column.units[0]), 0 if column.nano is None else int(column.nano[0])
