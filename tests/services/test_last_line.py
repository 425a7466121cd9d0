"""View writer, look-up and notifier as processes: whatever ends them, the last line says what it was and what to do."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer

from deploy.connections.clients import librdkafka
from deploy.settings import Settings
from schemas.codec.records import encode
from schemas.registry import file_registry
from tests.engine.world import wait_for
from tests.integration.live import listens
from tests.services.test_notices import ALERT

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ENDS_S = 60
SECOND = file_registry(contracts=2)
BROKEN = "def broken(*_, **__): raise ZeroDivisionError('a bug')\n"
MAIN = "from tidegauge.cli.main import main; main()"
VIEWS, SERVE, NOTICES = ("views",), ("queue", "serve", "--port", "0", "--metrics-port", "0"), ("notices",)


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
    "notices bug": End(NOTICES, BUG, before=bug("services.notices.notifier.Notifier.notify")),
}


def test_the_last_line(
    make_topics: Callable[..., Settings], redis_url: str, redis_client: object, tmp_path: Path
) -> None:
    """One line, and above it no traceback of anybody's and no cursor codes; a signal ends them well."""
    settings, running = make_topics(), dict[str, subprocess.Popen[bytes]]()
    out = Producer(librdkafka(settings.kafka))
    out.produce(settings.topic("rm-alerts"), encode("rm-alerts", ALERT, SECOND), b"C1")
    out.flush(20)
    try:
        for number, (name, end) in enumerate(ENDS.items()):
            env = os.environ | {
                "TIDEGAUGE_BOOTSTRAP_SERVERS": settings.kafka, "TIDEGAUGE_TOPIC_PREFIX": settings.topic_prefix,
                "TIDEGAUGE_GROUP": f"{settings.group}{number}", "TIDEGAUGE_REDIS_URL": redis_url,
                "TIDEGAUGE_DATA_DIR": str(settings.data_dir), "TIDEGAUGE_REFERENCE_KEY": "k" * 32,
                "TIDEGAUGE_LOOKUP_OPEN": "true",
            }  # fmt: skip
            with (tmp_path / f"{name}.log").open("wb") as log:
                running[name] = subprocess.Popen(
                    [sys.executable, "-c", f"{end.before}{MAIN}", *end.command],
                    env=env, stdout=subprocess.DEVNULL, stderr=log,
                )  # fmt: skip
        for name, end in ENDS.items():
            if end.by is not None:
                wait_for(lambda name=name: listens(running[name].pid), ENDS_S)
        time.sleep(8)  # they are at work
        for name, end in ENDS.items():
            if end.by is not None:
                running[name].send_signal(end.by)
        for name, end in ENDS.items():
            code = running[name].wait(ENDS_S)
            text = (tmp_path / f"{name}.log").read_text()
            line = text.strip().splitlines()[-1]
            assert code == (0 if end.by else 1), (name, text)
            assert all(words in line for words in end.said), (name, text)
            for words in ("Traceback", "\x1b", "Crashed reason", "/site-packages/"):
                assert words not in text, (name, text)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
