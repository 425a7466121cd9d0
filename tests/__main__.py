"""`python -m tests`: every test, in three lanes of pytest side by side, since a machine has two cores at least.

Tests with servers wait more than they work, so there are two lanes of them, each with servers of its own. The slow
ones without servers fill the time, and give way where both want the processor; the quick ones follow in the lane that
ends first.
The output of the slow ones comes as they go, that of the lanes beside them when those have ended. Arguments go to all
runs; the exit code is that of the worst.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pytest

from tests.parts import PARTS

ROOT = Path(__file__).resolve().parents[1]
BESIDE = (("with servers",), ("of the system", "quick without servers"))  # lanes: parts, one after the other
NICE = ["nice", "-n", "5"]
KERNELS = [sys.executable, "-m", "tests.kernels"]


def command(marks: str, arguments: list[str]) -> list[str]:
    """A run of pytest for the tests with these marks."""
    return [sys.executable, "-m", "pytest", "-m", marks, *arguments]


def worst(codes: list[int]) -> int:
    """The exit code of all runs; no test in some of them is no fault, in all it is."""
    if all(code == pytest.ExitCode.NO_TESTS_COLLECTED for code in codes):
        return pytest.ExitCode.NO_TESTS_COLLECTED
    return max(0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else abs(code) for code in codes)


def lane(parts: Sequence[str], arguments: list[str], output: IO[str], around: ExitStack) -> list[int]:
    """Runs these parts one after the other, their output into a file; each ends with `around` at the latest.

    One that was killed is the last.
    """
    codes = []
    for part in parts:
        process = subprocess.Popen(
            command(PARTS[part], arguments), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        around.callback(process.kill)
        codes.append(process.wait())
        if codes[-1] < 0:
            break
    return codes


def main(arguments: list[str]) -> int:
    """Runs all parts; prints the first as it goes, the others when they have ended."""
    began = time.monotonic()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each of hundreds of processes compiles every module anew
    first = next(iter(PARTS))
    with ThreadPoolExecutor(len(BESIDE)) as threads, ExitStack() as around:
        outputs = [around.enter_context(tempfile.TemporaryFile("w+")) for _ in BESIDE]
        servers, system = BESIDE
        beside = [threads.submit(lane, servers, arguments, outputs[0], around)]  # begins with what has no kernels
        subprocess.run(KERNELS, cwd=ROOT, check=True)
        beside.append(threads.submit(lane, system, arguments, outputs[1], around))
        own = subprocess.run([*NICE, *command(PARTS[first], arguments)], cwd=ROOT, check=False)
        codes = [own.returncode, *(code for one in beside for code in one.result())]
        for output in outputs:
            output.seek(0)
            for line in output:
                sys.stdout.write(line)
    sys.stdout.write(f"{', '.join(PARTS)}: {time.monotonic() - began:.0f} s\n")
    return worst(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
