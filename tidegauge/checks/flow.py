"""Checks of what flows: transactions that somebody left open, records that wait, records that lie wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from tidegauge.checks import CheckLine, Grade, listed
from tidegauge.checks.brokers import ADMIN_WAIT_S

if TYPE_CHECKING:
    from deploy.settings import Settings

    Place = tuple[str, int]  # Kafka's topic, partition

OPEN_S_MAX: Final = 30.0  # a producer's transaction may take so long
WAITING_S_MAX: Final = 60.0
COORDINATOR_COMES: Final = (14, 15, 16)  # Kafka's codes: it loads, is not there yet, is another broker
COORDINATOR_S: Final = 0.2


def inputs(settings: Settings) -> list[Place]:
    """Every partition of the inputs that this user may see. KafkaException."""
    from agents.engine.watch.brokers import topics_found
    from schemas.topics import INPUTS

    found = topics_found(settings.kafka, [settings.topic(name) for name in INPUTS])
    return [(name, number) for name, topic in found.items() if topic is not None for number in range(topic.partitions)]


def ends(settings: Settings, *, committed_only: bool) -> dict[Place, int]:
    """The inputs' last stable offsets, or their high watermarks. KafkaException."""
    from confluent_kafka import IsolationLevel, TopicPartition
    from confluent_kafka.admin import OffsetSpec

    from deploy import admin

    places = {TopicPartition(*place): OffsetSpec.latest() for place in inputs(settings)}
    if not places:
        return {}
    level = IsolationLevel.READ_COMMITTED if committed_only else IsolationLevel.READ_UNCOMMITTED
    client = admin.client(settings.kafka)  # must outlive its answers
    asked = client.list_offsets(places, isolation_level=level, request_timeout=ADMIN_WAIT_S)
    return {(place.topic, place.partition): answer.result(2 * ADMIN_WAIT_S).offset for place, answer in asked.items()}


def ages(settings: Settings, places: dict[Place, int]) -> dict[Place, float]:
    """How old the records at these offsets are, seconds by this machine's clock."""
    from confluent_kafka import TopicPartition

    from agents.engine.watch.brokers import append_times

    asked = [TopicPartition(topic, partition, offset) for (topic, partition), offset in places.items()]
    now = time.time()
    return {place: now - at_ms / 1000 for place, at_ms in append_times(settings.kafka, asked).items()}


def committed(settings: Settings) -> dict[Place, int]:
    """The group's offsets of the inputs; empty where it has none. KafkaException, also of what this user may not see."""
    from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

    from deploy import admin
    from deploy.connections.clients import librdkafka

    asked = [TopicPartition(*place) for place in inputs(settings)]
    if not asked:
        return {}
    try:
        members(settings)
    except KafkaException as problem:  # what else is wrong the consumer says, or waits for
        if problem.args[0].code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            raise  # for this one it would wait in vain
    consumer = Consumer(  # it joins nothing
        {**librdkafka(settings.kafka), "group.id": settings.group, "enable.auto.commit": False}, logger=admin.nowhere
    )
    until = time.monotonic() + ADMIN_WAIT_S
    try:
        while True:
            try:
                found = consumer.committed(asked, timeout=2 * ADMIN_WAIT_S)
                break
            except KafkaException as problem:  # the group's coordinator is just being found
                if problem.args[0].code() not in COORDINATOR_COMES or time.monotonic() > until:
                    raise
            time.sleep(COORDINATOR_S)
    finally:
        consumer.close()
    return {(place.topic, place.partition): place.offset for place in found if place.offset >= 0}


def standing_at(settings: Settings) -> dict[Place, int]:
    """The first offset of each open transaction on the inputs. KafkaException."""
    stable, high = ends(settings, committed_only=True), ends(settings, committed_only=False)
    return {place: offset for place, offset in stable.items() if offset < high.get(place, offset)}


def uncounted(settings: Settings) -> dict[Place, int]:
    """How many offsets of each input the workers have not counted yet, where a record is among them. KafkaException."""
    done, high = committed(settings), ends(settings, committed_only=False)
    behind = {place: done.get(place, 0) for place, end in high.items() if done.get(place, 0) < end}
    return {place: high[place] - behind[place] for place in ages(settings, behind)}


def members(settings: Settings) -> int:
    """How many workers the group has. KafkaException."""
    from confluent_kafka import KafkaError, KafkaException

    from deploy import admin

    client = admin.client(settings.kafka)  # must outlive its answers
    asked = client.describe_consumer_groups([settings.group], request_timeout=ADMIN_WAIT_S)
    try:
        return len(asked[settings.group].result(2 * ADMIN_WAIT_S).members)
    except KafkaException as problem:
        if problem.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return 0
        raise


def open_transactions(settings: Settings) -> Iterator[CheckLine]:
    """Of other producers on the inputs: behind an open one nothing can be read."""
    high, standing = ends(settings, committed_only=False), standing_at(settings)
    old = {place: age for place, age in ages(settings, standing).items() if age >= OPEN_S_MAX}
    if not old:
        yield CheckLine("open transactions", Grade.GOOD, f"none older than {OPEN_S_MAX:.0f} s")
        return
    told = [
        f"{topic}/{partition}: open at offset {standing[topic, partition]} for {age:.0f} s, "
        f"{high[topic, partition] - standing[topic, partition]} offsets behind it cannot be read"
        for (topic, partition), age in sorted(old.items())
    ]
    topic, partition = min(old)
    hint = (
        f"end the producer that left it, or abort it: kafka-transactions.sh abort --topic {topic} --partition {partition} "
        f"--start-offset {standing[topic, partition]}"
    )
    yield CheckLine("open transactions", Grade.WRONG, listed(told), hint)


def waiting(settings: Settings) -> Iterator[CheckLine]:
    """The oldest records that the workers have not counted yet."""
    done, high = committed(settings), ends(settings, committed_only=False)
    if not done:
        yield CheckLine("waiting", Grade.GOOD, f"group {settings.group} has read nothing yet")
        return
    behind = {place: offset for place, offset in done.items() if offset < high.get(place, 0)}
    old = {place: age for place, age in ages(settings, behind).items() if age >= WAITING_S_MAX}
    if not old:
        yield CheckLine("waiting", Grade.GOOD, f"nothing for longer than {WAITING_S_MAX:.0f} s")
        return
    told = [
        f"{topic}/{partition}: {high[topic, partition] - behind[topic, partition]} offsets, the oldest for {age:.0f} s"
        for (topic, partition), age in sorted(old.items(), key=lambda item: -item[1])
    ]
    yield CheckLine("waiting", Grade.WARN, listed(told), "is a worker running, and what does its /readyz say?")


def lying_wrong(settings: Settings) -> Iterator[CheckLine]:
    """Whether producers have put records lately where they do not belong."""
    from tidegauge.checks import misplaced

    found = misplaced.lately(settings)
    text = "; ".join(f"{topic}: {count} × {reason}" for (topic, reason), count in sorted(found.items()))
    hint = "its producer needs customer_id as the key and murmur2 as the partitioner: docs/integrators.md#what-holds-for-all"
    if found:
        yield CheckLine("records", Grade.WRONG, f"lay wrong since yesterday: {text}", hint)
    else:
        yield CheckLine("records", Grade.GOOD, "none lay wrong lately")
