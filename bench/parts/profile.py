"""Where each microsecond of the full job goes: the standing job fed from memory, stage by stage. `python -m bench.parts.profile`.

The same code as in a worker, less the broker, the event loop and the sockets: fetched bytes → block → columns → ledger →
changelog rows → record batches. A flush falls due every so many events, as it does once a second in a worker.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from aiokafka.producer.message_accumulator import BatchBuilder

from agents.engine import transport
from agents.engine.job import TP
from agents.engine.record_batches import Packed, batches
from agents.offline.memory_log import MemoryLog
from agents.standing.intake import lanes
from agents.standing.job import StandingJob
from agents.standing.model import StandingConf
from bench.measure.arena import Arena
from bench.measure.report import Report, Table, warn
from bench.measure.timers import Stages
from bench.parts.full import held
from bench.world.data import CLOSED, DAY_MS, FIRST, ZONE_MS, Chunk, World
from bench.world.frames import batch
from bench.world.sizes import Sizes
from policies import load_pack
from policies.model.pack import Pack
from schemas.codec.records import encode
from schemas.topics import INPUTS

BLOCK_EVENTS = 12_000  # about 2 MB, what the worker fetches of a partition at once
FLUSH_EVENTS = 250_000
BATCH_BYTES_MAX, LZ4 = 1 << 20, 3
EVENTS_MAX = 1_000_000
SHOWN_SHARE = 0.01
STAGES = {
    "take": "fetch answer to block: CRC, headers",
    "decode": "Avro to columns (schemas.decode)",
    "marks": "lanes: marks, cuts, positions",
    "fold": "ledger.postings: the fold kernel",
    "alerts": "outflow alerts of packs without cases, in Python each",
    "cases": "outflow cases: folds between closes, and their steps",
    "close": "day closes: months, metrics, records",
    "outputs": "collect outputs and customer rows",
    "work": "the rest of work()",
    "dirty_count": "count dirty accounts",
    "take_dirty": "dirty accounts to changelog rows",
    "batches": "outputs and customer rows to lz4 batches",
    "rows to batches": "changelog rows to lz4 batches",
    "claims": "whose accounts are, told once an account",
    "fence": "fence",
}


class Fetch(NamedTuple):
    """A fetch answer of transactions; count 0: the close of day `at`, not of partition `at`."""

    at: int
    raw: bytes
    count: int


class Bench:
    """One job a partition, fed in turn as a worker would be."""

    def __init__(self, world: World, stages: Stages, pack: Pack) -> None:
        self.world, self.stages = world, stages
        conf = StandingConf("CNY", "Asia/Shanghai", pack, b"bench", partitions=world.partitions, claims=True)
        self.jobs = [StandingJob(conf) for _ in range(world.partitions)]
        self.ends = [dict.fromkeys(INPUTS, 0) for _ in self.jobs]
        for p, job in enumerate(self.jobs):
            job.begin(p, dict(self.ends[p]))
        self.since_flush = self.rows = self.row_bytes = self.written = 0

    def time_stages(self) -> None:
        """Wraps what is measured; the kernels must be warm."""
        wrap = self.stages.wrap
        wrap(lanes, "decode", "decode")
        for job in self.jobs:
            for name, stage in (
                ("_alert", "alerts"),
                ("_close", "close"),
                ("_outcome", "outputs"),
            ):
                wrap(job, name, stage)
            for name, stage in (
                ("work", "work"),
                ("dirty_count", "dirty_count"),
                ("take_dirty", "take_dirty"),
                ("fence", "fence"),
            ):
                wrap(job, name, stage)
            wrap(job.claims, "take", "claims")
            wrap(job, "positions", "marks")
            wrap(job, "feed", "marks")
            wrap(job.ledger, "postings", "fold")
            wrap(job.decider.cases, "look", "cases")

    def feed(self, fetch: Fetch) -> None:
        """One fetch answer of a partition's transactions, and the transaction that follows."""
        p, raw, count = fetch
        ends = self.ends[p]
        tp = TP("transactions", p)
        block = self.stages.call("take", transport.take_block, tp, raw, ends["transactions"])
        ends["transactions"] += count
        self.jobs[p].feed(block)
        self.step(p)
        self.since_flush += count
        if self.since_flush >= FLUSH_EVENTS:
            self.flush()

    def step(self, p: int) -> None:
        """What the unit does with a job that was fed."""
        job = self.jobs[p]
        outcome = job.work(live=True)
        job.positions()
        self.note(outcome.rows)
        pairs = [pair for _, records in outcome.outputs for pair in records] + list(outcome.rows)
        self.written += count(pairs)
        self.stages.call("batches", build, pairs)

    def flush(self) -> None:
        """All dirty rows and the fence of every partition."""
        self.since_flush = 0
        for job in self.jobs:
            job.dirty_count()
            rows, _ = job.take_dirty(None)
            self.note(rows)
            rows += [item for _, items in job.take_elsewhere() for item in items]
            job.fence()
            self.rows += count(rows)
            self.row_bytes += self.stages.call("rows to batches", build, rows)

    def note(self, rows: Any) -> None:
        """Rows of the changelog on their way; nothing is made of them here."""

    def close(self, day: int) -> None:
        """A day close of every partition, marks and all."""
        for p, job in enumerate(self.jobs):
            log = MemoryLog(encode, p)
            log.ends = self.ends[p]
            log.close(day)
            for block in log.blocks():
                job.feed(block)
            self.step(p)


