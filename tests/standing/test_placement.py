"""Where records lie: whoever produced them, no customer is split over partitions, and what lies wrong is a dead letter."""

import zlib
from collections import Counter
from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engine.job import RecoveryError
from agents.engine.record_batches import flat
from agents.standing.intake.placement import Placement
from agents.standing.job import StandingJob
from deploy.topics import CATALOGUE, CUSTOMER
from schemas.codec.blocks import Reader
from schemas.codec.records import encode
from schemas.partitioner import partition_of
from schemas.topics import INPUTS, MARK_KEY
from tests.standing.partition import Partition, Topics, conf, customer
from tests.twins.events import day, posting, snapshot

DAY = day("2024-03-04")
NO_KEY, OTHER_KEY, ELSEWHERE = "no key", "key is not the customer_id", "lies on a partition that is not its key's"


class Sent(NamedTuple):
    """A posting of 1.00 as a producer sends it. `draw` stands for what a producer leaves to chance."""

    customer: str
    producer: str
    draw: int


def murmur(key: bytes | None, partitions: int, draw: int) -> int:
    """Kafka's Java clients, and librdkafka's `murmur2_random`: a record without a key goes anywhere."""
    return draw % partitions if key is None else partition_of(key, partitions)


def crc(key: bytes | None, partitions: int, draw: int) -> int:
    """librdkafka's default, `consistent_random`."""
    return zlib.crc32(key) % partitions if key else draw % partitions


def anywhere(_key: bytes | None, partitions: int, draw: int) -> int:
    """A partition that the producer names."""
    return draw % partitions


# Producer -> (key of a customer, choice of the partition).
PRODUCERS = {
    "ours": (str.encode, murmur),
    "no key": (lambda _: None, murmur),
    "an empty key": (lambda _: b"", murmur),
    "another key": (lambda name: f"{name}-main".encode(), murmur),
    "a shorter key": (lambda name: name[:-1].encode(), murmur),
    "the marks' key": (lambda _: MARK_KEY, murmur),
    "CRC32": (str.encode, crc),
    "CRC32, no key": (lambda _: None, crc),
    "explicit": (str.encode, anywhere),
}
SENT = st.builds(
    Sent, st.sampled_from(["C1", "C2", "C3-long-id", "客户"]), st.sampled_from(sorted(PRODUCERS)), st.integers(0, 15)
)


def why(name: str, key: bytes | None, lies: int, partitions: int) -> str | None:
    """What is wrong with where a record lies, said once more in plain Python."""
    if key is None:
        return NO_KEY
    if key != name.encode():
        return OTHER_KEY
    return ELSEWHERE if partition_of(key, partitions) != lies else None


def wire(event: dict) -> bytes:
    """An event as it is on its topic."""
    return encode(event["topic"], {name: value for name, value in event.items() if name != "topic"})


def lived(partitions: int, records: list[tuple[int, str, bytes | None, bytes]], end: int = DAY) -> dict[int, Partition]:
    """(partition, topic, key, value) through a job a partition, and a close; partitions with nothing are left out."""
    logs: dict[int, Topics] = {}
    for lies, topic, key, value in records:
        logs.setdefault(lies, Topics(lies)).append(topic, key, value)
    found = {}
    for lies, log in logs.items():
        log.close(end)
        found[lies] = Partition(log, StandingJob(replace(conf(), partitions=partitions))).run()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("partitions", [1, 4, 16])
@given(sent=st.lists(SENT, min_size=1, max_size=12))
@settings(max_examples=15, deadline=None)
def test_no_customer_is_split_over_partitions(partitions, sent):
    """Every customer stands once, with the money of the records that lie right; every other one is a dead letter."""
    records, wrong, money = [], Counter(), Counter()
    for number, (name, producer, draw) in enumerate(sent, 1):
        key_of, choose = PRODUCERS[producer]
        key = key_of(name)
        lies = choose(key, partitions, draw)
        event = posting(number, 100, DAY, customer=name, account=f"{name}-main")
        records.append((lies, "transactions", key, wire(event)))
        reason = why(name, key, lies, partitions)
        wrong.update([(lies, key, reason)] if reason else [])
        money.update({} if reason else {name: 100})
    found = lived(partitions, records)
    standings = [row for one in found.values() for row in one.of("standings")]
    assert len({row["customer_id"] for row in standings}) == len(standings)
    assert {row["customer_id"]: row["aum_minor"] for row in standings} == money
    letters = [letter for one in found.values() for letter in one.of("dead-letters")]
    assert Counter((one["partition"], one["original_key"], one["reason"]) for one in letters) == wrong


