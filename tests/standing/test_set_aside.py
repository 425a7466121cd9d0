"""Closes that are set aside: a run that asks for a day too far ahead does not count, and everything goes on past its marks."""

import random
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.engine.job import RecoveryError
from agents.standing.job import StandingJob
from schemas.codec.records import encode
from schemas.topics import CLOSES, INPUTS, MARK, MARK_KEY
from streams.closing import GAP_DAYS_MAX, Run, close_name, covers
from tests.standing.partition import Partition, Topics, conf, customer
from tests.twins.events import day, posting

D1 = day("2026-05-30")
FAR = D1 + 300


def run(log: Topics, days: Iterable[int], last: int | None, reason: str | None = None) -> None:
    """A run of the closer: one mark in every input, and a close for each day with that cut."""
    days = list(days)
    mark = encode(MARK, {"business_day": days[-1]})
    cut = [
        {"topic": topic, "partition": log.partition, "offset": log.append(topic, MARK_KEY, mark)}
        for topic in INPUTS if topic != CLOSES
    ]  # fmt: skip
    for each in days:
        record = {
            "business_day": each, "closed_at": 0, "cut": cut, "asked": days[-1], "last_closed": last,
            "force_reason": reason, "retracts": None,
        }  # fmt: skip
        log.append(CLOSES, str(each).encode(), encode(CLOSES, record))


def slip(reason: str | None = None) -> Topics:
    """A day is closed, then one of the next year by mistake; the bank goes on, and closes the next days as ever.

    With a reason the mistake was forced, and counts: unless a takeover has left it out.
    """
    log = Topics().tell([posting(1, 100, D1), D1, posting(2, 50, D1 + 1)])
    run(log, range(D1 + 1, FAR + 1), D1, reason)
    log.tell([posting(3, 7, D1 + 1)])
    run(log, [D1 + 1], D1)
    log.tell([posting(4, 1000, D1 + 2)])
    run(log, range(D1 + 2, D1 + 4), D1 + 1)
    return log


def aums(partition: Partition) -> list[tuple[int, int]]:
    """(day, AUM) of the standings published."""
    return [(r["as_of"], r["aum_minor"]) for r in partition.of("standings")]


def test_later_closes_count() -> None:
    """What came behind the marks of the run counts at the next close, each input is read to its end, and a count tells."""
    partition = Partition(slip())
    for topic in INPUTS:
        partition.feed(topic)
    outcome = partition.job.work(live=True)
    assert outcome.counts["closes_set_aside"] == FAR - D1
    assert outcome.counts["closes"] == 4
    assert partition.job.ledger.closed == D1 + 3
    assert partition.job.positions() == partition.log.ends
    assert outcome.counts.get("dead_letters", 0) == 0


def test_inputs_flow_on_before_any_later_close() -> None:
    """Behind the marks everything is read at once, while nothing is closed."""
    log = Topics().tell([posting(1, 100, D1), D1])
    run(log, range(D1 + 1, FAR + 1), D1)
    log.tell([posting(2, 50, D1 + 1)])
    partition = Partition(log).run()
    assert partition.job.positions() == log.ends
    assert partition.job.ledger.closed == D1


def test_figures_are_those_of_a_log_without_the_slip() -> None:
    """A slip that is set aside changes nothing that is published."""
    without = Topics().tell([posting(1, 100, D1), D1, posting(2, 50, D1 + 1), posting(3, 7, D1 + 1)])
    run(without, [D1 + 1], D1)
    without.tell([posting(4, 1000, D1 + 2)])
    run(without, range(D1 + 2, D1 + 4), D1 + 1)
    assert Partition(slip()).run().closes() == Partition(without).run().closes()
    assert aums(Partition(slip()).run())[:2] == [(D1, 100), (D1 + 1, 157)]


@cache
def calm_closes() -> Any:
    """What the closes say where nothing goes wrong."""
    return Partition(slip()).run().closes()


