"""What comes under a customer counts for him, whoever else has the account and however many partitions there are."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.standing.job import StandingJob
from schemas.partitioner import partition_of
from streams.accounts.ledger import Ledger
from streams.accounts.store import id_bytes_of
from tests.standing.partition import Partition, Topics, conf, customer
from tests.twins.events import day, posting, rate, snapshot

CUSTOMERS = tuple(f"C{number}" for number in range(1, 7))
ACCOUNTS = ("A1", "A2", "A" * 128)
FIRST = day("2024-01-02")
CLOSES = tuple(day(text) for text in ("2024-01-15", "2024-01-31", "2024-02-29", "2024-03-31", "2024-04-10"))
TOPICS = ("standings", "tier-changes", "rm-alerts", "restatements", "outlooks", "queue-priority", "dead-letters")

Step = dict[str, Any] | int


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """Postings and balances of a few accounts under several customers, some twice, between closes."""
    steps: list[Step] = [customer(name) for name in CUSTOMERS]
    steps += [rate("USD", 7_100_000, FIRST)]
    numbers: dict[tuple[str, str], int] = defaultdict(int)
    since = FIRST
    for close in CLOSES:
        for _ in range(draw(st.integers(0, 8))):
            name, account = draw(st.sampled_from(CUSTOMERS)), draw(st.sampled_from(ACCOUNTS))
            on = draw(st.integers(since, close))
            if draw(st.integers(1, 5)) == 1:
                balance = draw(st.integers(0, 90)) * 10**7
                events = [snapshot(balance, on, customer=name, account=account)]
            else:
                numbers[name, account] += draw(st.integers(1, 2))
                amount = draw(st.sampled_from((10**8, 7 * 10**7, -(6 * 10**7), -(10**8), 6 * 10**8, 12_345)))
                currency = draw(st.sampled_from(("CNY", "CNY", "CNY", "USD")))
                seq = numbers[name, account]
                events = [posting(seq, amount, on, customer=name, account=account, currency=currency)]
            steps += events * draw(st.integers(1, 2))
        steps.append(close)
        since = close
    return steps


def lived(partitions: int, steps: list[Step]) -> list[Partition]:
    """The same history over so many partitions: a customer's events in his own, rates and closes in all."""
    logs = [Topics(number) for number in range(partitions)]
    for step in steps:
        if isinstance(step, int):
            for log in logs:
                log.close(step)
        else:
            name = step.get("customer_id")
            wanted = logs if name is None else [logs[partition_of(name.encode(), partitions)]]
            for log in wanted:
                log.record(step["topic"], {field: value for field, value in step.items() if field != "topic"})
    return [Partition(log, StandingJob(replace(conf(), partitions=partitions))).run() for log in logs]


def told(found: list[Partition]) -> dict[str, list[str]]:
    """What was published, but for where it lay in the log."""
    lay = {"cut", "offset", "partition", "version", "source_seq", "at"}
    return {
        topic: sorted(
            repr({name: value for name, value in record.items() if name not in lay})
            for one in found
            for record in one.of(topic)
        )
        for topic in TOPICS
    }


@pytest.mark.slow
@given(steps=histories())
@settings(max_examples=15, deadline=None)
def test_ids_tell_them_apart(steps: list[Step]) -> None:
    """No two records of a customer have one id, though customers have their accounts, numbers and days in common."""
    [one] = lived(1, steps)
    for topic in ("tier-changes", "restatements", "rm-alerts", "decisions"):
        ids = [(record["customer_id"], record["event_id"]) for record in one.of(topic)]
        assert len(ids) == len(set(ids)), topic


@pytest.mark.slow
@given(partitions=st.sampled_from((4, 16)), steps=histories())
@settings(max_examples=10, deadline=None)
def test_no_figure_depends_on_the_partitions(partitions: int, steps: list[Step]) -> None:
    """Standings, tier changes, alerts, outlooks and dead letters are those of one partition, customer by customer."""
    assert told(lived(partitions, steps)) == told(lived(1, steps))


@pytest.mark.slow
def test_each_has_his_own() -> None:
    """C1's account posted by C2 to C6 too: each has his own money and his own numbers; nothing is a dead letter."""
    steps: list[Step] = [
        posting(seq, 100 * number, FIRST, customer=name)
        for number, name in enumerate(CUSTOMERS, 1)
        for seq in (1, 2, 2)
    ]
    for partitions in (1, 4, 16):
        found = lived(partitions, [*steps, CLOSES[0]])
        rows = [row for one in found for row in one.of("standings")]
        assert {row["customer_id"]: row["aum_minor"] for row in rows} == {
            name: 200 * number for number, name in enumerate(CUSTOMERS, 1)
        }
        assert not [letter for one in found for letter in one.of("dead-letters")]


@pytest.mark.slow
@given(steps=histories())
@settings(max_examples=5, deadline=None)
def test_rows_tell_them_apart(steps: list[Step]) -> None:
    """A worker that recovers has each customer's accounts as they were, under the bank's own ids."""
    one = lived(1, steps)[0].job.ledger
    other = Ledger("CNY", "Asia/Shanghai")
    other.restore_names(one.dictionaries())
    rows, _ = one.take_dirty(None)
    other.load(rows)
    slots = np.arange(one.columns.account_count)
    assert held(one) == held(other)
    assert {account for _, account in held(one)} <= set(ACCOUNTS)
    assert sorted(rows) == sorted(encoded(other, slots))


def held(ledger: Ledger) -> list[tuple[str, str]]:
    """(customer, account) of every account."""
    slots = range(ledger.columns.account_count)
    return sorted((ledger.customer_id(ledger.owner_of(slot)), ledger.account_id(slot)) for slot in slots)


def encoded(ledger: Ledger, slots: np.ndarray) -> list[tuple[bytes, bytes]]:
    """The rows of all accounts, as `take_dirty` gives them."""
    buffer, ends = ledger.encode(slots)
    ids, starts = ledger.store.account_ids, [0, *ends.tolist()]
    return [
        (id_bytes_of(ids, slot), buffer[a:b].tobytes())
        for slot, a, b in zip(slots.tolist(), starts, ends.tolist(), strict=False)
    ]
