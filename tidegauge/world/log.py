"""The topic `world`: its records read and written."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError, KafkaException, Message

from agents.engine.reader import rows_to_the_end
from connectors.loading.omissions import Omissions
from connectors.loading.publisher import FLUSH_WAIT_S, PublishError, open_producer, publish_errors
from deploy.topics import WORLD
from schemas.codec.records import decode_one, encode
from schemas.registry import registry_for
from tidegauge.world.identity import Identity, WorldEntry, world_entry

if TYPE_CHECKING:
    from deploy.settings import Settings
    from streams.closing import Run

log = logging.getLogger(__name__)

ENTRIES_MAX: Final = 10_000  # a record a change, and changes are made by hand


def read_entries(settings: Settings) -> list[WorldEntry]:
    """Every record of the topic, which exists, in the order of offsets; what is none of ours is passed over.

    KafkaException where it can't be read in time, RegistryError where the schema registry can't be asked.
    """
    registry = registry_for(settings)
    found, foreign = list[WorldEntry](), Omissions()
    for row in rows_to_the_end(settings.kafka, settings.topic(WORLD)):
        if row.value is None:
            continue
        try:
            found.append(world_entry(decode_one(row.value, registry, name=WORLD)))
        except ValueError as why:  # RecordError too
            foreign.add(row.offset, why)
        if len(found) > ENTRIES_MAX:
            raise KafkaException(KafkaError(KafkaError._FAIL, f"{settings.topic(WORLD)} has too many records"))  # noqa: SLF001
    foreign.tell(log, settings.topic(WORLD), "no identity")
    return found


def write_entry(
    settings: Settings,
    before: WorldEntry | None,
    kind: str,
    epoch: int,
    identity: Identity,
    reason: str | None,
    who: str,
    *,
    transactional_id: str | None = None,
    left_out: Iterable[Run] | None = None,
) -> WorldEntry:
    """Put a record behind `before`, acknowledged by all replicas; with an id in a transaction. Whether it counts, reading tells.

    left_out: closes that don't count; None: those of before.

    PublishError where Kafka doesn't take it.
    """
    kept = () if before is None else before.closes_left_out
    entry = WorldEntry(
        f"{epoch}-{uuid.uuid4().hex}", None if before is None else before.event_id, kind, epoch, identity, reason, who,
        time.time_ns() // 1_000_000, kept if left_out is None else tuple(sorted(left_out, key=str)),
    )  # fmt: skip
    failed: list[KafkaError] = []

    def delivered(problem: KafkaError | None, _: Message) -> None:
        if problem is not None:
            failed.append(problem)

    producer = open_producer(settings, transactional_id)
    value = encode(WORLD, entry.record(), registry_for(settings))
    with publish_errors("the identity was not written"):
        if transactional_id is not None:
            producer.init_transactions(FLUSH_WAIT_S)
            producer.begin_transaction()
        producer.produce(settings.topic(WORLD), value, entry.event_id.encode(), 0, delivered)
        waiting = producer.flush(FLUSH_WAIT_S)
        if transactional_id is not None and not failed and not waiting:
            producer.commit_transaction(FLUSH_WAIT_S)
    if failed or waiting:
        raise PublishError(f"the identity was not written: {failed[0].str() if failed else 'no answer'}")
    return entry
