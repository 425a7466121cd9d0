"""The secure stack against the plain one, in one run: TLS, users and rights on one broker, plaintext on another.

The full job on each in turn, and alerts on a timetable. What the worker does is the same; only the wire differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Final

from bench.measure.arena import Arena
from bench.measure.report import OURS, Engine, Report, Table, warn
from bench.parts import full, latency
from bench.world.data import World
from bench.world.sizes import Sizes

LEAST_SHARE: Final = 0.7
"""Of the plain stack's events a second, on the secure one."""

RATES: Final = [100, 1_000]
KINDS: Final = ("plain", "secure")


def part(arena: Arena, sizes: Sizes, report: Report) -> None:
    """Pairs of runs, each the other way round than the one before; medians of them are compared."""
    engines = {kind: Engine("J2, the full job", f"{OURS}, {kind}") for kind in KINDS}
    late: dict[str, list[list[latency.Result]]] = {kind: [] for kind in KINDS}
    partitions = arena.stack.settings.partitions
    # Both JVMs compile in full, as those of `up` do: else one would be slower for that, whichever it is.
    with Arena(partitions, quick=False) as plain_one, Arena(partitions, secure=True) as secured:
        arenas = dict(zip(KINDS, (plain_one, secured), strict=True))
        for number in range(sizes.runs):
            for kind in KINDS[:: -1 if number % 2 else 1]:
                world = World(sizes.customers, sizes.full_events, partitions)
                engines[kind].note_run(full.run(arenas[kind], world).timing)
        for number in range(sizes.runs):
            for kind in KINDS[:: -1 if number % 2 else 1]:
                late[kind].append(latency.measure(arenas[kind], RATES, sizes.latency_s))
    jobs = jobs_table(engines)
    times = Table(
        "Open loop, from the timetable to a reader of the alert, in milliseconds, medians:",
        ("events/s", *(f"{kind} {figure}" for figure in ("p50", "p99") for kind in KINDS)),
    )
    for at in range(len(late["plain"][0])):
        figures = [f"{median(run[at].at(p) for run in late[kind]):,.1f}" for p in (50, 99) for kind in KINDS]
        times.rows.append((late["plain"][0][at].what, *figures))
    for row in (*jobs.rows, *times.rows):
        warn("  " + "  ".join(row))
    report.tables += [jobs, times]


def jobs_table(engines: Mapping[str, Engine]) -> Table:
    """The full job on both: with the brokers, who share the processors with the worker, and the worker by itself.

    The worker's own share is that of its CPU an event: what it would be where brokers have machines of their own.
    """
    table = Table(
        f"J2 on both, medians; the secure one has to reach {LEAST_SHARE:.0%} of the plain one. Worker and broker share this "
        "machine, so the broker's TLS takes from the worker's events a second; by the worker's CPU alone it does not.",
        ("stack", "events/s", "each run", "of the plain one", "worker's CPU µs an event", "of the plain one by it",
         "broker's CPU µs an event", "in the bound"),
    )  # fmt: skip
    plain = engines["plain"]
    for kind, engine in engines.items():
        shares = engine.rate / plain.rate, plain.median("cpu_us") / engine.median("cpu_us")
        said = ("yes" if share >= LEAST_SHARE else "no" for share in shares)
        table.rows.append((
            kind, f"{engine.rate:,.0f}", " ".join(f"{timing.rate:,.0f}" for timing in engine.timings), f"{shares[0]:.0%}",
            f"{engine.median('cpu_us'):.2f}", f"{shares[1]:.0%}", f"{engine.median('broker_us'):.2f}",
            "" if engine is plain else "{}; by the worker's CPU: {}".format(*said),
        ))  # fmt: skip
    return table
