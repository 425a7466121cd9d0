"""The demo's last act: every figure is computed again by SQL from the raw events, and compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import yaml

from agents.standing.publish.standings import standing_figures
from streams.calendar import date_of, day_of
from streams.vocabulary.terms import EXTERNAL
from tidegauge.demo import oracle
from tidegauge.demo.tables import known, sent_table

if TYPE_CHECKING:
    import duckdb

    from tidegauge.demo.watch import TopicWatch

LOWEST: Final = 0
_Row = tuple[Any, ...]


@dataclass(slots=True)
class Finding:
    """The result of one check: a text's name with its values, and the differences; none is good."""

    text: str
    values: dict[str, Any]
    differences: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Scheme:
    """The pack's numbers, read from its file without the product's loader. Minor units; tiers lowest first."""

    tiers: tuple[str, ...]
    minimums: tuple[int, ...]
    single: Mapping[str, int]  # tier -> least amount of a single large outflow

    @classmethod
    def read(cls, text: str) -> Scheme:
        """From the YAML of rolling-quarter-aum."""
        personal = yaml.safe_load(text)["classes"]["personal"]
        upper = [tier for tier in personal["tiers"] if "when" in tier]
        rule = next(rule for rule in personal["alerts"] if rule["id"] == "outflow-single")
        return cls(
            tuple(tier["id"] for tier in personal["tiers"]),
            tuple(_minor(tier["when"]["minimum"]) for tier in upper),
            {tier: _minor(amount) for tier, amount in rule["absolute"].items()},
        )

    def tier(self, total: int, divisor: int) -> str:
        """The tier of an exact average total / divisor."""
        return self.tiers[sum(total >= minimum * divisor for minimum in self.minimums)]


def _minor(amount: str) -> int:
    return int(Decimal(amount).scaleb(2))


@dataclass(slots=True)
class Decided:
    """What every month close should decide, by SQL: tiers by close, and the changes."""

    tiers: dict[int, dict[str, str]] = field(default_factory=dict)  # close -> customer -> tier from the next day on
    changes: set[tuple[str, str, str, int]] = field(default_factory=set)  # customer, from, to, first day

    def in_force(self, customer: str, day: int, lowest: str) -> str:
        """The tier of a customer on a day."""
        before = [close for close in self.tiers if close < day]
        return self.tiers[max(before)].get(customer, lowest) if before else lowest


