"""J2, the full job: one real worker over a month of postings, timed from first to last commit, checked to the fen."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from agents.engine.recovery import changelog_topic, read_state
from agents.offline.standings import STANDING_COLUMNS, all_standings
from bench.measure.arena import Arena
from bench.measure.report import OURS, Engine, Report
from bench.measure.timing import Probe, Timing, wait_for
from bench.world.data import CLOSED, FIRST, World
from bench.world.sizes import Sizes
from bench.world.sums import standings_by_numpy
from connectors.loading.closer import Closer
from deploy.settings import Settings
from schemas.codec.records import encode
from tidegauge.bootstrap import STANDING, standing_jobs

TOPIC = "transactions"
COMPILE_S_MAX = 900.0  # a first start compiles every kernel
CLOSE_OFFSETS = 2  # that a close takes of a partition: its mark, and the end of the closer's transaction
WORKER = ("-m", "bench.measure.stamp", "tidegauge.cli.main", "worker")


@dataclass(slots=True)
class Result:
    """Figures of one run."""

    timing: Timing
    customers: int
    recovery_s: float  # from the start of the second worker process to its first commit, compiled kernels at hand
    bytes_a_customer: float  # of state: columns and indexes
    changelog_a_event: float  # bytes
    checked: int  # customers compared with numpy, all figures equal
    jobs: list[Any]  # the states after it, a partition each


def opened(arena: Arena, world: World, pack: Path | None = None) -> Settings:
    """Opening credits and the month close through a first worker, under a pack of its own if so asked."""
    settings = arena.settings("full", **({} if pack is None else {"pack": str(pack)}))
    arena.topics(settings)
    worker = arena.start(WORKER, settings, _pack_of(pack))
    changelog = changelog_topic(settings, STANDING)
    wait_for("worker ready", lambda: _fenced(settings, changelog), worker, arena.said, COMPILE_S_MAX)
    arena.load(settings, TOPIC, world.prelude())
    arena.measure(worker, settings, TOPIC, world.accounts)
    closer = Closer(settings, encode)
    closer.close(CLOSED)
    probe, target = Probe(settings, TOPIC), world.accounts + CLOSE_OFFSETS * settings.partitions
    wait_for("month close", lambda: probe.committed() >= target, worker, arena.said)
    probe.close()
    closer.shut()
    arena.stop(worker)
    return settings


def _pack_of(pack: Path | None) -> dict[str, str]:
    return {} if pack is None else {"TIDEGAUGE_PACK": str(pack)}


def run(arena: Arena, world: World, pack: Path | None = None) -> Result:
    """One world through one worker."""
    settings = opened(arena, world, pack)
    probe = Probe(settings, TOPIC)
    start = probe.ends()  # marks and what ended their transaction have offsets too
    probe.close()
    arena.load(settings, TOPIC, world.postings())
    changelog = changelog_topic(settings, STANDING)
    before = arena.disk_bytes(changelog)
    began = time.time()
    worker = arena.start(WORKER, settings, _pack_of(pack))
    timing = arena.measure(worker, settings, TOPIC, world.events, start)
    recovery = timing.history[1][0] - began if len(timing.history) > 1 else 0.0
    arena.stop(worker)
    written = arena.disk_bytes(changelog) - before
    jobs = states(settings)
    checked = check(jobs, world)
    return Result(
        timing, world.customers, recovery, held(jobs) / world.customers, written / world.events, checked, jobs
    )


def held(jobs: list[Any]) -> int:
    """Bytes of the jobs' columns that are in use, the hash tables whole."""
    total = 0
    for job in jobs:
        store, columns = job.ledger.store, job.ledger.columns
        total += columns.account_count * store.accounts.itemsize + columns.customer_count * store.customers.itemsize
        total += int(store.heap[0]) * store.entries.itemsize + job.ledger.watch.nbytes + job.decider.cases.nbytes
        for ids in (store.account_ids, store.customer_ids):
            total += ids.table.nbytes + ids.tag.nbytes + int(ids.meta[0]) * ids.ref.itemsize + int(ids.meta[1])
    return total


def check(jobs: list[Any], world: World) -> int:
    """Compares every customer's figures with a direct computation; how many customers. AssertionError on a difference."""
    as_of = FIRST + world.days - 2
    rows = all_standings(jobs, as_of)
    want = standings_by_numpy(world, [*world.prelude(), *world.postings()], as_of)
    got: dict[str, list[Any]] = {str(row[0]): row for row in rows}
    assert len(got) == world.customers, f"{len(got)} customers, {world.customers} wanted"
    for name, column in want.items():
        mine = np.array([got[f"C{c:08d}"][STANDING_COLUMNS.index(name)] for c in range(world.customers)], dtype=object)
        different = np.flatnonzero(mine != column)
        assert not len(different), f"{name}: {len(different)} customers differ, e.g. C{different[0]:08d}"
    return world.customers


def states(settings: Settings) -> list[Any]:
    """Every partition's state as of its last commit."""
    jobs = standing_jobs(settings)

    async def read() -> list[Any]:
        return [await read_state(settings, jobs, p, name=STANDING) for p in range(settings.partitions)]

    return asyncio.run(read())


def _fenced(settings: Settings, changelog: str) -> bool:
    """Whether a worker has joined: its changelog exists. The first transaction comes with the first event."""
    from deploy import admin

    return changelog in admin.client(settings.kafka).list_topics(timeout=10).topics


def part(arena: Arena, sizes: Sizes, report: Report) -> None:
    """The full job on one worker, several runs."""
    engine = Engine("J2, the full job", f"{OURS}, {sizes.customers:,} customers", "every customer compared with numpy")
    results = []
    for _ in range(sizes.runs):
        results.append(run(arena, World(sizes.customers, sizes.full_events, arena.stack.settings.partitions)))
        engine.note_run(results[-1].timing)
        results[-1].jobs.clear()  # states take memory that the next run needs
    report.engines.append(engine)
    report.figures += [
        ("customers compared, all figures equal", f"{results[-1].checked:,}"),
        (
            f"state a customer with two accounts and {sizes.full_events // sizes.customers} postings, bytes in memory",
            f"{median(r.bytes_a_customer for r in results):,.0f}",
        ),
        ("worker's memory at most, MB", f"{max(r.timing.rss_max for r in results) / 1e6:,.0f}"),
        ("changelog an event, bytes on disk", f"{median(r.changelog_a_event for r in results):,.1f}"),
        ("start and recovery to first commit, s", f"{median(r.recovery_s for r in results):.1f}"),
    ]
