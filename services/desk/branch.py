"""What the page of a branch asks of the read model: its customers as a whole, and its month.

Sums are exact: whole minor units, of any size. Every list has an end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from services.desk.queries import CASE_IS_OPEN, LAST_STEP, SEVERITY_ORDER, STEPS_OF_CASE, DeskRow, selected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.readmodel.reader import ReadModel

MOVEMENTS_MAX: Final = 20
OVERDUE_MAX: Final = 50
MIGRATIONS_MAX: Final = 100
_TIERS_MAX: Final = 200
LARGEST: Final = 10
"""So many customers are the largest ones, whose share is the concentration."""

BASIS_POINTS: Final = 10_000

OF_CHANGES: Final = "FROM readmodel.customers JOIN readmodel.tier_changes USING (customer_id)"
"""Changes of tier by whose they are: a branch's are found by its customers, not among those of the whole bank."""

OF_ALL: Final = "FROM readmodel.customers AS c JOIN readmodel.standings AS s USING (customer_id)"
"""Customers with their standings: c and s."""

# Records of before TIDEGAUGE_CONTRACTS=2 say neither who answers a case nor to how high it was told: its steps do.
_WAITING: Final = (
    f"coalesce(k.attention, CASE WHEN {LAST_STEP} IN ('acknowledged', 'snoozed') THEN 'answered' ELSE 'waiting' END)"
    " = 'waiting'"
)
_LEVEL: Final = f"coalesce(k.level, (SELECT count(*) {STEPS_OF_CASE} = 'escalated'))"
_OVERDUE: Final = f"{_WAITING} AND {_LEVEL} > 0"
_OPEN_CASES: Final = f"FROM readmodel.cases AS k JOIN readmodel.customers AS c USING (customer_id) WHERE {CASE_IS_OPEN}"
# A customer whose last close lies behind has older months in the same places: the place is counted from his own close.
_MONTHS: Final = (
    "(extract(year FROM s.as_of + 1) * 12 + extract(month FROM s.as_of + 1)"
    " - extract(year FROM %(month)s::date) * 12 - extract(month FROM %(month)s::date))::integer"
)
MONTH_AVERAGE: Final = f"s.month_avgs_minor[{_MONTHS}]"
"""Of a month that has ended, by its first day as `month`; null where it is not known."""

AVERAGE_BEFORE: Final = f"s.month_avgs_minor[{_MONTHS} + 1]"
"""Of the month before that one."""