@pytest.mark.parametrize("left_out", [False, True], ids=["set aside", "left out"])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 12))])
def test_any_interleaving_and_any_crash(seed: int, left_out: bool) -> None:
    """In whatever blocks and order inputs are read, and wherever a worker begins anew, the closes say the same.

    A worker that begins anew has the closes left out from its state, told or not.
    """
    mine = replace(conf(), left_out=frozenset({Run(FAR, D1)} if left_out else ()))
    rng, log = random.Random(seed), slip("forced" if left_out else None)
    partition = Partition(log, StandingJob(mine))
    while partition.fed != log.ends:
        topic = rng.choice([topic for topic in INPUTS if partition.fed[topic] < log.ends[topic]])
        partition.feed(topic, partition.fed[topic] + rng.randint(1, 200))
        partition.work()
        if rng.random() < 0.3:  # what is fed and not consumed is fed again, by the positions that were committed
            job, told = StandingJob(rng.choice((mine, conf()))), partition.published
            rows, _ = partition.job.take_dirty(None)
            job.load([*partition.rows.items(), *_flat(rows)])
            partition.rows |= dict(_flat(rows))
            job.load_fence(partition.job.fence())
            rows_kept = partition.rows
            partition = Partition(log, job, partition.job.positions())
            partition.published, partition.rows = told, rows_kept
    assert partition.closes() == calm_closes(), f"seed {seed}"
    assert partition.job.positions() == log.ends


def test_closes_that_a_state_has_counted_are_not_left_out() -> None:
    """The way back from a wrong close is a state built anew, not this one."""
    partition = Partition(slip("forced")).run()
    assert partition.job.ledger.closed == FAR
    job = StandingJob(replace(conf(), left_out=frozenset({Run(FAR, D1)})))
    with pytest.raises(RecoveryError, match="--shadow"):
        job.load_fence(partition.job.fence())


def test_another_run_up_to_the_same_day_counts() -> None:
    """When the day has come: what was left out is the run, and not its day."""
    log = slip("forced")
    run(log, range(D1 + 4, D1 + 31), D1 + 3)
    run(log, [FAR], D1 + 30, "the bank was shut")
    partition = Partition(log, StandingJob(replace(conf(), left_out=frozenset({Run(FAR, D1)})))).run()
    assert partition.job.ledger.closed == FAR and partition.job.positions() == log.ends


def _flat(rows: Any) -> list[Any]:
    from agents.engine.record_batches import flat

    return list(flat(rows))


@pytest.mark.parametrize("events", [0, 3])
def test_every_partition_decides_alike(events: int) -> None:
    """What a partition holds besides says nothing: the same runs are set aside, and the same days closed."""
    log = Topics(1)
    for n in range(4):
        log.tell([posting(n * 9 + k, 100, D1 + n, customer="C4") for k in range(events)])
        days = [range(D1, D1 + 1), range(D1 + 1, FAR + 1), range(D1 + 1, D1 + 3), range(D1 + 3, D1 + 9)][n]
        run(log, days, None if n == 0 else D1)
    partition = Partition(log, StandingJob(replace(conf(), partitions=2)))
    for topic in INPUTS:
        partition.feed(topic)
    counts = partition.job.work(live=True).counts
    assert (counts["closes"], counts["closes_set_aside"]) == (9, FAR - D1)
    assert partition.job.positions() == log.ends


def test_a_rebuild_after_compaction() -> None:
    """Where the run's first closes have given way to later ones of their days, their marks hold nothing up."""
    log, gone = slip(), Topics()
    last = {key: offset for offset, (key, _) in enumerate(log.records[CLOSES])}
    kept = [entry for offset, entry in enumerate(log.records[CLOSES]) if last[entry[0]] == offset or not entry[0]]
    for topic in INPUTS:
        for key, value in kept if topic == CLOSES else log.records[topic]:
            gone.append(topic, key, value)
    assert len(gone.records[CLOSES]) < len(log.records[CLOSES])
    assert Partition(gone).run().closes() == Partition(slip()).run().closes()


def test_a_forced_run_counts() -> None:
    """The days in between are closed with the day asked for, all at one cut."""
    log = Topics().tell([posting(1, 100, D1), D1, posting(2, 50, D1 + 1)])
    run(log, range(D1 + 1, D1 + 41), D1, "shut for renovation")
    log.tell([posting(3, 7, D1 + 41)])
    partition = Partition(log).run()
    assert partition.job.ledger.closed == D1 + 40
    assert partition.job.positions() == log.ends
    assert aums(partition)[:2] == [(D1, 100), (D1 + 1, 150)]


