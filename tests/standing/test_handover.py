"""A shadow that takes the outputs over: every customer is published anew under its epoch, once in effect, over crashes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.standing.job import StandingJob
from agents.standing.model import RowKey, StandingConf
from agents.standing.publish import handover
from agents.standing.publish.versions import epoch_of
from schemas.codec.records import decode_one
from streams.reference import customer_ref
from tests.standing.partition import Topics, conf, customer, layered
from tests.standing.test_recovery import Crashing
from tests.standing.test_rotation import moved
from tests.streams.fast import unshrunk
from tests.twins.events import day, posting
from tests.twins.strategies import banks, feeds
from tidegauge.world.epochs import VERSIONED_TOPICS

NAMES = [f"C{n}" for n in range(7)]
CLOSES = [day("2024-01-31"), day("2024-02-29"), day("2024-03-31")]
KEYS = {"standings": "customer_id", "outlooks": "customer_id", "queue-priority": "customer_ref"}


def mine(epoch: int, *, shadow: bool = False) -> StandingConf:
    """A worker's configuration."""
    return replace(layered(), epoch=epoch, shadow=shadow)


def lived(log: Topics, its: StandingConf) -> Crashing:
    """A partition after the whole log, its state written."""
    one = Crashing(log, StandingJob(its))
    one.conf = its
    one.run()
    one.flush(None)
    return one


def log_of_a_bank() -> Topics:
    """VIPs who became such by closes, and customers who never were any."""
    held = [
        posting(1, 90_000_000 * (n % 3), "2024-01-01", customer=one, account=f"A{one}") for n, one in enumerate(NAMES)
    ]
    return Topics().tell([*(customer(name) for name in (*NAMES, "without money")), *held, *CLOSES])


def taken_over(one: Crashing, epoch: int, data: Any) -> Crashing:
    """A shadow's state by a worker that owns the outputs; what it publishes from now on goes there."""
    one.conf = mine(epoch)
    again = one.recovered(data)
    again.published.clear()
    return again


def last(one: Crashing, topic: str) -> dict[str, dict[str, Any]]:
    """The last record of each key of a topic."""
    return {record[KEYS[topic]]: record for record in one.of(topic)}


def said(records: dict[str, dict[str, Any]], topic: str) -> dict[str, dict[str, Any]]:
    """What they say but their versions."""
    return {key: record | {VERSIONED_TOPICS[topic]: 0} for key, record in records.items()}


@pytest.mark.slow
@settings(unshrunk, max_examples=20)
@given(st.data())
def test_every_customer_is_published_anew(data):
    """With crashes anywhere: all standings, outlooks and queue classes, as the shadow has them, all above the owner's."""
    before = handover.MOVED_MAX
    handover.MOVED_MAX = data.draw(st.sampled_from((1, 2, 3, 50)))
    try:
        log = log_of_a_bank()
        owner, shadow = lived(log, mine(5)), lived(log, mine(5, shadow=True))
        assert RowKey.HANDOVER not in owner.rows and handover.Course.of(shadow.rows[RowKey.HANDOVER]).shadow
        new = moved(taken_over(shadow, 6, data), data)
        assert new.job.handover.at == handover.Course(shadow=False, after=new.job.handover.at.after, done=True)
        for topic in ("standings", "outlooks"):
            old, now = last(owner, topic), last(new, topic)
            assert said(now, topic) == said(old, topic), topic
            assert all(now[key][VERSIONED_TOPICS[topic]] > old[key][VERSIONED_TOPICS[topic]] for key in old), topic
        old, now = last(owner, "queue-priority"), last(new, "queue-priority")
        assert now.keys() == {customer_ref(new.conf.reference_key, name) for name in (*NAMES, "without money")}
        assert {key: now[key]["queue_class"] for key in old} == {key: old[key]["queue_class"] for key in old}
        assert {now[key]["queue_class"] for key in now.keys() - old.keys()} == {"ordinary"}
        assert {
            epoch_of(record[VERSIONED_TOPICS[topic]]) for topic in VERSIONED_TOPICS for record in new.of(topic)
        } == {6}
        assert not new.published["tier-changes"] and not new.published["rm-alerts"]
        # It was done once: whoever takes the partition over next publishes nothing more.
        done = {topic: len(new.published[topic]) for topic in VERSIONED_TOPICS}
        new = moved(new.recovered(data), data, crashes=False)
        assert {topic: len(new.published[topic]) for topic in VERSIONED_TOPICS} == done
    finally:
        handover.MOVED_MAX = before


@pytest.mark.slow
@settings(unshrunk, max_examples=10)
@given(st.data())
def test_a_shadow_goes_on_as_the_owner_would(data):
    """Over any bank: what the new owner publishes of the days after the takeover is what the old one would have.

    But for outlooks: they are told where they differ from what was told last, and the takeover has told them all.
    """
    bank = data.draw(banks(days=40, customers=3))
    steps = [customer("C1", card_held="gold"), customer("C2"), *data.draw(feeds(bank))]
    cut = data.draw(st.integers(1, len(steps)), label="steps before the takeover")
    log = Topics().tell(steps[:cut])
    owner, shadow = lived(log, mine(5)), lived(log, mine(5, shadow=True))
    new = moved(taken_over(shadow, 6, data), data, crashes=False)
    owner.published.clear()
    new.published.clear()
    log.tell(steps[cut:])
    owner.run()
    new.run()
    for topic in ("tier-changes", "restatements", "decisions", "rm-alerts"):
        assert sorted(new.published[topic]) == sorted(owner.published[topic]), topic
    assert without_versions(new) == without_versions(owner)


def without_versions(one: Crashing) -> list[str]:
    """What standings say but their versions, in an order of their own."""
    return sorted(repr(sorted((record | {"source_seq": 0}).items())) for record in one.of("standings"))


@settings(unshrunk, max_examples=3)
@given(st.data())
def test_a_former_owner_may_become_a_shadow(data):
    """The way back: its state says so from then on, and published anew is what it has when it owns the outputs again."""
    one = lived(log_of_a_bank(), mine(5))
    one.conf = mine(6, shadow=True)
    one = moved(one.recovered(data), data, crashes=False)
    assert handover.Course.of(one.rows[RowKey.HANDOVER]).shadow and not one.job.has_own_work()
    one.flush(None)
    one = moved(taken_over(one, 7, data), data, crashes=False)
    assert {epoch_of(record["source_seq"]) for record in one.of("standings")} == {7}
    assert len(last(one, "standings")) == len(NAMES)


def test_a_state_of_the_owners_has_no_row_of_this():
    """Nothing changes for whoever never takes over."""
    one = lived(log_of_a_bank(), replace(conf(), epoch=5))
    assert RowKey.HANDOVER not in one.rows and not one.job.has_own_work()
    assert handover.course_said(one.job.handover.at) == "own the outputs"
    assert decode_one(one.published["standings"][-1][1])["source_seq"] >> 40 == 5


def test_a_fence_tells_of_it_though_nothing_comes() -> None:
    """A fence is due when a handover is over, and has been written once it says so: `doctor` asks fences."""
    one = taken_over(lived(log_of_a_bank(), mine(5, shadow=True)), 6, None)
    assert one.job.dirty_count() > 0
    one.work()
    assert one.job.dirty_count() > 0
    one.flush(None)
    assert one.job.dirty_count() == 0
    told = handover.Course.of_fence(one.fence[1])
    assert told is not None and told.done and not told.shadow
