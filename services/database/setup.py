"""Making a database ready: its migrations, and of a secured embedded one the rights of each principal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.connections.database import connected
from deploy.security.principals import PRINCIPALS, table_rights
from services.database.migrations import Migration, migrate

if TYPE_CHECKING:
    from deploy.settings import Settings


def make_ready(settings: Settings) -> list[Migration]:
    """Take the migrations that are missing, as the owner of the tables; returns them. MigrationError, psycopg.Error."""
    with connected(settings.database_of_owner) as connection:
        taken = migrate(connection)
        if settings.secured and not settings.database_url:
            with connection.transaction():
                for principal in PRINCIPALS:
                    for statement in table_rights(principal):
                        connection.execute(statement.encode())
    return taken
