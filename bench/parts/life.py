"""A bank through its whole life: opening, month close, restart, a month, nightly file, view.

One chain, as each step needs the one before: `run(arena, customers)` gives every figure, each checked against plain sums.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from bench.measure.arena import Arena
from bench.measure.report import DASH, Report, Table, warn
from bench.parts import views
from bench.world import day_close, nightly
from bench.world.bank import Bank, Load
from bench.world.data import CLOSED, FIRST, World
from bench.world.sizes import Sizes

EVENTS_EACH = 4  # postings a customer in the month
LAST = FIRST + 29  # the month's last day
Figures = list[tuple[str, str]]


@dataclass(slots=True)
class Life:
    """Figures of one bank."""

    customers: int
    first_close: dict[str, float] = field(default_factory=dict)
    recovery_s: float = 0.0  # of the slowest partition, from its assignment on, rows of the opening only
    live_s: float = 0.0  # from the start of the process to live
    rss: int = 0  # of the worker, live and idle
    month: Load | None = None
    nightly: tuple[int, float] = (0, 0.0)
    changelog_a_event: float = 0.0
    recovery_again_s: float = 0.0  # after the month and the nightly file
    recovery_rows: float = 0.0
    state_bytes: float = 0.0
    split: day_close.Split | None = None
    close: dict[str, float] = field(default_factory=dict)
    view: views.Rebuilt | None = None
    checked: int = 0
    seconds: float = 0.0

    def figures(self) -> Figures:
        """In words."""
        assert self.month is not None
        assert self.split is not None
        assert self.view is not None
        split, view, (count, took) = self.split, self.view, self.nightly
        return [
            ("first month close in the worker: tiers and standings of all, s", f"{self.first_close['all']:.1f}"),
            ("recovery, from the assignment to live, s", f"{self.recovery_s:.1f}"),
            ("start of the process to live (interpreter, kernels, group, recovery), s", f"{self.live_s:.1f}"),
            ("worker's memory, live and idle, MB", f"{self.rss / 1e6:,.0f}"),
            ("full job, events/s", f"{self.month.rate:,.0f}"),
            ("full job, CPU µs an event", f"{self.month.cpu_us:.1f}"),
            ("worker's memory after the month, MB", f"{self.month.rss / 1e6:,.0f}"),
            ("changelog an event, bytes on disk", f"{self.changelog_a_event:.1f}"),
            ("nightly file: balance snapshots", f"{count:,}"),
            ("nightly file, s", f"{took:.1f}"),
            ("rows in the changelog then", f"{self.recovery_rows:,.0f}"),
            ("recovery from them, s", f"{self.recovery_again_s:.1f}"),
            ("state in use, bytes a customer", f"{self.state_bytes:,.0f}"),
            ("second month close, computing, CPU s", f"{split.computing:.2f}"),
            ("… encoding, CPU s", f"{split.encoding:.2f}"),
            ("… batching and compressing, CPU s", f"{split.batches:.2f}"),
            ("… records written, of them tier changes", f"{split.records:,}, {split.tier_changes:,}"),
            ("… in the worker, from its record to the last commit, s", f"{self.close['all']:.1f}"),
            ("view rebuilt: records", f"{view.records:,}"),
            ("view rebuilt by the command, of it without its start, s", f"{view.seconds:.1f}, {view.writing_s:.1f}"),
            ("view in Redis, bytes a customer", f"{view.redis_bytes / self.customers:,.0f}"),
            ("customers compared with plain sums, in state and view", f"{self.checked:,}"),
        ]


def part(arena: Arena, sizes: Sizes, report: Report) -> None:
    """Of `python -m bench`: every size, and what memory a customer more takes."""
    lives = []
    for customers in sizes.lives:
        lives.append(run(arena, customers))
        warn(f"  {customers:,} customers: {lives[-1].seconds:.0f} s")
    columns = [dict(life.figures()) for life in lives]
    header = ("a bank's life", *(f"{life.customers:,} customers" for life in lives))
    table = Table("One worker, 4 partitions, two accounts and four postings a customer:", header)
    table.rows += [(name, *(column[name] for column in columns)) for name in columns[0]]
    if len(lives) > 1:
        for what, rss in (
            ("live and idle", [life.rss for life in lives]),
            ("after the month", [month_rss(life) for life in lives]),
        ):
            slope = (rss[-1] - rss[0]) / (lives[-1].customers - lives[0].customers)
            table.rows.append((f"memory a customer more, {what}, bytes", *[DASH] * (len(lives) - 1), f"{slope:,.0f}"))
    report.tables.append(table)


def month_rss(life: Life) -> int:
    """Memory of the worker at the end of the month."""
    assert life.month is not None
    return life.month.rss


def run(arena: Arena, customers: int) -> Life:
    """The whole life; AssertionError where a figure of a customer differs."""
    world, began = World(customers, EVENTS_EACH * customers), time.monotonic()
    life = Life(customers)
    with Bank(arena, world, "life") as bank:
        bank.load(world.prelude(), ready=bank.start)
        life.first_close = bank.close(CLOSED)
        warn(f"  first month close {life.first_close['all']:.1f} s")
        bank.stop()
        life.live_s = bank.start()
        life.recovery_s, life.rss = bank.slowest("recovery_seconds"), bank.rss()
        warn(f"  recovery {life.recovery_s:.1f} s, live {life.live_s:.1f} s after the start, {life.rss / 1e6:,.0f} MB")
        before = bank.changelog_bytes()
        life.month = bank.load(world.postings())
        life.changelog_a_event = (bank.changelog_bytes() - before) / life.month.events
        warn(f"  {life.month.rate:,.0f} events/s, {life.month.cpu_us:.1f} µs CPU an event")
        life.nightly = nightly.load(bank, LAST)
        warn(f"  {life.nightly[0]:,} snapshots in {life.nightly[1]:.1f} s")
        bank.stop()
        jobs = bank.states()
        life.checked, life.state_bytes = bank.check(jobs, LAST), bank.state_bytes(jobs)
        life.split = day_close.close(jobs, LAST)
        warn(f"  {life.state_bytes:,.0f} bytes of state a customer; {life.split}")
        del jobs
        bank.start()
        life.recovery_again_s, life.recovery_rows = bank.slowest("recovery_seconds"), bank.metric("recovery_rows")
        life.close = bank.close(LAST)
        warn(
            f"  recovery {life.recovery_again_s:.1f} s of {life.recovery_rows:,.0f} rows, close {life.close['all']:.1f} s"
        )
        bank.stop()
        life.view = views.run(bank, LAST)
        warn(f"  {life.view}")
    life.seconds = time.monotonic() - began
    return life
