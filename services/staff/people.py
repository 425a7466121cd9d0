"""A person as the bank's own lists know him: his role and unit, and those that he has for others on a day."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from services.access.decision import Actor, Role, unit_of

if TYPE_CHECKING:
    from psycopg import Connection

KEPT_S: Final = 15
KEPT_MAX: Final = 10_000
"""People that a process remembers."""


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


class People:
    """The people of the list, each asked for again after KEPT_S: so late a change of the list counts. Threads may share it.

    database: a connection whose transaction ends with it. day: the bank's, for those who stand in for others.
    """

    def __init__(
        self, database: Callable[[], AbstractContextManager[Connection[Any]]], day: Callable[[], date],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._database, self._day, self._clock = database, day, clock
        self._known: dict[str, tuple[Actor | None, float, date]] = {}

    def actor(self, login: str) -> Actor | None:
        """The actor behind a login, as `person_of`. psycopg.Error."""
        now, today = self._clock(), self._day()
        found, since, day = self._known.get(login, (None, 0.0, None))
        if day == today and now - since < KEPT_S:
            return found
        with self._database() as connection:
            found = person_of(connection, login, today)
        if len(self._known) >= KEPT_MAX:
            self._known.clear()
        self._known[login] = found, now, today
        return found
