"""What a chaos run sends: a bank's postings day by day, from a seed, with what is late, doubled or damaged on purpose.

Credits open every account, the month is closed, and then the postings of some weeks follow, each day with its close.
Everything follows from the seed; what must come out of it is computed in tests/chaos/expected.py.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from bench.world.data import CLOSED, DAY_MS, FIRST, OPENED, ZONE_MS, World
from schemas.codec.records import encode
from schemas.partitioner import partition_of

EVENT, TWICE, POISON, SNAPSHOT = "event", "twice", "poison", "snapshot"
SOURCE = "core"
SNAPSHOT_SHARE = 0.2  # of the customers known by snapshots only, each day
UNKNOWN_SCHEMA = 1_000_000


class Item(NamedTuple):
    """One record on its way into a topic."""

    kind: str
    topic: str
    partition: int
    key: bytes
    value: bytes


@dataclass(frozen=True)
class Load:
    """How much is sent, how fast, and what is wrong with it; shares are of the postings."""

    customers: int = 1500
    events: int = 30_000
    days: int = 20
    rate: int = 1500  # events a second
    seed: int = 1
    partitions: int = 4
    poison: float = 0.002
    twice: float = 0.02
    late_1: float = 0.02  # a day late
    late_40: float = 0.0  # forty days late
    snapshots: int = 100  # customers more that are known by nightly balances only

    @cached_property
    def world(self) -> World:
        """The postings without any mischief."""
        return World(self.customers, self.events, self.partitions, self.seed, self.days)

    @property
    def last(self) -> int:
        """The last day that is closed."""
        return FIRST + self.days - 1


@dataclass
class Posted:
    """The postings as columns: account, amount (fen), value day, booked (instant), day of arrival, number."""

    account: list[int] = field(default_factory=list)
    amount: list[int] = field(default_factory=list)
    value_day: list[int] = field(default_factory=list)
    booked: list[int] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)
    event: list[int] = field(default_factory=list)


class Timetable:
    """Records by the day on which they arrive, and the columns behind them; the prelude arrives on day CLOSED."""

    def __init__(self, load: Load) -> None:
        self.load, self.posted = load, Posted()
        self.snapshots: list[dict[str, object]] = []
        self.arrived_snapshots: list[int] = []
        self.days: dict[int, list[Item]] = defaultdict(list)
        self.rng = random.Random(f"chaos {load.seed}")
        for chunk in load.world.prelude():
            self._take(chunk, np.full(chunk.n, CLOSED))
        for chunk in load.world.postings():
            day = (chunk.booked + ZONE_MS) // DAY_MS
            chance = np.random.default_rng([load.seed, 9, int(chunk.event[0])]).random(chunk.n)
            late = np.where(chance < load.late_40, 40, np.where(chance < load.late_40 + load.late_1, 1, 0))
            self._take(chunk, np.minimum(day + late, load.last))
        self._nights()

    def _take(self, chunk, arrived) -> None:
        """Note a chunk's columns and make its records."""
        values, keys, at, posted = chunk.values.tobytes(), chunk.keys.tobytes(), 0, self.posted
        width = chunk.keys.shape[1]
        for i, (end, partition, day) in enumerate(
            zip(chunk.ends.tolist(), chunk.partition.tolist(), arrived.tolist(), strict=True)
        ):
            key, value = keys[i * width : (i + 1) * width], values[at:end]
            at = end
            self.days[day].append(Item(EVENT, "transactions", partition, key, value))
            if day > CLOSED:
                self._mischief(day, partition, key, value)
        posted.account += chunk.account.tolist()
        posted.amount += chunk.amount.tolist()
        posted.value_day += chunk.value_day.tolist()
        posted.booked += chunk.booked.tolist()
        posted.arrived += arrived.tolist()
        posted.event += chunk.event.tolist()

    def _mischief(self, day: int, partition: int, key: bytes, value: bytes) -> None:
        """A second copy, at once or up to three days later; a damaged copy beside the good one."""
        if self.rng.random() < self.load.twice:
            again = min(self.load.last, day + self.rng.choice((0, 0, 1, 3)))
            self.days[again].append(Item(TWICE, "transactions", partition, key, value))
        if self.rng.random() < self.load.poison:
            self.days[day].append(Item(POISON, "transactions", partition, key, damaged(self.rng, value)))

    def _nights(self) -> None:
        """Balances of customers who have no postings: each stands for itself, whatever is read before it."""
        for number in range(self.load.snapshots):
            customer, version = f"S{number:08d}", 0
            key = customer.encode()
            for day in range(CLOSED, self.load.last + 1):
                if day > CLOSED and self.rng.random() >= SNAPSHOT_SHARE:
                    continue
                version += 1
                record = {
                    "event_id": f"{customer}/{day}", "source": "night", "customer_id": customer, "account_id": f"B{number}",
                    "asset_class": "savings", "currency": "CNY", "balance_minor": self.rng.randrange(1, 200_000_000),
                    "cutoff_at": (day + 1) * DAY_MS - ZONE_MS - 1, "business_day": day, "version": 1,
                    "opened_on": OPENED, "branch": "B001",
                }  # fmt: skip
                self.snapshots.append(record)
                self.arrived_snapshots.append(day)
                partition = partition_of(key, self.load.partitions)
                self.days[day].append(Item(SNAPSHOT, "balances", partition, key, encode("balances", record)))

    def shuffled(self, day: int) -> list[Item]:
        """A day's records in an order of chance, the same for a seed."""
        items = self.days[day]
        random.Random(f"{self.load.seed} {day}").shuffle(items)
        return items

    def count(self, kind: str) -> int:
        """Records of a kind."""
        return sum(item.kind == kind for items in self.days.values() for item in items)


def damaged(rng: random.Random, value: bytes) -> bytes:
    """Bytes that no reader can take for a posting."""
    kind = rng.randrange(6)
    if kind == 0:
        return b""
    if kind == 1:
        return value[: rng.randrange(1, len(value))]
    if kind == 2:
        return value + bytes(rng.randrange(1, 40))
    if kind == 3:
        return b"\7" + value[1:]
    if kind == 4:
        return value[:1] + UNKNOWN_SCHEMA.to_bytes(4, "big") + value[5:]
    return bytes(rng.randrange(1, 256) for _ in range(rng.randrange(1, 400)))
