"""A peer in Java for real: fetched, compiled without a JDK, run on the embedded broker, its result that of the plain sums."""

import pytest

from bench.measure import j1_run
from bench.measure.arena import Arena
from bench.peers import jvm
from bench.peers.peer import PEERS


@pytest.mark.integration
def test_kafka_streams_gives_the_expected_sums() -> None:
    """Compiles with the pinned compiler, prints its stamps and gives the sums; j1_run.other raises if anything differs."""
    events = 20_000
    with Arena() as arena:
        timing = j1_run.other(arena, j1_run.load(arena, events), PEERS["kafka-streams"], "kafka-streams")
    assert timing.events == events
    assert 0 < timing.worked_s <= timing.seconds
    assert 0 < timing.cpu_s < timing.cpu_all_s


@pytest.mark.parametrize("name", jvm.ROOTS)
def test_jars_are_pinned(name: str) -> None:
    """Every jar that is named is in its lock, and Flink's own parts are of one version."""
    pinned = {line.split()[0] for line in jvm.lock(name).read_text().splitlines() if not line.startswith("#")}
    assert {root.removesuffix("!") for root in jvm.ROOTS[name]} <= pinned
    cores = {jar for jar in pinned if jar.startswith("org.apache.flink:flink-") and "shaded" not in jar}
    assert {jar.rpartition(":")[2] for jar in cores} - {"5.0.0-2.2"} <= {jvm.FLINK}
