"""`explain` over whatever the contracts allow, and over bytes of others: it always says something, and what does not hold."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.standing.job import StandingJob
from schemas.codec.records import RecordError, decode_one, encode
from schemas.topics import INPUTS
from streams.calendar import parse_day
from tests.contracts.drawn import REGISTRY, any_value, keys, mutated, records
from tests.explaining.memory import log_of
from tests.standing.partition import Partition, Topics, conf
from tests.streams.fast import unshrunk
from tidegauge.cli.explain.command import plain_data
from tidegauge.cli.explain.text import lines
from tidegauge.explanation import DIFFERS, HOLDS, explained
from tidegauge.explanation.log import OUTPUTS, Log

CUSTOMER = "C1"
DAY = parse_day("2026-01-01")
CLOSED = [parse_day(day) for day in ("2026-01-31", "2026-02-28", "2026-03-31")]


def lived(*foreign: tuple[str, bytes, bytes]) -> Partition:
    """A customer with a balance, two closes, and foreign records on the inputs between them."""
    topics = Topics()
    snapshot = {
        "event_id": "s1", "source": "core", "customer_id": CUSTOMER, "account_id": "A", "asset_class": "savings",
        "currency": "CNY", "balance_minor": 8_000_000_000, "cutoff_at": DAY * 86_400_000, "business_day": DAY, "version": 1,
        "opened_on": None, "branch": "0102",
    }  # fmt: skip
    topics.tell([{"topic": "balances", **snapshot}, *CLOSED[:-1]])
    for topic, key, value in foreign:
        topics.append(topic, key, value)
    topics.tell(CLOSED[-1:])
    return Partition(topics, StandingJob(conf())).run()


def said(log: Log) -> Any:
    """Everything that the command would print, in both languages and as JSON."""
    found = explained(conf(), log)
    for lang in ("en", "zh-CN"):
        assert all(isinstance(line, str) for line in lines(found, lang))
    assert json.loads(json.dumps(plain_data(found)))
    return found


@pytest.fixture(scope="module")
def log() -> Log:
    return log_of(lived(), CUSTOMER)


@pytest.mark.slow
@pytest.mark.parametrize("topic", OUTPUTS)
def test_any_published_record(log: Log, topic: str) -> None:
    """One that the log does not give is told as such; one that can't be read is counted."""

    @settings(unshrunk, max_examples=25)
    @given(records(topic).map(lambda record: encode(topic, record, REGISTRY)) | mutated(topic) | st.binary(max_size=9))
    def check(value: bytes) -> None:
        other = replace(log, told=list(log.told), unreadable=log.unreadable.copy())
        other.tell(topic, value, None)
        found = said(other)
        more = [verdict for verdict in found.verdicts if verdict.told not in log.told]
        assert len(more) + found.unreadable.get(topic, 0) == 1
        assert all(verdict.state != HOLDS for verdict in more)

    check()


def test_an_impossible_decision_does_not_hold(log: Log) -> None:
    """Numbers that are none and days beyond every calendar are told, not stumbled over."""
    change = next(told.record for told in log.told if told.topic == "tier-changes")
    for wrong in ({"effective_date": 2**31 - 1, "business_day": 2**31 - 1},
                  {"metrics": [change["metrics"][0] | {"exact_numerator": "much"}]}):  # fmt: skip
        other = replace(log, told=[])
        other.tell("tier-changes", encode("tier-changes", change | {"event_id": "X"} | wrong, REGISTRY), None)
        (verdict,) = said(other).verdicts
        assert verdict.state == DIFFERS
        assert {p.code for p in verdict.problems} >= {"impossible"} or "effective_date" in wrong


def foreign(topic: str) -> st.SearchStrategy[tuple[str, bytes, bytes]]:
    """A record on an input that no process of ours has written, under the customer's key or another."""
    value = mutated(topic) | st.binary(max_size=20)
    return st.tuples(st.just(topic), st.sampled_from([b"x", CUSTOMER.encode()]), value)


@pytest.mark.slow
@settings(unshrunk, max_examples=40)
@given(
    st.lists(
        st.sampled_from(INPUTS).flatmap(foreign) | st.tuples(st.just("policies"), st.just(b"x"), any_value("policies")),
        max_size=4,
    )
)
def test_foreign_records_on_inputs(records_: list[tuple[str, bytes, bytes]]) -> None:
    """What is no record of ours breaks no customer's explanation; what was published holds as before."""
    usable = [entry for entry in records_ if not (entry[0] != "policies" and _readable(entry[2]))]
    found = said(log_of(lived(*usable), CUSTOMER))
    assert found.verdicts
    assert not [verdict for verdict in found.verdicts if verdict.state == DIFFERS]


@pytest.mark.slow
@settings(unshrunk, max_examples=40)
@given(st.lists(st.sampled_from(INPUTS).flatmap(lambda topic: st.tuples(st.just(topic), keys(topic), any_value(topic))),
                max_size=6))  # fmt: skip
def test_any_records_on_inputs(records_: list[tuple[str, bytes | None, bytes]]) -> None:
    """Whatever the worker has taken or refused on the way, there is an explanation."""
    partition = lived(*((topic, key or b"", value) for topic, key, value in records_))
    assert said(log_of(partition, CUSTOMER)) is not None


def _readable(value: bytes) -> bool:
    """A mutation that is a good record by chance: that is no damage."""
    try:
        decode_one(value, None)
    except RecordError:
        return False
    return True
