"""Whatever runs on, as processes: whatever ends them, the last line says what it was and what to do."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer

from deploy import topics
from deploy.connections.clients import librdkafka
from deploy.connections.database import connected
from deploy.settings import Settings
from schemas.codec.records import encode
from schemas.registry import file_registry
from services.database.migrations import migrate
from tests.engine.world import wait_for
from tests.integration.live import listens
from tests.services.test_notices import ALERT
from tests.twins.events import posting
from tests.world.test_processes import joined

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ENDS_S = 240  # the machine may be busy
SECOND = file_registry(contracts=2)
BROKEN = "def broken(*_, **__): raise ZeroDivisionError('a bug')\n"
MAIN = "from tidegauge.cli.main import main; main()"
VIEWS, SERVE, NOTICES = ("views",), ("queue", "serve", "--port", "0", "--metrics-port", "0"), ("notices",)
PAGES, COMMANDS, WORKER = (
    ("queue", "pages", "--port", "0"),
    ("commands", "serve", "--port", "0"),
    ("worker", "--metrics-port", "0"),
)
Processes = dict[str, subprocess.Popen[bytes]]


@dataclass
class End:
    """A way to end a command: a signal, or code that is run before it."""

    command: tuple[str, ...]
    said: tuple[str, ...]
    by: signal.Signals | None = None
    before: str = ""


def bug(place: str) -> str:
    """Code that breaks a method of a class of ours or others'."""
    module, name, method = place.rsplit(".", 2)
    return f"{BROKEN}import {module}; {module}.{name}.{method} = broken\n"


LEFT = "stopped: the view has what was applied; look-ups say degraded in a while, until `tidegauge views` runs again"
SERVED = "stopped: no request is open; kiosks get no answer until `tidegauge queue serve` runs again"
SHOWN = "stopped: screens show what they showed, and come again when `tidegauge queue pages` runs again"
TAKEN = "stopped: every command that was answered is written; results of the others wait for the next start"
TOLD = "stopped: what was delivered is acknowledged; it is safe to go on"
BUG = ("error: ", "ZeroDivisionError", "a bug", "report it")
ENDS = {
    "views SIGTERM": End(VIEWS, (LEFT,), signal.SIGTERM),
    "views SIGHUP": End(VIEWS, (LEFT,), signal.SIGHUP),
    "views bug": End(VIEWS, BUG, before=bug("services.views.writer.ViewWriter.settle")),
    "sweep bug": End(VIEWS, BUG, before=bug("services.views.sweep.sweeper.Sweeper.turn")),
    "serve SIGTERM": End(SERVE, (SERVED,), signal.SIGTERM),
    "serve SIGINT": End(SERVE, (SERVED,), signal.SIGINT),
    "serve SIGHUP": End(SERVE, (SERVED,), signal.SIGHUP),
    "serve bug": End(SERVE, BUG, before=bug("uvicorn.Server.startup")),
    "notices SIGTERM": End(NOTICES, (TOLD,), signal.SIGTERM),
    "notices SIGHUP": End(NOTICES, (TOLD,), signal.SIGHUP),
    "pages SIGTERM": End(PAGES, (SHOWN,), signal.SIGTERM),
    "pages bug": End(PAGES, BUG, before=bug("uvicorn.Server.startup")),
    "commands SIGTERM": End(COMMANDS, (TAKEN,), signal.SIGTERM),
    "commands bug": End(COMMANDS, BUG, before=bug("uvicorn.Server.startup")),
    "notices bug": End(NOTICES, BUG, before=bug("services.notices.notifier.Notifier.notify")),
}


WORKER_ENDS = {
    "worker SIGTERM": End(WORKER, ("stopped: ", "everything is committed", "the group is left"), signal.SIGTERM),
    "worker bug": End(WORKER, ("error: partition ", *BUG[1:]), before=bug("agents.engine.unit.PartitionUnit.take")),
}


