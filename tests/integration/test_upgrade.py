"""An upgrade of the state's format on the real stack: an older and a newer worker in one group, while the bank goes on."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from agents.engine import recovery
from agents.engine.reader import LogReader
from agents.offline.standings import all_standings, standings_at
from agents.standing.job import StandingJob
from connectors.formats.events import Event
from connectors.loading.arrival import days
from connectors.simulate import START, simulate
from schemas.registry import registry_for
from tests.integration.expect import by_id, published
from tests.integration.live import Live, doubled
from tests.standing.older import Older
from tidegauge.bootstrap import STANDING
from tidegauge.cli.data.standings import live_jobs
from tidegauge.demo.feed import Feed
from tidegauge.demo.tables import Sent

pytestmark = [pytest.mark.integration, pytest.mark.system, pytest.mark.slow]
OLDER = "tests.standing.older"
SEED, CUSTOMERS, MONTHS, DAY_S = 9, 60, 2, 0.2
ALONE, BOTH, ON = 0, START + 28, 1 << 30  # the feed waits when it is two weeks ahead of this day
PRODUCER = struct.Struct(">qh")  # id and epoch
PRODUCER_AT = 43  # of a batch
REFUSAL = (
    f"was written by a newer version (state format {StandingJob.state_format}, this one reads {Older.state_format})"
)


class Owners:
    """Who has written each partition of the changelog, in their order. Whoever takes one over writes with another epoch."""

    def __init__(self, live: Live) -> None:
        self.name = recovery.changelog_topic(live.settings, STANDING)
        self.of: list[list[tuple[int, int]]] = [[] for _ in range(live.settings.partitions)]
        self.reader = LogReader(live.settings.kafka, [self.name])
        self.reader.begin({(self.name, partition): None for partition in range(len(self.of))})

    def counts(self) -> list[int]:
        """How many there were by now, by partition."""
        for block in self.reader.fetch(0.2):
            known = self.of[block.tp.partition]
            for batch in block.batches:
                if (one := PRODUCER.unpack_from(batch, PRODUCER_AT)) not in known:
                    known.append(one)
        return [len(known) for known in self.of]


@contextmanager
def fed(live: Live, stream: list[object]) -> Iterator[list[int]]:
    """The bank's days on their way into the topics, up to two weeks behind the day in the list that is given."""
    until = [ALONE]
    feed = Feed(live.settings, registry_for(live.settings), iter(stream), Sent(), DAY_S, -1, lambda: until[0])
    feed.start()
    try:
        yield until
        live.wait(lambda: feed.finished or feed.failed is not None, "the feed")
        assert feed.failed is None
    finally:
        feed.halt()


def formats(live: Live) -> set[tuple[int, int | None]]:
    """The format of each partition's fence, and of its oldest rows where that is another one."""
    found = asyncio.run(recovery.fences(live.settings, live.settings.partitions, STANDING))
    return {(fence.state_format, fence.oldest) for fence in found if fence is not None}


def test_a_rolling_upgrade(make_live) -> None:
    """Each partition is taken over once, an older worker refuses what the newer wrote, and everything is as in a replay."""
    stream = list(days([item for item in simulate(SEED, CUSTOMERS, MONTHS) if isinstance(item, Event)], "bank"))
    last, live = stream[-1].day, make_live()
    parts = live.settings.partitions
    live.start(OLDER)
    with ExitStack() as around:
        with fed(live, stream) as until:
            live.wait(lambda: formats(live) == {(Older.state_format, None)}, "the older worker's state")
            owners = Owners(live)
            around.callback(owners.reader.close)
            live.wait(lambda: owners.counts() == [1] * parts, "the older worker alone")
            until[0] = BOTH
            live.start()
            live.wait(lambda: sorted(owners.counts()) == [1] * (parts // 2) + [2] * (parts // 2), "both versions")
            until[0] = ON
            live.stop(0)
            live.wait(lambda: min(owners.counts()) == 2, "the newer worker alone")
        live.wait_closed()
        assert owners.counts() == [2] * parts  # each partition has stopped once
    assert formats(live) == {(StandingJob.state_format, None)}

    late = live.begin("worker", "--metrics-port", "0", program=OLDER)
    live.wait(lambda: late.poll() is not None, "the end of another older worker")
    said = live._log().read_text().strip().splitlines()[-1]
    assert (late.returncode, REFUSAL in said) == (1, True), said
    live.stop()

    expected, job = published(live.settings, stream, last)
    for topic in ("tier-changes", "restatements"):
        assert by_id(live.outputs(topic)) == by_id(expected[topic])
        assert not doubled(live.outputs(topic))
    assert expected["tier-changes"]
    assert not live.outputs("dead-letters")
    assert all_standings(live_jobs(live.settings), last) == list(standings_at(job, last))