ACT = {"topic": "crm-actions", "event_id": "a1", "customer_id": "C1", "action": "note", "requested_by": "s1",
       "approved_by": None, "at": 1_709_500_000_000, "expires_on": None, "details": {}}  # fmt: skip
FACT = {"topic": "facts", "event_id": "f1", "customer_id": "C1", "name": "loan_balance", "value": 1, "as_of": DAY,
        "source": "s"}  # fmt: skip
KEYED = {event["topic"]: event for event in (posting(1, 100, DAY), snapshot(5, DAY), customer("C1"), FACT, ACT)}
HOME = partition_of(b"C1", 4)


def test_every_topic_of_customers_is_checked_and_no_other():
    """The catalogue's topics with customers as keys."""
    keyed = {topic.name for topic in CATALOGUE if topic.key == CUSTOMER and topic.name in INPUTS}
    checked = {topic for topic in INPUTS if Placement(Reader(topic), 0, 4).customer is not None}
    assert checked == keyed == KEYED.keys()


@pytest.mark.parametrize("topic", KEYED)
@pytest.mark.parametrize(
    ("key", "lies", "reason", "field", "detail"),
    [(None, HOME, NO_KEY, "customer_id", "customer_id: no key"),
     (b"C2", HOME, OTHER_KEY, "customer_id", "customer_id: key is not the customer_id"),
     (b"C1", 3 - HOME, ELSEWHERE, None, f"lies on partition {3 - HOME}, its key belongs to {HOME}")],
    ids=["no key", "another key", "elsewhere"],
)  # fmt: skip
def test_a_record_that_lies_wrong_is_a_dead_letter(topic, key, lies, reason, field, detail):
    """In each topic, with all that is needed to find its producer; counted; and the state knows nothing of it."""
    log = Topics(lies)
    log.append(topic, key, value := wire(KEYED[topic]))
    partition = Partition(log, StandingJob(replace(conf(), partitions=4)))
    partition.feed(topic)
    outcome = partition.job.work(live=True)
    assert (outcome.counts["dead_letters"], outcome.counts["misplaced"]) == (1, 1)
    partition = Partition(log, StandingJob(replace(conf(), partitions=4))).run()
    [letter] = partition.of("dead-letters")
    said = {"topic": topic, "partition": lies, "offset": 0, "reason": reason, "field": field, "detail": detail,
            "original": value, "original_key": key}  # fmt: skip
    assert letter.items() >= said.items()
    assert partition.job.ledger.customers.count == 0


def test_a_recovery_leaves_them_out_too():
    """A replay, which publishes nothing, comes to the same state as the work that did."""
    log = Topics(HOME)
    for number, (key, name) in enumerate(((b"C1", "C1"), (b"C1", "C2"), (None, "C1")), 1):
        log.append("transactions", key, wire(posting(number, 100, DAY, customer=name, account=f"{name}-main")))
    log.close(DAY)
    jobs = [StandingJob(replace(conf(), partitions=4)) for _ in range(2)]
    for job, live in zip(jobs, (True, False), strict=True):
        partition = Partition(log, job)
        for topic in INPUTS:
            partition.feed(topic)
        partition.work(live=live)
    one, other = ([*map(bytes, (key for key, _ in flat(job.take_dirty(None)[0])))] for job in jobs)
    assert one == other
    assert [job.ledger.customers.count for job in jobs] == [1, 1]


@pytest.mark.parametrize("lies", range(4))
def test_what_a_source_sends_everywhere_is_taken_everywhere(lies):
    """Its marks and the bank's calendar, under their own key."""
    log = Topics(lies)
    for name in ("source_complete", "bank_open"):
        log.append("facts", b"@source", wire(FACT | {"customer_id": "@source", "name": name}))
    partition = Partition(log, StandingJob(replace(conf(), partitions=4))).run()
    assert partition.of("dead-letters") == []
    assert partition.job.decider.facts.marks.complete == {"s": DAY}
    assert partition.job.decider.facts.calendar == {DAY: True}


def test_the_setting_must_be_the_number_of_partitions():
    """A partition beyond the setting: every record would seem to lie wrong."""
    with pytest.raises(RecoveryError, match="TIDEGAUGE_PARTITIONS"):
        StandingJob(replace(conf(), partitions=4)).begin(4, dict.fromkeys(INPUTS, 0))