_MOVED: Final = f"{MONTH_AVERAGE}::numeric - {AVERAGE_BEFORE}"
_BRANCH: Final = {
    "tiers": f"SELECT s.pack_id, s.tier, s.currency, count(*) AS customers, count(s.aum_minor) AS known,"
    f" sum(s.aum_minor) AS aum_minor {OF_ALL} GROUP BY s.pack_id, s.tier, s.currency LIMIT %(tiers)s",
    # Net of each customer, who counts once however often he has moved.
    "migrations": "SELECT pack_id, from_tier, to_tier, count(*) AS customers FROM (SELECT customer_id,"
    " (array_agg(pack_id ORDER BY effective_date DESC, position DESC))[1] AS pack_id,"
    " (array_agg(from_tier ORDER BY effective_date, position))[1] AS from_tier,"
    " (array_agg(to_tier ORDER BY effective_date DESC, position DESC))[1] AS to_tier"
    f" {OF_CHANGES} WHERE effective_date >= %(running)s::date AND effective_date < %(running)s::date + interval '1 month'"
    " GROUP BY customer_id) AS moved WHERE from_tier <> to_tier GROUP BY pack_id, from_tier, to_tier"
    " ORDER BY customers DESC, pack_id, from_tier, to_tier LIMIT %(migrations)s",
    "largest": "SELECT currency, sum(aum_minor) AS whole_minor,"
    " sum(aum_minor) FILTER (WHERE place <= %(largest)s) AS largest_minor, count(*) AS customers FROM (SELECT s.currency,"
    " s.aum_minor, row_number() OVER (PARTITION BY s.currency ORDER BY s.aum_minor DESC, s.customer_ref) AS place"
    f" {OF_ALL} WHERE s.aum_minor > 0) AS held GROUP BY currency ORDER BY currency",
    "cases": f"SELECT k.severity, count(*) AS open, count(*) FILTER (WHERE {_OVERDUE}) AS overdue {_OPEN_CASES}"
    f" GROUP BY k.severity ORDER BY {SEVERITY_ORDER} NULLS LAST LIMIT %(tiers)s",
    "overdue": f"SELECT k.kind, k.severity, k.raised_day, {_LEVEL} AS level, k.rm_id, customer_id, c.unit,"
    " (SELECT s.customer_ref FROM readmodel.standings AS s WHERE s.customer_id = k.customer_id) AS customer_ref"
    f" {_OPEN_CASES} AND {_OVERDUE} ORDER BY level DESC, {SEVERITY_ORDER} NULLS LAST, k.raised_day, k.position"
    " LIMIT %(overdue)s",
    "movements": "SELECT customer_id, c.rm_id, c.unit, s.customer_ref, s.pack_id, s.tier, s.currency,"
    f" {AVERAGE_BEFORE} AS before_minor, {MONTH_AVERAGE} AS after_minor, {_MOVED} AS moved_minor {OF_ALL}"
    f" WHERE {MONTH_AVERAGE} <> {AVERAGE_BEFORE} ORDER BY abs({_MOVED}) DESC, s.customer_ref LIMIT %(movements)s",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class BranchMonth:
    """Units as a whole, as of their last close. Amounts are minor units.

    running: the first day of the month in which the day behind that close lies, of which `migrations` are. month: the first
    day of the one before, the last that has ended, of which `movements` are. tiers: customers and AUM by tier. largest: by
    currency, AUM of all who have any, and of the largest ones. cases: open and overdue ones by severity. overdue: cases that
    nobody has taken on in time.
    """

    as_of: date
    running: date
    month: date
    tiers: list[DeskRow]
    migrations: list[DeskRow]
    largest: list[DeskRow]
    cases: list[DeskRow]
    overdue: list[DeskRow]
    movements: list[DeskRow]


@dataclass(frozen=True, slots=True)
class BranchQueries:
    """Each is a transaction of its own, for the units given. psycopg.Error."""

    model: ReadModel

    def branch(self, units: Sequence[str]) -> BranchMonth | None:
        """These units as a whole; None where they have no customer with a standing."""
        with self.model.reading(units) as cursor:
            as_of = selected(cursor, f"SELECT max(s.as_of) AS day {OF_ALL}", {})[0]["day"]
            if as_of is None:
                return None
            running = first_of_month(as_of + timedelta(days=1))
            month = month_before(running)
            given = {
                "running": running, "month": month, "largest": LARGEST, "movements": MOVEMENTS_MAX,
                "overdue": OVERDUE_MAX, "migrations": MIGRATIONS_MAX, "tiers": _TIERS_MAX,
            }  # fmt: skip
            found = {name: whole_numbers(selected(cursor, text, given)) for name, text in _BRANCH.items()}
        return BranchMonth(as_of, running, month, **found)


def first_of_month(day: date) -> date:
    """The first day of a day's month."""
    return day.replace(day=1)


def month_before(first: date) -> date:
    """The first day of the month before one."""
    return first_of_month(first - timedelta(days=1))


def share_bp(part: int, whole: int) -> int | None:
    """A share in basis points, rounded down; None of nothing."""
    return BASIS_POINTS * part // whole if whole > 0 else None


def whole_numbers(rows: list[DeskRow]) -> list[DeskRow]:
    """Sums and differences, which come as decimals, as whole numbers."""
    return [{name: int(one) if isinstance(one, Decimal) else one for name, one in row.items()} for row in rows]
