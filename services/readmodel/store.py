"""The read model's tables in PostgreSQL, written: staged by COPY, put in one statement a table, with the offsets behind them.

Transactions that write wait for each other. What is built anew stands in a schema of its own until it takes the other's place,
by its name: who reads goes on meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from deploy.security.principals import READER_ROLE
from services.readmodel.projector import Moved, OtherLogError, OvertakenError
from services.readmodel.rows import RowChange
from services.readmodel.tables import (
    CASES_CHANNEL,
    CASES_TABLE,
    CUSTOMERS_TABLE,
    FORMAT,
    NEXT_SCHEMA,
    OLD_SCHEMA,
    READ_TABLES,
    SCHEMA,
    ReadTable,
    statements,
)

if TYPE_CHECKING:
    from psycopg import Connection

_NOTICE_CHARS_MAX: Final = 4_000  # PostgreSQL takes 8,000 bytes
_LOCK: Final = 0x7265_6164_6D6F_6465  # one writes, others wait


class NoReaderRoleError(Exception):
    """The server lacks the role that reads."""

    hint = f"as a superuser: CREATE ROLE {READER_ROLE} NOLOGIN; docs/security.md has the rest"


class PostgresReadStore:
    """Tables of one schema. psycopg.Error where the server gives no answer: the next call connects again.

    connect: makes a connection as whoever owns the tables.
    """

    def __init__(self, connect: Callable[[], Connection[Any]], schema: str = SCHEMA) -> None:
        self._connect, self.schema = connect, schema
        self._open: Connection[Any] | None = None

    def settle(self, world: Mapping[str, str]) -> dict[str, int | None]:
        """As ReadStore says."""
        self.close()
        connection = self._connection()
        with connection.transaction():
            self._lock(connection)
            if not _has_schema(connection, self.schema):
                self._make(connection, world)
                return {}
            found = connection.execute(f"SELECT format, world FROM {self.schema}.build").fetchone()
            if found != (FORMAT, dict(world)):
                raise OtherLogError("the read model is of another log, or of another form")
            rows = connection.execute(f"SELECT source, next_offset FROM {self.schema}.positions").fetchall()
            return dict(rows)

    def apply(self, changes: Sequence[RowChange], moved: Moved) -> None:
        """As ReadStore says."""
        connection = self._connection()
        with connection.transaction():
            self._lock(connection)
            stands = dict(connection.execute(
                f"SELECT source, next_offset FROM {self.schema}.positions WHERE source = ANY(%s)", (list(moved),)
            ).fetchall())  # fmt: skip
            if stands != {name: before for name, (before, _) in moved.items() if before is not None}:
                raise OvertakenError("others have written meanwhile")
            for table, rows, gone in _by_table(changes):
                self._put(connection, table, rows)
                if gone:
                    connection.execute(f"DELETE FROM {self.schema}.{table.name} WHERE {table.key} = ANY(%s)", (gone,))
                if table is CASES_TABLE and self.schema == SCHEMA:
                    self._tell(connection, rows, whole=bool(gone))
            connection.cursor().executemany(
                f"INSERT INTO {self.schema}.positions VALUES (%s, %s)"
                " ON CONFLICT (source) DO UPDATE SET next_offset = excluded.next_offset",
                [(name, end) for name, (_, end) in moved.items()],
            )

    def note_behind(self, behind: Mapping[str, int]) -> None:
        """As ReadStore says."""
        connection = self._connection()
        with connection.transaction():
            connection.cursor().executemany(
                f"INSERT INTO {self.schema}.freshness AS f VALUES (%(topic)s, %(behind)s, {_CURRENT})"
                f" ON CONFLICT (topic) DO UPDATE SET behind = excluded.behind, current_at = coalesce({_CURRENT}, f.current_at)",
                [{"topic": topic, "behind": count} for topic, count in behind.items()],
            )

    def take_over(self) -> bool:
        """As NextStore says; nobody waits for who still reads the old rows."""
        connection = self._connection()
        with connection.transaction():
            self._lock(connection)
            if _has_schema(connection, SCHEMA):
                if _further(connection, SCHEMA, self.schema):
                    return False
                connection.execute(f"ALTER SCHEMA {SCHEMA} RENAME TO {OLD_SCHEMA}")
            connection.execute(f"ALTER SCHEMA {self.schema} RENAME TO {SCHEMA}")
            connection.execute("SELECT pg_notify(%s, '')", (CASES_CHANNEL,))
        with connection.transaction():
            connection.execute(f"DROP SCHEMA IF EXISTS {OLD_SCHEMA} CASCADE")
        return True

    def close(self) -> None:
        """Let go of the connection; what is not committed is undone."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _connection(self) -> Connection[Any]:
        if self._open is None or self._open.closed:
            self._open = self._connect()
            with self._open.transaction():
                for table in READ_TABLES.values():
                    columns = ", ".join(f"{name} {kind}" for name, kind in table.columns.items())
                    self._open.execute(f"CREATE TEMP TABLE staged_{table.name} ({columns}) ON COMMIT DELETE ROWS")
        return self._open

    @staticmethod
    def _lock(connection: Connection[Any]) -> None:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))

    def _make(self, connection: Connection[Any], world: Mapping[str, str]) -> None:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (READER_ROLE,)).fetchone():
            raise NoReaderRoleError(f"the server has no role {READER_ROLE}")
        connection.execute(f"CREATE SCHEMA {self.schema}")
        for statement in statements(self.schema):
            connection.execute(statement.encode())
        connection.execute(
            f"INSERT INTO {self.schema}.build (format, world) VALUES (%s, %s)", (FORMAT, json.dumps(dict(world)))
        )

    def _tell(self, connection: Connection[Any], cases: list[tuple[Any, ...]], *, whole: bool) -> None:
        """Say, when this is committed, of which units cases have changed; of too many units, or if `whole`: of any."""
        customers = {row[_CASE_CUSTOMER] for row in cases}
        connection.execute(
            "SELECT pg_notify(%s, CASE WHEN length(u.units) <= %s AND NOT %s THEN u.units ELSE '' END) FROM (SELECT coalesce("
            f"string_agg(DISTINCT unit, E'\\n'), '') AS units FROM {self.schema}.customers WHERE customer_id = ANY(%s)) AS u",
            (CASES_CHANNEL, _NOTICE_CHARS_MAX, whole, list(customers)),
        )

    def _put(self, connection: Connection[Any], table: ReadTable, rows: list[tuple[Any, ...]]) -> None:
        if not rows:
            return
        names = ", ".join(table.columns)
        with connection.cursor().copy(f"COPY staged_{table.name} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        if table is CUSTOMERS_TABLE:
            connection.execute(
                f"INSERT INTO {self.schema}.units SELECT DISTINCT unit FROM staged_{table.name} ON CONFLICT DO NOTHING"
            )
        changed = ", ".join(f"{name} = excluded.{name}" for name in table.columns if name != table.key)
        connection.execute(
            f"INSERT INTO {self.schema}.{table.name} ({names}) SELECT {names} FROM staged_{table.name}"
            f" ON CONFLICT ({table.key}) DO UPDATE SET {changed}"
        )


class NextReadStore(PostgresReadStore):
    """Rows that are built beside those that are read: always from the beginning."""

    def __init__(self, connect: Callable[[], Connection[Any]]) -> None:
        super().__init__(connect, NEXT_SCHEMA)

    def settle(self, world: Mapping[str, str]) -> dict[str, int | None]:
        """As ReadStore says; what an earlier one has left is gone."""
        connection = self._connection()
        with connection.transaction():
            self._lock(connection)
            connection.execute(f"DROP SCHEMA IF EXISTS {self.schema}, {OLD_SCHEMA} CASCADE")
        return super().settle(world)


_CASE_CUSTOMER: Final = list(CASES_TABLE.columns).index("customer_id")
_CURRENT: Final = "CASE WHEN %(behind)s = 0 THEN now() END"


def _by_table(changes: Iterable[RowChange]) -> Iterable[tuple[ReadTable, list[tuple[Any, ...]], list[str]]]:
    """By table: rows to put and keys without a row, of each key the last change."""
    last: dict[str, dict[str, tuple[Any, ...] | None]] = {}
    for change in changes:
        last.setdefault(change.table, {})[change.key] = change.row
    for name, found in last.items():
        rows = [row for row in found.values() if row is not None]
        yield READ_TABLES[name], rows, [key for key, row in found.items() if row is None]


def _has_schema(connection: Connection[Any], schema: str) -> bool:
    return bool(connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)).fetchone())


def _further(connection: Connection[Any], one: str, other: str) -> bool:
    """Whether the rows of a schema are of further offsets than another's, of the same log."""
    found = connection.execute(
        f"SELECT 1 FROM {one}.positions AS a LEFT JOIN {other}.positions AS b USING (source)"
        f" WHERE a.next_offset > coalesce(b.next_offset, 0)"
        f" AND (SELECT (format, world) FROM {one}.build) = (SELECT (format, world) FROM {other}.build) LIMIT 1"
    ).fetchone()
    return found is not None
