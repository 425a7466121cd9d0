"""Tiers between closes are made again as the brokers have stamped the events; where several met at once, from their evidence."""

from dataclasses import replace

import pytest

from agents.standing.job import StandingJob
from tests.explaining.memory import Stamped, altered, log_of
from tests.standing.partition import Partition, conf, customer
from tests.standing.test_changeover import told
from tests.standing.test_continuous import AT_ONCE, JANUARY, TODAY
from tests.twins.events import posting
from tidegauge.explanation import BY_EVIDENCE, DIFFERS, HOLDS, explained

CONF = replace(conf(), pack=AT_ONCE)


def lived(*transactions):
    """A partition that has met these events, those of a tuple in one transaction."""
    partition = Partition(Stamped().tell([customer("C1"), JANUARY]), StandingJob(CONF)).run()
    for events in transactions:
        partition = told(partition, *(events if isinstance(events, tuple) else (events,)))
    return partition


def test_one_after_the_other():
    """Each event in a transaction of its own: everything is given again, the day's begin included."""
    steps = [posting(1, 10_000, TODAY), posting(2, -5, TODAY), posting(3, 30_000, TODAY + 1, TODAY), TODAY]
    log = log_of(lived(*steps, TODAY + 1), "C1")
    found = explained(CONF, log)
    changes = found.of("tier-changes")
    assert [(v.told.name, v.problems) for v in found.verdicts if v.state != HOLDS] == []
    assert {v.told.record["reason"] for v in changes} == {"continuous"}
    assert len(changes) == 2


@pytest.mark.parametrize("alter", [False, True])
def test_several_at_once(alter):
    """What two events of one transaction have made is one change: its values, criteria and lifecycle agree, or not."""
    pair = (posting(1, 10_000, TODAY), posting(2, 5_000, TODAY))
    log = log_of(lived(pair, posting(3, 10_000, TODAY), TODAY), "C1")
    found = explained(CONF, altered(log, 0, to_tier="low") if alter else log)
    assert [v.state for v in found.of("tier-changes")] == [DIFFERS if alter else BY_EVIDENCE, HOLDS]
    assert found.holds is not alter
