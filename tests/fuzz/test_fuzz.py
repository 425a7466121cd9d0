"""A short run of the fuzzer, and its corpus through the compiled kernels; `make fuzz` takes five minutes."""

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
def test_corpus_with_bounds_checked(tmp_path: Path) -> None:
    """The same through kernels that check every index; they are compiled anew for it."""
    (tmp_path / "none").write_text("")
    command = [sys.executable, "-m", "tests.fuzz", "--part", "compiled", "--found", str(tmp_path / "none")]
    cache = Path(os.environ.get("NUMBA_CACHE_DIR", tmp_path)) / "boundscheck"
    variables = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(CORPUS)} inputs" in done.stdout


@pytest.mark.slow
def test_fuzzer(tmp_path: Path) -> None:
    """Some seconds of it find nothing, and more ways through the code than the seeds alone."""
    command = [sys.executable, "-m", "tests.fuzz", "--part", "guided", "--found", str(tmp_path / "found"),
               "--seconds", SECONDS, "--seed", SEED]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len((tmp_path / "found").read_text().splitlines()) > 20
    assert text(CORPUS)
