"""`python -m bench`: every measurement in one run on one broker, a table with ratios first, and docs/benchmarks.md.

`--quick` (`make bench-quick`) takes under three minutes and writes nothing.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from statistics import median

from bench import full, j1, j1_run, latency
from bench.arena import Arena, Timing
from bench.data import World
from bench.report import Engine, Report, warn

MILLION = 1_000_000


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    j1_events: int
    tutorial_events: int
    full_events: int
    customers: int
    runs: int
    rates: tuple[int, ...]
    latency_s: float


FULL = Sizes(4 * MILLION, 100_000, 4 * MILLION, 100_000, 3, (100, 1_000, 10_000, 50_000), 30.0)
QUICK = Sizes(MILLION, 15_000, MILLION, 100_000, 1, (100, 1_000, 10_000), 6.0)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, nothing written")
    parser.add_argument("--only", choices=["j1", "full", "latency"], action="append", help="leave out the others")
    parser.add_argument("--events", type=int, help="events of J1 and of the full job")
    parser.add_argument("--customers", type=int, help="customers of the full job")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md even so")
    parser.add_argument("--runs", type=int, help="repetitions")
    options = parser.parse_args()
    given = QUICK if options.quick else FULL
    sizes = Sizes(
        options.events or given.j1_events, given.tutorial_events, options.events or given.full_events,
        options.customers or given.customers, options.runs or given.runs, given.rates, given.latency_s,
    )  # fmt: skip
    report = Report("make bench-quick" if options.quick else "make bench")
    parts = options.only or ["j1", "full", "latency"]
    began = time.monotonic()
    with Arena() as arena:
        for name, part in (("j1", measure_j1), ("full", measure_full), ("latency", measure_latency)):
            if name in parts:
                warn(f"{name} …")
                part(arena, sizes, report)
    print(report.markdown())
    print(f"{time.monotonic() - began:.0f} s")
    if options.write or not (options.quick or options.only):
        report.write()


def note(engine: Engine, timing: Timing) -> None:
    """One more run of an engine."""
    engine.rates.append(timing.rate)
    engine.cpu_us.append(timing.cpu_us)
    warn(f"  {engine.name}: {timing.rate:,.0f}/s, {timing.cpu_us:.1f} µs CPU an event, load {timing.load:.1f}")


def measure_j1(arena: Arena, sizes: Sizes, report: Report) -> None:
    """J1: our engine and the tutorial idiom on the same topic."""
    ours = Engine("J1, Tidegauge's engine", note="transactions, changelog each second")
    plain = Engine(
        "J1, Faust as its tutorial shows", note=f"at least once, changelog; {sizes.tutorial_events:,} events"
    )
    for _ in range(sizes.runs):
        settings = j1_run.load(arena, sizes.j1_events)
        found = j1_run.ours(arena, settings, sizes.j1_events)
        if sizes.j1_events == MILLION:
            got = {"sum": found.balance, "changes": found.changes}
            assert got == j1.MILLION, f"{got}, {j1.MILLION} wanted"
        note(ours, found.ours)
        note(plain, j1_run.tutorial(arena, settings, sizes.tutorial_events))
    report.engines += [ours, plain]


def measure_full(arena: Arena, sizes: Sizes, report: Report) -> None:
    """J2: the full job."""
    engine = Engine(f"J2, the full job, {sizes.customers:,} customers", note="every customer compared with numpy")
    results = []
    for _ in range(sizes.runs):
        world = World(sizes.customers, sizes.full_events, arena.stack.settings.partitions)
        found = full.run(arena, world)
        results.append(found)
        note(engine, found.timing)
    report.engines.append(engine)
    report.figures += [
        ("customers compared, all figures equal", f"{results[-1].checked:,}"),
        ("state a customer with two accounts, bytes in memory", f"{median(r.bytes_a_customer for r in results):,.0f}"),
        ("worker's memory at most, MB", f"{max(r.timing.rss_max for r in results) / 1e6:,.0f}"),
        ("changelog an event, bytes on disk", f"{median(r.changelog_a_event for r in results):,.1f}"),
        ("start and recovery to first commit, s", f"{median(r.recovery_s for r in results):.1f}"),
        ("first month close, with all standings, s", f"{median(r.month_close_s for r in results):.1f}"),
    ]


def measure_latency(arena: Arena, sizes: Sizes, report: Report) -> None:
    """Open loop."""
    for result in latency.measure(arena, list(sizes.rates), sizes.latency_s):
        row = (
            f"{result.rate:,}",
            *(f"{result.at(p):,.0f}" for p in (50, 99, 99.9)),
            f"{result.sent:,}",
            f"{result.missing:,}",
        )
        warn("  " + "  ".join(row) + f"  producer late {result.late_ms:.0f} ms at most")
        report.latency.append(row)


if __name__ == "__main__":
    main()
