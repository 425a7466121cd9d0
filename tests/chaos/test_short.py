"""Short chaos on real workers and a real broker; the long versions run by `make chaos`.

First the engine under a small job of its own (tests/engine/counter_job.py), then the whole product, one scenario each.
"""

from collections.abc import Iterator

import pytest

from tests.chaos import faults
from tests.chaos.brokers import ChaosStack
from tests.chaos.given import Given
from tests.chaos.run import Run
from tests.chaos.scenarios import SCENARIOS

pytestmark = [pytest.mark.integration, pytest.mark.system, pytest.mark.slow]
SEED = 11


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChaosStack]:
    """A broker that may be killed."""
    with ChaosStack(tmp_path_factory.mktemp("chaos")) as stack:
        yield stack


@pytest.mark.parametrize(
    ("name", "seed", "seconds"),
    [("scale", 3, 12), ("parts", 5, 10)],  # `parts` kills too
)
def test_state_and_outputs_stay_exact(stack: ChaosStack, name: str, seed: int, seconds: float) -> None:
    """After the fault every sum, tier, close and dead letter equals the sequential reference, byte for byte."""
    print(name, "seed", seed)
    with Run(stack.bootstrap_servers, name, seed) as run:
        faults.FAULTS[name](run, seconds=seconds)


@pytest.mark.parametrize("name", ["kill", "zombie", "broker-kill", "redis", "mischief", "bounds"])
def test_the_product_stays_exact(stack: ChaosStack, name: str) -> None:
    """Nothing lost, doubled, reordered, torn or read uncommitted; every customer equals the oracle to the fen."""
    result = SCENARIOS[name](Given(stack, SEED, short=True))
    print(result)
    assert result.good, str(result.findings)
    assert result.faults
