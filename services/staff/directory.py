"""What is kept of the bank's lists, and how a list becomes a part of it: in one transaction, all of it or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from services.staff.lists import LIST_KINDS, ListKind, RefusedLine, RefusedListError, StaffList

if TYPE_CHECKING:
    from psycopg import Connection

TABLES: Final = ", ".join(kind.table for kind in LIST_KINDS)


class Taken(NamedTuple):
    """What a list did. `ended`: what a full list lacks, or a list of changes ends."""

    added: int
    changed: int
    ended: int
    unchanged: int
    active_before: int

    @property
    def effect(self) -> int:
        """Lines that are otherwise than before."""
        return self.added + self.changed + self.ended


def take(connection: Connection[Any], found: StaffList, actor: str) -> Taken:
    """Make a list part of the directory, inside the caller's transaction. RefusedListError leaves that to be undone.

    A full list that is older than the last one of its kind is refused. Rights of substitutes follow from absences anew.
    """
    connection.execute(f"LOCK TABLE {TABLES} IN SHARE ROW EXCLUSIVE MODE")
    _in_order(connection, found)
    kind = found.kind
    _load(connection, found)
    if problems := [*_unknown_ends(connection, found)]:
        raise RefusedListError(problems)
    (before,) = connection.execute(f"SELECT count(*) FROM {kind.table} WHERE active").fetchone() or (0,)
    ended = connection.execute(_ending(kind, full=found.full)).rowcount
    written = [added for (added,) in connection.execute(_setting(kind))]
    if problems := [*_inconsistent(connection, found)]:
        raise RefusedListError(problems)
    _stand_in(connection, actor)
    taken = Taken(
        added=sum(written), changed=len(written) - sum(written), ended=ended,
        unchanged=sum(not row.ends for row in found.rows) - len(written), active_before=before,
    )  # fmt: skip
    connection.execute(
        "INSERT INTO access.imports (list, full_list, as_of, sha256, rows, changed, actor)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (kind.name, found.full, found.as_of, found.sha256, len(found.rows), taken.effect, actor),
    )
    return taken


def _in_order(connection: Connection[Any], found: StaffList) -> None:
    """RefusedListError for a full list that is older than what is known."""
    if not found.full:
        return
    query = "SELECT max(as_of) FROM access.imports WHERE list = %s AND full_list"
    (last,) = connection.execute(query, (found.kind.name,)).fetchone() or (None,)
    if last is not None and found.as_of is not None and found.as_of < last:
        reason = f"is {found.as_of}; the full list of {last} was taken already"
        raise RefusedListError([RefusedLine(found.file, 0, "as_of", reason)])


def _load(connection: Connection[Any], found: StaffList) -> None:
    kind = found.kind
    columns = ", ".join(kind.columns)
    connection.execute("DROP TABLE IF EXISTS incoming")
    connection.execute(
        f"CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS"
        f" SELECT 0 AS line, false AS ends, {columns} FROM {kind.table} WITH NO DATA"
    )
    with connection.cursor().copy(f"COPY incoming (line, ends, {columns}) FROM STDIN") as copy:
        for row in found.rows:
            copy.write_row((row.line, row.ends, *row.values))
    connection.execute("ANALYZE incoming")


def _same(kind: ListKind) -> str:
    return " AND ".join(f"known.{name} = incoming.{name}" for name in kind.key)


def _setting(kind: ListKind) -> str:
    """Write what is new or otherwise than known; a row says whether it is new."""
    columns = ", ".join(kind.columns)
    new = ", ".join(f"excluded.{name}" for name in kind.values)
    old = ", ".join(f"known.{name}" for name in kind.values)
    sets = ", ".join(f"{name} = excluded.{name}" for name in kind.values)
    return (
        f"INSERT INTO {kind.table} AS known ({columns}) SELECT {columns} FROM incoming WHERE NOT ends"
        f" ON CONFLICT ({', '.join(kind.key)}) DO UPDATE SET {sets}, active = true, changed_at = now()"
        f" WHERE ROW({old}, known.active) IS DISTINCT FROM ROW({new}, true)"
        f" RETURNING (xmax = 0) AS added"
    )


def _ending(kind: ListKind, *, full: bool) -> str:
    """End what a full list lacks, or what a list of changes ends."""
    there = f"SELECT FROM incoming WHERE {_same(kind)}"
    which = f"NOT EXISTS ({there})" if full else f"EXISTS ({there} AND incoming.ends)"
    return f"UPDATE {kind.table} AS known SET active = false, changed_at = now() WHERE known.active AND {which}"


def _unknown_ends(connection: Connection[Any], found: StaffList) -> list[RefusedLine]:
    kind = found.kind
    query = (
        f"SELECT line, incoming.{kind.key[0]} FROM incoming WHERE ends"
        f" AND NOT EXISTS (SELECT FROM {kind.table} AS known WHERE {_same(kind)}) ORDER BY line"
    )
    return [
        RefusedLine(found.file, line, kind.key[0], f"{name} is to end, and is not known")
        for line, name in connection.execute(query)
    ]


# List -> queries for (line, field, reason) once it is written: what would contradict something else.
_CHECKS: Final = {
    "units": (
        """
        SELECT coalesce(incoming.line, 0), 'unit', unit.unit || ' lies below ' || unit.parent || ', which '
            || CASE WHEN above.unit IS NULL THEN 'is not known' ELSE 'has ended' END
        FROM access.units AS unit LEFT JOIN incoming USING (unit) LEFT JOIN access.units AS above ON above.unit = unit.parent
        WHERE unit.active AND unit.parent IS NOT NULL AND above.active IS NOT TRUE""",
    ),
    "staff": (
        """
        SELECT line, 'unit', incoming.unit || ' is no unit of the bank'
        FROM incoming LEFT JOIN access.units AS known USING (unit) WHERE NOT ends AND known.active IS NOT TRUE""",
        """
        SELECT line, 'login', incoming.login || ' is ' || other.staff_id || '''s'
        FROM incoming JOIN access.staff AS other ON other.login = incoming.login AND other.staff_id <> incoming.staff_id
        WHERE NOT ends AND other.active""",
    ),
    "absences": (
        """
        SELECT line, 'staff_id', incoming.staff_id || ' works here no longer, or never did'
        FROM incoming LEFT JOIN access.staff AS known USING (staff_id) WHERE NOT ends AND known.active IS NOT TRUE""",
        """
        SELECT line, 'substitute', substitute || ' works here no longer, or never did'
        FROM incoming LEFT JOIN access.staff AS known ON known.staff_id = substitute
        WHERE NOT ends AND substitute IS NOT NULL AND known.active IS NOT TRUE""",
    ),
}


def _inconsistent(connection: Connection[Any], found: StaffList) -> list[RefusedLine]:
    problems = [
        RefusedLine(found.file, line, field, reason)
        for query in _CHECKS[found.kind.name]
        for line, field, reason in connection.execute(query)
    ]
    return sorted(problems)


# Whoever stands in for somebody has the other's role and unit while he is away.
_RIGHTS: Final = (
    "SELECT absence.substitute AS staff_id, staff.role, staff.unit, absence.first_day, absence.last_day,"
    " absence.staff_id AS absent, absence.first_day AS absent_from"
    " FROM access.absences AS absence JOIN access.staff AS staff USING (staff_id)"
    " JOIN access.staff AS other ON other.staff_id = absence.substitute"
    " WHERE absence.active AND staff.active AND other.active"
)
_GRANT: Final = "staff_id, role, unit, first_day, last_day, absent, absent_from"


def _stand_in(connection: Connection[Any], actor: str) -> None:
    """End the grants that no absence gives any more, and write those that are new."""
    connection.execute(
        f"UPDATE access.grants AS known SET ended_at = now() WHERE ended_at IS NULL AND absent IS NOT NULL"
        f" AND NOT EXISTS (SELECT FROM ({_RIGHTS}) AS given WHERE"
        f" ROW({_prefixed('given')}) = ROW({_prefixed('known')}))"
    )
    connection.execute(
        f"INSERT INTO access.grants ({_GRANT}, given_by) SELECT {_prefixed('given')}, %s FROM ({_RIGHTS}) AS given"
        f" WHERE NOT EXISTS (SELECT FROM access.grants AS known WHERE ended_at IS NULL"
        f" AND ROW({_prefixed('given')}) = ROW({_prefixed('known')}))",
        (actor,),
    )


def _prefixed(name: str) -> str:
    return ", ".join(f"{name}.{column.strip()}" for column in _GRANT.split(","))
