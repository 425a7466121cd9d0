"""What is read to its end, part by part: in an order that does not move, so that nobody comes twice or is left out.

Customers and standings come by their opaque references, cases by their ids: a part goes on behind the last one of the part
before, whether it is still there or not, and no amount stands in an address.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.desk.queries import CASE_IS_OPEN, OF_BOOK, BookFilter, filters_of, selected, stepped_cases

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from services.desk.queries import DeskRow
    from services.readmodel.reader import ReadModel

_STANDINGS: Final = (
    "SELECT s.*, c.unit, c.rm_id FROM readmodel.standings AS s JOIN readmodel.customers AS c USING (customer_id)"
)


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Of cases. whose: a manager; what is empty or None is not asked. after: an id behind which it goes on."""

    whose: str = ""
    severity: str = ""
    status: str = ""
    kind: str = ""
    is_open: bool | None = None
    after: str = ""


@dataclass(frozen=True, slots=True)
class StandingFilter:
    """Of standings. as_of: those that held on that day already; after: a reference behind which it goes on."""

    tier: str = ""
    as_of: date | None = None
    after: str = ""


@dataclass(frozen=True, slots=True)
class ListQueries:
    """Each is a transaction of its own, for the units given, and says whether there are more. psycopg.Error."""

    model: ReadModel

    def customers(self, units: Sequence[str], wanted: BookFilter, rows_max: int) -> tuple[list[DeskRow], bool]:
        """Customers as a book has them, by their references."""
        conditions, given = filters_of(wanted)
        where = " AND ".join(["s.customer_ref > %(after)s", *conditions])
        with self.model.reading(units) as cursor:
            rows = selected(
                cursor,
                f"{OF_BOOK} WHERE {where} ORDER BY s.customer_ref LIMIT %(most)s",
                given | {"most": rows_max + 1},
            )
        return rows[:rows_max], len(rows) > rows_max

    def cases(self, units: Sequence[str], wanted: CaseFilter, rows_max: int) -> tuple[list[DeskRow], bool]:
        """Cases with their steps, by their ids."""
        given = {
            "whose": wanted.whose, "severity": wanted.severity, "status": wanted.status, "kind": wanted.kind,
            "after": wanted.after,
        }  # fmt: skip
        asked: list[tuple[object, str]] = [
            (wanted.whose, "k.rm_id = %(whose)s"), (wanted.severity, "k.severity = %(severity)s"),
            (wanted.status, "k.status = %(status)s"), (wanted.kind, "k.kind = %(kind)s"),
            (wanted.is_open is True, CASE_IS_OPEN), (wanted.is_open is False, f"NOT {CASE_IS_OPEN}"),
        ]  # fmt: skip
        where = " AND ".join(["k.case_id > %(after)s", *(condition for is_asked, condition in asked if is_asked)])
        with self.model.reading(units) as cursor:
            rows = stepped_cases(cursor, where, given, "k.case_id", rows_max + 1)
        return rows[:rows_max], len(rows) > rows_max

    def standings(self, units: Sequence[str], wanted: StandingFilter, rows_max: int) -> tuple[list[DeskRow], bool]:
        """Standings, by the references of their customers."""
        given = {"tier": wanted.tier, "as_of": wanted.as_of, "after": wanted.after, "most": rows_max + 1}
        asked: list[tuple[object, str]] = [
            (wanted.tier, "s.tier = %(tier)s"),
            (wanted.as_of is not None, "s.as_of <= %(as_of)s"),
        ]
        where = " AND ".join(["s.customer_ref > %(after)s", *(condition for is_asked, condition in asked if is_asked)])
        with self.model.reading(units) as cursor:
            rows = selected(cursor, f"{_STANDINGS} WHERE {where} ORDER BY s.customer_ref LIMIT %(most)s", given)
        return rows[:rows_max], len(rows) > rows_max

    def later(self, units: Sequence[str], day: date) -> bool:
        """Whether these units have standings of a day behind this one: those of the day itself are not held any more."""
        with self.model.reading(units) as cursor:
            (row,) = selected(
                cursor, "SELECT EXISTS (SELECT FROM readmodel.standings AS s WHERE s.as_of > %(day)s) AS later", {"day": day}
            )  # fmt: skip
        return bool(row["later"])
