"""`python -m tests`: every test, in two runs of pytest side by side, since a machine has two cores at least.

Tests with servers of their own wait more than they work; the others fill the time. Their output comes when they have
ended. Arguments go to both runs; the exit code is that of the run that went worse.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = {"without servers": "not integration", "with servers": "integration"}


def command(marks: str, arguments: list[str]) -> list[str]:
    """A run of pytest for the tests with these marks."""
    return [sys.executable, "-m", "pytest", "-m", marks, *arguments]


def worst(codes: list[int]) -> int:
    """The exit code of both runs; no test in one of them is no fault, in both it is."""
    if all(code == pytest.ExitCode.NO_TESTS_COLLECTED for code in codes):
        return pytest.ExitCode.NO_TESTS_COLLECTED
    return max(0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else abs(code) for code in codes)


def main(arguments: list[str]) -> int:
    """Runs both parts; prints the one as it goes, the other when it has ended."""
    began = time.monotonic()
    first, second = (command(marks, arguments) for marks in PARTS.values())
    with tempfile.TemporaryFile("w+") as output:
        beside = subprocess.Popen(second, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            codes = [subprocess.run(first, cwd=ROOT, check=False).returncode, beside.wait()]
        finally:
            beside.kill()
        output.seek(0)
        for line in output:
            sys.stdout.write(line)
    sys.stdout.write(f"{' and '.join(PARTS)}: {time.monotonic() - began:.0f} s\n")
    return worst(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
