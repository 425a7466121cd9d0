"""Fixtures of the engine's tests on a real broker."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.world import World

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def make_world(kafka, request: pytest.FixtureRequest) -> Iterator[Callable[[], World]]:
    """Topics named after the test, gone afterwards."""
    made: list[World] = []

    def make() -> World:
        made.append(World(kafka.bootstrap_servers, request.function.__name__[:40]))
        return made[-1]

    yield make
    groups = tuple(world.settings.group for world in made)
    mine = [t for t in made[0].admin.list_topics(timeout=10).topics if t.startswith(groups)] if made else []
    for future in made[0].admin.delete_topics(mine).values() if mine else ():  # a busy broker may not list them yet
        future.exception(10)


@pytest.fixture
def world(make_world: Callable[[], World]) -> World:
    """Topics of the test."""
    return make_world()


@pytest.fixture
def worker(
    make_world: Callable[[], World], tmp_path: Path
) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], int]]]:
    """Starts workers; gives process and metrics port."""
    started: list[subprocess.Popen[bytes]] = []

    def start(world: World, **options: object) -> tuple[subprocess.Popen[bytes], int]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        said = {
            "kafka": world.settings.kafka,
            "group": world.settings.group,
            "partitions": 1,
            "metrics_port": port,
            **options,
        }
        with (tmp_path / f"worker-{len(started)}.log").open("wb") as log:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.engine.worker", json.dumps(said)], cwd=REPO, stdout=log, stderr=log
                )
            )
        return started[-1], port

    yield start
    for process in started:
        process.kill()
        process.wait(240)
