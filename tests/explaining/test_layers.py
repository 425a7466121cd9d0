"""Changes of layers are made again from the log as tiers are, whether the scheme is set or was put into force live."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.explaining.memory import altered, log_of
from tests.standing.partition import conf
from tests.standing.test_changeover import activation, pack_of
from tests.standing.test_layers import CARE, HOLDINGS, JANUARY, RICH, started
from tests.twins.events import day, posting
from tidegauge.cli.explain.text import lines
from tidegauge.explanation import DIFFERS, HOLDS, explained


@pytest.mark.slow
def test_a_change_of_a_layer_holds() -> None:
    """Beside the tier's own; one that says another layer than the log gives does not, and the standing has both."""
    later = pack_of(CARE.body, version=2, effective_from="2024-02-11").replace('"1000000.00"', '"2000000.00"')
    leaves = posting(2, -140_000_000, "2024-02-20", **RICH)
    steps = [*HOLDINGS, JANUARY, activation(later), day("2024-02-10"), leaves, day("2024-02-29")]
    for layers in (CARE, None):
        settings, partition = replace(conf(), layers=layers), started(*steps, layers=layers)
        log = log_of(partition, "rich")
        found = explained(settings, log)
        told = [(v.told.record["kind"], v.state) for v in found.of("decisions")]
        assert told == [("layer", HOLDS)] * (3 if layers else 2)
        assert found.standing is not None
        assert (found.standing["layer"], found.holds, found.unpublished) == ("layer-outlet", True, [])
        text = "\n".join(lines(found))
        assert "tier gold, layer layer-outlet" in text
        assert "layer layer-outlet -> layer-filed: close" in text
        assert "aum(aum) = 10000000" in text
        at = next(i for i, told in enumerate(log.told) if told.topic == "decisions")
        wrong = explained(settings, altered(log, at, after="layer-president"))
        assert wrong.verdicts[at].state == DIFFERS
