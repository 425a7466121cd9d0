"""J2 over its sizes: customers, workers, partitions. Workers are live before the load is committed; all figures checked."""

from __future__ import annotations

from typing import NamedTuple

from bench.arena import Arena
from bench.bank import Bank, Load
from bench.data import CLOSED, FIRST, World

Figures = list[tuple[str, str]]


class Size(NamedTuple):
    """One run."""

    customers: int
    workers: int = 1
    partitions: int = 4

    @property
    def name(self) -> str:
        """In words."""
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        return f"J2, {self.customers:,} customers, {workers}, {self.partitions} partitions"


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


def shown(found: Load) -> str:
    """A figure in words."""
    return f"{found.rate:,.0f}/s, {found.cpu_us:.1f} µs CPU an event, {found.rss / 1e6:,.0f} MB"
