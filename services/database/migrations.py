"""Numbered migrations: forward only, one transaction each, never twice, and never one that was changed afterwards.

`steps/NNNN-name.sql` is a migration. What a database has is in `public.migrations`, with the SHA-256 of each text.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from schemas import bounds
from schemas.bounded import read_bounded

if TYPE_CHECKING:
    from psycopg import Connection

STEPS: Final = Path(__file__).with_name("steps")
LOCK_KEY: Final = 0x7469_6465_6D69_6772  # of the advisory lock: one migrates, others wait
STEP_S_MAX: Final = 600
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS public.migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


class MigrationError(Exception):
    """The database is not one that this program's migrations have made, or not all of them have."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Migration(NamedTuple):
    """A step from one form of the database to the next."""

    number: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations(folder: Path = STEPS) -> list[Migration]:
    """All of them, in order: 1, 2, 3 and so on."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        number, _, name = path.stem.partition("-")
        found.append(Migration(int(number), name, read_bounded(path, bounds.SMALL_FILE_BYTES_MAX).decode()))
    assert [step.number for step in found] == list(range(1, len(found) + 1)), "numbers without holes"
    return found


def pending(connection: Connection[Any], steps: list[Migration] | None = None) -> list[Migration]:
    """The steps that the database lacks. MigrationError where it has one that this program does not know as it is."""
    known = migrations() if steps is None else steps
    if connection.execute("SELECT to_regclass('public.migrations')").fetchone() == (None,):
        return known
    applied = {
        number: (name, sha256)
        for number, name, sha256 in connection.execute("SELECT number, name, sha256 FROM public.migrations")
    }
    if newer := sorted(applied.keys() - {step.number for step in known}):
        name = applied[newer[0]][0]
        raise MigrationError(
            f"the database has migration {newer[0]} ({name}), which this version of Tidegauge does not know",
            "run the version that made it, or a newer one",
        )
    for step in known:
        if step.number in applied and applied[step.number] != (step.name, step.sha256):
            raise MigrationError(
                f"migration {step.number} ({step.name}) was another one when the database took it",
                "a migration is never changed: run the version that made it, or one with its text",
            )
    return [step for step in known if step.number not in applied]


def migrate(connection: Connection[Any], steps: list[Migration] | None = None) -> list[Migration]:
    """Take the steps that the database lacks, each in a transaction of its own; returns those taken here.

    Several may do it at once: each step is taken by one of them. MigrationError as `pending`; psycopg.Error where a step
    fails, and then those before it stay.
    """
    taken: list[Migration] = []
    while True:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
            connection.execute(_TABLE)
            missing = pending(connection, steps)
            if not missing:
                return taken
            step = missing[0]
            connection.execute(f"SET LOCAL statement_timeout = {1000 * STEP_S_MAX}")
            connection.execute(step.text.encode())
            connection.execute(
                "INSERT INTO public.migrations (number, name, sha256) VALUES (%s, %s, %s)",
                (step.number, step.name, step.sha256),
            )
            taken.append(step)


def check_migrated(connection: Connection[Any]) -> None:
    """MigrationError where the database lacks a step: before it is used."""
    if missing := pending(connection):
        raise MigrationError(
            f"the database lacks {len(missing)} of {len(migrations())} migrations", "run `tidegauge database migrate`"
        )
