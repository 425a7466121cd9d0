"""PostgreSQL as a part of the embedded stack: its port and folder in the record, its roles and the database of Tidegauge."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deploy import record
from deploy.connections.database import (
    OWNER_ROLE,
    SUPER_ROLE,
    connected,
    database_answers,
    opened_database,
    role_password,
    shown_database,
)
from deploy.connections.wire import Certificates
from deploy.embedded import postgres, processes
from deploy.embedded.postgres import DATABASE, DatabaseServer
from deploy.record import Running
from deploy.security.authority import SecureFolder
from deploy.security.principals import PRINCIPALS, READER_ROLE

if TYPE_CHECKING:
    from psycopg import Connection

    from deploy.embedded.stack import Stack

WHAT: Final = "PostgreSQL"


class Database:
    """The server of a stack that is being started: `prepare` begins, the others start meanwhile, `start` ends."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.folder = stack, stack.data_dir
        self.secure = SecureFolder(self.folder) if stack.secure else None
        self._making: subprocess.Popen[bytes] | None = None
        self._server: DatabaseServer | None = None

    def prepare(self) -> None:
        """Fetch the programs, and begin to make the storage if it is new. StackError."""
        stack = self.stack
        programs = postgres.binaries(stack.settings.maven_mirror, stack.say)
        home = record.read_record(self.folder).get("postgres_home") or str(postgres.new_home(self.folder))
        stack.remember(postgres_home=home)
        wanted = stack.settings.postgres_port
        self._server = DatabaseServer(
            self.folder, Path(home), wanted, programs, postgres.unprivileged(), stack.tether, self.secure
        )
        self._making = self._server.prepare()

    def start(self, started: list[Running]) -> None:
        """Start it, wait until it answers, and make what is missing of roles and the database. StackError."""
        assert self._server is not None, "prepare comes first"
        # Now and not before: the others have their ports, and none of them takes this one.
        port = self.stack.base_port("postgres_port", self._server.port, 1)
        processes.check_port_free(port, WHAT, "--postgres-port")
        self.stack.remember(postgres_port=port)
        server = replace(self._server, port=port)
        self.stack.note_started(server.start(self._making), started)
        self._making = None
        url = self._as_super(server.url.replace(f"/{DATABASE}", f"/{SUPER_ROLE}"))
        wait_s = postgres.POSTGRES_READY_WAIT_S
        processes.wait_until(lambda: database_answers(url), started[-1:], server.log, WHAT, wait_s)
        with connected(url, autocommit=True) as connection:
            self._roles(connection)
        shown = server.url
        if self.secure is None:
            word = role_password(self.folder, OWNER_ROLE)
            shown = opened_database(server.url, OWNER_ROLE, word, Certificates("TIDEGAUGE_DATABASE"))
        self.stack.remember(database_url=shown)
        self.stack.say(f"PostgreSQL answers at {shown_database(shown)}")

    def give_up(self) -> None:
        """End what was begun, where something else has failed."""
        if self._making is not None:
            self._making.kill()
            self._making.wait()

    def _as_super(self, url: str) -> str:
        ca = self.secure.ca if self.secure is not None else None
        return opened_database(
            url, SUPER_ROLE, role_password(self.folder, SUPER_ROLE), Certificates("TIDEGAUGE_DATABASE", ca)
        )

    def _roles(self, connection: Connection[Any]) -> None:
        """Each role with its password, as the folder has it; the database is the owner's."""
        wanted = {OWNER_ROLE: role_password(self.folder, OWNER_ROLE)}
        if self.secure is not None:
            wanted |= {one.name: self.secure.password(one.name) for one in PRINCIPALS if one.tables is not None}
        known = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
        for name, word in wanted.items():
            set_password(connection, name, word, new=name not in known)
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone():
            connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER_ROLE}")
            connection.execute(f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC")
        for name in wanted.keys() - {OWNER_ROLE}:
            connection.execute(f'GRANT CONNECT, TEMPORARY ON DATABASE {DATABASE} TO "{name}"')
        if READER_ROLE not in known:
            connection.execute(f"CREATE ROLE {READER_ROLE} NOLOGIN")
        readers = [one.name for one in PRINCIPALS if one.name in wanted and one.tables and one.tables.units]
        for name in (OWNER_ROLE, *readers):
            connection.execute(f'GRANT {READER_ROLE} TO "{name}"')


def set_password(connection: Connection[Any], role: str, password: str, *, new: bool) -> None:
    """A role with its password, of which the server gets the verifier alone: statements end up in logs."""
    from psycopg import sql

    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    words = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}" if new else "ALTER ROLE {} LOGIN PASSWORD {}")
    connection.execute(words.format(sql.Identifier(role), sql.Literal(verifier)))
