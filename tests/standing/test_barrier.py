"""The barrier of a day close across the input topics: nothing behind the cut counts, nothing before it is left out."""

import pytest

from agents.engine.job import TP, Block, Rejoin
from schemas.codec.records import encode
from schemas.topics import CLOSES, INPUTS, MARK
from tests.standing.partition import Partition, Topics
from tests.twins.events import day, posting, snapshot

D1, D2 = day("2024-03-01"), day("2024-03-02")


def aums(partition: Partition) -> list[tuple[int, int]]:
    """(day, AUM) of the standings published."""
    return [(r["as_of"], r["aum_minor"]) for r in partition.of("standings")]


def close_record(log: Topics, business_day: int, cut: dict[str, int]) -> int:
    """close(D) by itself, with a cut; its offset."""
    entries = [{"topic": topic, "partition": 0, "offset": offset} for topic, offset in cut.items()]
    return log.append(CLOSES, b"", encode(CLOSES, {"business_day": business_day, "closed_at": 0, "cut": entries}))


def mark(log: Topics, topic: str, business_day: int) -> int:
    """A close mark in one topic; its offset."""
    return log.append(topic, b"@close", encode(MARK, {"business_day": business_day}))


def test_what_lies_behind_the_mark_waits():
    """Events behind the mark are held until the day is closed, whether close(D) has been read or not."""
    log = Topics().tell([posting(1, 100, D1), D1, posting(2, 50, D1)])
    partition = Partition(log)
    partition.feed("transactions")
    partition.work()
    assert partition.job.positions()["transactions"] == 1  # at the mark
    assert partition.job.held_bytes("transactions") > 0
    assert aums(partition) == []
    partition.run()
    assert aums(partition) == [(D1, 100)]
    assert partition.job.positions() == log.ends
    assert partition.job.held_bytes("transactions") == 0


@pytest.mark.parametrize("last", [t for t in INPUTS if t != CLOSES])
def test_the_slowest_topic_decides(last):
    """The day is closed when every topic of the cut has reached it, whichever comes last."""
    log = Topics().tell([posting(1, 100, D1), snapshot(130, D1), D1])
    partition = Partition(log)
    for topic in INPUTS:
        if topic != last:
            partition.feed(topic)
    partition.work()
    assert aums(partition) == []
    assert partition.job.positions()[CLOSES] == 0  # a close that waits is not consumed
    partition.feed(last)
    partition.work()
    assert aums(partition) == [(D1, 130)]
    assert partition.job.positions() == log.ends


def test_a_mark_that_comes_late_within_a_block():
    """The cut holds within a block too: events of the same block before the mark count, those behind it don't."""
    log = Topics().tell([posting(1, 1, D1), posting(2, 2, D1), D1, posting(3, 4, D1), D2, posting(4, 8, D1)])
    partition = Partition(log).run()
    assert aums(partition) == [(D1, 3), (D2, 7)]
    assert partition.job.positions() == log.ends


def test_a_mark_compacted_away():
    """Where compaction has removed the mark, its offset in the cut stands for it."""
    log = Topics()
    log.tell([posting(1, 100, D1), D1, posting(2, 50, D1), D2])
    compacted = log.records["customers"]
    assert len(compacted) == 2  # the marks of D1 and D2
    partition = Partition(log)
    gone = Block(TP("customers", 0), 0, 1, [], 0)  # the mark of D1 is gone, the fetch moved the position only
    partition.job.feed(gone)
    partition.fed["customers"] = 1
    partition.run()
    assert aums(partition) == [(D1, 100), (D2, 150)]


def test_without_its_mark_a_topic_waits_for_its_offset():
    """A topic without the mark still stops at the cut: what was written behind it does not count for the day."""
    log = Topics()
    log.tell([posting(1, 100, D1), posting(2, 50, D1)])
    cut = {topic: mark(log, topic, D1) for topic in INPUTS if topic not in (CLOSES, "transactions")}
    close_record(log, D1, cut | {"transactions": 1})  # between the two postings
    partition = Partition(log)
    partition.feed(CLOSES)
    partition.run()
    assert aums(partition) == [(D1, 100)]
    assert partition.job.positions() == log.ends