def around(settings: Settings, redis_url: str) -> dict[str, str]:
    """The environment of a process."""
    return os.environ | {
        "TIDEGAUGE_BOOTSTRAP_SERVERS": settings.bootstrap_servers, "TIDEGAUGE_TOPIC_PREFIX": settings.topic_prefix,
        "TIDEGAUGE_GROUP": settings.group, "TIDEGAUGE_REDIS_URL": redis_url,
        "TIDEGAUGE_DATA_DIR": str(settings.data_dir), "TIDEGAUGE_REFERENCE_KEY": "k" * 32, "TIDEGAUGE_LOOKUP_OPEN": "true",
    }  # fmt: skip


@contextmanager
def begun(ends: Mapping[str, End], env_of: Callable[[str], dict[str, str]], folder: Path) -> Iterator[Processes]:
    """The commands, each with an environment and its log in the folder; killed on the way out."""
    running: Processes = {}
    try:
        for name, end in ends.items():
            with (folder / f"{name}.log").open("wb") as log:
                running[name] = subprocess.Popen(
                    [sys.executable, "-c", f"{end.before}{MAIN}", *end.command],
                    env=env_of(name), stdout=subprocess.DEVNULL, stderr=log,
                )  # fmt: skip
        for name, end in ends.items():
            if end.by is not None:
                wait_for(lambda name=name: listens(running[name].pid), ENDS_S)
        yield running
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def check_ends(ends: Mapping[str, End], running: Processes, folder: Path, never: Sequence[str]) -> None:
    """End them: each with its code and its last line, and none of these words in its log."""
    for name, end in ends.items():
        if end.by is not None:
            running[name].send_signal(end.by)
    for name, end in ends.items():
        code = running[name].wait(ENDS_S)
        text = (folder / f"{name}.log").read_text()
        line = text.strip().splitlines()[-1]
        assert code == (0 if end.by else 1), (name, text)
        assert all(words in line for words in end.said), (name, text)
        for words in never:
            assert words not in text, (name, text)


def test_the_last_line(
    make_topics: Callable[..., Settings],
    redis_url: str,
    redis_client: object,
    tickets_server: str,
    database: str,
    tmp_path: Path,
) -> None:
    """One line, and above it no traceback of anybody's and no cursor codes; a signal ends them well."""
    settings = make_topics()
    with connected(database) as connection:
        migrate(connection)
    out = Producer(librdkafka(settings.kafka))
    out.produce(settings.topic("rm-alerts"), encode("rm-alerts", ALERT, SECOND), b"C1")
    out.flush(20)
    numbers, more = list(ENDS), {"TIDEGAUGE_TICKETS_URL": tickets_server, "TIDEGAUGE_DATABASE_URL": database}

    def env_of(name: str) -> dict[str, str]:
        own = {"TIDEGAUGE_GROUP": f"{settings.group}{numbers.index(name)}"}
        return around(settings, redis_url) | own | (more if ENDS[name].command == PAGES else {})

    with begun(ENDS, env_of, tmp_path) as running:
        time.sleep(8)  # they are at work
        check_ends(ENDS, running, tmp_path, ("Traceback", "\x1b", "Crashed reason", "/site-packages/"))


def test_the_last_line_of_a_worker(
    make_topics: Callable[..., Settings], redis_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    """Of the real one, with a bank's job: told to stop, and with a bug in how it takes what comes."""
    good = make_topics()
    bad = good.model_copy(update={"topic_prefix": f"bug.{topic_prefix}", "group": f"bug.{good.group}"})
    topics.create(bad)
    out, record = Producer(librdkafka(bad.kafka)), posting(1, 100, "2026-01-01")
    name = record.pop("topic")
    out.produce(bad.topic(name), encode(name, record), record["customer_id"].encode())
    out.flush(20)
    settings = dict(zip(WORKER_ENDS, (good, bad), strict=True))
    with begun(WORKER_ENDS, lambda name: around(settings[name], redis_url), tmp_path) as running:
        joined(good)
        check_ends(WORKER_ENDS, running, tmp_path, ("\x1b", "Crashed reason"))
