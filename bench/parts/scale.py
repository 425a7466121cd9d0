"""J2 over its sizes: customers, workers, partitions. Workers are live before the load is committed; all figures checked."""

from __future__ import annotations

from typing import NamedTuple

from bench.measure.arena import Arena
from bench.measure.report import Report, Table, warn
from bench.world.bank import Bank, Load
from bench.world.data import CLOSED, FIRST, World
from bench.world.sizes import Sizes

HEADER = ("customers", "workers", "partitions", "events/s", "CPU µs an event", "MB of all workers")


class Size(NamedTuple):
    """One run."""

    customers: int
    workers: int = 1
    partitions: int = 4


QUICK = (Size(10_000), Size(100_000))
FULL = (Size(10_000), Size(100_000), Size(1_000_000), Size(100_000, 2), Size(100_000, 1, 16), Size(100_000, 2, 16))


def run(arena: Arena, size: Size, events: int) -> Load:
    """Opening credits, the month close, then the postings; every customer compared with numpy."""
    world = World(size.customers, events, size.partitions)
    with Bank(arena, world, "scale") as bank:
        bank.load(world.prelude(), ready=bank.start)
        bank.close(CLOSED)
        bank.stop()
        found = bank.load(world.postings(), ready=lambda: bank.start(size.workers))
        bank.stop()
        bank.check(bank.states(), FIRST + world.days - 2)
        return found


def part(arena: Arena, sizes: Sizes, report: Report) -> None:
    """Of `python -m bench`."""
    table = Table("The full job by size, the workers live before the load was committed:", HEADER)
    for size in QUICK if sizes.quick else FULL:
        found = run(arena, size, sizes.full_events)
        row = (f"{found.rate:,.0f}", f"{found.cpu_us:.1f}", f"{found.rss / 1e6:,.0f}")
        table.rows.append((f"{size.customers:,}", str(size.workers), str(size.partitions), *row))
        warn("  " + ", ".join(f"{value} {name}" for name, value in zip(HEADER, table.rows[-1], strict=True)))
    report.tables.append(table)
