"""python -m tests.simulation --seeds 2000 | --seed 123 | --mutants: runs seeds and prints what came of them."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from pathlib import Path

if sys.prefix != sys.base_prefix:  # before numba is imported
    os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(sys.prefix) / "numba-cache"))

from tests.simulation.mutants import MUTANTS
from tests.simulation.pool import hunted, pooled
from tests.simulation.run import Result, simulate

SHOWN_MAX = 10


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 if nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="only this one, with its story")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--mutants", action="store_true", help="whether broken engines are noticed")
    said = parser.parse_args(arguments)
    if said.seed is not None:
        return story(said.seed)
    if said.mutants:
        return mutants(said.jobs)
    began = time.monotonic()
    results = []
    for result in pooled(range(said.first, said.first + said.seeds), said.jobs):
        results.append(result)
        if len(results) % 50 == 0:
            bad = sum(bool(r.failures) for r in results)
            print(f"{len(results)} of {said.seeds} seeds, {bad} failed, {time.monotonic() - began:.0f} s", flush=True)
    print("\n".join(table(results, said.first, time.monotonic() - began)))
    return int(any(result.failures for result in results))


def story(seed: int) -> int:
    """One seed, line by line."""
    result = simulate(seed)
    print("\n".join(result.trace))
    print(f"seed {seed}: {'FAILED' if result.failures else 'good'}, fingerprint {result.fingerprint}")
    print("\n".join(result.failures))
    return int(bool(result.failures))


def mutants(jobs: int) -> int:
    """Which broken engines were noticed, and by which seed."""
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        found = list(pool.imap(hunted, MUTANTS))
    for name, seed, failure in found:
        print(f"{name:50} {'NOT NOTICED' if seed is None else f'seed {seed:3}: {failure[:100]}'}")
    return int(any(seed is None for _, seed, _ in found))


def table(results: list[Result], first: int, seconds: float) -> list[str]:
    """The printed table."""
    faults: Counter[str] = Counter()
    for result in results:
        faults.update(result.faults)
    failed = sorted((r for r in results if r.failures), key=lambda r: r.seed)
    kills = sum(n for name, n in faults.items() if name.startswith("kill"))
    lines = [
        "", f"{'seeds':32}{len(results):>12,}  ({first} to {first + len(results) - 1})",
        f"{'events':32}{sum(r.events for r in results):>12,}",
        f"{'committed transactions':32}{sum(r.commits for r in results):>12,}",
        f"{'steps of the scheduler':32}{sum(r.steps for r in results):>12,}",
        f"{'simulated hours':32}{sum(r.seconds for r in results) / 3600:>12,.1f}",
        f"{'kills':32}{kills:>12,}",
    ]  # fmt: skip
    lines += [f"  {name:30}{number:>12,}" for name, number in sorted(faults.items())]
    lines += [
        f"{'checks':32}{sum(r.checks for r in results):>12,}", f"{'failed seeds':32}{len(failed):>12,}",
        f"{'seconds':32}{seconds:>12,.0f}",
    ]  # fmt: skip
    for result in failed[:SHOWN_MAX]:
        lines += [f"make simulate SEED={result.seed}    # {result.failures[0][:300]}"]
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
