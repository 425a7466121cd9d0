"""A short run of the fuzzer, and its corpus through the compiled kernels.

The fuzzer begins with the corpus, through kernels as plain Python, whose indices are checked. `make fuzz` takes five
minutes, and compiles the kernels once more with checks.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemas import bounds
from tests.fuzz.guided import corpus, text
from tests.fuzz.seeds import made
from tests.fuzz.targets import SMALL, TARGETS

ROOT = Path(__file__).resolve().parents[2]
CORPUS = corpus()
SECONDS, SEED = "30", "1"


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_corpus(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was ever found worth keeping does no harm to the compiled kernels."""
    for name, value in SMALL.items():
        monkeypatch.setattr(bounds, name, value)
    assert set(made()) <= set(CORPUS)
    for name, data in CORPUS:
        if name == target:
            TARGETS[name](data)


@pytest.mark.slow
def test_fuzzer(tmp_path: Path) -> None:
    """Half a minute of it finds nothing, and more ways through the code than the seeds alone."""
    command = [sys.executable, "-m", "tests.fuzz", "--part", "guided", "--found", str(tmp_path / "found"),
               "--seconds", SECONDS, "--seed", SEED]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len((tmp_path / "found").read_text().splitlines()) > 20
    assert text(CORPUS)
