"""Whatever the job has published holds when it is made again from the log; whatever is altered does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.standing.job import StandingJob
from tests.explaining.memory import altered, log_of
from tests.standing.partition import Partition, Topics, conf
from tests.standing.test_lifecycle import CLASSES, crashed, lives, packs
from tests.streams.fast import unshrunk
from tidegauge.explanation import DIFFERS, HOLDS, explained


@pytest.mark.slow
@settings(unshrunk, max_examples=4)
@given(packs(), lives(), st.data())
def test_what_was_published_holds_and_what_is_altered_does_not(
    pack: Any, steps: list[dict[str, Any] | int], data: Any
) -> None:
    """Packs of every timing, random lives with cards, grants, reviews and crashes: every record, every customer."""
    conf_ = replace(conf(), pack=pack)
    partition = Partition(Topics(), StandingJob(conf_))
    for step in steps:
        partition.log.tell([step])
        partition.run()
        if isinstance(step, int) and data.draw(st.integers(0, 9)) == 0:
            partition = crashed(partition, conf_)
    for customer_id in CLASSES:
        log = log_of(partition, customer_id)
        found = explained(conf_, log)
        assert [(v.told.name, v.problems) for v in found.verdicts if v.state == DIFFERS] == []
        assert not found.gaps
        if found.loose:  # between closes, what met what is not in the log
            continue
        assert {v.state for v in found.verdicts} <= {HOLDS}
        assert not found.unpublished
        if log.told:
            at = data.draw(st.integers(0, len(log.told) - 1))
            field = data.draw(
                st.sampled_from(sorted(name for name, v in log.told[at].record.items() if change(v) != v))
            )
            again = explained(conf_, altered(log, at, **{field: change(log.told[at].record[field])}))
            assert again.verdicts[at].state == DIFFERS, (field, log.told[at])
            assert not again.holds


def change(value: Any) -> Any:
    """Another value of the same kind; the same where there is no other."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return f"{value}x" if isinstance(value, str) else value
