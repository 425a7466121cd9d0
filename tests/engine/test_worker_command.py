"""The worker as a command."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

WAIT_S = 240  # kernels may have to be compiled first


@pytest.mark.slow
def test_a_second_worker_on_a_machine_is_told_that_the_port_for_metrics_is_taken() -> None:
    """An operator starts one more: an error that names the port and the option, and no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "tidegauge.cli.main", "worker", "--metrics-port", str(port)],
            env={**os.environ, "TIDEGAUGE_REFERENCE_KEY": "a reference key for tests, 32 bytes long", "NO_COLOR": "1"},
            capture_output=True, text=True, timeout=WAIT_S, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert f"the port 127.0.0.1:{port} is taken" in done.stderr
    assert "--metrics-port" in done.stderr
    assert "Traceback" not in done.stderr
