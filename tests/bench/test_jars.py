"""Peers in Java: what they are run with is pinned. That they give the right sums the bench itself checks whenever it runs one."""

import pytest

from bench.peers import jvm


@pytest.mark.parametrize("name", jvm.ROOTS)
def test_jars_are_pinned(name: str) -> None:
    """Every jar that is named is in its lock, and Flink's own parts are of one version."""
    pinned = {line.split()[0] for line in jvm.lock(name).read_text().splitlines() if not line.startswith("#")}
    assert {root.removesuffix("!") for root in jvm.ROOTS[name]} <= pinned
    cores = {jar for jar in pinned if jar.startswith("org.apache.flink:flink-") and "shaded" not in jar}
    assert {jar.rpartition(":")[2] for jar in cores} - {"5.0.0-2.2"} <= {jvm.FLINK}
