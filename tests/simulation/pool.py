"""Seeds over several processes. Not in __main__: a process that is spawned does not import that module again."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator

from tests.simulation.mutants import caught
from tests.simulation.run import Result, simulate
from tests.simulation.slips import Slips

CHUNK = 5
MUTANT_SEEDS = 100


def pooled(seeds: Iterable[int], jobs: int) -> Iterator[Result]:
    """Results in any order."""
    if jobs == 1:
        yield from map(lean, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(lean, seeds, chunksize=CHUNK)


def lean(seed: int) -> Result:
    """A result without its story."""
    result = simulate(seed)
    result.trace = []
    return result


def slipped(seed: int) -> Result:
    """A run with slips of an operator, without its story."""
    result = simulate(seed, kind=Slips)
    result.trace = []
    return result


def hunted(name: str) -> tuple[str, int | None, str]:
    """Name, the first seed that notices, and what it says."""
    result = caught(name, range(MUTANT_SEEDS))
    return (name, result.seed, result.failures[0]) if result else (name, None, "")
