"""What the pages ask of the read model. Every list has an end, and goes on behind a row by its opaque reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, LiteralString

from services.access.decision import HEAD_OFFICE
from services.readmodel.tables import AUM_ORDER, OPEN_CASE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Cursor

    from services.readmodel.reader import ReadModel

DeskRow = dict[str, Any]
PAGE_ROWS: Final = 50
CASES_MAX: Final = 100
STEPS_MAX: Final = 50
"""Of a case; the newest ones."""

HISTORY_MAX: Final = 100
FOUND_MAX: Final = 20
EXPORT_ROWS_MAX: Final = 20_000
"""More are asked for in parts, by the filters."""

CASE_IS_OPEN: Final = OPEN_CASE.replace("attention", "k.attention").replace("status", "k.status")
# Records of before TIDEGAUGE_CONTRACTS=2 lack both: what was told last, and what people have made of it, is in the steps.
STEPS_OF_CASE: Final = "FROM readmodel.case_steps AS t WHERE t.case_id = k.case_id AND t.status"
_TOLD: Final = (
    f"coalesce(k.told_step, (SELECT t.event_id {STEPS_OF_CASE} IN ('raised', 'deepened')"
    " ORDER BY t.position DESC LIMIT 1))"
)
LAST_STEP: Final = (
    f"(SELECT t.status {STEPS_OF_CASE} NOT IN ('corrected', 'commented', 'escalated') ORDER BY t.position DESC LIMIT 1)"
)
_ATTENTION: Final = {
    "acknowledged": "acknowledged", "snoozed": "snoozed", "retracted": "ended", "expired": "ended", "resolved": "ended",
    "closed": "ended",
}  # fmt: skip
SEVERITY_ORDER: Final = "array_position(ARRAY['critical', 'high', 'medium', 'low', 'info'], k.severity)"
OF_BOOK: Final = (
    "SELECT c.customer_id, c.unit, c.rm_id, s.customer_ref, s.tier, s.aum_minor, s.currency, s.as_of, s.held_reason, s.pack_id,"
    " o.projected_tier, o.direction, o.next_close, o.lost_from,"
    f" (SELECT count(*) FROM readmodel.cases AS k WHERE k.customer_id = c.customer_id AND {CASE_IS_OPEN}) AS open_cases"
    " FROM readmodel.standings AS s JOIN readmodel.customers AS c USING (customer_id)"
    " LEFT JOIN readmodel.outlooks AS o USING (customer_id)"
)
_OUTLOOK: Final = {
    "up": "o.direction = 'up'", "down": "o.direction = 'down'", "lost": "o.lost_from IS NOT NULL",
}  # fmt: skip
OUTLOOK_FILTERS: Final = tuple(_OUTLOOK)
_HAS_CASE: Final = f"EXISTS (SELECT FROM readmodel.cases AS k WHERE k.customer_id = c.customer_id AND {CASE_IS_OPEN})"
_ORDER: Final = AUM_ORDER.replace("aum_minor", "s.aum_minor")
_LAST: Final = f"SELECT {AUM_ORDER} AS aum FROM readmodel.standings WHERE customer_ref = %(after)s LIMIT 1"
_BEHIND: Final = f"({_ORDER} < ({_LAST}) OR ({_ORDER} = ({_LAST}) AND s.customer_ref > %(after)s))"


@dataclass(frozen=True, slots=True)
class BookFilter:
    """Of a book. whose: a manager; empty: all of the unit. aum: minor units. after: a reference behind which it goes on."""

    whose: str = ""
    tier: str = ""
    outlook: str = ""
    with_case: bool = False
    aum_from: int | None = None
    aum_to: int | None = None
    after: str = ""
    without_case: bool = False


@dataclass(frozen=True, slots=True)
class CustomerFile:
    """A customer as the desk shows him."""

    about: DeskRow
    outlook: DeskRow | None
    changes: list[DeskRow]
    restatements: list[DeskRow]
    cases: list[DeskRow]


@dataclass(frozen=True, slots=True)
class DeskQueries:
    """Each is a transaction of its own, for the units given. psycopg.Error."""

    model: ReadModel

    def book(self, units: Sequence[str], wanted: BookFilter, rows_max: int = PAGE_ROWS) -> tuple[list[DeskRow], bool]:
        """Customers, largest AUM first, and whether there are more."""
        conditions, given = filters_of(wanted)
        if wanted.after:
            conditions.append(_BEHIND)
        where = " AND ".join(["true", *conditions])
        with self.model.reading(units) as cursor:
            cursor.execute(
                f"{OF_BOOK} WHERE {where} ORDER BY {_ORDER} DESC, s.customer_ref LIMIT %(most)s".encode(),
                given | {"most": rows_max + 1},
            )
            rows = cursor.fetchall()
        return rows[:rows_max], len(rows) > rows_max

    def found(self, units: Sequence[str], beginning: str) -> list[DeskRow]:
        """Customers whose numbers begin so."""
        with self.model.reading(units) as cursor:
            return selected(
                cursor, f"{OF_BOOK} WHERE starts_with(c.customer_id, %(text)s) ORDER BY c.customer_id LIMIT %(most)s",
                {"text": beginning, "most": FOUND_MAX},
            )  # fmt: skip

    def whose(self, units: Sequence[str], reference: str) -> DeskRow | None:
        """(customer_id, unit) of a reference; None where these units have no such customer."""
        with self.model.reading(units) as cursor:
            found = selected(
                cursor, "SELECT c.customer_id, c.unit FROM readmodel.standings AS s JOIN readmodel.customers AS c USING"
                " (customer_id) WHERE s.customer_ref = %(ref)s LIMIT 1", {"ref": reference},
            )  # fmt: skip
        return found[0] if found else None

    def file(self, units: Sequence[str], customer_id: str) -> CustomerFile | None:
        """Everything about a customer; None where he has gone meanwhile."""
        given = {"id": customer_id, "most": HISTORY_MAX}
        with self.model.reading(units) as cursor:
            about = selected(
                cursor, "SELECT c.unit, c.rm_id, c.customer_class, c.relationship_since, s.* FROM readmodel.customers AS c JOIN"
                " readmodel.standings AS s USING (customer_id) WHERE c.customer_id = %(id)s", given,
            )  # fmt: skip
            if not about:
                return None
            outlook = selected(cursor, "SELECT * FROM readmodel.outlooks WHERE customer_id = %(id)s", given)
            changes = selected(
                cursor, "SELECT * FROM readmodel.tier_changes WHERE customer_id = %(id)s ORDER BY effective_date DESC,"
                " position DESC LIMIT %(most)s", given,
            )  # fmt: skip
            restated = selected(
                cursor, "SELECT * FROM readmodel.restatements WHERE customer_id = %(id)s ORDER BY position DESC LIMIT %(most)s",
                given,
            )  # fmt: skip
            cases = stepped_cases(cursor, "k.customer_id = %(id)s", given, f"{CASE_IS_OPEN} DESC, k.position DESC")
        return CustomerFile(about[0], outlook[0] if outlook else None, changes, restated, cases)

    def open_cases(self, units: Sequence[str], whose: str = "") -> list[DeskRow]:
        """Open cases, most severe first, of a manager or of the units."""
        mine = "(%(whose)s = '' OR k.rm_id = %(whose)s)"
        with self.model.reading(units) as cursor:
            return stepped_cases(
                cursor,
                f"{CASE_IS_OPEN} AND {mine}",
                {"whose": whose},
                f"{SEVERITY_ORDER} NULLS LAST, k.raised_day DESC, k.position DESC",
            )

    def case(self, units: Sequence[str], case_id: str) -> DeskRow | None:
        """A case with its steps; None where these units have no such case."""
        with self.model.reading(units) as cursor:
            found = stepped_cases(cursor, "k.case_id = %(id)s", {"id": case_id}, "k.position")
        return found[0] if found else None

    def newest_step(self, case_id: str) -> DeskRow | None:
        """What an act on a case answers: (customer_id, branch, told_step), of whichever unit; None where there is no such case.

        For the door of commands, which decides by the branch before anybody learns of the case.
        """
        with self.model.reading((HEAD_OFFICE,)) as cursor:
            found = selected(
                cursor, f"SELECT k.customer_id, {_TOLD} AS told_step, c.unit AS branch FROM readmodel.cases AS k"
                " JOIN readmodel.customers AS c USING (customer_id) WHERE k.case_id = %(id)s", {"id": case_id},
            )  # fmt: skip
        return found[0] if found else None

    def freshness(self) -> DeskRow:
        """How many records are still to come, and how many seconds ago the oldest topic was at its end; None: never."""
        with self.model.reading(()) as cursor:
            (row,) = selected(
                cursor, "SELECT coalesce(sum(behind), 0)::bigint AS behind, CASE WHEN bool_and(current_at IS NOT NULL) THEN"
                " extract(epoch FROM now() - min(current_at))::bigint END AS seconds FROM readmodel.freshness", {},
            )  # fmt: skip
        return row


def filters_of(wanted: BookFilter) -> tuple[list[str], DeskRow]:
    """What a book's rows have to meet, wherever it goes on."""
    given = {
        "whose": wanted.whose, "tier": wanted.tier, "from": wanted.aum_from, "to": wanted.aum_to, "after": wanted.after,
    }  # fmt: skip
    asked: list[tuple[object, str]] = [
        (wanted.whose, "c.rm_id = %(whose)s"), (wanted.tier, "s.tier = %(tier)s"),
        (wanted.outlook in _OUTLOOK, _OUTLOOK.get(wanted.outlook, "")),
        (wanted.with_case, _HAS_CASE), (wanted.without_case, f"NOT {_HAS_CASE}"),
        (wanted.aum_from is not None, "s.aum_minor >= %(from)s"), (wanted.aum_to is not None, "s.aum_minor <= %(to)s"),
    ]  # fmt: skip
    return [condition for is_asked, condition in asked if is_asked], given


