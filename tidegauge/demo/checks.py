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
from streams.vocabulary.terms import OUTFLOW
from tidegauge.demo import oracle
from tidegauge.demo.tables import known, sent_table

if TYPE_CHECKING:
    import duckdb

    from tidegauge.demo.watch import TopicWatch

LOWEST: Final = 0
BEFORE_DAYS: Final = 10  # at least the three working days of a single posting's rule
CASE_DAYS, LIVE_DAYS = 95, 31  # the longest window with its edge; how far a fold between closes looks ahead
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
    single: Mapping[str, int]  # tier -> least amount of a single large outflow ...
    single_bp: Mapping[str, int]  # ... and its least share of what the customer had

    @classmethod
    def read(cls, text: str) -> Scheme:
        """From the YAML of rolling-quarter-aum."""
        personal = yaml.safe_load(text)["classes"]["personal"]
        upper = [tier for tier in personal["tiers"] if "when" in tier]
        rule = next(rule for rule in personal["alerts"] if rule["id"] == "outflow-single")
        return cls(
            tuple(tier["id"] for tier in personal["tiers"]),
            tuple(_minor(tier["when"]["minimum"]) for tier in upper),
            {tier: _minor(amount) for tier, amount in rule["share"]["floor"].items()},
            rule["share"]["basis_points"],
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
    """Every debit that took so much of what the customer had on any of the days before has a case. After Answers.metrics.

    Looked at are customers for whom the rule's words leave nothing to settle: no other currency, nothing late, nothing reversed,
    and no money that came in in the days before.
    """
    debits = con.execute(
        f"""WITH sent AS (
                SELECT any_value(customer_id) AS customer_id, any_value(amount_minor) AS amount, any_value(nature) AS nature,
                       business_day(any_value(booked_at)) AS day, any_value(value_date) AS valued,
                       DATE '1970-01-01' + min(arrived)::INTEGER AS arrived, any_value(currency) AS currency,
                       any_value(reverses) AS reverses
                FROM {sent_table("transactions")} WHERE journal_seq > 1 GROUP BY event_id),
            plain AS (
                SELECT customer_id FROM sent GROUP BY customer_id
                HAVING bool_and(currency = 'CNY' AND reverses IS NULL AND valued = day AND arrived = day))
            SELECT d.customer_id, d.day, -d.amount, max(h.aum) // 1000000000
            FROM sent d JOIN plain USING (customer_id)
            JOIN daily h ON h.customer_id = d.customer_id AND h.day >= d.day - {BEFORE_DAYS} AND h.day < d.day
            WHERE d.nature = 'external' AND d.amount < 0 AND NOT EXISTS (
                SELECT 1 FROM sent c WHERE c.customer_id = d.customer_id AND c.nature = 'external' AND c.amount > 0
                AND c.day BETWEEN d.day - {BEFORE_DAYS} AND d.day)
            GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    expected = [
        (customer, day_of(day)) for customer, day, amount, held in debits
        if _takes_much(scheme, decided.in_force(customer, day_of(day), scheme.tiers[LOWEST]), amount, held)
    ]  # fmt: skip
    raised: dict[str, list[int]] = {}
    for record in _raised(watch):
        raised.setdefault(record["customer_id"], []).append(record["raised_day"])
    differences = [
        f"{customer} on {date_of(day)}: no case"
        for customer, day in expected
        if not any(day - CASE_DAYS <= opened <= day for opened in raised.get(customer, ()))
    ]
    return Finding("singles", {"n": len(expected)}, differences)


def _takes_much(scheme: Scheme, tier: str, amount: int, held: int) -> bool:
    floor, share_bp = scheme.single.get(tier), scheme.single_bp.get(tier, 0)
    return floor is not None and held > 0 and amount >= floor and amount * 10_000 >= share_bp * held


def _raised(watch: TopicWatch) -> list[dict[str, Any]]:
    """Cases that have been raised."""
    return [
        record for record in watch.records["rm-alerts"] if (record["status"], record["kind"]) == ("raised", OUTFLOW)
    ]


def internal_moves(con: duckdb.DuckDBPyConnection, watch: TopicWatch) -> Finding:
    """No case tells of more than external debits took out of the bank around its opening."""
    debits: dict[str, list[tuple[int, int | None]]] = {}
    for customer, day, amount in con.execute(
        f"""SELECT any_value(customer_id), business_day(any_value(booked_at)),
                   CASE WHEN any_value(currency) = 'CNY' THEN -any_value(amount_minor) END
            FROM {sent_table("transactions")} WHERE nature = 'external' AND amount_minor < 0 GROUP BY event_id"""
    ).fetchall():
        debits.setdefault(customer, []).append((day_of(day), amount))
    raised, differences = _raised(watch), []
    for record in raised:
        opened, told = record["raised_day"], record["outflow_minor"]
        near = [
            a for day, a in debits.get(record["customer_id"], ()) if opened - CASE_DAYS <= day <= opened + LIVE_DAYS
        ]
        known = [amount for amount in near if amount is not None]  # of other currencies only that there are some
        if not near or (len(known) == len(near) and sum(known) < told):
            differences.append(f"{record['event_id']}: {told} told, {sum(known)} have left")
    return Finding("internal", {"n": len(raised)}, differences)


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
