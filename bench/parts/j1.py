"""J1, the peers' job, on the product's own engine: balance, integral, 13 month sums and a tier a customer; changes out.

`python -m bench.parts.j1` is its worker: the same transport, units, transactions, changelog and recovery as the full job.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from agents.engine.job import TP, Block, Outcome, Upgrade
from agents.engine.record_batches import Packed, texts
from agents.standing.intake.lanes import Lane
from agents.standing.intake.placement import Placement
from bench.world.data import Chunk
from schemas.codec.blocks import Reader
from schemas.codec.encoder import Writer, encode_columns
from streams.accounts.store import NULL, Index, add, index, reserve_index

Array = NDArray[Any]
TOPIC, OUTPUT, NAME, SCHEMA_ID = "j1-events", "j1-tiers", "j1", 9001
SCHEMA: dict[str, Any] = json.loads((Path(__file__).parents[1] / "peers" / "events.avsc").read_text())
CUSTOMER, KIND, AMOUNT, DAY = 1, 3, 4, 7
SUMS = 15  # balance, integral, 13 month sums: order-free. The tier is not.
ROW, TIER = b"r", b"t"


class OneSchema:
    """A registry of this bench's only contract."""

    def schema(self, schema_id: int) -> Any | None:
        """The schema of the id."""
        return SCHEMA if schema_id == SCHEMA_ID else None

    def id_of(self, name: str) -> int:
        """The id of the only contract."""
        return SCHEMA_ID


