"""A person as the bank's own lists know him: his role and unit, and those that he has for others on a day."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from services.access.decision import Actor, Role, unit_of

if TYPE_CHECKING:
    from psycopg import Connection


def person_of(connection: Connection[Any], login: str, day: date) -> Actor | None:
    """The actor behind a login on a business day; None for one who is on no list, or no longer."""
    row = connection.execute(
        "SELECT staff_id, role, unit FROM access.staff WHERE login = %s AND active", (login,)
    ).fetchone()
    if row is None:
        return None
    grants = connection.execute(
        "SELECT role, unit FROM access.grants WHERE staff_id = %s AND ended_at IS NULL AND first_day <= %s AND last_day >= %s"
        " ORDER BY grant_id",
        (row[0], day, day),
    )
    return Actor(row[0], Role(row[1]), unit_of(row[2]), tuple((Role(role), unit_of(unit)) for role, unit in grants))