class Answers:
    """The oracle's answers; each question is computed once."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
        self._metrics: dict[tuple[int, int], list[_Row]] = {}
        self._totals: dict[tuple[int, int], tuple[list[tuple[str, int | None]], int]] = {}

    def metrics(self, day: int, known_by: int) -> list[_Row]:
        """oracle.metrics as of a day from what had arrived by another."""
        if (day, known_by) not in self._metrics:
            known(self.con, known_by)
            self._metrics[day, known_by] = oracle.expected_metrics(self.con, date_of(day))
            self._totals[day, known_by] = oracle.quarter_sums(self.con, date_of(day))
        return self._metrics[day, known_by]

    def quarter_sums(self, day: int, known_by: int) -> tuple[list[tuple[str, int | None]], int]:
        """oracle.quarter_sums likewise."""
        self.metrics(day, known_by)
        return self._totals[day, known_by]


def decide_tiers(answers: Answers, closes: Iterable[int], scheme: Scheme) -> Decided:
    """Official tiers at each month close, from what had arrived by then and nothing later."""
    decided = Decided()
    before: dict[str, str] = {}
    for close in closes:
        totals, divisor = answers.quarter_sums(close, close)
        after = dict(before)
        for customer, total in totals:
            if total is not None:
                after[customer] = scheme.tier(total, divisor)
            old = before.get(customer, scheme.tiers[LOWEST])
            if after.get(customer, old) != old:
                decided.changes.add((customer, old, after[customer], close + 1))
        decided.tiers[close] = before = after
    return decided


def compare_standings(
    answers: Answers, day: int, last: int, ours: Iterable[_Row], decided: Decided, scheme: Scheme
) -> Finding:
    """Standings of the live system (agents.offline.standings.STANDING_COLUMNS) against SQL over everything sent."""
    expected = {row[0]: row for row in answers.metrics(day, last)}
    found = {row[0]: tuple(row) for row in ours}
    differences = []
    for customer in sorted(expected.keys() | found.keys()):
        right, seen = expected.get(customer), found.get(customer)
        if right is None or seen is None:
            differences.append(f"{customer}: {'not in the SQL result' if right is None else 'missing'}")
            continue
        tier = decided.in_force(customer, day, scheme.tiers[LOWEST])
        differences += _unequal(customer, (*oracle.ORACLE_COLUMNS, "tier"), seen, (*right, tier))
    values = {"n": len(found), "day": date_of(day), "figures": len(expected) * len(oracle.ORACLE_COLUMNS)}
    return Finding("standings", values, differences)


def compare_published(answers: Answers, last: int, published: Mapping[str, dict[str, Any]]) -> Finding:
    """The records of the topic standings at the last close against SQL over everything sent."""
    expected = {row[0]: row for row in answers.metrics(last, last)}
    differences = []
    for customer, right in expected.items():
        record = published.get(customer)
        if record is None or record["as_of"] != last:
            differences.append(f"{customer}: no standing of {date_of(last)} was published")
        else:
            differences += _unequal(customer, oracle.ORACLE_COLUMNS, _flat(record), right)
    return Finding("published", {"figures": len(expected) * (len(oracle.ORACLE_COLUMNS) - 1)}, differences)


def _flat(record: dict[str, Any]) -> _Row:
    """A standing's figures in the order of the oracle's columns."""
    found = standing_figures(record)
    return (record["customer_id"], *(found[column] for column in oracle.ORACLE_COLUMNS[1:]))


def _unequal(customer: str, names: Iterable[str], seen: _Row, right: _Row) -> Iterator[str]:
    for name, ours, theirs in zip(names, seen, right, strict=True):
        if ours != theirs:
            yield f"{customer}: {name} is {ours}, by SQL {theirs}"


def compare_changes(decided: Decided, records: list[dict[str, Any]]) -> Finding:
    """Every tier change that SQL finds is published once, and no other."""
    seen = Counter((r["customer_id"], r["from_tier"], r["to_tier"], r["effective_date"]) for r in records)
    differences = [f"{_change(c)}: missing" for c in sorted(decided.changes - seen.keys())]
    differences += [f"{_change(c)}: not by SQL" for c in sorted(seen.keys() - decided.changes)]
    differences += [f"{_change(c)}: {times} times" for c, times in sorted(seen.items()) if times > 1]
    return Finding("tier_changes", {"n": len(records), "months": len(decided.tiers)}, differences)


def _change(change: tuple[str, str, str, int]) -> str:
    customer, before, after, day = change
    return f"{customer}: {before} to {after} on {date_of(day)}"


def compare_singles(con: duckdb.DuckDBPyConnection, decided: Decided, scheme: Scheme, watch: TopicWatch) -> Finding:
    """Alerts of single large outflows: one a customer and booking day, where SQL finds such a debit."""
    debits = con.execute(
        f"""SELECT any_value(customer_id), -any_value(amount_minor), business_day(any_value(booked_at)), min(arrived)
            FROM {sent_table("transactions")}
            WHERE nature = 'external' AND amount_minor < 0 AND reverses IS NULL AND currency = 'CNY'
            GROUP BY event_id"""
    ).fetchall()
    expected = {
        (customer, day_of(day))
        for customer, amount, day, arrived in debits
        if amount >= scheme.single.get(decided.in_force(customer, arrived, scheme.tiers[LOWEST]), 1 << 62)
    }
    raised = [r for r in watch.records["rm-alerts"] if (r["rule"], r["status"]) == ("outflow-single", "raised")]
    seen = {(record["customer_id"], record["raised_day"]) for record in raised}
    differences = [f"{customer} on {date_of(day)}: no alert" for customer, day in sorted(expected - seen)]
    differences += [f"{customer} on {date_of(day)}: an alert too many" for customer, day in sorted(seen - expected)]
    return Finding("singles", {"n": len(raised)}, differences)


def internal_moves(con: duckdb.DuckDBPyConnection, watch: TopicWatch) -> Finding:
    """No alert comes from anything but a debit to the outside."""
    alerts = watch.records["rm-alerts"]
    natures = dict(
        con.execute(
            f"""SELECT event_id, CASE WHEN amount_minor < 0 THEN nature ELSE 'credit' END
                FROM {sent_table("transactions")}"""
        ).fetchall()
    )
    differences = [
        f"{alert['event_id']}: caused by {natures.get(alert['caused_by'], 'nothing that was sent')}"
        for alert in alerts
        if natures.get(alert["caused_by"]) != EXTERNAL
    ]
    return Finding("internal", {"n": len(alerts)}, differences)


def doubled(watch: TopicWatch) -> Finding:
    """No output is there twice, whatever happened to the worker."""
    ids: Counter[str] = Counter()
    for topic in ("tier-changes", "rm-alerts", "restatements"):
        ids.update(f"{topic} {record['event_id']}" for record in watch.records[topic])
    ids.update(f"queue-priority {r['customer_ref']}/{r['version']}" for r in watch.records["queue-priority"])
    total = ids.total() + watch.times_published.total()
    differences = [f"{name}: {times} times" for name, times in ids.items() if times > 1]
    differences += [
        f"standings {customer} as of {date_of(day)}: {times} times"
        for (customer, day), times in watch.times_published.items()
        if times > 1
    ]
    return Finding("doubled", {"n": total}, differences)


def dead_letters(watch: TopicWatch) -> Finding:
    """The simulated bank sends nothing that cannot be read."""
    letters = watch.records["dead-letters"]
    told = [f"{r['topic']}-{r['partition']} at {r['offset']}: {r['detail']}" for r in letters]
    return Finding("dead", {"n": len(letters)}, told)


def month_closes(first: int, last: int) -> list[int]:
    """Those of the days from `first` to `last` on which a month ends."""
    return [day for day in range(first, last + 1) if date_of(day + 1).day == 1]