def build(items: Any) -> int:
    """Rows and records to compressed batches as the unit writes them; bytes."""
    size, builder = 0, None
    for item in items:
        if isinstance(item, Packed):
            size += sum(len(full._build()) for full in batches(item, BATCH_BYTES_MAX, "lz4"))
        elif builder is None or builder.append(key=item[0], value=item[1], timestamp=None) is None:
            size += len(builder._build()) if builder is not None else 0
            builder = BatchBuilder(BATCH_BYTES_MAX, LZ4, is_transactional=1)
            builder.append(key=item[0], value=item[1], timestamp=None)
    return size + (len(builder._build()) if builder is not None else 0)


def count(items: Any) -> int:
    """How many records."""
    return sum(item.records if isinstance(item, Packed) else 1 for item in items)


def fetches(world: World, chunks: Iterator[Chunk], starts: list[int], closes: bool = False) -> Iterator[Fetch]:
    """Fetch answers in turn over the partitions; `starts` are the partitions' next offsets, moved on."""
    day = FIRST
    for chunk in chunks:
        booked = (chunk.booked + ZONE_MS) // DAY_MS
        bounds = [0, *(np.flatnonzero(np.diff(booked)) + 1).tolist(), chunk.n] if closes else [0, chunk.n]
        for first, last in itertools.pairwise(bounds):
            while closes and booked[first] > day:
                yield Fetch(day, b"", 0)
                starts[:] = [start + 1 for start in starts]  # the close mark
                day += 1
            yield from _turns(world, chunk, first, last, starts)


def _turns(world: World, chunk: Chunk, first: int, last: int, starts: list[int]) -> Iterator[Fetch]:
    mine = [np.flatnonzero(chunk.partition[first:last] == p) + first for p in range(world.partitions)]
    for at in range(0, max(map(len, mine)), BLOCK_EVENTS):
        for p, rows in enumerate(mine):
            if len(part := rows[at : at + BLOCK_EVENTS]):
                appended = int(chunk.booked[part].max())
                yield Fetch(p, batch(starts[p], part, chunk.keys, chunk.values, chunk.ends, appended), len(part))
                starts[p] += len(part)


def run(world: World, stages: Stages, closes: bool = False, pack: str = "rolling-quarter-aum") -> tuple[Bench, float]:
    """The world through the job; CPU seconds between the first and the last posting of the open month."""
    bench = Bench(world, stages, load_pack(pack))
    starts = [0] * world.partitions
    for fetch in fetches(world, world.prelude(), starts):
        bench.feed(fetch)
    bench.flush()
    bench.close(CLOSED)
    bench.flush()
    starts = [start + 1 for start in starts]
    blocks = list(fetches(world, world.postings(), starts, closes))
    bench.time_stages()
    stages.clear()
    bench.rows = bench.row_bytes = bench.written = 0
    began = time.thread_time()
    for fetch in blocks:
        bench.feed(fetch) if fetch.count else bench.close(fetch.at)
    bench.flush()
    seconds = time.thread_time() - began
    stages.restore()
    return bench, seconds


def summary(world: World, bench: Bench, stages: Stages, seconds: float) -> str:
    """The table."""
    n = world.events
    lines = [
        (
            f"{world.customers:,} customers, {world.accounts:,} accounts, {n:,} postings, {world.partitions} partitions, "
            f"flush every {FLUSH_EVENTS:,} events; load {os.getloadavg()[0]:.1f}"
        ),
        f"{'stage':52}{'ns/event':>10}{'share':>8}{'calls':>9}",
    ]
    for stage, took in stages.seconds.most_common():
        lines.append(f"{STAGES[stage]:52}{took * 1e9 / n:10.0f}{took / seconds:8.1%}{stages.calls[stage]:9,}")
    rest = seconds - sum(stages.seconds.values())
    lines.append(f"{'driver and timers':52}{rest * 1e9 / n:10.0f}{rest / seconds:8.1%}")
    lines.append(f"{'sum':52}{seconds * 1e9 / n:10.0f}   {n / seconds:,.0f} events/s on one core")
    lines.append(
        f"rows {bench.rows:,} ({bench.rows / n:.3f} an event, {bench.row_bytes / max(bench.rows, 1):.0f} compressed bytes each, "
        f"{bench.row_bytes / n:.1f} an event); outputs and customer rows {bench.written:,}"
    )
    return "\n".join(lines)


def part(_arena: Arena, sizes: Sizes, report: Report) -> None:
    """The table of the stages."""
    run(World(200, 1000), Stages(), True)  # compiles
    world, stages = World(sizes.customers, min(sizes.full_events, EVENTS_MAX)), Stages()
    bench, seconds = run(world, stages)
    warn(summary(world, bench, stages, seconds))
    table = Table(
        f"Where the time of the full job goes, {world.customers:,} customers, CPU of one core, broker and sockets left out:",
        ("stage", "ns an event", "share"),
    )
    for stage, took in stages.seconds.most_common():
        if took >= seconds * SHOWN_SHARE:
            table.rows.append((STAGES[stage], f"{took * 1e9 / world.events:,.0f}", f"{took / seconds:.0%}"))
    table.rows.append(("all", f"{seconds * 1e9 / world.events:,.0f}", "100%"))
    report.tables.append(table)


def main() -> None:
    """`python -m bench.parts.profile --customers 100000 --events 1000000`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, nargs="*", default=[100_000])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--closes", action="store_true", help="close every business day")
    parser.add_argument("--pack", default="rolling-quarter-aum", help="a pack that ships, or a YAML file")
    options = parser.parse_args()
    warm = World(200, 1000)
    run(warm, Stages(), True, options.pack)
    for customers in options.customers:
        world, stages = World(customers, options.events), Stages()
        bench, seconds = run(world, stages, options.closes, options.pack)
        print(f"{options.pack}: {held(bench.jobs) / customers:,.0f} bytes of state a customer")
        print(summary(world, bench, stages, seconds), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
