"""`python -m tests`: every test, in three runs of pytest side by side, since a machine has two cores at least.

Tests with servers wait more than they work, so there are two runs of them, each with servers of its own. The others fill
the time, and give way where both want the processor. Their output comes as they go, that of the two runs beside them when
those have ended. Arguments go to all runs; the exit code is that of the worst.
"""

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
# By marks; every test is in exactly one (tests/test_parts.py).
PARTS = {
    "without servers": "not integration",
    "with servers": "integration and not system",
    "of the system": "integration and system",
}
NICE = ["nice", "-n", "5"]
KERNELS = [sys.executable, "-m", "tests.kernels"]


class Beside(NamedTuple):
    """A run beside the first one; its output waits in a file."""

    process: "subprocess.Popen[bytes]"
    output: IO[str]


def command(marks: str, arguments: list[str]) -> list[str]:
    """A run of pytest for the tests with these marks."""
    return [sys.executable, "-m", "pytest", "-m", marks, *arguments]


def worst(codes: list[int]) -> int:
    """The exit code of all runs; no test in some of them is no fault, in all it is."""
    if all(code == pytest.ExitCode.NO_TESTS_COLLECTED for code in codes):
        return pytest.ExitCode.NO_TESTS_COLLECTED
    return max(0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else abs(code) for code in codes)


def started(marks: str, arguments: list[str], around: ExitStack) -> Beside:
    """A run that has begun, and ends with `around` at the latest."""
    output = around.enter_context(tempfile.TemporaryFile("w+"))  # noqa: SIM115 (closed by `around`)
    process = subprocess.Popen(
        command(marks, arguments), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
    )
    around.callback(process.kill)
    return Beside(process, output)


def main(arguments: list[str]) -> int:
    """Runs all parts; prints the first as it goes, the others when they have ended."""
    began = time.monotonic()
    first, servers, *others = PARTS.values()
    with ExitStack() as around:
        beside = [started(servers, arguments, around)]  # begins with servers of others, which have no kernels
        subprocess.run(KERNELS, cwd=ROOT, check=True)
        beside += [started(marks, arguments, around) for marks in others]
        own = subprocess.run([*NICE, *command(first, arguments)], cwd=ROOT, check=False)
        codes = [own.returncode, *(one.process.wait() for one in beside)]
        for one in beside:
            one.output.seek(0)
            for line in one.output:
                sys.stdout.write(line)
    sys.stdout.write(f"{', '.join(PARTS)}: {time.monotonic() - began:.0f} s\n")
    return worst(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
