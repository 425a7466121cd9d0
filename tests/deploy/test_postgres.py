"""The embedded PostgreSQL: it keeps its data, asks for a password, is nobody's but its folder's, and never root's."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from deploy.connections.database import SUPER_ROLE, connected, database_answers, role_password, shown_database
from deploy.embedded import jars, postgres, processes
from deploy.embedded.stack import Stack
from deploy.errors import StackError
from deploy.record import RECORD_FILE, read_record
from deploy.settings import Settings
from services.database.setup import make_ready

pytestmark = pytest.mark.integration


def stack_of(folder: Path, **more: bool) -> Stack:
    return Stack(
        folder, Settings(), with_kafka=False, with_redis=False, with_postgres=True, any_ports=True, tether=True, **more
    )


@pytest.fixture
def homes() -> Iterator[list[str]]:
    """Places to clear: of root they are not in the test's folder."""
    found: list[str] = []
    yield found
    for home in found:
        shutil.rmtree(home, ignore_errors=True)


def test_it_keeps_its_data(tmp_path: Path, homes: list[str]) -> None:
    """Down and up again, killed and up again; a copy of the folder neither stops it nor is it."""
    folder = tmp_path / '数据 "x" it\'s=1'
    with stack_of(folder) as stack:
        homes.append(read_record(folder)["postgres_home"])
        url = stack.settings.database
        with connected(url) as connection:
            connection.execute("CREATE TABLE kept (n int)")
        (server,) = stack.running()
        assert psutil.Process(server.pid).uids().effective != 0
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        with stack_of(copy) as other:
            homes.append(read_record(copy)["postgres_home"])
            assert other.settings.database != url
        assert database_answers(url)
        processes.kill(server)
        stack.start()
        assert connected(stack.settings.database).execute("SELECT count(*) FROM kept").fetchone() == (0,)
        client = connected(stack.settings.database)  # one that has not left
    assert stack.running() == [] and client.info is not None
    with stack_of(folder) as again:
        assert connected(again.settings.database).execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_it_is_closed(postgres: Stack) -> None:
    """No one gets in without the password, in no file or process list anybody else reads it; its folder is its user's alone."""
    folder = postgres.data_dir
    home = Path(read_record(folder)["postgres_home"])
    word, url = role_password(folder, "tidegauge"), postgres.settings.database
    with pytest.raises(psycopg.OperationalError, match="password"):
        connected(url.replace(word, "another"))
    (server,) = postgres.running()
    assert word not in " ".join(psutil.Process(server.pid).cmdline())
    for path in (home, folder, home / "server.conf", folder / RECORD_FILE, folder / "database.password"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert not (home / "init.password").exists()
    assert role_password(folder, SUPER_ROLE) not in (folder / "logs" / "postgres.log").read_text()
    assert shown_database(url) == f"postgresql://…@127.0.0.1:{read_record(folder)['postgres_port']}/tidegauge"
    with connected(url) as connection:
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)


def test_no_data_in_its_log(postgres: Stack, database: str) -> None:
    """A statement that fails leaves no value behind: neither the row's nor its own."""
    with connected(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE people (name text PRIMARY KEY)")
        for _ in range(2):
            try:
                connection.execute("INSERT INTO people VALUES ('Jane Roe 4711')")
            except psycopg.errors.UniqueViolation:
                break
    log = (postgres.data_dir / "logs" / "postgres.log").read_text()
    assert "duplicate key" in log and "Roe" not in log


def test_waits_have_an_end(database: str) -> None:
    """Statements, locks and idle transactions, of every connection."""
    with connected(database) as connection:
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            assert connection.execute(f"SHOW {name}").fetchone() not in [("0",), None]


def test_secured(tmp_path: Path, homes: list[str]) -> None:
    """TLS with the folder's authority, a role with the least rights for each principal that has business there."""
    folder = tmp_path / "data"
    with stack_of(folder, secure=True) as stack:
        homes.append(read_record(folder)["postgres_home"])
        make_ready(stack.settings)
        url = stack.settings.database
        assert url.startswith("postgresql://operator:") and "sslmode=verify-full" in url
        with connected(url, autocommit=True) as connection:
            assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)
            connection.execute("INSERT INTO access.units (unit, name) VALUES ('hq', 'x')")
            for forbidden in ("DELETE FROM access.units", "DROP TABLE access.units", "CREATE TABLE access.t (n int)"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(forbidden)
        port = read_record(folder)["postgres_port"]
        plain = (
            f"postgresql://operator:{stack.settings.database.split(':')[2].split('@')[0]}@127.0.0.1:{port}/tidegauge"
        )
        with pytest.raises(psycopg.OperationalError, match="no encryption"):
            connected(f"{plain}?sslmode=disable")
        with pytest.raises(psycopg.OperationalError, match=r"root certificate|certificate verify failed"):
            connected(f"{plain}?sslmode=verify-full&sslrootcert=/nowhere.pem")


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that is taken, an unknown machine, a repository that is away: each with the way out."""
    monkeypatch.setattr("platform.machine", lambda: "s390x")
    with pytest.raises(StackError, match="no embedded PostgreSQL for s390x"):
        stack_of(tmp_path / "a").start()
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setenv("M2_REPO", str(tmp_path / "empty"))
    dead = f"http://127.0.0.1:{processes.free_row(1)}/maven2"
    with pytest.raises(StackError) as problem:
        postgres.binaries(dead)
    assert "TIDEGAUGE_DATABASE_URL" in problem.value.hint and "KAFKA_HOME" not in problem.value.hint


def test_every_machine_is_pinned() -> None:
    """Each binary that may be fetched has its SHA-256 in the lock."""
    names = {jar.coordinate for jar in jars.locked(postgres.POSTGRES_LOCK)}
    for machine in set(postgres.MACHINES.values()):
        for system in ("linux", "darwin"):
            name = postgres.ARTIFACT.format(system=system, machine=machine)
            assert f"io.zonky.test.postgres:{name}:{postgres.VERSION}" in names


def test_a_database_elsewhere(tmp_path: Path) -> None:
    """None is started where the settings name one."""
    settings = Settings(database_url="postgresql://db.example/tidegauge")
    assert not Stack(tmp_path, settings, with_postgres=True).with_postgres
    assert list(tmp_path.iterdir()) == []
