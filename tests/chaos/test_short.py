"""Short chaos on real workers and a real broker; the long versions run by `python -m tests.chaos NAME SEED`."""

from pathlib import Path

import pytest

from deploy.settings import Settings
from deploy.stack import Stack
from tests.chaos import faults
from tests.chaos.run import Run

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.mark.parametrize(
    ("name", "seed", "seconds"),
    [("plain", 1, 5), ("kill", 2, 12), ("scale", 3, 12), ("zombie", 4, 12), ("parts", 5, 10)],
)
def test_state_and_outputs_stay_exact(kafka, name: str, seed: int, seconds: float) -> None:
    """After the fault every sum, tier, close and dead letter equals the sequential reference, byte for byte."""
    print(name, "seed", seed)
    with Run(kafka.bootstrap_servers, name, seed) as run:
        faults.FAULTS[name](run, seconds=seconds)


def test_a_broker_killed_and_restarted(tmp_path: Path) -> None:
    """kill -9 of the only broker under load loses and doubles nothing."""
    settings = Settings(kafka_heap_mb=512, bootstrap_servers="")
    with Stack(tmp_path, settings, with_redis=False, with_topics=False, any_ports=True, tether=True) as stack:

        def restart() -> None:
            stack.kill_broker()
            stack.start_broker()

        with Run(stack.bootstrap_servers, "broker", 6) as run:
            faults.broker(run, seconds=10, restart=restart)