@nb.njit(cache=True, nogil=True)
def fold(ix: Index, raw: Array, data: Array, sums: Array, tier: Array, dirty: Array, changed: Array, live: bool) -> int:
    """Events in log order into the sums; changed[k] = (slot, tier before, tier after); how many changes."""
    k = 0
    for i in range(len(data)):
        ref = data[i, CUSTOMER]
        s = add(ix, raw, ref >> 20, ref & 0xFFFFF)
        amount, day = data[i, AMOUNT], data[i, DAY]
        if data[i, KIND] == 1 or data[i, KIND] == 3:
            amount = -amount
        d = day - 20500
        sums[s, 0] += amount
        sums[s, 1] += amount * day
        sums[s, 2 + (d // 30) % 13] += amount * (30 - d % 30)
        dirty[s] = 1
        if live:
            q = sums[s, 1] // 1000
            t = (q >= 0) + (q >= 10**9) + (q >= 10**10) + (q >= 10**11)
            if t != tier[s]:
                changed[k, 0], changed[k, 1], changed[k, 2] = s, tier[s], t
                tier[s], k = t, k + 1
    return k


@nb.njit(cache=True, nogil=True)
def tell(keys: Array, ends: Array, changed: Array, out: Array) -> None:
    """Key, comma, tier before, comma, tier after."""
    at = start = 0
    for i in range(len(ends)):
        for j in range(start, ends[i]):
            out[at] = keys[j]
            at += 1
        out[at], out[at + 1], out[at + 2], out[at + 3] = 44, 48 + changed[i, 1], 44, 48 + changed[i, 2]
        at, start = at + 4, ends[i]


class J1Job:
    """See agents.engine.job.Job."""

    inputs = (TOPIC,)
    state_format = unmarked_format = 1
    upgrades: Mapping[int, Upgrade] = {}
    idempotent = False

    def __init__(self, output: str = OUTPUT) -> None:
        self.output = output
        reader = Reader(TOPIC, OneSchema(), SCHEMA)
        self.lane = Lane(TOPIC, reader, Placement(reader, 0, 1))
        self.index = index(1024)
        self.sums, self.tier, self.dirty = (
            np.zeros((1024, SUMS), np.int64),
            np.zeros(1024, np.int8),
            np.zeros(1024, np.uint8),
        )
        self.warm()

    def warm(self) -> None:
        """Compiles the fold on no event at all."""
        none = np.zeros((0, 10), np.int64)
        fold(
            self.index, np.zeros(1, np.uint8), none, self.sums, self.tier, self.dirty, np.zeros((1, 3), np.int64), True
        )

    def reserve(self, rows: int, id_bytes: int) -> None:
        """Room for so many more customers."""
        self.index = reserve_index(self.index, rows, id_bytes)
        need = int(self.index.meta[0]) + rows
        if need > len(self.sums):
            size = max(need, 2 * len(self.sums))
            self.sums, self.tier, self.dirty = (
                np.concatenate([a, np.zeros((size - len(a), *a.shape[1:]), a.dtype)])
                for a in (self.sums, self.tier, self.dirty)
            )

    def begin(self, partition: int, positions: dict[str, int]) -> None:
        """The next offset."""
        self.lane.fed = positions[TOPIC]

    def feed(self, block: Block, stop: int | None = None) -> None:
        """Decodes."""
        self.lane.feed(block, stop)

    def held_bytes(self, topic: str) -> int:
        """Fed and not consumed."""
        return self.lane.held

    def work(self, live: bool) -> Outcome:
        """Everything fed."""
        outputs: list[Packed] = []
        events, moved = 0, list[Array]()
        for columns, first, last in self.lane.segments(1 << 40, None):
            if columns.status[first:last].any():
                raise ValueError("a record of the bench does not decode")
            part = columns.data[first:last]
            self.reserve(last - first, int((part[:, CUSTOMER] & 0xFFFFF).sum()))
            changed = np.empty((last - first, 3), np.int64)
            k = fold(self.index, columns.raw, part, self.sums, self.tier, self.dirty, changed, live)
            events += last - first
            if k:
                outputs.append(self.changes(changed[:k]))
                moved.append(changed[:k, 0])
        if not live or not outputs:
            return Outcome(events=events)
        slots = np.unique(np.concatenate(moved))
        rows = Packed(
            *self.keys(slots, TIER), (self.tier[slots] + ord("0")).astype(np.uint8), np.arange(1, len(slots) + 1)
        )
        return Outcome(outputs=[(self.output, outputs)], rows=[rows], events=events)

    def keys(self, slots: Array, prefix: bytes) -> tuple[Array, Array]:
        """Customer ids behind a prefix, as a buffer and its ends."""
        return texts(self.index.arena, self.index.ref[slots], prefix)

    def changes(self, changed: Array) -> Packed:
        """Tier changes as "customer,before,after"."""
        keys, ends = self.keys(changed[:, 0], b"")
        values, value_ends = np.empty(len(keys) + 4 * len(changed), np.uint8), ends + 4 * np.arange(1, len(changed) + 1)
        tell(keys, ends, changed, values)
        return Packed(keys, ends, values, value_ends)

    def days(self) -> dict[str, int]:
        """None."""
        return {}

    def source_days(self) -> dict[str, int]:
        """Of no source."""
        return {}

    def has_own_work(self) -> bool:
        """Never."""
        return False

    def positions(self) -> dict[str, int]:
        """Consumed."""
        return {TOPIC: self.lane.position}

    def dirty_count(self) -> int:
        """Customers changed."""
        return int(np.count_nonzero(self.dirty))

    def take_dirty(self, rows_max: int | None) -> tuple[list[Packed], bool]:
        """Their sums."""
        slots = np.flatnonzero(self.dirty)
        self.dirty[slots] = 0
        size = SUMS * self.sums.itemsize
        return [
            Packed(*self.keys(slots, ROW), self.sums[slots].view(np.uint8).ravel(), np.arange(1, len(slots) + 1) * size)
        ], True

    def take_elsewhere(self) -> list[tuple[TP, list[Packed]]]:
        """Nothing."""
        return []

    def fence(self) -> bytes:
        """Nothing more."""
        return b""

    def load(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Rows back."""
        for key, value in rows:
            self.reserve(1, len(key))
            slot = add(self.index, np.frombuffer(key, np.uint8), 1, len(key) - 1)
            if key[:1] == ROW:
                self.sums[slot] = np.frombuffer(value or b"", np.int64)
            else:
                self.tier[slot] = int(value or b"0")

    def load_fence(self, meta: bytes) -> None:
        """Nothing to find."""


def events(n: int, customers: int = 100_000, seed: int = 1, partitions: int = 4) -> Iterator[Chunk]:
    """The peers' events, the same random numbers in the same order, 100,000 a chunk; amounts of the chunk are signed."""
    from bench.world.data import digits
    from schemas.codec.murmur import partitions_of

    rng, writer = random.Random(seed), Writer("j1", OneSchema())
    fixed = b"CNY"
    for first in range(0, n, 100_000):
        count = min(100_000, n - first)
        drawn = np.empty((count, 5), np.int64)
        for i in range(count):
            customer, account = rng.randrange(customers), rng.randrange(customers * 2)
            kind = rng.choice((0, 1, 2, 3))
            drawn[i] = customer, account, kind, rng.randrange(1, 10**8), rng.randrange(40)
        ids = np.arange(first, first + count)
        nibbles = (ids[:, None] >> np.arange(60, -1, -4)) & 15
        texts = [
            np.where(nibbles < 10, nibbles + 48, nibbles + 87).astype(np.uint8), digits("C", drawn[:, 0], 9),
            digits("A", drawn[:, 1], 10), digits("B", drawn[:, 4], 4),
        ]  # fmt: skip
        refs, at = [], 0
        for text in texts:
            refs.append(((at + np.arange(count) * text.shape[1]) << 20) | text.shape[1])
            at += text.size
        raw = np.concatenate([*(text.ravel() for text in texts), np.frombuffer(fixed, np.uint8)])
        columns: list[Any] = [
            refs[0], refs[1], refs[2], drawn[:, 2], drawn[:, 3], at << 20 | len(fixed), 1_790_000_000_000 + ids,
            20500 + ids % 30, refs[3], NULL,
        ]  # fmt: skip
        data = np.empty((count, len(columns)), np.int64)
        for k, column in enumerate(columns):
            data[:, k] = column
        values, ends = encode_columns(writer, data, raw)
        partition = partitions_of(texts[1], partitions)
        signed = np.where(drawn[:, 2] % 2, -drawn[:, 3], drawn[:, 3])  # withdrawals and transfers out
        yield Chunk(count, texts[1], values, ends, partition, drawn[:, 1], signed, data[:, 7], data[:, 6], ids)


def main() -> None:
    """The worker."""
    from agents.engine.app import build_app, run_worker
    from deploy.settings import Settings

    settings = Settings()
    job = partial(J1Job, os.environ.get("BENCH_OUTPUT", OUTPUT))
    run_worker(build_app(settings, job, name=NAME), metrics_port=settings.metrics_port)


if __name__ == "__main__":
    main()
