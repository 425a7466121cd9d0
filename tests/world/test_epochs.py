"""Epochs on a real log: above whatever the outputs have, so that no version goes back when an identity is lost or put back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer

from agents.standing.publish.versions import EPOCHS, versioned
from deploy import topics
from deploy.connections.clients import librdkafka
from deploy.settings import Settings
from schemas.codec.records import encode
from schemas.topics import INPUTS
from tests.world.test_log import made_anew, wanted
from tidegauge.world.changes import adoption, make_change, rebuilding
from tidegauge.world.check import WorldError, begin_world, check_world
from tidegauge.world.epochs import LOOKED_AT, VERSIONED_TOPICS, published_epoch
from tidegauge.world.found import USES_ALL
from tidegauge.world.identity import EXTENDED
from tidegauge.world.log import write_entry

pytestmark = pytest.mark.integration
FAR = 400  # an epoch of some day to come

PRIORITY: dict[str, Any] = {
    "customer_ref": "r", "queue_class": "diamond", "vip_area": True, "valid_until": None, "as_of": 20_000,
}  # fmt: skip


@pytest.fixture
def settings(make_topics: Callable[..., Settings]) -> Settings:
    """A log with the topics that a worker needs."""
    return make_topics(*INPUTS, *VERSIONED_TOPICS, "world")


def told(settings: Settings, *values: bytes | None, partition: int = 3) -> None:
    """Records on `queue-priority`, with a transaction's marker behind each."""
    producer = Producer({**librdkafka(settings.kafka), "transactional.id": settings.topic("a producer")})
    producer.init_transactions(30)
    for value in values:
        producer.begin_transaction()
        producer.produce(settings.topic("queue-priority"), value, b"r", partition)
        producer.commit_transaction(30)


def priority(epoch: int) -> bytes:
    """A queue class of an epoch."""
    return encode("queue-priority", PRIORITY | {"version": versioned(epoch, 47)})


def epoch_of(settings: Settings) -> int:
    """Of the identity in force."""
    return check_world(settings, USES_ALL).epoch


def test_the_last_epoch_is_found_behind_everything(settings: Settings) -> None:
    """Behind tombstones, markers and records of others, far from the end too; without records it is 0."""
    assert published_epoch(settings, topics.survey(settings)) == 0
    foreign = encode("queue-priority", PRIORITY | {"version": EPOCHS << 40})
    told(settings, priority(12), foreign, b"rubbish", *[None] * LOOKED_AT)
    told(settings, priority(7), partition=0)
    assert published_epoch(settings, topics.survey(settings)) == 12


def test_a_log_whose_identity_is_lost_goes_on_above_its_outputs(settings: Settings) -> None:
    """The topic `world` is deleted: what the first worker writes is above what all before it have published."""
    told(settings, priority(FAR))
    assert begin_world(settings).epoch == FAR + 1
    made_anew(settings, "world", partitions=1)
    told(settings, priority(FAR + 5))
    assert begin_world(settings).epoch == FAR + 6


def test_an_identity_that_is_behind_its_outputs_is_refused(settings: Settings) -> None:
    """As when an older one was put back: no worker starts, and an adoption gives the log a higher epoch."""
    first = begin_world(settings)
    told(settings, priority(first.epoch + 3))
    with pytest.raises(WorldError, match=r"epoch: .* versions would go back") as problem:
        begin_world(settings)
    assert "tidegauge world adopt" in problem.value.hint
    change = wanted(adoption(settings))
    assert change.lines[-1] == f"raise the epoch to {first.epoch + 4}" and "go back" in change.lines[0]
    make_change(change, "restored", "operator:hq")
    assert begin_world(settings).epoch == epoch_of(settings) == first.epoch + 4


def test_a_rebuild_is_above_the_outputs_too(settings: Settings) -> None:
    """What the workers then build begins with smaller numbers."""
    first = begin_world(settings)
    told(settings, priority(first.epoch + 1))
    make_change(rebuilding(settings), "lost", "operator:hq")
    assert epoch_of(settings) == first.epoch + 2


def test_identities_from_before_keep_their_epoch(settings: Settings) -> None:
    """What a newer release adds to an identity raises nothing: records of before had no epoch, and are below it."""
    first = begin_world(settings).entry
    assert first is not None
    write_entry(settings, first, EXTENDED, first.epoch, first.identity, None, "worker")
    told(settings, encode("queue-priority", PRIORITY | {"version": 140}))
    assert begin_world(settings).epoch == first.epoch
