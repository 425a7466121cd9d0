"""How much of everything a run of the bench does."""

from __future__ import annotations

from dataclasses import dataclass

MILLION = 1_000_000


@dataclass(frozen=True)
class Sizes:
    """The full bench, unless changed; QUICK is the small one."""

    quick: bool = False
    runs: int = 3
    j1_events: tuple[int, ...] = (4 * MILLION, MILLION)
    quix_events: int = 300_000
    tutorial_events: int = 30_000
    engines: tuple[str, ...] = ()  # of J1, by name; empty: all of them, or in a quick run those that are quick
    full_events: int = 4 * MILLION
    customers: int = 100_000
    lives: tuple[int, ...] = (100_000, MILLION)  # customers of a bank's whole life
    long_events: int = 9 * MILLION
    rates: tuple[int, ...] = (100, 1_000, 10_000, 50_000)
    latency_s: float = 30.0


QUICK = Sizes(
    quick=True, runs=1, j1_events=(MILLION,), tutorial_events=15_000, full_events=MILLION, rates=(100, 1_000, 10_000),
    latency_s=6.0, lives=(100_000,), long_events=1_500_000,
)  # fmt: skip
