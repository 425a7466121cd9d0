"""Migrations are taken once, in order, whole or not at all, by however many at once; and none is changed afterwards."""

import threading

import psycopg
import pytest

from deploy.connections.database import connected
from services.database.migrations import Migration, MigrationError, check_migrated, migrate, migrations, pending

STEPS = [
    Migration(1, "one", "CREATE TABLE a (n int); INSERT INTO a VALUES (1)"),
    Migration(2, "two", "UPDATE a SET n = n + 1"),
]


def test_they_are_numbered() -> None:
    """From 1, without holes; none is empty."""
    found = migrations()
    assert found and all(step.text.strip() and step.name for step in found)


@pytest.mark.integration
def test_each_once(database: str) -> None:
    """Again takes nothing; a step that fails leaves those before it, and nothing of itself."""
    with connected(database) as connection:
        assert pending(connection, STEPS) == STEPS
        assert migrate(connection, STEPS) == STEPS
        assert migrate(connection, STEPS) == []
        broken = [*STEPS, Migration(3, "three", "UPDATE a SET n = 7; SELECT 1 / 0")]
        with pytest.raises(psycopg.errors.DivisionByZero):
            migrate(connection, broken)
        assert connection.execute("SELECT n FROM a").fetchall() == [(2,)]
        assert [step.number for step in pending(connection, broken)] == [3]


@pytest.mark.integration
def test_a_changed_step_is_refused(database: str) -> None:
    """As is a database that a newer version has made; neither is touched."""
    with connected(database) as connection:
        migrate(connection, STEPS)
        changed = [STEPS[0]._replace(text="CREATE TABLE b (n int)"), STEPS[1]]
        with pytest.raises(MigrationError, match="migration 1 \\(one\\) was another one"):
            migrate(connection, changed)
        with pytest.raises(MigrationError, match="has migration 2 \\(two\\), which this version"):
            migrate(connection, STEPS[:1])


@pytest.mark.integration
def test_two_at_once(database: str) -> None:
    """Each step is taken by one of them."""
    taken: list[list[Migration]] = []
    slow = [STEPS[0], STEPS[1], Migration(3, "slow", "SELECT pg_sleep(0.2); UPDATE a SET n = n + 1")]

    def run() -> None:
        with connected(database) as connection:
            taken.append(migrate(connection, slow))

    both = [threading.Thread(target=run) for _ in range(4)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(step.number for one in taken for step in one) == [1, 2, 3]
    with connected(database) as connection:
        assert connection.execute("SELECT n FROM a").fetchall() == [(3,)]


@pytest.mark.integration
def test_the_real_ones(database: str) -> None:
    """They can be taken, and what needs them says so before."""
    with connected(database) as connection:
        with pytest.raises(MigrationError, match="lacks"):
            check_migrated(connection)
        assert migrate(connection) == migrations()
        check_migrated(connection)


@pytest.mark.integration
def test_at_most_two_keys(database: str) -> None:
    """Of a role and unit, while they are not revoked: the table itself says so."""
    with connected(database) as connection:
        migrate(connection)
        insert = (
            "INSERT INTO access.api_keys (key_id, role, unit, slot, digest, made_by, expires_at)"
            " VALUES (%s, 'kiosk', 'hq/0102', %s, sha256(%s), 'x', now() + interval '1 day')"
        )
        for name, slot in (("a", 1), ("b", 2)):
            connection.execute(insert, (name, slot, name.encode()))
        with pytest.raises(psycopg.errors.UniqueViolation), connection.transaction():
            connection.execute(insert, ("c", 2, b"c"))
        connection.execute("UPDATE access.api_keys SET revoked_at = now() WHERE key_id = 'a'")
        connection.execute(insert, ("c", 1, b"c"))
