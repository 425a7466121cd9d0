"""View rebuild: the command itself, on a Redis server of its own; every customer's row read back and compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from redis import Redis

from bench.measure.arena import KEY, ROOT
from bench.world.bank import Bank
from bench.world.sums import standings_by_numpy
from deploy.embedded import processes
from deploy.embedded.redis import Server
from deploy.ping import answers
from schemas.codec.blocks import Reader
from schemas.codec.values import decode_values
from services.views.keys import Keys

READ_AT_ONCE = 20_000
READY_S_MAX = 30.0


class Rebuilt(NamedTuple):
    """What the command said, and what the rows are."""

    records: int
    seconds: float  # as an operator waits, from start to end of the command
    writing_s: float  # by the command's own clock, without its start
    redis_bytes: int
    checked: int


def run(bank: Bank, as_of: int) -> Rebuilt:
    """Rebuilds the view of a bank whose standings are of `as_of`."""
    folder = Path(bank.arena.folder) / "view"
    server = Server(folder, processes.free_row(1), tether=True)
    running = server.start()
    try:
        deadline = time.monotonic() + READY_S_MAX
        while not answers(server.url):
            assert time.monotonic() < deadline, "no answer of the Redis server"
            time.sleep(0.05)
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "tidegauge.cli.main", "rebuild", "--json"],
            cwd=ROOT, env=environment(bank, server.url), capture_output=True, text=True, check=False,
        )  # fmt: skip
        seconds = time.monotonic() - began
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        said = json.loads(done.stdout.splitlines()[-1])
        with Redis.from_url(server.url) as client:
            checked = check(bank, client, as_of)
            used = int(client.info("memory")["used_memory"])
        return Rebuilt(said["records"], seconds, said["seconds"], used, checked)
    finally:
        processes.stop([running])


def environment(bank: Bank, redis_url: str) -> dict[str, str]:
    """Of a command that works on the bank."""
    settings = bank.settings
    names = ("bootstrap_servers", "topic_prefix", "group", "partitions", "data_dir")
    mine = {f"TIDEGAUGE_{name.upper()}": str(getattr(settings, name)) for name in names}
    return {
        **os.environ, **mine, "TIDEGAUGE_REFERENCE_KEY": KEY, "TIDEGAUGE_REDIS_URL": redis_url, "PYTHONPATH": str(ROOT),
    }  # fmt: skip


def check(bank: Bank, client: Redis, as_of: int) -> int:
    """Compares each customer's AUM in the view with plain sums; how many. AssertionError on a difference."""
    keys, reader = Keys.of(bank.settings.topic_prefix), Reader("standings")
    want = standings_by_numpy(bank.world, bank.moves, as_of)["aum"]
    for first in range(0, bank.world.customers, READ_AT_ONCE):
        numbers = range(first, min(first + READ_AT_ONCE, bank.world.customers))
        with client.pipeline(transaction=False) as pipeline:
            for number in numbers:
                pipeline.hget(keys.standing(f"C{number:08d}"), "record")
            values: list[Any] = pipeline.execute()
        assert None not in values, f"C{numbers[values.index(None)]:08d} is not in the view"
        columns = decode_values(values, reader)
        assert not columns.status.any()
        assert np.array_equal(columns.data[:, reader.index["aum_minor"]], want[numbers.start : numbers.stop])
        assert (columns.data[:, reader.index["as_of"]] == as_of).all()
    return bank.world.customers
