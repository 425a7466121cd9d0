"""Reads of the read model: each a transaction of its own as a role that owns nothing, for the units of who asks.

What the transaction is told (role and units) ends with it, however it ends: the connection goes back to the pool as it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from deploy.security.principals import READER_ROLE
from services.access.decision import Action, Actor, DataKind, Resource, decide_access
from services.readmodel.tables import UNITS_SETTING

if TYPE_CHECKING:
    from psycopg import Cursor
    from psycopg_pool import ConnectionPool

STATEMENT_S_MAX: Final = 4
"""Somebody waits for a page."""


def units_of(actor: Actor, kind: DataKind) -> list[str]:
    """The units whose data of a kind an actor may read, those below them included; as services.access.decision says."""
    found = []
    for role, unit in ((actor.role, actor.unit), *actor.stands_in):
        own = Actor(actor.actor_id, role, unit)
        if decide_access(own, Action.READ, Resource(kind, unit)).allowed:
            found.append("/".join(unit))
    return found


class ReadModel:
    """A pool of connections. psycopg.Error, psycopg_pool.PoolTimeout (an OperationalError) where none can be had."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self.pool = pool

    @contextmanager
    def reading(self, units: Iterable[str]) -> Iterator[Cursor[Any]]:
        """A transaction that sees the rows of these units alone, and writes nothing; rows come as dicts."""
        from psycopg.rows import dict_row

        with (
            self.pool.connection() as connection,
            connection.transaction(),
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            cursor.execute(f"SET LOCAL ROLE {READER_ROLE}")
            cursor.execute("SET TRANSACTION READ ONLY")
            cursor.execute(f"SET LOCAL statement_timeout = {1000 * STATEMENT_S_MAX}")
            cursor.execute("SELECT set_config(%s, %s, true)", (UNITS_SETTING, "\n".join(units)))
            yield cursor

    def close(self) -> None:
        """Let go of the connections."""
        self.pool.close()
