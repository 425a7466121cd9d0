"""What must come out: standings and tiers of the Berka data by SQL, and what a replay without a broker publishes."""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

import policies.packs
from agents.offline.replay import Arrival, replay_arrivals
from agents.standing.job import StandingJob
from connectors.formats.events import DayEnd, Event
from deploy.settings import Settings
from schemas.codec.records import decode_one, encode
from streams.calendar import date_of, day_of
from tests.oracle import berka
from tidegauge.bootstrap import standing_conf
from tidegauge.demo import oracle
from tidegauge.demo.checks import Scheme, month_closes

SHIPPED = Path(policies.packs.__path__[0]) / "rolling-quarter-aum.yaml"
MINIMUMS = {"100000.00": "20000.00", "500000.00": "40000.00", "1000000.00": "60000.00", "6000000.00": "90000.00"}
FIRST = day_of(dt.date(1993, 1, 1))
CURRENCY = "CZK"
NOT_COMPARED = ("cut",)  # offsets: a replay has one partition
Rows = list[tuple[Any, ...]]


def low_pack(folder: Path) -> Path:
    """The shipped pack with minimums that customers of a small bank cross, up and down."""
    path = folder / "low.yaml"
    path.write_text(re.sub(r'(minimum: )"(\d+\.00)"', lambda m: f'{m[1]}"{MINIMUMS[m[2]]}"', SHIPPED.read_text()))
    return path


class Berka:
    """The Berka data in the SQL oracle, with the tiers of a pack decided at each month close from `first` on."""

    def __init__(self, folder: Path, pack: Path, last: int, first: int = FIRST) -> None:
        self.con, self.scheme = duckdb.connect(config={"threads": 2}), Scheme.read(pack.read_text())
        berka.load(self.con, folder)
        self.tiers: dict[int, dict[str, str]] = {}  # first day in force -> customer -> tier
        self.changes: set[tuple[str, str, str, int]] = set()  # customer, from, to, first day
        before: dict[str, str] = {}
        for close in month_closes(first, last):
            oracle.expected_metrics(self.con, date_of(close), CURRENCY)
            totals, divisor = oracle.quarter_sums(self.con, date_of(close))
            after = {customer: self.scheme.tier(total or 0, divisor) for customer, total in totals}
            for customer, tier in after.items():
                old = before.get(customer, self.scheme.tiers[0])
                if tier != old:
                    self.changes.add((customer, old, tier, close + 1))
            self.tiers[close + 1] = before = after

    def standings(self, day: dt.date) -> Rows:
        """As the product lists them: the oracle's columns and the tier in force on the day."""
        in_force = self.tiers[max(first for first in self.tiers if first <= day_of(day))]
        found = oracle.expected_metrics(self.con, day, CURRENCY)
        return [(*row, in_force.get(str(row[0]), self.scheme.tiers[0])) for row in found]


def published(
    settings: Settings, items: Iterable[Event | DayEnd], last: int
) -> tuple[dict[str, list[dict[str, Any]]], StandingJob]:
    """What the job publishes when it gets these items undisturbed, without a broker; and the job at the end."""
    conf, found = standing_conf(settings), defaultdict(list)

    def output(topic: str, _key: bytes | None, value: bytes | None) -> None:
        if topic in ("tier-changes", "restatements", "rm-alerts", "dead-letters"):
            found[topic].append(decode_one(value or b"", conf.registry, name=topic))

    arrivals = [Arrival(item.day, "", None) if isinstance(item, DayEnd) else Arrival(*item) for item in items]
    job = replay_arrivals(conf, arrivals, partial(encode, registry=conf.registry), last, None, output)
    return found, job


def by_id(records: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Records by event id, without what depends on the partitions."""
    return {r["event_id"]: {k: v for k, v in r.items() if k not in NOT_COMPARED} for r in records}
