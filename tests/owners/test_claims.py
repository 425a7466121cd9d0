"""Claims of accounts leave with the rows of their accounts, once each, whatever crashes."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engine.job import TP
from agents.engine.record_batches import flat
from agents.standing.job import StandingJob
from agents.standing.model import RowKey
from schemas.codec.records import decode_one
from schemas.partitioner import partition_of
from schemas.topics import INPUTS, OWNERS
from streams.accounts.ledger import Ledger
from tests.standing.partition import Topics, conf
from tests.standing.test_recovery import Crashing
from tests.standing.test_shared_accounts import FIRST, Step, held, histories
from tests.twins.events import posting

PARTITIONS = 5  # of claims; the customers lie in one partition here
CLAIMING = replace(conf(), claims=True)
Pair = tuple[str, str]  # customer, account


class Wide(StandingJob):
    """A job that takes all customers, and whose claims go to several partitions."""

    def __init__(self) -> None:
        super().__init__(CLAIMING)
        self.claims._partitions = PARTITIONS


def flushed(one: Crashing, rows_max: int | None) -> list[Pair]:
    """The claims of a flush, or of a part of it; each lies where its account belongs, under its own key."""
    one.flush(rows_max)
    found = []
    for at, items in one.job.take_elsewhere():
        for key, value in flat(items):
            assert key is not None and value is not None
            claim = decode_one(value, name=OWNERS)
            account, customer = claim["account_id"], claim["customer_id"]
            assert key == f"{account}\0{customer}".encode()
            assert at == TP(OWNERS, partition_of(account.encode(), PARTITIONS))
            found.append((customer, account))
    return found


def rows_of(one: Crashing) -> list[Pair]:
    """Whose rows are in the changelog, with the bank's own ids."""
    ledger = Ledger("CNY", "Asia/Shanghai")
    ledger.restore_names(one.job.ledger.dictionaries())
    ledger.load([(key[1:], value) for key, value in one.rows.items() if key[:1] == RowKey.ACCOUNT])
    return held(ledger)


def begun(steps: list[Step]) -> Crashing:
    """A partition that has read nothing yet."""
    one = Crashing(Topics().tell(steps), Wide())
    one.conf = CLAIMING
    one.fence = dict.fromkeys(INPUTS, 0), one.job.fence()
    return one


def again(one: Crashing, data: Any) -> Crashing:
    """After a crash."""
    found = one.recovered(data)
    found.job.claims._partitions = PARTITIONS
    return found


@pytest.mark.slow
@given(steps=histories(), data=st.data())
@settings(max_examples=25, deadline=None)
def test_an_account_is_claimed_with_its_row(steps: list[Step], data: Any) -> None:
    """Every account that has a row, with the customer of it, and once: over parts of flushes, crashes, shared accounts."""
    one, claimed = begun(steps), list[Pair]()
    for _ in range(data.draw(st.integers(1, 6))):
        for topic in INPUTS:
            one.feed(topic, data.draw(st.integers(one.fed[topic], one.log.ends[topic])))
        one.work()
        for _ in range(data.draw(st.integers(0, 2))):
            claimed += flushed(one, data.draw(st.sampled_from((1, 2, None))))
        assert sorted(claimed) == rows_of(one)
        if data.draw(st.booleans()):
            one = again(one, data)
    for topic in INPUTS:
        one.feed(topic)
    one.work()
    claimed += flushed(one, None)
    assert sorted(claimed) == rows_of(one) == held(one.job.ledger)


def test_a_state_from_before_is_claimed_whole() -> None:
    """Its fence says nothing of claims: the first flush has all of them, in parts too, though no account changes."""
    steps: list[Step] = [posting(1, 100, FIRST, customer=f"C{n}", account=f"A{n}") for n in range(10)]
    before = Crashing(Topics().tell(steps), StandingJob(conf()))
    before.run()
    before.flush(None)
    job = StandingJob(CLAIMING)
    job.load(before.rows.items())
    job.load_fence(before.fence[1])
    after = Crashing(before.log, job, before.fence[0])
    after.rows, after.fence = dict(before.rows), before.fence
    after.job.claims._partitions = PARTITIONS
    assert after.job.has_own_work() and after.job.dirty_count() == 10
    first = flushed(after, 4)
    assert len(first) == 4 and after.fence == before.fence
    rest = flushed(after, 4) + flushed(after, 4)
    assert sorted(first + rest) == rows_of(after) and after.fence != before.fence
    assert not after.job.has_own_work() and flushed(after, None) == []


def test_nobody_else_claims() -> None:
    """A replay of files tells nobody of owners."""
    one = Crashing(Topics().tell([posting(1, 100, FIRST)]), StandingJob(conf()))
    one.run()
    one.flush(None)
    assert one.job.take_elsewhere() == []
    assert b"claims" not in one.fence[1]
