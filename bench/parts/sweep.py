"""`python -m bench.parts.sweep --customers 1000000`: how long a sweep over a view takes, and until a row that vanished is back.

A Redis server of its own, two rows a customer, the log made up on the fly; the sweeper turns as `tidegauge views` lets it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from redis import Redis

from deploy.embedded import processes
from deploy.embedded.redis import Server
from deploy.ping import answers
from services.views.keys import Keys
from services.views.projections import TopicRecord
from services.views.store import RedisViewStore
from services.views.sweep.guard import RowGuard
from services.views.sweep.sweeper import Sweeper
from services.views.writer import Fetched, ViewWriter

TOPICS: Final = ("queue-priority", "standings")
PARTITIONS: Final = 4
BATCH: Final = 20_000
VALUE: Final = b"v" * 300  # a standing takes about so much
LOOKS: Final = 3  # rows that are deleted, one after the other
MEND_S_MAX: Final = 600.0


class Log:
    """Every customer's record, in four partitions of each topic; a source of the writer and of the sweeper."""

    def __init__(self, customers: int) -> None:
        self.size = customers // PARTITIONS
        self.at: dict[str, int] = {}

    def names(self) -> list[str]:
        """`topic:partition`."""
        return [f"{topic}:{partition}" for topic in TOPICS for partition in range(PARTITIONS)]

    def record(self, name: str, offset: int) -> TopicRecord:
        """One of them."""
        topic, _, partition = name.partition(":")
        return TopicRecord(topic, int(partition), offset, f"C{partition}-{offset:08d}".encode(), VALUE)

    def world(self) -> dict[str, str]:
        """One log."""
        return {"cluster": "bench"} | dict.fromkeys(TOPICS, "id")

    def begin(self, positions: dict[str, int | None]) -> None:
        """Read on from there."""
        self.at = {name: positions.get(name) or 0 for name in self.names()}

    def fetch(self, _timeout_s: float) -> dict[str, Fetched]:
        """The next records of a partition."""
        for name, first in self.at.items():
            if first < self.size:
                end = self.at[name] = min(self.size, first + BATCH)
                records = [self.record(name, offset) for offset in range(first, end)]
                return {name: Fetched(records, end, end == self.size)}
        return {name: Fetched([], self.size, True) for name in self.at}

    def ends(self) -> dict[str, tuple[int, int]]:
        """First offsets and ends."""
        return dict.fromkeys(self.names(), (0, self.size))

    def fresh_ends(self) -> dict[str, int] | None:
        """The same."""
        return dict.fromkeys(self.names(), self.size)

    def pick(self, name: str, offsets: Sequence[int]) -> Iterator[list[TopicRecord]]:
        """Single records."""
        yield [self.record(name, offset) for offset in offsets]


class NoRejects:
    """Nothing is rejected."""

    def reject(self, record: TopicRecord, reason: str, detail: str) -> None:
        """It would be a fault of the bench."""
        raise RuntimeError(f"{record.topic}: {reason} {detail}")

    def flush(self) -> None:
        """Nothing waits."""


def decoded(_topic: str, values: Sequence[bytes]) -> list[Any]:
    """What the projections read of a value."""
    one = {"queue_class": "diamond", "vip_area": True, "valid_until": None, "version": 7, "source_seq": 7}
    return [one] * len(values)


def until(sweeper: Sweeper, reached: Any) -> float:
    """Let the sweeper turn as the process does, until something is reached; the seconds it took."""
    began = time.monotonic()
    while not reached():
        time.sleep(sweeper.turn())
        assert time.monotonic() - began < MEND_S_MAX, "not reached"
    return time.monotonic() - began


def measured(customers: int, client: Redis) -> None:
    """Build the view, sweep it, and delete rows."""
    keys, log = Keys.of(""), Log(customers)
    writer = ViewWriter(log, RedisViewStore(client, keys), keys, decoded, NoRejects(), "bench")
    began = time.monotonic()
    assert writer.settle()
    ends = {name: end for name, (_, end) in log.ends().items()}
    while not writer.caught_up(ends):
        writer.step()
    writer.step()
    print(f"{customers:,} customers: built in {time.monotonic() - began:.0f} s", flush=True)
    sweeper = Sweeper(Log(customers), RowGuard(client, keys, "bench"), keys, decoded)
    until(sweeper, lambda: sweeper.counts.sweeps)
    print(f"{sweeper.counts.rows:,} rows swept in {sweeper.counts.seconds:.1f} s", flush=True)
    random, slowest = Random(customers), 0.0
    for _ in range(LOOKS):
        until_then = time.monotonic() + random.uniform(0, 20)
        until(sweeper, lambda end=until_then: time.monotonic() > end)
        offset = random.randrange(log.size)
        row = keys.priority(f"C0-{offset:08d}")
        client.delete(row)
        slowest = max(slowest, until(sweeper, lambda row=row: client.exists(row)))
    print(f"{LOOKS} rows deleted one after the other: each was back within {slowest:.1f} s", flush=True)


def main() -> None:
    """Of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.parts.sweep", description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), processes.free_row(1), tether=True)
        running = server.start()
        try:
            deadline = time.monotonic() + 30
            while not answers(server.url):
                assert time.monotonic() < deadline, "no answer of the Redis server"
                time.sleep(0.05)
            with Redis.from_url(server.url) as client:
                measured(given.customers, client)
        finally:
            processes.stop([running])


if __name__ == "__main__":
    main()
