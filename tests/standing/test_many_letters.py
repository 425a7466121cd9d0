"""So many bad records that a letter for each would be a flood: the first have one each, one more names all others."""

import re
import time
from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engine.job import TP
from agents.engine.record_batches import flat
from agents.engine.transport import take_block
from agents.standing.job import StandingJob
from schemas import bounds
from schemas.codec.records import decode_one, encode
from schemas.topics import INPUTS
from tests.outsized import CODECS, raw_batch
from tests.standing.partition import Partition, Topics, conf
from tests.twins.events import day, posting, snapshot

DAY = day("2024-03-04")
SEVERAL = re.compile(r"([\d,]+) records from here to offset (\d+), for the same reason; this one: .+")
FEW = 3  # letters at once, in place of a thousand


def wire(event: dict[str, Any]) -> bytes:
    """An event as it is on its topic."""
    return encode(event["topic"], {name: value for name, value in event.items() if name != "topic"})


# What is sent -> its key, value and reason; None: it is good.
POSTING, BALANCE = wire(posting(1, 100, DAY, customer="C")), wire(snapshot(5, DAY, customer="C", account="S"))
KINDS: dict[str, dict[str, tuple[bytes | None, bytes, str | None]]] = {
    "transactions": {
        "good": (b"C", POSTING, None), "empty": (b"C", b"", "truncated"), "magic": (b"C", b"\1" + POSTING, "wrong magic byte"),
        "no key": (None, POSTING, "no key"), "cut": (b"C", POSTING[:-1], "truncated"),
        "currency": (b"C", wire(posting(2, 1, DAY, customer="C", account="X", currency="XXX")), "unknown currency"),
    },
    "balances": {"good": (b"C", BALANCE, None), "empty": (b"C", b"", "truncated")},
    "policies": {"empty": (b"p", b"", "truncated")},
}  # fmt: skip


def said_of(outputs: list[tuple[str, dict[str, Any]]]) -> dict[tuple[str, str], list[tuple[int, int, int]]]:
    """By topic and reason the letters of one go: offset, last offset, how many records."""
    found = defaultdict(list)
    for topic, record in outputs:
        if topic == "dead-letters":
            first, last, count = record["offset"], record["offset"], 1
            if record["last_offset"] is not None:
                match = SEVERAL.match(record["detail"])
                assert match, record["detail"]
                last, count = record["last_offset"], int(match[1].replace(",", ""))
                assert last == int(match[2])
                assert count > 1
            found[record["topic"], record["reason"]].append((first, last, count))
    return found


STEPS = st.lists(
    st.sampled_from(sorted(KINDS)).flatmap(
        lambda topic: st.tuples(st.just(topic), st.sampled_from(sorted(KINDS[topic])), st.integers(1, 7), st.booleans())
    ),
    min_size=1, max_size=14,
)  # fmt: skip


@pytest.mark.slow
@given(STEPS)
@settings(max_examples=12)
def test_every_bad_record_is_accounted_for_once(steps: list[tuple[str, str, int, bool]]) -> None:
    """Whatever comes in whatever blocks: by letters of their own and by counts, in few letters; neighbours count."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "LETTERS_AT_ONCE_MAX", FEW)
        partition, waiting = Partition(Topics()), defaultdict(list)
        for topic, kind, times, works in steps:
            key, value, reason = KINDS[topic][kind]
            for _ in range(times):
                at = partition.log.append(topic, key, value)
                if reason is not None:
                    waiting[topic, reason].append(at)
            partition.feed(topic)
            if works:
                _judge(said_of(partition.work()), waiting)
                waiting.clear()
        _judge(said_of(partition.work()), waiting)
        assert partition.job.counts.take() == {}


def _judge(said: dict[tuple[str, str], list[tuple[int, int, int]]], wanted: dict[tuple[str, str], list[int]]) -> None:
    assert said.keys() == {subject for subject, offsets in wanted.items() if offsets}
    for subject, found in said.items():
        offsets = wanted[subject]
        assert len(found) <= FEW + 1
        assert sum(count for _, _, count in found) == len(offsets)
        assert [first for first, _, _ in found] == offsets[: len(found)]
        assert all(last == first for first, last, _ in found[:FEW])
        assert found[-1][1] == offsets[-1]


@pytest.mark.slow
@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_quarter_of_a_million_in_a_batch(codec: int) -> None:
    """As many records as a batch may have, of some seven bytes each: a thousand letters and one, at once, each one counted."""
    count = bounds.BATCH_RECORDS_MAX
    good = (b"C", wire(posting(1, 100, DAY, customer="C")))
    raw = raw_batch([good, *[(None, b"")] * (count - 2), good], codec)
    assert len(raw) < 1_200_000 or codec == CODECS["snappy"]
    job, began = StandingJob(conf()), time.process_time()
    job.begin(0, dict.fromkeys(INPUTS, 0))
    block = take_block(TP("transactions", 0), raw, 0)
    assert block is not None
    job.feed(block)
    outcome = job.work(live=True)
    assert job.positions()["transactions"] == count
    letters = [value or b"" for topic, pairs in outcome.outputs if topic == "dead-letters" for _, value in flat(pairs)]
    said = said_of([("dead-letters", decode_one(letter)) for letter in letters])
    ones = [(at, at, 1) for at in range(1, bounds.LETTERS_AT_ONCE_MAX + 1)]
    rest = bounds.LETTERS_AT_ONCE_MAX + 1
    assert said == {("transactions", "truncated"): [*ones, (rest, count - 2, count - 1 - rest)]}
    assert (outcome.counts["dead_letters"], outcome.counts["duplicates"]) == (count - 2, 1)
    assert sum(map(len, letters)) < 200_000
    assert time.process_time() - began < 10


def test_files_have_a_letter_for_each_line() -> None:
    """What is computed of files alone is told line by line."""
    log = Topics()
    for _ in range(bounds.LETTERS_AT_ONCE_MAX + 5):
        log.append("transactions", b"C", b"")
    partition = Partition(log, StandingJob(conf().alone()))
    partition.feed("transactions")
    found = said_of(partition.work())
    assert Counter(count for one in found.values() for _, _, count in one) == {1: bounds.LETTERS_AT_ONCE_MAX + 5}
