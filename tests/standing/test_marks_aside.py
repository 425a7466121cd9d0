"""Marks of sources too far ahead: set aside alike in every partition, confirmed with force, taken back, whatever happens."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.standing.intake.marks import COMPLETE
from agents.standing.job import StandingJob
from agents.standing.model import ForCloser
from schemas.partitioner import partition_of
from schemas.topics import INPUTS
from streams.closing import GAP_DAYS_MAX, MARK_FORCED, MARK_ORDINARY, MARK_RETRACTS
from tests.standing.partition import Partition, Topics, conf
from tests.standing.test_lifecycle import fact
from tests.standing.test_recovery import Crashing
from tests.twins.events import day, posting

D1 = day("2026-05-30")
SOURCES = ("core", "cards")
OF_THE_SECOND = next(name for name in map("C{}".format, range(99)) if partition_of(name.encode(), 2) == 1)
GAPS = (-1, 0, 1, GAP_DAYS_MAX, GAP_DAYS_MAX + 1, GAP_DAYS_MAX + 2, 600)

Mark = tuple[str, int, int]  # source, day, kind
Step = int | Mark


def mark(source: str, on: int, kind: int = MARK_ORDINARY) -> dict[str, Any]:
    """A source's mark."""
    return fact("@source", 1, kind, on, name=COMPLETE) | {"source": source}


def said(steps: list[Step]) -> tuple[dict[str, int], dict[str, int]]:
    """The rule once more, in plain words: the days that count, and those that are set aside, by source."""
    closed, counts, aside = None, dict[str, int](), dict[str, int]()
    for step in steps:
        if isinstance(step, int):
            closed = step
            continue
        source, on, kind = step
        if kind == MARK_RETRACTS:
            if aside.get(source) == on:
                del aside[source]
        elif kind != MARK_FORCED and closed is not None and on - closed > 31:
            aside[source] = on
        elif on > counts.get(source, 0):
            counts[source] = on
            if aside.get(source, on + 1) <= on:
                del aside[source]
    return counts, aside


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """Closes one day after the other, and between them marks near and far, forced ones and retractions."""
    steps, closed = list[Step](), None
    for _ in range(draw(st.integers(1, 14))):
        if draw(st.booleans()):
            closed = D1 if closed is None else closed + draw(st.sampled_from((1, 1, GAP_DAYS_MAX)))
            steps.append(closed)
            continue
        far = [step[1] for step in steps if not isinstance(step, int)]
        near = [(D1 if closed is None else closed) + gap for gap in GAPS]
        kind = draw(st.sampled_from((MARK_ORDINARY, MARK_ORDINARY, MARK_FORCED, MARK_RETRACTS)))
        steps.append((draw(st.sampled_from(SOURCES)), draw(st.sampled_from(near + far)), kind))
    return steps


def found(job: StandingJob) -> tuple[dict[str, int], dict[str, int]]:
    """What a worker holds: the days that count, and those set aside."""
    return job.decider.facts.marks.complete, job.decider.facts.marks.aside


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(st.data(), histories())
def test_alike_in_every_partition(data: st.DataObject, steps: list[Step]) -> None:
    """With customers or without, in any blocks, over crashes: each partition holds what the rule says, from its rows too."""
    for number in range(2):
        log = Topics(number)
        for n, step in enumerate(steps):
            log.tell([step if isinstance(step, int) else mark(*step)])
            if number and data.draw(st.booleans(), label="a posting"):
                log.tell([posting(n + 1, 100, D1, customer=OF_THE_SECOND)])
        of_two = replace(conf(), partitions=2)
        partition = Crashing(log, StandingJob(of_two))
        partition.conf = of_two
        partition.fence = (partition.job.positions(), partition.job.fence())
        for _ in range(data.draw(st.integers(0, 6), label="blocks")):
            topic = data.draw(st.sampled_from(INPUTS))
            partition.feed(topic, partition.fed[topic] + data.draw(st.integers(1, 6)))
            partition.work()
            if data.draw(st.booleans(), label="flushed"):
                partition.flush(None)
            if data.draw(st.booleans(), label="killed"):
                partition = partition.recovered(data)
        partition.run()
        assert found(partition.job) == said(steps)
        assert partition.job._for_closer().aside == said(steps)[1]
        assert not partition.of("dead-letters")


def test_counted_and_named() -> None:
    """A far mark is counted, changes nothing, and makes its source known to nobody."""
    log = Topics().tell([posting(1, 100, D1), D1, mark("nosuch", D1 + 600)])
    partition = Partition(log)
    for topic in INPUTS:
        partition.feed(topic)
    assert partition.job.work(live=True).counts["marks_set_aside"] == 1
    told = partition.job._for_closer()
    assert (told.sources, told.aside) == (("core",), {"nosuch": D1 + 600})


def test_a_fence_tells_what_is_aside() -> None:
    """And one without is as it was before there was the field."""
    told = ForCloser(D1, {}, ("core",), {"cards": D1 + 600})
    assert ForCloser.of_fence(json.dumps(told.entry()).encode()) == told
    plain = told._replace(aside={})
    assert "aside" not in json.dumps(plain.entry())
    assert ForCloser.of_fence(json.dumps(plain.entry()).encode()) == plain
