"""The Python environment of Quix Streams: its own, so that the product depends on nothing of it.

Made once inside the product's environment from a lock file with hashes, and gone when that goes.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from bench.measure.report import warn

LOCK = Path(__file__).with_name("quix-requirements.lock")
WANTED = "quixstreams==3.28.1"
KEPT = Path(sys.prefix) / "peers"


def python() -> Path:
    """The interpreter of the environment, which is made if it is not there."""
    told = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    folder = KEPT / f"quix-{told[:16]}"
    interpreter = folder / "bin" / "python"
    if (folder / "complete").exists():
        return interpreter
    warn("installing Quix Streams in an environment of its own")
    shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "venv", str(folder))
    options = ("--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "--require-hashes")
    run(str(interpreter), "-m", "pip", "install", *options, "-r", str(LOCK))
    (folder / "complete").touch()
    return interpreter


def quix() -> list[str]:
    """The command of the peer."""
    return [str(python()), "-m", "bench.peers.quix"]


def run(*command: str) -> None:
    """Runs a command; RuntimeError with what it said if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")


def write_lock() -> None:
    """Pins anew, with uv: `python -m bench.peers.environment`, after a change of version."""
    options = (
        "--quiet", "--universal", "--python-version", "3.11", "--only-binary", ":all:", "--generate-hashes",
        "--no-emit-index-url", "--no-header", "--no-annotate",
    )  # fmt: skip
    command = ("uv", "pip", "compile", *options, "-o", str(LOCK), "-")
    subprocess.run(command, input=WANTED, text=True, check=True)


if __name__ == "__main__":
    write_lock()