def test_a_topic_that_is_not_in_the_cut():
    """The close does not wait for a topic its cut does not name; that topic's mark still holds back what is behind."""
    log = Topics()
    log.tell([posting(1, 100, D1)])
    cut = {"transactions": mark(log, "transactions", D1)}
    close_record(log, D1, cut)
    partition = Partition(log).run()
    assert aums(partition) == [(D1, 100)]
    mark(log, "balances", D2)
    log.tell([snapshot(500, D2)])
    partition.run()
    assert partition.job.positions()["balances"] == 1 - 1
    close_record(log, D2, {"transactions": mark(log, "transactions", D2)})
    partition.run()
    assert aums(partition) == [(D1, 100)]  # nothing of D2 had been consumed at its close
    assert partition.job.positions() == log.ends


def test_a_cut_of_an_unknown_topic_is_no_obstacle():
    """A cut may name topics that this job does not read."""
    log = Topics().tell([posting(1, 100, D1)])
    close_record(log, D1, {"transactions": mark(log, "transactions", D1), "queue-tickets": 99})
    assert aums(Partition(log).run()) == [(D1, 100)]


def test_a_second_close_of_a_day_is_ignored():
    """close(D) again, and a close of an earlier day, change nothing; their marks hold up nobody."""
    log = Topics().tell([posting(1, 100, D1), D2, posting(2, 50, D1), D2, D1, posting(3, 7, D1), D2 + 1])
    partition = Partition(log).run()
    assert aums(partition) == [(D2, 100), (D2 + 1, 157)]
    assert partition.job.positions() == log.ends


def test_closes_wait_in_order():
    """Several closes at once are applied one after the other, each with its own cut."""
    steps = [s for k in range(5) for s in (posting(k + 1, 10**k, D1), D1 + k)]
    partition = Partition(Topics().tell(steps)).run()
    assert aums(partition) == [(D1 + k, int("1" * (k + 1))) for k in range(5)]


def test_a_gap_is_refused():
    """A block that begins behind the next expected offset raises Rejoin; one that overlaps is trimmed."""
    log = Topics().tell([posting(k, 1, D1) for k in range(1, 7)])
    partition = Partition(log)
    with pytest.raises(Rejoin):
        partition.job.feed(log.block("transactions", 1, 3))
    partition.job.feed(log.block("transactions", 0, 4))
    partition.job.feed(log.block("transactions", 0, 4))  # all known
    partition.job.feed(log.block("transactions", 2, 6))  # some known
    outcome = partition.job.work(live=True)
    assert (outcome.events, outcome.counts.get("duplicates", 0)) == (6, 0)
    assert partition.job.positions()["transactions"] == 6


def test_a_replay_stops_at_what_was_committed():
    """`stop` trims a block to what a replay may take; the rest comes later."""
    log = Topics().tell([posting(k, 1, D1) for k in range(1, 7)])
    partition = Partition(log)
    partition.job.feed(log.block("transactions", 0, 6), 4)
    partition.job.work(live=False)
    assert partition.job.positions()["transactions"] == 4
    partition.job.feed(log.block("transactions", 0, 6))
    partition.job.work(live=True)
    assert partition.job.positions()["transactions"] == 6


def test_positions_never_pass_what_is_held():
    """After any work, what is committed can be fed again without a gap and gives the same closes."""
    log = Topics().tell([posting(1, 100, D1), D1, posting(2, 50, D1), snapshot(150, D2), D2])
    partition = Partition(log)
    for topic in ("transactions", CLOSES):
        partition.feed(topic)
        partition.work()
    start = partition.job.positions()
    assert start == dict.fromkeys(INPUTS, 0) | {"transactions": 1}
