"""Who works where on a day, and who is away then: the bank's lists, as one value that is looked at without the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from services.access.decision import Role, unit_of

if TYPE_CHECKING:
    from psycopg import Connection

COLLEAGUES_MAX: Final = 500
"""Of a branch's people, by unit and id; one more says that there are others."""

Unit = tuple[str, ...]
"""A path from the head office down."""


class Colleague(NamedTuple):
    """A person of the list of staff."""

    staff_id: str
    role: Role
    unit: Unit


@dataclass(frozen=True)
class Roster:
    """What counts on a day. units: those that are open. away: who is away, with his substitutes, the one named last first."""

    day: date
    units: frozenset[Unit]
    staff: Mapping[str, Colleague]
    away: Mapping[str, tuple[str, ...]]

    @cached_property
    def by_role(self) -> Mapping[tuple[Role, Unit], tuple[str, ...]]:
        """Staff ids of a role at a unit, ascending; of units that are open."""
        found: dict[tuple[Role, Unit], list[str]] = {}
        for one in self.staff.values():
            if one.unit in self.units:
                found.setdefault((one.role, one.unit), []).append(one.staff_id)
        return {place: tuple(sorted(names)) for place, names in found.items()}

    def is_there(self, staff_id: str) -> bool:
        """Whether somebody works here, and is not away."""
        return staff_id in self.staff and staff_id not in self.away


def new_roster(
    day: date, units: Iterable[str], staff: Iterable[tuple[str, str, str]],
    absences: Iterable[tuple[str, date, date, str | None]],
) -> Roster:  # fmt: skip
    """A roster out of lists: open units; (staff id, role, unit) of who works here; (staff id, first, last day, substitute)."""
    people = {staff_id: Colleague(staff_id, Role(role), unit_of(unit)) for staff_id, role, unit in staff}
    away: dict[str, list[tuple[date, str]]] = {}
    for staff_id, first, last, substitute in absences:
        if first <= day <= last:
            known = away.setdefault(staff_id, [])
            known += [] if substitute is None else [(first, substitute)]
    named = {staff_id: tuple(name for _, name in sorted(known, reverse=True)) for staff_id, known in away.items()}
    return Roster(day, frozenset(map(unit_of, units)), people, named)


def read_roster(connection: Connection[Any], day: date) -> Roster:
    """The roster of a business day; psycopg.Error. The three lists are of one instant."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        units = connection.execute("SELECT unit FROM access.units WHERE active").fetchall()
        staff = connection.execute("SELECT staff_id, role, unit FROM access.staff WHERE active").fetchall()
        absences = connection.execute(
            "SELECT staff_id, first_day, last_day, substitute FROM access.absences"
            " WHERE active AND first_day <= %s AND last_day >= %s",
            (day, day),
        ).fetchall()
    return new_roster(day, (unit for (unit,) in units), staff, absences)


def read_colleagues(connection: Connection[Any], units: Sequence[str]) -> list[Colleague]:
    """Who works in these units and below them, one more than COLLEAGUES_MAX at most; psycopg.Error."""
    found = connection.execute(
        "SELECT staff_id, role, unit FROM access.staff WHERE active AND EXISTS (SELECT FROM unnest(%s::text[]) AS own"
        " WHERE unit = own OR starts_with(unit, own || '/')) ORDER BY unit, staff_id LIMIT %s",
        (list(units), COLLEAGUES_MAX + 1),
    )
    return [Colleague(staff_id, Role(role), unit_of(unit)) for staff_id, role, unit in found]
