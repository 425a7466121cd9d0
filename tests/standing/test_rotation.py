"""Another reference key: everybody is published under the new reference too, then the old ones are taken back, once each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engine.job import RecoveryError
from agents.standing.job import StandingJob
from agents.standing.model import StandingConf
from agents.standing.publish import rotation
from schemas.codec.records import decode_one
from streams.reference import customer_ref
from tests.standing.partition import Topics, conf, customer
from tests.standing.test_recovery import Crashing
from tests.streams.fast import unshrunk
from tests.twins.events import day, posting

OLD = replace(conf(), reference_key=b"the key before", alert_key=b"the key before")
NEW = replace(OLD, reference_key=b"the key to come", previous_key=OLD.reference_key)
RETIRING, AFTER = replace(NEW, retire=True), replace(NEW, previous_key=None)
RICH = [f"C{n}" for n in range(7)]
CLOSED = day("2024-03-31")


def begun() -> Crashing:
    """A partition with VIPs under the old key, its state written."""
    held = [posting(1, 90_000_000, "2024-01-01", customer=one, account=f"A{one}") for one in RICH]
    one = Crashing(Topics().tell([*(customer(name) for name in (*RICH, "poor")), *held, CLOSED]), StandingJob(OLD))
    one.conf = OLD
    one.run()
    one.flush(None)
    return one


def again(one: Crashing, mine: StandingConf, data: Any) -> Crashing:
    """The partition by a worker with these keys, from what was written."""
    one.conf = mine
    return one.recovered(data)


def held(one: Crashing) -> dict[str, str]:
    """What stays of `queue-priority`: the class of each reference."""
    last = dict(one.published["queue-priority"])
    return {key.decode(): decode_one(value)["queue_class"] for key, value in last.items() if value is not None}


def refs(mine: StandingConf, names: list[str]) -> set[str]:
    """References of customers."""
    return {customer_ref(mine.reference_key, name) for name in names}


def moved(one: Crashing, data: Any, *, crashes: bool = True) -> Crashing:
    """The worker to the end of what it has to do, with crashes and events in between; a step that is lost comes again."""
    for turn in range(100):
        outcome = one.job.work(live=True)
        crashes = crashes and turn < 12
        lost = crashes and data.draw(st.integers(0, 4)) == 0
        if not lost:
            for topic, pairs in outcome.outputs:
                for pair in pairs:
                    one.published[topic] += list(pair.pairs()) if hasattr(pair, "pairs") else [pair]
            for row in outcome.rows:
                one.rows |= dict(row.pairs()) if hasattr(row, "pairs") else dict([row])
            if not outcome.more:
                return one
        if lost or (crashes and data.draw(st.integers(0, 4)) == 0):
            one = again(one, one.conf, data)
    raise AssertionError("it does not end")


@pytest.mark.slow
@settings(unshrunk, max_examples=25)
@given(st.data())
def test_references_move_once(data):
    """With crashes anywhere: both while both are asked for, the new ones alone in the end, each record once in effect."""
    before = rotation.MOVED_MAX
    rotation.MOVED_MAX = data.draw(st.sampled_from((1, 2, 3, 50)))
    try:
        one = begun()
        assert set(held(one)) == refs(OLD, RICH)
        told = len(one.published["queue-priority"])
        one = moved(again(one, NEW, data), data)
        assert set(held(one)) == refs(OLD, RICH) | refs(NEW, RICH)
        assert len(one.published["queue-priority"]) == told + len(RICH)
        # Between the two steps a class changes, and a customer gets one: under both.
        one.log.tell([posting(2, -89_000_000, CLOSED + 1, customer=RICH[0], account=f"A{RICH[0]}"),
                      posting(1, 90_000_000, "2024-01-01", CLOSED + 1, customer="late", account="Alate"),
                      day("2024-04-30"), day("2024-06-30")])  # fmt: skip
        one.run()
        one.flush(None)
        classes = held(one)
        for name in (*RICH, "late"):
            assert classes[customer_ref(OLD.reference_key, name)] == classes[customer_ref(NEW.reference_key, name)]
        assert classes[customer_ref(NEW.reference_key, RICH[0])] != classes[customer_ref(NEW.reference_key, RICH[1])]
        told = len(one.published["queue-priority"])
        one = moved(again(one, RETIRING, data), data)
        assert set(held(one)) == refs(NEW, [*RICH, "late"])
        assert len(one.published["queue-priority"]) == told + len(RICH) + 1
        assert "finished" in rotation.said(one.job.rotation.at)
        one = moved(again(one, AFTER, data), data)
        assert set(held(one)) == refs(NEW, [*RICH, "late"])
    finally:
        rotation.MOVED_MAX = before


@settings(unshrunk, max_examples=3)
@given(st.data())
def test_keys_in_the_middle_are_kept(data):
    """The old key alone, the new one alone, or another previous one are refused while references are under both."""
    one = moved(again(begun(), NEW, data), data, crashes=False)
    one.flush(None)
    third = b"a third key of the tests"
    for mine, why in (
        (OLD, "reference_key"), (AFTER, "references are moving"),
        (replace(NEW, previous_key=third), "references are moving"),
        (replace(NEW, reference_key=third, previous_key=NEW.reference_key), "references are moving"),
        (replace(NEW, alert_key=third), "alert_key"),
    ):  # fmt: skip
        with pytest.raises(RecoveryError, match=why):
            again(one, mine, data)


@settings(unshrunk, max_examples=2)
@given(st.data())
def test_a_rotation_at_once(data):
    """Asked to retire from the start, it publishes all first; a new state has nothing to move."""
    one = moved(again(begun(), RETIRING, data), data, crashes=False)
    assert set(held(one)) == refs(NEW, RICH)
    fresh = Crashing(Topics().tell([customer("C1"), CLOSED]), StandingJob(RETIRING)).run()
    assert fresh.job.rotation.at is None
