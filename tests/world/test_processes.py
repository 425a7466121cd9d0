"""Settings that disagree, as people meet them: real processes, refused in three lines within ten seconds."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from confluent_kafka import ConsumerGroupState, KafkaException
from pydantic import SecretStr

from deploy import admin, record
from deploy.embedded import processes
from deploy.embedded.stack import Stack
from deploy.settings import Settings
from services.views.keys import Keys
from tests.world.test_log import OTHER_KEY, made_anew
from tidegauge.demo.processes import environment
from tidegauge.world.check import World, begin_world

pytestmark = [pytest.mark.integration, pytest.mark.system, pytest.mark.slow]

NOTICED_S = 240.0  # patience: how soon it is noticed, chaos `settings` and `anew` say
STANDINGS = ("standings", "--as-of", "2026-01-31", "--json")
WHATIF = ("policy", "whatif", "--pack", "rolling-quarter-aum", "--from", "2026-01-01")

# A command, the setting that is wrong, its value, and a word of the line.
PAIRS = [
    (("worker", "--metrics-port", "0"), "group", "second", "TIDEGAUGE_GROUP"),
    (("worker", "--metrics-port", "0"), "reference_key", OTHER_KEY, "reference key"),
    (("worker", "--metrics-port", "0"), "topic_prefix", "nowhere.", "TIDEGAUGE_TOPIC_PREFIX"),
    (STANDINGS, "zone", "UTC", "TIDEGAUGE_ZONE"),
    (STANDINGS, "topic_prefix", "nowhere.", "TIDEGAUGE_TOPIC_PREFIX"),
    (WHATIF, "base_currency", "CZK", "TIDEGAUGE_BASE_CURRENCY"),
    (("explain", "C1"), "reference_key", OTHER_KEY, "reference key"),
    (("outlook", "C1"), "pack", "medal-annual", "TIDEGAUGE_PACK"),
    (("close", "2026-01-31"), "topic_prefix", "nowhere.", "TIDEGAUGE_TOPIC_PREFIX"),
    (("notices",), "group", "second", "TIDEGAUGE_GROUP"),
    (("notices",), "reference_key", OTHER_KEY, "reference key"),
    (("commands", "serve", "--port", "0"), "topic_prefix", "nowhere.", "TIDEGAUGE_TOPIC_PREFIX"),
]


@pytest.fixture
def world(make_topics: Callable[..., Settings], redis_server: str) -> World:
    return begin_world(make_topics().model_copy(update={"redis_url": redis_server}))


def run(settings: Settings, *command: str, out: int = subprocess.PIPE, **wrong: str) -> subprocess.Popen[str]:
    """A command as a process. `out`: a pipe that nobody reads stops one that goes on and on."""
    around = environment(settings) | {f"TIDEGAUGE_{name.upper()}": value for name, value in wrong.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "tidegauge.cli.main", *command], env=around | {"NO_COLOR": "1"}, text=True,
        stdout=out, stderr=out,
    )  # fmt: skip


def joined(settings: Settings) -> None:
    """Wait until a worker reads; on a machine without compiled kernels that takes a while."""
    administrator, until = admin.client(settings.kafka), time.monotonic() + 240
    while time.monotonic() < until:
        with suppress(KafkaException, TimeoutError):
            group = administrator.describe_consumer_groups([settings.group], request_timeout=5.0)[
                settings.group
            ].result(10)
            if group.state == ConsumerGroupState.STABLE:
                return
        time.sleep(0.2)
    raise TimeoutError("no worker joined the group")


def test_settings_that_disagree_are_refused(world: World) -> None:
    """Every pair: exit code 1 or 2, nothing on stdout, at most three lines, no traceback."""
    for command, name, value, word in PAIRS:
        process = run(world.settings, *command, **{name: value})
        out, said = process.communicate(timeout=NOTICED_S)
        assert (process.returncode in (1, 2), out) == (True, ""), (command, name, said)
        assert word in said and len(said.splitlines()) <= 3, (command, name, said)


def test_a_broker_that_comes_back_empty_is_another_world(tmp_path: Path) -> None:
    """The worker ends and says so, the next one begins the new log, and the view is built from that without hands."""
    stack = Stack(tmp_path / "data", Settings(kafka_heap_mb=512, metrics_port=0), any_ports=True, tether=True)
    stack.start()
    running: list[subprocess.Popen[str]] = []
    try:
        settings = stack.settings.model_copy(update={
            "bootstrap_servers": stack.bootstrap_servers, "redis_url": stack.redis_url, "reference_key": SecretStr(OTHER_KEY),
        })  # fmt: skip
        worker = run(settings, "worker", "--metrics-port", "0")
        running.append(worker)
        joined(settings)
        view = run(settings, "views", out=subprocess.DEVNULL)
        running.append(view)
        before = cluster_of_view(settings, lambda found: found is not None)
        emptied(stack)
        _, said = worker.communicate(timeout=NOTICED_S)
        assert worker.returncode in (1, 2)
        assert "cluster id" in said.splitlines()[-1]
        running.append(run(settings, "worker", "--metrics-port", "0"))
        joined(settings)
        assert cluster_of_view(settings, lambda found: found not in (None, before)) is not None
        assert view.poll() is None
    finally:
        for process in running:
            process.kill()
            print(process.args, *process.communicate(timeout=30), sep="\n")
        stack.stop()


def cluster_of_view(settings: Settings, wanted: Callable[[bytes | None], bool]) -> bytes | None:
    """The cluster that the view was built from, once it is such a one."""
    client, until = redis.Redis.from_url(settings.redis), time.monotonic() + NOTICED_S
    while not wanted(found := client.hget(Keys.of(settings.topic_prefix).meta, "cluster")):
        assert time.monotonic() < until, f"the view is of {found!r}"
        time.sleep(0.5)
    return found


def emptied(stack: Stack) -> None:
    """Stop Kafka, throw away all it had, and start it again: on the same ports, as another cluster."""
    kafka = [entry for entry in stack.running() if entry.name.startswith("kafka")]
    processes.stop(kafka)
    for entry in kafka:
        shutil.rmtree(stack.data_dir / entry.name)
    known = record.read_record(stack.data_dir)
    known.pop("cluster_id")
    record.write_record(stack.data_dir, known)
    stack.cluster = None
    stack.start()


def test_who_runs_ends_when_a_topic_is_made_anew(world: World) -> None:
    """With one line, and nothing of the new topic was counted by then or is read by the next one."""
    settings = world.settings
    worker = run(settings, "worker", "--metrics-port", "0")
    commands = run(settings, "commands", "serve", "--port", "0")
    try:
        joined(settings)
        assert commands.stderr is not None and any("commands at" in line for line in commands.stderr)
        made_anew(settings, "transactions")
        said = [process.communicate(timeout=NOTICED_S)[1] for process in (worker, commands)]
    finally:
        worker.kill()
        commands.kill()
    for process, text in zip((worker, commands), said, strict=True):
        last = [line for line in text.splitlines() if line.strip()][-1]
        assert process.returncode in (1, 2)
        assert "transactions" in last and "docs/operators.md#world" in last, text
    next_one = run(settings, "worker", "--metrics-port", "0")
    _, text = next_one.communicate(timeout=120)
    assert next_one.returncode in (1, 2) and "transactions" in text
