"""Fixtures that every test may use: servers, settings with names of their own, and the Berka data.

Servers start once a session, when the first test asks for them, and die with it. Under CI=true a skipped test fails the
run: a check that did not run is not green.
"""

import os
import re
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# Compiled kernels are kept in the environment; numba reads this when it is imported.
if sys.prefix != sys.base_prefix:
    os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(sys.prefix) / "numba-cache"))

from hypothesis import HealthCheck  # after the variable
from hypothesis import settings as hypothesis_settings

from deploy import topics
from deploy.connections.caller import OPERATOR, act_as
from deploy.connections.database import OWNER_ROLE, SUPER_ROLE, connected, role_password
from deploy.embedded.postgres import DATABASE
from deploy.embedded.stack import Stack
from deploy.record import read_record
from deploy.settings import Settings
from tests.parts import MARKS, PARTS, may_hold

ROOT = Path(__file__).resolve().parent.parent
IN_CI = os.environ.get("CI", "").lower() == "true"
HEAP_MB = 512

# No deadlines: how fast a machine is proves nothing. A failure prints the blob that replays it. CI draws the same
# examples every time; elsewhere `--hypothesis-seed` repeats a run.
hypothesis_settings.register_profile(
    "tidegauge",
    deadline=None,
    print_blob=True,
    derandomize=IN_CI,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
hypothesis_settings.load_profile("tidegauge")


@dataclass(frozen=True, slots=True)
class Kafka:
    """Brokers to test against; `stack` is None when they are somebody else's."""

    bootstrap_servers: str
    stack: Stack | None


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """One broker for the session: the embedded one on free ports, or that of TIDEGAUGE_BOOTSTRAP_SERVERS."""
    if given := os.environ.get("TIDEGAUGE_BOOTSTRAP_SERVERS"):
        yield Kafka(given, None)
        return
    folder = tmp_path_factory.mktemp("kafka")
    stack = Stack(
        folder, Settings(kafka_heap_mb=HEAP_MB), with_redis=False, with_topics=False, any_ports=True, tether=True
    )
    with stack:
        yield Kafka(stack.bootstrap_servers, stack)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Redis server for the session: the embedded one on a free port, or that of TIDEGAUGE_REDIS_URL."""
    if given := os.environ.get("TIDEGAUGE_REDIS_URL"):
        yield given
        return
    with Stack(tmp_path_factory.mktemp("redis"), with_kafka=False, any_ports=True, tether=True) as stack:
        yield stack.redis_url


@pytest.fixture(scope="session")
def tickets_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server for tickets, which syncs every write, for the session."""
    folder = tmp_path_factory.mktemp("tickets")
    with Stack(
        folder,
        Settings(tickets_url=""),
        with_kafka=False,
        with_redis=False,
        with_tickets=True,
        any_ports=True,
        tether=True,
    ) as stack:
        yield stack.settings.tickets


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The embedded PostgreSQL on a free port, for the session; a test takes a database of it."""
    folder = tmp_path_factory.mktemp("postgres")
    settings = Settings(database_url="")
    with Stack(
        folder, settings, with_kafka=False, with_redis=False, with_postgres=True, any_ports=True, tether=True
    ) as stack:
        home = Path(read_record(folder)["postgres_home"])
        yield stack
    shutil.rmtree(home)  # of root it lies elsewhere


@pytest.fixture(scope="session")
def new_database(postgres: Stack) -> Callable[[], str]:
    """Makes empty databases: each call gives the URL of one, as its owner."""

    def make() -> str:
        name = f"t{uuid.uuid4().hex[:10]}"
        port = read_record(postgres.data_dir)["postgres_port"]
        word = role_password(postgres.data_dir, SUPER_ROLE)
        with connected(f"postgresql://{SUPER_ROLE}:{word}@127.0.0.1:{port}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER {OWNER_ROLE}")
        return postgres.settings.database.removesuffix(DATABASE) + name

    return make


@pytest.fixture
def database(new_database: Callable[[], str]) -> str:
    """URL of an empty database of the test's own, as its owner."""
    return new_database()


@pytest.fixture(autouse=True)
def acting() -> Iterator[None]:
    """A command that a test calls in this process leaves what it acted as: the next test begins as the operator."""
    yield
    act_as(OPERATOR)


@pytest.fixture
def topic_prefix() -> str:
    """A prefix that no other test has, so that tests run side by side on one broker."""
    return f"t{uuid.uuid4().hex[:10]}."


@pytest.fixture
def settings(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> Settings:
    """Settings for the test's own topics and group on the session's broker; no topic exists yet."""
    return Settings(
        bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix=topic_prefix,
        group=f"{topic_prefix}group",
        data_dir=tmp_path / "data",
        reference_key="a reference key for tests, 32 bytes long",
        metrics_port=0,
    )


@pytest.fixture
def make_topics(settings: Settings) -> Callable[..., Settings]:
    """`make_topics("transactions", ...)` creates those topics of the catalogue, with the test's prefix; `()`: all."""

    def make(*names: str) -> Settings:
        topics.create(settings, names or None)
        return settings

    return make


@pytest.fixture(scope="session")
def berka_dir() -> Path:
    """Folder of the Berka data: TIDEGAUGE_BERKA_DIR, else beside the repository."""
    folder = Path(os.environ.get("TIDEGAUGE_BERKA_DIR", ROOT.parent / "shared" / "data" / "berka"))
    if not (folder / "trans.asc").exists():
        message = f"no Berka data in {folder}: set TIDEGAUGE_BERKA_DIR to the folder that holds trans.asc"
        pytest.fail(message) if IN_CI else pytest.skip(message)
    return folder


def said_marks(path: Path) -> set[str]:
    """The marks that a module's text names, of those that divide the run."""
    return set(re.findall(rf"\bmark\.({'|'.join(MARKS)})\b", path.read_text()))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A module that can hold no test of the part that is run is not imported: five thousand tests take a while."""
    part = config.getoption("markexpr")
    if part not in PARTS.values() or not collection_path.name.startswith("test_"):
        return None
    return None if may_hold(part, said_marks(collection_path)) else True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A mark that comes from elsewhere would keep its test out of every part: each is named in its test's module."""
    for path, marks in {(item.path, frozenset(m.name for m in item.iter_markers())) for item in items}:
        if hidden := (marks & set(MARKS)) - said_marks(path):
            raise pytest.UsageError(f"{path}: pytest.mark.{min(hidden)} is not named there")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under CI a skipped test fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter is not None else []
    if IN_CI and skipped and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"{len(skipped)} tests were skipped; in CI every test must run", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
