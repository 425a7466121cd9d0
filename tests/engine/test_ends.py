"""How a worker ends that is told to while it starts, and one that hangs: as processes, since the end is that of a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]

# `part` is what a worker starts, `hold_s` how long its start takes, `hang` whether its stop ever ends.
PROGRAM = """
import asyncio, os, signal, sys
from unittest.mock import MagicMock
from mode import Service
from agents.engine import hooks

hold_s, hang = float(sys.argv[1]), sys.argv[2] == "hang"
hooks.START_S, hooks.END_S = 1.0, 3.0


class Part(Service):
    async def on_start(self):
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(hold_s)
        print("started", flush=True)

    async def on_stop(self):
        print("stopping", flush=True)
        if hang:
            import time
            time.sleep(60)


class Worker(hooks.EngineWorker):
    def on_init_dependencies(self):
        return [Part()]

    async def on_first_start(self):
        await self.default_on_first_start()


sys.exit(repr(cause) if (cause := Worker(MagicMock(), loglevel="WARNING").run()) else 0)
"""


def ended(hold_s: float, hang: str = "") -> SimpleNamespace:
    """Exit code and lines of the program."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(hold_s), hang],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return SimpleNamespace(code=done.returncode, out=done.stdout.split(), err=done.stderr)


def test_a_start_ends_before_the_stop_begins() -> None:
    """A part that has half started can't be stopped: its stop would pass over what is only about to begin."""
    found = ended(0.3)
    assert (found.code, found.out) == (0, ["started", "stopping"]), found.err


def test_a_start_that_takes_too_long_is_not_waited_for() -> None:
    """As where no broker answers."""
    found = ended(2.0)
    assert (found.code, found.out[0]) == (0, "stopping"), found.err


@pytest.mark.parametrize("hold_s", [0.0, 2.0])
def test_what_hangs_ends_all_the_same(hold_s: float) -> None:
    """Even where the loop itself hangs; the last line says so."""
    found = ended(hold_s, "hang")
    assert found.code == 1
    assert found.err.splitlines()[-1].startswith("error: not ended 3 s after it was to stop")
