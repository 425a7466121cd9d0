"""The demo's own servers and workers: an embedded stack in a folder of its own, and the programs that run on it."""

from __future__ import annotations

import http.client
import os
import secrets
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from deploy import record
from deploy.embedded import processes
from deploy.embedded.stack import Stack
from deploy.errors import StackError
from deploy.private import private_folder
from deploy.record import Running
from deploy.settings import Settings
from deploy.sources import PREFIX
from tidegauge.cli.output import FAILED_CHECK, CommandError

FOLDER: Final = "demo"
CURRENCY: Final = "CNY"
DEMO_PACK: Final = "rolling-quarter-aum"
_READY_WAIT_S: Final = 180.0  # the first start compiles the kernels
_POLL_S: Final = 0.1
WORKER, VIEWS, NOTICES = "worker", "views", "notices"


def demo_settings(around: Settings, zone: str) -> Settings:
    """The settings of a demo: a folder below the data folder; on somebody else's Kafka, names of its own."""
    own: dict[str, object] = {
        "data_dir": around.data_dir.absolute() / FOLDER,
        "base_currency": CURRENCY,
        "zone": zone,
        "pack": DEMO_PACK,
        "webhook_url": None,
    }
    if around.external or around.redis_url:
        name = f"demo-{uuid.uuid4().hex[:8]}"
        key = around.reference_key or SecretStr(secrets.token_hex(32))
        own |= {"topic_prefix": f"{name}.", "group": name, "reference_key": key}
    return around.model_copy(update=own)


def fresh_folder(settings: Settings) -> None:
    """Stop and wipe what an earlier demo left. CommandError if the folder holds something else."""
    folder = settings.data_dir
    if folder.exists() and any(folder.iterdir()) and not record.read_record(folder):
        raise CommandError(f"{folder} was not made by a demo", "choose another data folder with --data", FAILED_CHECK)
    if folder.exists():
        Stack(folder, settings).stop()
        shutil.rmtree(folder)
    private_folder(folder)


def environment(settings: Settings) -> dict[str, str]:
    """What a child needs in its environment to have these settings and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value is not None and value != "":
            kept[PREFIX + name.upper()] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return kept


class Programs:
    """The worker, the view writer and the notifier as processes of their own. Started from one thread (see tether)."""

    def __init__(self, settings: Settings, *, tether: bool) -> None:
        self.settings, self.tether = settings, tether
        self.metrics_port = 0  # chosen when the worker first starts: the servers have theirs by then
        self.running: dict[str, Running] = {}

    def log(self, name: str) -> Path:
        """Where a program's output goes."""
        return self.settings.data_dir / f"{name.replace(' ', '-')}.log"

    def compile(self) -> subprocess.Popen[bytes]:
        """Start compiling the kernels; the worker then finds them done."""
        log = self.log("compiling").open("wb")
        command = [sys.executable, "-m", "tidegauge.demo.compilation"]
        with log:
            return subprocess.Popen(command, env=environment(self.settings), stdout=log, stderr=log)

    def start(self, name: str) -> None:
        """Start a program, its output into a log; the name is that of its command."""
        command = [sys.executable, "-m", "tidegauge.cli.main", *name.split()]
        if name == WORKER:
            self.metrics_port = self.metrics_port or processes.free_row(1)
            command += ["--metrics-port", str(self.metrics_port)]
        environ = environment(self.settings)
        self.running[name] = processes.start(
            name, command, self.log(name), "tidegauge.cli.main", tether=self.tether, env=environ
        )

    def kill(self, name: str) -> None:
        """End a program with SIGKILL."""
        processes.kill(self.running.pop(name))

    def stop(self) -> None:
        """End what runs, and wait for it."""
        processes.stop(self.running.values())
        self.running.clear()

    def ready(self) -> bool:
        """Whether the worker has its partitions and has recovered; StackError if it has ended."""
        self.check()
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=2.0)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()

    def check(self) -> None:
        """Raise StackError with a log's end if a program has ended by itself."""
        for name, running in self.running.items():
            if not running.alive():
                raise StackError(
                    f"`tidegauge {name}` ended:\n{processes.tail(self.log(name))}", f"see {self.log(name)}"
                )

    def wait_ready(self, meanwhile: Callable[[], None]) -> float:
        """Wait until the worker is ready; gives the seconds. `meanwhile` is called again and again."""
        began = time.monotonic()
        while not self.ready():
            if time.monotonic() - began > _READY_WAIT_S:
                raise StackError(f"the worker was not ready in time:\n{processes.tail(self.log(WORKER))}")
            meanwhile()
            time.sleep(_POLL_S)
        return time.monotonic() - began
