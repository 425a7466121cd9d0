"""The bench of a bank's life: its loads, its nightly file and its comparisons say what they claim."""

import numpy as np
import pytest

from agents.standing.job import StandingJob
from bench.measure.timers import Stages
from bench.parts.life import LAST
from bench.parts.long_run import DAYS, SETTLED_DAYS, Run, Sample
from bench.parts.profile import Bench, fetches
from bench.parts.profile import run as profiled
from bench.world import day_close
from bench.world.bank import Bank, Moves, customers_of
from bench.world.data import CLOSED, FIRST, World
from bench.world.load import packed
from bench.world.nightly import OFF_EVERY, OFF_FEN, balances
from policies import load_pack
from schemas.codec.records import decode_one
from schemas.topics import INPUTS
from tests.standing.partition import conf

SMALL = World(customers=600, events=900)


def moves(world: World) -> list[Moves]:
    """What all postings of a world move."""
    return [Moves(c.account, c.amount, c.value_day) for c in (*world.prelude(), *world.postings())]


def bank_of(world: World, moved: list[Moves]) -> Bank:
    """A bank without a broker: enough to compare figures."""
    bank = Bank.__new__(Bank)
    bank.world, bank.moves = world, moved
    return bank


@pytest.mark.slow
def test_a_load_keeps_each_partitions_records_in_order() -> None:
    """The records of a partition are those of the chunk, keys and values, in its order."""
    chunk = next(SMALL.prelude(500))
    mine = np.flatnonzero(chunk.partition == 2)
    records = list(packed(chunk, mine).pairs())
    assert [key for key, _ in records] == [chunk.keys[row].tobytes() for row in mine]
    assert [decode_one(value)["event_id"] for _, value in records] == [chunk.event_id(row) for row in mine]


def test_the_nightly_file_is_what_the_postings_say_and_some_fen_more() -> None:
    """A snapshot an account in the product's own contract, as of the end of the day; the chunk moves what is off."""
    held = np.zeros(SMALL.accounts, np.int64)
    for move in moves(SMALL):
        np.add.at(held, move.account, move.amount)
    (chunk,) = balances(SMALL, moves(SMALL), LAST)
    assert chunk.n == SMALL.accounts
    for i, end in enumerate(chunk.ends.tolist()):
        record = decode_one(chunk.values[chunk.ends[i - 1] if i else 0 : end].tobytes())
        off = OFF_FEN if i % OFF_EVERY == 0 else 0
        assert (record["balance_minor"], int(chunk.amount[i])) == (held[i] + off, off)
        assert (record["account_id"], record["business_day"]) == (f"A{i:09d}", LAST)
        assert record["cutoff_at"] == (LAST + 1) * 86_400_000 - 8 * 3_600_000 - 1


@pytest.mark.slow
def test_every_customer_is_compared() -> None:
    """The comparison holds for the real job, and notices one fen at one customer, or a customer too many."""
    bench, _ = profiled(SMALL, Stages())
    moved = moves(SMALL)
    assert bank_of(SMALL, moved).check(bench.jobs, LAST - 1) == SMALL.customers
    assert sorted(np.concatenate([customers_of(job) for job in bench.jobs]).tolist()) == list(range(SMALL.customers))
    one = Moves(np.array([7]), np.array([1]), np.array([FIRST - 5]))
    with pytest.raises(AssertionError, match="1 customers differ"):
        bank_of(SMALL, [*moved, one]).check(bench.jobs, LAST - 1)
    with pytest.raises(AssertionError, match="exactly one partition"):
        bank_of(World(customers=601, events=0), moved).check(bench.jobs, LAST - 1)


@pytest.mark.slow
def test_a_close_is_split_into_computing_and_the_rest() -> None:
    """Every customer gets a standing in the close that is timed, and computing is only a part of it."""
    bench = Bench(SMALL, Stages(), load_pack("rolling-quarter-aum"))
    for fetch in fetches(SMALL, SMALL.prelude(), [0] * SMALL.partitions):
        bench.feed(fetch)
    split = day_close.close(bench.jobs, CLOSED)
    assert split.records >= SMALL.customers + split.tier_changes
    assert split.tier_changes > 0
    assert min(split.computing, split.encoding, split.batches) > 0
    assert {job.ledger.closed for job in bench.jobs} == {CLOSED}


def test_growth_is_of_the_settled_state() -> None:
    """Memory that grows while the state fills does not count, what comes after does."""
    found = Run(DAYS * 10_000)
    for day in range(DAYS + 1):
        settled = max(0, day - SETTLED_DAYS)
        found.samples.append(Sample(day * 10_000, 50_000_000 + 1_000 * min(day, SETTLED_DAYS) + 20_000 * settled))
    assert len(found.settled()) == DAYS - SETTLED_DAYS + 1
    assert round(found.growth()) == 2_000_000


def test_a_fresh_job_has_no_customers() -> None:
    """Nothing is compared with nothing."""
    job = StandingJob(conf())
    job.begin(0, dict.fromkeys(INPUTS, 0))
    assert not len(customers_of(job))
