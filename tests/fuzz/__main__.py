"""`python -m tests.fuzz`: fuzzes for some seconds with the JIT off, then runs what it found through the compiled kernels.

libFuzzer guides it where atheris is installed, else a small fuzzer of our own (tests/fuzz/guided.py). The kernels are
compiled anew with bounds checks (NUMBA_BOUNDSCHECK=1), in a cache of their own. `--write` keeps what it found as the corpus.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import libfuzzer
from tests.outsized import peak_kb

ROOT = Path(__file__).resolve().parents[2]
MEMORY_MB_MAX = 1000


def main(arguments: list[str]) -> int:
    """0: nothing found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--part", choices=["guided", "libfuzzer", "compiled"], help=argparse.SUPPRESS)
    parser.add_argument("--found", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.part == "guided":
        return guided(given.seconds, given.seed, given.found)
    if given.part == "libfuzzer":
        libfuzzer.fuzz(given.seconds, given.seed, given.found, MEMORY_MB_MAX)
    if given.part == "compiled":
        return compiled(given.found)
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "corpus.txt"
        code = part(
            "guided", found, {"NUMBA_DISABLE_JIT": "1"}, "--seconds", str(given.seconds), "--seed", str(given.seed)
        )
        if code < 0:
            print(f"killed by signal {-code} at {found.with_suffix('.last').read_text()}")
        if code == 0:
            cache = Path(os.environ.get("NUMBA_CACHE_DIR", folder)) / "boundscheck"
            code = part("compiled", found, {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(cache)})
        if code == 0 and given.write:
            from tests.fuzz import seeds

            seeds.write(found)
    return abs(code)


def part(name: str, found: Path, variables: dict[str, str], *more: str) -> int:
    """A process of its own: what numba does is settled when it is imported."""
    command = [sys.executable, "-m", "tests.fuzz", "--part", name, "--found", str(found), *more]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=False).returncode


def guided(seconds: float, seed: int, found: Path) -> int:
    """Fuzz; the inputs that are worth keeping go into a file."""
    if libfuzzer.installed():
        return by_libfuzzer(seconds, seed, found)
    from tests.fuzz.guided import fuzz, text

    pool = fuzz(seconds, seed, found.with_suffix(".last"))
    if isinstance(pool, tuple):
        return 1
    found.write_text(text(pool))
    return small()


def by_libfuzzer(seconds: float, seed: int, found: Path) -> int:
    """As `guided`: libFuzzer ends its process, so it has one of its own."""
    code = part("libfuzzer", found, {}, "--seconds", str(seconds), "--seed", str(seed))
    from tests.fuzz.guided import text

    inputs = libfuzzer.gathered(found)
    if code:
        print(f"seed {seed}: {text(inputs)}")
        return 1
    found.write_text(text(inputs))
    print(f"{len(inputs)} inputs by libFuzzer")
    return 0


def compiled(found: Path) -> int:
    """Run the inputs of a file through the compiled kernels."""
    from tests.fuzz.guided import corpus, read
    from tests.fuzz.targets import TARGETS, shrink

    shrink()
    inputs = [*corpus(), *read(found)]
    for name, data in inputs:
        TARGETS[name](data)
    print(f"{len(inputs)} inputs through the compiled kernels")
    return small()


def small() -> int:
    """1 where the process has become too large."""
    size = peak_kb() >> 10
    print(f"{size} MB at most")
    return int(size > MEMORY_MB_MAX)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
