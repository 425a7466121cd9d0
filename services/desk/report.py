"""The monthly report on VIPs (R-017): who is one, who has come and gone, and what the bank rules ask for in a year.

A customer's tier of a day is the one before his first change behind that day; without one it is today's. So a report of a
month that has ended stays as it is, whatever changes later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from services.desk.branch import (
    AVERAGE_BEFORE,
    MONTH_AVERAGE,
    OF_ALL,
    OF_CHANGES,
    first_of_month,
    month_before,
    whole_numbers,
)
from services.desk.measures import VipLoss
from services.desk.queries import CASE_IS_OPEN, DeskRow, selected
from services.desk.schemes import TierKey

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from services.desk.schemes import Schemes
    from services.readmodel.reader import ReadModel

REPORT_MONTHS: Final = 12
"""So many months that have ended can be asked for: averages are known of one more."""

REPORT_ROWS_MAX: Final = 500
MANAGERS_MAX: Final = 500
_GROUPS_MAX: Final = 20_000
_END, _BEFORE, _YEAR, _OLDER = "end", "before", "year", "older"
_DAYS: Final = (_END, _BEFORE, _YEAR, _OLDER)
_FIRST_AFTER: Final = ", ".join(
    f"after_{day} AS (SELECT DISTINCT ON (customer_id) customer_id, pack_id, from_tier {OF_CHANGES}"
    f" WHERE effective_date > %({day})s::date ORDER BY customer_id, effective_date, position)"
    for day in _DAYS
)
_TIERS: Final = ", ".join(
    f"coalesce(after_{day}.pack_id, s.pack_id) AS pack_{day},"
    f" CASE WHEN coalesce(c.relationship_since <= %({day})s::date, true)"
    f" THEN coalesce(after_{day}.from_tier, s.tier) END AS tier_{day}"
    for day in _DAYS
)
_PEOPLE: Final = (
    f"WITH {_FIRST_AFTER}, people AS (SELECT customer_id, c.unit, c.rm_id, s.customer_ref, s.currency, s.as_of, {_TIERS},"
    f" {AVERAGE_BEFORE} AS before_minor, {MONTH_AVERAGE} AS after_minor {OF_ALL}"
    + "".join(f" LEFT JOIN after_{day} USING (customer_id)" for day in _DAYS)
    + ")"
)
_KEYS: Final = ", ".join(f"pack_{day}, tier_{day}" for day in _DAYS)
_GROUPS: Final = (
    f"{_PEOPLE} SELECT {_KEYS}, currency, count(*) AS customers, sum(after_minor) AS aum_minor,"
    " count(*) FILTER (WHERE as_of < %(end)s::date) AS waiting FROM people"
    f" GROUP BY {_KEYS}, currency LIMIT %(groups)s"
)
_VIPS: Final = "(SELECT * FROM unnest(%(packs)s::text[], %(tiers)s::text[]))"
_ROWS: Final = (
    f"{_PEOPLE} SELECT customer_id, unit, rm_id, customer_ref, currency, pack_end, tier_end, pack_before, tier_before,"
    f" before_minor, after_minor, (SELECT count(*) FROM readmodel.cases AS k WHERE k.customer_id = people.customer_id AND"
    f" {CASE_IS_OPEN}) AS open_cases FROM people WHERE (pack_end, tier_end) IN {_VIPS} OR (pack_before, tier_before) IN"
    f" {_VIPS} ORDER BY after_minor DESC NULLS LAST, customer_ref LIMIT %(rows)s"
)
_MANAGERS: Final = (
    "SELECT c.rm_id, count(*) AS customers FROM readmodel.customers AS c WHERE c.rm_id IS NOT NULL GROUP BY c.rm_id"
    " ORDER BY c.rm_id LIMIT %(managers)s"
)


@dataclass(frozen=True, slots=True)
class VipReport:
    """A month of units. Amounts are minor units, averages of the month.

    waiting: customers whose close of the month has not come yet. tiers: VIPs at the month's end by tier. vips, gained, lost:
    at its end; since the month before. new: VIPs who were none a year before. golds, golds_before: gold and above, now and a
    year before, None where no pack says what that is. churn, churn_before: of the year and of the one before. rows: VIPs of
    the end or of the month before; more: there are others. managers: customers by manager, as of now; one more
    than MANAGERS_MAX says that there are others.
    """

    month: date
    end: date
    waiting: int
    customers: int
    tiers: list[DeskRow]
    vips: int
    gained: int
    lost: int
    new: int
    golds: int | None
    golds_before: int | None
    churn: VipLoss
    churn_before: VipLoss
    rows: list[DeskRow]
    more: bool
    managers: list[DeskRow]


@dataclass(frozen=True, slots=True)
class ReportQueries:
    """Each is a transaction of its own, for the units given. psycopg.Error."""

    model: ReadModel
    schemes: Schemes

    def months(self, units: Sequence[str]) -> list[date]:
        """The months that can be asked for, by their first days, the newest first; none where nothing is known."""
        with self.model.reading(units) as cursor:
            as_of = selected(cursor, f"SELECT max(s.as_of) AS day {OF_ALL}", {})[0]["day"]
        found: list[date] = []
        while as_of is not None and len(found) < REPORT_MONTHS:
            found.append(month_before(found[-1] if found else first_of_month(as_of + timedelta(days=1))))
        return found

    def report(self, units: Sequence[str], month: date, rows_max: int = REPORT_ROWS_MAX) -> VipReport:
        """Of a month that has ended, by its first day."""
        end = first_of_month(month + timedelta(days=31)) - timedelta(days=1)
        vips = sorted(self.schemes.vips)
        given = {
            "month": month, _END: end, _BEFORE: month - timedelta(days=1), _YEAR: _years_before(end, 1),
            _OLDER: _years_before(end, 2), "packs": [pack for pack, _ in vips], "tiers": [tier for _, tier in vips],
            "groups": _GROUPS_MAX, "rows": rows_max + 1, "managers": MANAGERS_MAX + 1,
        }  # fmt: skip
        with self.model.reading(units) as cursor:
            groups = whole_numbers(selected(cursor, _GROUPS, given))
            rows = selected(cursor, _ROWS, given)
            managers = selected(cursor, _MANAGERS, given)
        tally = _Tally(groups, self.schemes)
        return VipReport(
            month, end, sum(one["waiting"] for one in groups), tally.count(_END), tally.tiers(),
            **tally.figures(), rows=rows[:rows_max], more=len(rows) > rows_max, managers=managers,
        )  # fmt: skip


class _Tally:
    """Counts of groups of customers who were the same at each of the days."""

    def __init__(self, groups: list[DeskRow], schemes: Schemes) -> None:
        self.groups, self.vips, self.golds = groups, schemes.vips, schemes.golds

    def count(self, day: str, keys: Collection[TierKey] | None = None) -> int:
        """Customers of a day; with keys those of these tiers."""
        return self._sum(lambda one: one[f"tier_{day}"] is not None and (keys is None or _key(one, day) in keys))

    def tiers(self) -> list[DeskRow]:
        """VIPs at the end by tier and currency; the sum of averages that are known, None where none is."""
        found: dict[tuple[str, str, str], DeskRow] = {}
        for one in self.groups:
            if _key(one, _END) in self.vips:
                pack_id, tier = _key(one, _END)
                row = found.setdefault(
                    (pack_id, tier, one["currency"]),
                    {"pack_id": pack_id, "tier": tier, "currency": one["currency"], "customers": 0, "aum_minor": None},
                )
                row["customers"] += one["customers"]
                if one["aum_minor"] is not None:
                    row["aum_minor"] = (row["aum_minor"] or 0) + one["aum_minor"]
        return list(found.values())

    def figures(self) -> dict[str, Any]:
        """The counts of a report."""
        known = bool(self.golds)
        return {
            "vips": self.count(_END, self.vips), "gained": self._turned(_BEFORE, _END), "lost": self._turned(_END, _BEFORE),
            "new": self._turned(_YEAR, _END), "golds": self.count(_END, self.golds) if known else None,
            "golds_before": self.count(_YEAR, self.golds) if known else None, "churn": self._churn(_YEAR, _END),
            "churn_before": self._churn(_OLDER, _YEAR),
        }  # fmt: skip

    def _churn(self, start: str, end: str) -> VipLoss:
        return VipLoss(self._turned(end, start), self.count(start, self.vips))

    def _turned(self, outside: str, inside: str) -> int:
        """Customers who are VIPs at the one day and not at the other."""
        return self._sum(lambda one: _key(one, inside) in self.vips and _key(one, outside) not in self.vips)

    def _sum(self, holds: Callable[[DeskRow], bool]) -> int:
        return sum(one["customers"] for one in self.groups if holds(one))


def _key(group: DeskRow, day: str) -> TierKey:
    return group[f"pack_{day}"], group[f"tier_{day}"]


def _years_before(end: date, years: int) -> date:
    """The last day of the same month, years before."""
    return first_of_month(date(end.year - years, end.month, 1) + timedelta(days=31)) - timedelta(days=1)