@pytest.mark.parametrize(("gap", "counts"), [(GAP_DAYS_MAX, True), (GAP_DAYS_MAX + 1, False)])
def test_the_limit(gap: int, counts: bool) -> None:
    """So many calendar days from the last close that counts, closes that wait included, and not one more."""
    log = Topics().tell([posting(1, 100, D1), D1])
    run(log, range(D1 + 1, D1 + gap + 1), D1)
    assert Partition(log).run().job.ledger.closed == (D1 + gap if counts else D1)


def test_confirmed() -> None:
    """The same run again, with force and marks of its own, counts; what it sees is what stands before its own marks."""
    log = Topics().tell([posting(1, 100, D1), D1])
    run(log, range(D1 + 1, D1 + 41), D1)
    log.tell([posting(2, 50, D1 + 1)])
    run(log, range(D1 + 1, D1 + 41), D1, "it was meant")
    partition = Partition(log).run()
    assert partition.job.ledger.closed == D1 + 40
    assert aums(partition)[:2] == [(D1, 100), (D1 + 1, 150)]


def test_a_retraction_closes_nothing() -> None:
    """A record that takes a run back is passed over, in a log that begins with it too."""
    log = Topics().tell([posting(1, 100, D1)])
    record = {
        "business_day": D1, "closed_at": 0, "cut": [], "asked": None, "last_closed": None, "force_reason": "a slip",
        "retracts": FAR,
    }  # fmt: skip
    log.append(CLOSES, b"retract/2027-03-26", encode(CLOSES, record))
    partition = Partition(log).run()
    assert aums(partition) == []
    assert partition.job.positions() == log.ends


def test_where_the_beginning_of_the_log_is_gone() -> None:
    """Without any close before it, the record's own word says how far ahead its run was."""
    log = Topics().tell([posting(1, 100, D1 + 1)])
    run(log, range(D1 + 1, FAR + 1), D1)
    assert Partition(log).run().job.ledger.closed == -1
    first = Topics().tell([posting(1, 100, D1 + 1)])
    run(first, [FAR], None)  # the first close of all
    assert Partition(first).run().job.ledger.closed == FAR


def test_records_of_before_count() -> None:
    """A close without the day asked for counts however far it is ahead, as it did."""
    log = Topics().tell([posting(1, 100, D1), D1, FAR])
    assert Partition(log).run().job.ledger.closed == FAR


def test_a_day_that_is_closed_again_has_ids_of_its_own() -> None:
    """Who drops by its id what comes again drops nothing of the days that are closed anew; before them all ids are the same."""
    log = Topics().tell([customer("C1"), posting(1, 9_000_000, "2026-01-01"), posting(2, 600_000_000, D1), D1, D1 + 1])
    run(log, range(D1 + 2, FAR + 1), D1 + 1, "forced")
    log.tell([posting(3, 5_000_000, D1 + 2), posting(4, -1_000_000, "2026-05-02")])
    run(log, range(D1 + 2, D1 + 33), D1 + 1)
    left_out = frozenset({Run(FAR, D1 + 1)})
    told = [ids_told(Partition(log, StandingJob(replace(conf(), left_out=these))).run()) for these in ((), left_out)]
    first, second = ({name for name, day in one if day > D1 + 1} for one in told)
    assert first and second and not first & second
    first, second = ({name for name, day in one if day <= D1 + 1} for one in told)
    assert first and first == second


def ids_told(partition: Partition) -> set[tuple[str, int]]:
    """(event id, day of the close) of what closes gave."""
    topics = ("tier-changes", "decisions", "restatements")
    return {(record["event_id"], record["business_day"]) for topic in topics for record in partition.of(topic)}


@given(st.integers(0, 60), st.sets(st.builds(Run, st.integers(0, 60), st.none() | st.integers(0, 60)), max_size=4))
def test_closes_have_names_of_their_own(day_: int, runs: set[Run]) -> None:
    """The name of a day's close changes with each run that had closed it and is left out, and with no other."""
    names = [
        close_name(day_, frozenset()),
        *(close_name(day_, frozenset(list(runs)[:n])) for n in range(1, len(runs) + 1)),
    ]
    closed = [covers(run, day_) for run in runs]
    assert [b != a for a, b in pairwise(names)] == closed
    assert len(set(names)) == 1 + sum(closed)
