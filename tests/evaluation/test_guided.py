"""A trial on topics ends its transactions where the workers did: with the present pack it tells every published step again."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engine.job import Block
from agents.offline.guided import guided, pieces
from agents.offline.replay import Trial
from schemas.registry import file_registry
from schemas.topics import INPUTS
from streams.alerts.lifecycle import RAISED
from tests.examples.cases import conf_of, pack_of
from tests.explaining.memory import Stamped
from tests.explaining.test_cases import ends_of, lived
from tests.standing.partition import Partition
from tests.twins.events import day, posting
from tests.twins.test_case_acts import acted
from tests.twins.test_cases_law import few
from tests.twins.test_slow_cases import SCHEME
from tidegauge.evaluation.trial import WatchedTrial


def watched(partition: Partition, scheme) -> WatchedTrial:
    """A trial of the present pack over what a partition has been fed, and what it has published."""
    trial = Trial(conf_of(scheme), pack_of(scheme))
    found = WatchedTrial(trial, conf_of(scheme))
    for job in (trial.running, trial.other):
        job.begin(0, dict.fromkeys(INPUTS, 0))

    async def read(topic: str) -> AsyncIterator[Block]:
        if topic in INPUTS:
            yield partition.log.block(topic, 0, partition.log.ends[topic])
            return
        told = Stamped()
        told.records[topic], told.ends[topic] = [], 0
        for key, value in partition.published[topic]:
            told.append(topic, key, value)
        yield told.block(topic, 0, told.ends[topic])

    asyncio.run(trial._as_told(read))
    return found


@pytest.mark.slow
@settings(few, max_examples=12)
@given(acted(), st.randoms(use_true_random=False), st.sampled_from((0.0, 0.3, 0.7)))
def test_every_published_step_is_told_again(scheme_feed, choice, together):
    """Of postings, acts and closes, several of them in a transaction."""
    scheme, feed = scheme_feed
    partition = lived(scheme, feed, ends_of(feed, choice, together))
    found = watched(partition, scheme)
    published = [(r["alert_id"], r["status"], r["caused_by"]) for r in partition.of("rm-alerts")]
    assert sorted((s.case_id, s.step, s.caused_by) for s in found.steps[0]) == sorted(published)
    cases = {case for case, status, _ in published if status == RAISED}
    assert found.published(0) == dict.fromkeys(cases, True)


def test_two_postings_of_one_transaction_are_one_step():
    """300,000.00 and 200,000.00 that a worker took at once were raised together; and so they are again."""
    feed = [posting(1, 100_000_000, "2024-01-01"), day("2024-04-08"),
            posting(2, -30_000_000, "2024-04-09", clock="10:00:00"),
            posting(3, -20_000_000, "2024-04-09", clock="10:00:01")]  # fmt: skip
    partition = lived(SCHEME, feed, {0, 1})
    (step,) = watched(partition, SCHEME).steps[0]
    assert (step.step, step.net_out_minor, step.caused_by) == (RAISED, 50_000_000, "C1-A1-core-3")


@given(st.lists(st.binary(max_size=12), min_size=1, max_size=5), st.sets(st.sampled_from(("a", "b"))))
def test_whatever_stands_on_topics(values, causes):
    """Bytes of others are handed on as they are, in their order."""
    log, registry = Stamped(), file_registry()
    for topic in ("transactions", "facts"):
        for value in values:
            log.append(topic, b"C1", value)
    block = log.block("transactions", 0, len(values))
    parts = list(pieces(block, causes, registry))
    assert [part.block.start for part in parts] == list(range(len(values)))
    assert parts[-1].block.end == block.end

    async def merged() -> list[int]:
        async def postings() -> AsyncIterator[Block]:
            yield block

        others = [[log.block("facts", 0, len(values))]]
        return [piece.stamp async for piece in guided(others, postings(), causes, registry)]

    assert asyncio.run(merged()) == list(range(1, 2 * len(values) + 1))
