"""All inputs of the standing job at once, whatever they hold: each record counts or is one dead letter, and nothing stops."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engine.record_batches import flat
from agents.standing.job import StandingJob
from agents.standing.model import StandingConf
from policies import load_pack
from schemas.codec.records import decode_one
from schemas.codec.status import Status
from schemas.topics import INPUTS
from tests.contracts.drawn import LIVED, entries
from tests.standing.partition import Topics, layered
from tests.standing.test_recovery import Crashing
from tests.streams.fast import differences, state, unshrunk

LETTER_BYTES_MAX = 100 << 10
ROW_BYTES_MAX = (4 << 20) - (
    64 << 10
)  # of a row, an output or a fence, so that a batch with it is taken by the brokers
PACKS = ("rolling-quarter-aum", "abc-bands", "hq-level", "three-month-card", "asset-frequency-tenure")


class Watched(Crashing):
    """A partition of which everything that it writes is looked at."""

    def work(self, *, live: bool = True) -> list[tuple[str, dict[str, Any]]]:
        """As Partition; nothing is larger than the brokers take."""
        outcome, said = self.job.work(live=live), []
        for topic, pairs in outcome.outputs:
            pairs = list(flat(pairs))
            self.published[topic] += pairs
            fits(topic, pairs)
            said += [(topic, decode_one(value)) for _, value in pairs]
        rows = list(flat(outcome.rows))
        fits("row", rows)
        self.rows |= dict(rows)
        return said

    def flush(self, rows_max: int | None) -> None:
        """As Crashing."""
        super().flush(rows_max)
        fits("row", self.rows.items())
        assert len(self.fence[1]) <= ROW_BYTES_MAX, "fence"


def fits(what: str, pairs: Any) -> None:
    """Whether each of some records is taken by the brokers."""
    for key, value in pairs:
        assert len(key) + len(value or b"") <= ROW_BYTES_MAX, (what, bytes(key[:40]))


def begun(conf: StandingConf, log: Topics) -> Watched:
    """A partition at its beginning."""
    partition = Watched(log, StandingJob(conf))
    partition.conf = conf
    partition.fence = (partition.job.positions(), partition.job.fence())
    return partition


def letters(partition: Watched) -> Iterator[tuple[str, int]]:
    """Topic and offset of each dead letter."""
    for _, value in partition.published["dead-letters"]:
        assert len(value) <= LETTER_BYTES_MAX
        letter = decode_one(value)
        assert letter["reason"] and letter["detail"]
        yield letter["topic"], letter["offset"]


def ended_or_waits(job: StandingJob, topic: str, end: int) -> bool:
    """Whether an input is read to its end, or up to a mark of a day that is not closed yet."""
    lane = job.lanes[topic]
    if lane.position == end:
        return True
    chunk = next(one for one in lane.chunks if one.at < one.columns.n)
    return bool(chunk.columns.status[chunk.at] == Status.MARK and chunk.columns.data[chunk.at, 0] > job.ledger.closed)


@pytest.mark.slow
@pytest.mark.parametrize("pack", PACKS)
def test_every_input_at_once(pack: str) -> None:
    """Three rounds of anything, each with a close: all is consumed, and a recovery comes to the same.

    Foreign marks and closes may hold up an input until the next close; a foreign close may wait for a cut that never comes.
    """
    conf = replace(layered(), pack=load_pack(pack))

    @settings(unshrunk, print_blob=False, max_examples=30 if pack == PACKS[0] else 8, deadline=None)
    @given(st.data())
    def check(data: Any) -> None:
        log = Topics()
        partition = begun(conf, log)
        for day in (LIVED, LIVED + 1, LIVED + 30):
            for topic in INPUTS:
                for key, value in data.draw(entries(topic, 4), label=topic):
                    log.append(topic, key, value)
            log.close(day)
            partition.run()
            partition.flush(data.draw(st.sampled_from([None, 1])))
        log.close(LIVED + 31)
        partition.run()
        partition.flush(None)
        told = Counter(letters(partition))
        assert set(told.values()) <= {1}
        assert partition.job.closes or all(ended_or_waits(partition.job, topic, log.ends[topic]) for topic in INPUTS)
        again = partition.recovered(data)
        assert again.job.positions() == partition.job.positions()
        assert differences(state(again.job.ledger), state(partition.job.ledger)) == []

    check()
