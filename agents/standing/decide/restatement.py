"""Closes of the past that would give other figures now (docs/tiers.md#restatement)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from agents.standing.decide.lifecycle.decider import LifecycleDecider
from agents.standing.decide.lifecycle.measures import Measures
from agents.standing.model import DayClose, Evidence
from agents.standing.publish.publisher import OutputPublisher
from policies.compiled.classes import ClassTable, in_branch
from policies.compiled.program import Column, from_metrics
from policies.lifecycle.leaving import MONTHS_OF
from policies.model.figures import AT_DAY_START, FACT_MONTHS_MAX, FLOW_MONTHS_MAX, Key, figure_period, series
from policies.model.pack import Evaluation
from streams.accounts.ledger import Ledger
from streams.accounts.store import Array
from streams.calendar import NO_DAY, month_of, month_start
from streams.money import NANO
from streams.vocabulary.metrics import INDEX, METRICS

_NONE = -1


class _Then(NamedTuple):
    """What n customers' metrics of a month's close were and are, and the first of them that differs."""

    before: dict[Key, Column]
    now: dict[Key, Column]
    differs: Array  # int64[n]: its place in the program's needs, _NONE
    held: Array  # bool[n]: a rate is missing


class Restatement:
    """Looks at customers whose closed months have changed since the last close."""

    def __init__(
        self, ledger: Ledger, lifecycle: LifecycleDecider, measures: Measures, publisher: OutputPublisher
    ) -> None:
        self.ledger, self.lifecycle, self.measures, self.publisher = ledger, lifecycle, measures, publisher

    def close(self, at: DayClose, late: Sequence[tuple[int, int]], opened: int, first_months: dict[str, int]) -> int:
        """Restates closes of months from the class's first one on, before `opened`; how many."""
        rows, tables, count = dict[int, list[int]](), dict[int, ClassTable](), 0
        for row, (slot, _) in enumerate(late):
            if (table := self.lifecycle.table(slot)) is not None:
                tables[id(table)] = table
                rows.setdefault(id(table), []).append(row)
        changed = np.array(late, np.int64).reshape(-1, 2)
        for which, table in tables.items():
            if (step := step_of(table.policy.evaluation)) is None:
                continue
            slots, since = changed[rows[which]].T
            last = opened - 1 - opened % step  # the month whose close decided last
            name, own = table.policy.customer_class, table.pack.supplement
            key = name if own is None else in_branch(name, own.branch)
            for month in range(max(int(since.min()), first_months[name], first_months.get(key, NO_DAY)), last + 1):
                if (month + 1) % step == 0:
                    count += self._month(at, slots[since <= month], table, month, opened)
        return count

    def _month(self, at: DayClose, slots: Array, table: ClassTable, month: int, opened: int) -> int:
        then = self._then(table, slots, month, opened)
        if then is None:
            return 0
        ids, differ = table.program.tier_ids, (then.differs != _NONE) & ~then.held
        before, now = (table.program.evaluate(columns)[0] for columns in (then.before, then.now))
        for place, key in enumerate(table.program.needs):
            if len(rows := np.flatnonzero(differ & (then.differs == place))):
                values, tiers = (then.before[key], then.now[key]), (before[rows], now[rows])
                self.publisher.restated(slots, rows, at.day, month, key[0], values, ids, tiers)
        if table.policy.evaluation.restatement != "record_only":
            told = table.program.with_told(then.now)
            for row in np.flatnonzero(differ).tolist():
                last = self._decided_last(int(slots[row]), table, month, ids[int(now[row])], opened)
                if last or self._set_going(int(slots[row]), table, month):
                    found = Evidence(told, row, _end(month))
                    self._correct(at, int(slots[row]), table, ids[int(now[row])], found, last=last)
        return int(differ.sum())

    def _decided_last(self, slot: int, table: ClassTable, month: int, now: str, opened: int) -> bool:
        """Whether the month's close is the last at which the tier could go the way that it would go now."""
        policy, state = table.policy, self.lifecycle.state_of(slot, table)
        higher = policy.level(now) >= policy.level(state.official)
        when = policy.evaluation.upgrades if higher else policy.evaluation.downgrades
        step = MONTHS_OF.get(when, None if when in ("day", "continuous") else step_of(policy.evaluation))
        return step is not None and month == opened - 1 - opened % step

    def _set_going(self, slot: int, table: ClassTable, month: int) -> bool:
        """Whether the month's close has decided a change that is still to come."""
        waits = self.lifecycle.state_of(slot, table).pending
        return waits is not None and waits.decided == _end(month)

    def _correct(
        self, at: DayClose, slot: int, table: ClassTable, now: str, found: Evidence, *, last: bool
    ) -> None:  # fmt: skip
        """The tier follows where the pack says so; the event names the decision that it corrects."""
        assert found.as_of is not None
        close = self.publisher.close_name(found.as_of)
        corrects = f"{self.ledger.customer_id(slot)}/tier/{table.program.pack_id}/{close}"
        self.lifecycle.restate(table, slot, now, corrects, found, at, last=last)

    def _then(self, table: ClassTable, slots: Array, month: int, opened: int) -> _Then | None:
        """None without customers, and where a metric's days, or a figure's months, are not held any more.

        Facts and profiles are those known now.
        """
        before, now = dict[Key, Column](), dict[Key, Column]()
        end, held, differs = int(month_start(month + 1)) - 1, np.zeros(len(slots), np.bool_), np.full(len(slots), _NONE)
        for place, key in enumerate(table.program.needs if len(slots) else ()):
            name, scope = key
            if scope is None:
                if _is_gone(table, name, end, opened):
                    return None
                before[key] = now[key] = self.measures.fact(name, slots, end, table.pack.flows)
                continue
            mask = self.ledger.scope_of(sorted(table.pack.scopes[scope]))
            months = [] if name.endswith(AT_DAY_START) else list(months_of(name, month))
            found = self._months(mask, slots, months) if months else self._days(mask, slots, name, end)
            if found is None:
                return None
            before[key], now[key], missing = found
            held |= missing
            differs[(differs == _NONE) & _differ(before[key], now[key])] = place
        return _Then(before, now, differs, held) if now else None

    def _months(self, mask: int, slots: Array, months: list[int]) -> tuple[Column, Column, Array] | None:
        """Averages of whole months, from their sums: as the last close had them, now, and where a rate is missing."""
        if months[0] < self.ledger.held_since():
            return None
        found = self.ledger.restated(mask, slots, months[0], months[-1])
        days = int(month_start(months[-1] + 1)) - int(month_start(months[0]))
        return Column(*found.before, days), Column(*found.now, days), found.held

    def _days(self, mask: int, slots: Array, name: str, end: int) -> tuple[Column, Column, Array] | None:
        """Any other metric of balances as of the month's last day, from the days that are held."""
        first, last = figure_period(name, end) or METRICS[INDEX[name]].period(end)
        if first < self.ledger.days_since():
            return None
        if name.endswith(AT_DAY_START):
            now = self.measures.at_day_start(mask, slots, name, end)
        else:
            now = from_metrics(self.ledger.metrics(mask, end, slots), name, ((name, name),))[name, name]
        units, nano, days = now.units, now.nano, now.divisor
        assert nano is not None
        late = [divmod(self.ledger.late_sum(mask, slot, first, last), NANO) for slot in slots.tolist()]
        whole, part = np.array(late, np.int64).reshape(-1, 2).T
        before = Column(units - whole + (nano - part) // NANO, (nano - part) % NANO, days)
        return before, Column(units, nano, days), np.zeros(len(slots), np.bool_) if now.held is None else now.held


def _is_gone(table: ClassTable, name: str, end: int, opened: int) -> bool:
    """Whether a fact or flow by month looks, as of `end`, at a month that may be held no longer; `opened`: the open one."""
    by_month, looked_at = series(name), figure_period(name, end)
    if by_month is None or looked_at is None:
        return False
    most = FLOW_MONTHS_MAX if by_month.of in table.pack.flows else FACT_MONTHS_MAX
    return int(month_of(looked_at[0])) < opened - most


def _end(month: int) -> int:
    return int(month_start(month + 1)) - 1


def step_of(evaluation: Evaluation) -> int | None:
    """Months between two closes that may move a tier; None where every day decides, so that no close needs correcting."""
    if evaluation.close in MONTHS_OF:
        return MONTHS_OF[evaluation.close]
    return min(
        (MONTHS_OF[when] for when in (evaluation.upgrades, evaluation.downgrades) if when in MONTHS_OF), default=None
    )


def months_of(metric: str, month: int) -> Iterator[int]:
    """The months whose days a metric averages at the close of `month`, oldest first; none for other metrics."""
    known = METRICS[INDEX[metric]]
    if known.family.monthly:
        first, last = known.period(int(month_start(month + 1)) - 1)
        yield from range(int(month_of(first)), int(month_of(last)) + 1)


def _differ(one: Column, other: Column) -> Array:
    """bool[n]: which values are not the same; both have parts."""
    assert one.nano is not None
    assert other.nano is not None
    return np.asarray((one.units != other.units) | (one.nano != other.nano))