def stepped_cases(
    cursor: Cursor[Any], where: str, given: DeskRow, order: str, cases_max: int = CASES_MAX
) -> list[DeskRow]:  # fmt: skip
    """Cases with their steps, oldest step first."""
    cases = selected(
        cursor,
        f"SELECT k.*, {_TOLD} AS told_step, {LAST_STEP} AS last_step, c.unit, s.customer_ref, s.currency, s.pack_id"
        " FROM readmodel.cases AS k JOIN readmodel.customers AS c USING (customer_id)"
        f" LEFT JOIN readmodel.standings AS s USING (customer_id) WHERE {where} ORDER BY {order}"
        " LIMIT %(cases_max)s",
        given | {"cases_max": cases_max},
    )
    steps = selected(
        cursor, "SELECT t.* FROM unnest(%(ids)s::text[]) AS asked (id) CROSS JOIN LATERAL (SELECT * FROM readmodel.case_steps"
        " WHERE case_id = asked.id ORDER BY position DESC LIMIT %(most)s) AS t",
        {"ids": [case["case_id"] for case in cases], "most": STEPS_MAX},
    )  # fmt: skip
    for case in cases:
        case["attention"] = case["attention"] or _ATTENTION.get(case["last_step"], "waiting")
        case["open"] = case["attention"] != "ended"
        case["steps"] = [step for step in reversed(steps) if step["case_id"] == case["case_id"]]
    return cases


def selected(cursor: Cursor[Any], statement: LiteralString | str, given: DeskRow) -> list[DeskRow]:
    """The rows of a statement with what it is given."""
    cursor.execute(statement.encode(), given)
    return list(cursor.fetchall())
