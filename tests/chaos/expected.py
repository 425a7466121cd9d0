"""What must come out of a load, computed without the product: SQL for a small bank, plain sums for a large one.

The SQL is the oracle of the demo and of the integration tests; the sums take the load's columns, no state and no order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

import policies.packs
from agents.offline.standings import STANDING_COLUMNS
from bench.world.data import ACCOUNTS_EACH, CLOSED
from bench.world.sums import COMPARED, half_even
from streams.averages.metrics import QUARTER, periods
from streams.calendar import date_of
from streams.vocabulary.metrics import COLUMNS
from tests.chaos.load import Load, Timetable
from tidegauge.demo import oracle
from tidegauge.demo.checks import Scheme

SQL_CUSTOMERS_MAX = 4000
PACK = "rolling-quarter-aum.yaml"
Change = tuple[str, str, str, int]  # customer, from, to, first day


def scheme() -> Scheme:
    """The pack's numbers, read from its file without the product's loader."""
    from pathlib import Path

    return Scheme.read((Path(policies.packs.__path__[0]) / PACK).read_text())


def month_closes(load: Load) -> list[int]:
    """The closed days that end a month."""
    return [day for day in range(CLOSED, load.last + 1) if date_of(day + 1).day == 1]


class Columns:
    """The postings as arrays."""

    def __init__(self, timetable: Timetable) -> None:
        posted = timetable.posted
        self.customer = np.array(posted.account) // ACCOUNTS_EACH
        self.account, self.amount = np.array(posted.account), np.array(posted.amount)
        self.value_day, self.arrived = np.array(posted.value_day), np.array(posted.arrived)
        self.booked, self.event = np.array(posted.booked), np.array(posted.event)

    def total(self, customers: int, first: int, last: int, known_by: int) -> np.ndarray:
        """Sum over the days first..last of each customer's holdings, fen x days, from what had arrived by a day."""
        total = np.zeros(customers, np.int64)
        counted = np.clip(last - np.maximum(self.value_day, first) + 1, 0, None) * (self.arrived <= known_by)
        np.add.at(total, self.customer, self.amount * counted)
        return total


def customer_name(number: int) -> str:
    """Customer ids of the load."""
    return f"C{number:08d}"


def changes_by_sums(timetable: Timetable) -> set[Change]:
    """Tier changes of every month close; customers with snapshots only are left to the SQL."""
    load, columns, found = timetable.load, Columns(timetable), scheme()
    before = np.zeros(load.customers, np.int64)
    out: set[Change] = set()
    for close in month_closes(load):
        first, last = periods(close)[QUARTER].tolist()
        total = columns.total(load.customers, first, last, close)
        after = sum((total >= minimum * (last - first + 1)).astype(np.int64) for minimum in found.minimums)
        for number in np.flatnonzero(after != before).tolist():
            out.add((customer_name(number), found.tiers[before[number]], found.tiers[after[number]], close + 1))
        before = after
    return out


def differences_by_sums(timetable: Timetable, rows: Iterable[list[Any]]) -> list[str]:
    """Rows of standings as of the last day that differ from plain sums."""
    load, columns, as_of = timetable.load, Columns(timetable), timetable.load.last
    got = {row[0]: row for row in rows}
    wrong = []
    for metric in COMPARED:
        first, last = periods(as_of)[metric].tolist()
        want = half_even(columns.total(load.customers, first, last, as_of), last - first + 1)
        at = STANDING_COLUMNS.index(COLUMNS[metric])
        have = np.array([got[name][at] if (name := customer_name(n)) in got else -1 for n in range(load.customers)])
        wrong += [
            f"{customer_name(n)} {COLUMNS[metric]}: {have[n]} instead of {want[n]}"
            for n in np.flatnonzero(have != want).tolist()
        ]
    return wrong


class Sql:
    """The load in the oracle's tables."""

    def __init__(self, timetable: Timetable) -> None:
        self.con, self.load = duckdb.connect(config={"threads": 2}), timetable.load
        oracle.create_tables(self.con)
        columns = Columns(timetable)
        self.table = pa.table({
            "event": columns.event, "customer": columns.customer, "account": columns.account, "amount": columns.amount,
            "value_day": columns.value_day, "booked": columns.booked, "arrived": columns.arrived,
        })  # fmt: skip
        self.snapshots = [
            (s["customer_id"], s["account_id"], s["asset_class"], s["currency"], s["balance_minor"], s["cutoff_at"],
             date_of(int(s["business_day"])), s["version"], date_of(int(s["opened_on"])), s["event_id"], day)
            for s, day in zip(timetable.snapshots, timetable.arrived_snapshots, strict=True)
        ]  # fmt: skip

    def known(self, day: int) -> None:
        """Fill the tables with what had arrived by the end of a day."""
        for table in ("raw_postings", "raw_snapshots"):
            self.con.execute(f"DELETE FROM {table}")
        self.con.register("load", self.table)
        self.con.execute(
            """INSERT INTO raw_postings SELECT 'core', event, format('C{:08d}', customer), format('A{:09d}', account),
               'savings', 'CNY', amount, DATE '1970-01-01' + value_day::INTEGER, booked, false
               FROM load WHERE arrived <= ?""",
            [day],
        )
        rows = [row[:-1] for row in self.snapshots if row[-1] <= day]
        if rows:
            self.con.executemany("INSERT INTO raw_snapshots VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def changes(self) -> set[Change]:
        """Tier changes of every month close."""
        found, before, out = scheme(), dict[str, str](), set[Change]()
        for close in month_closes(self.load):
            self.known(close)
            oracle.expected_metrics(self.con, date_of(close))
            totals, divisor = oracle.quarter_sums(self.con, date_of(close))
            for customer, total in totals:
                tier, old = found.tier(total or 0, divisor), before.get(customer, found.tiers[0])
                if tier != old:
                    out.add((customer, old, tier, close + 1))
                before[customer] = tier
        return out

    def differences(self, rows: Iterable[list[Any]]) -> list[str]:
        """Rows of standings as of the last day that differ from the oracle in any column."""
        self.known(self.load.last)
        want = {row[0]: row for row in oracle.expected_metrics(self.con, date_of(self.load.last))}
        got = {row[0]: tuple(row[:-1]) for row in rows}
        wrong = [f"{name}: {got.get(name)} instead of {row}" for name, row in want.items() if got.get(name) != row]
        return wrong + [f"{name} is nobody's" for name in got.keys() - want.keys()]


def judge(timetable: Timetable, rows: list[list[Any]], changes: set[Change]) -> tuple[list[str], int]:
    """(what differs from the oracle in standings and tier changes, customers compared)."""
    if timetable.load.customers <= SQL_CUSTOMERS_MAX:
        sql = Sql(timetable)
        wrong, want = sql.differences(rows), sql.changes()
    else:
        wrong, want = differences_by_sums(timetable, rows), changes_by_sums(timetable)
        changes = {change for change in changes if change[0].startswith("C")}
    wrong += [f"tier change {change} is missing" for change in sorted(want - changes)]
    wrong += [f"tier change {change} is wrong" for change in sorted(changes - want)]
    return wrong, len(rows)
