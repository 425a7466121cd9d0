"""What each committed transaction had to publish: the job fed from the log by hand, one transaction at a time.

No worker, no transactions, no recovery take part: an independent client reads the inputs, and the changelog's `@commit`
records say what each transaction had consumed. Its outputs are then a function of the log.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator
from zlib import crc32

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from agents.engine.changelog import COMMIT
from agents.engine.job import TP, Block
from agents.engine.record_batches import flat
from agents.engine.recovery import changelog_topic
from agents.standing.job import StandingJob
from deploy.settings import Settings
from schemas.codec.records import RecordError, decode_one
from schemas.registry import Registry, registry_for
from schemas.topics import INPUTS
from tests.chaos.check import read
from tests.chaos.history import Output
from tidegauge.bootstrap import STANDING, standing_jobs
from tidegauge.world.check import check_world

Record = tuple[int, bytes | None, bytes | None]  # offset, key, value
NAMED = ("tier-changes", "restatements", "rm-alerts")
OUTPUTS = (*NAMED, "dead-letters", "queue-priority", "standings", "outlooks")


def commits(settings: Settings, partition: int) -> list[dict[str, int]]:
    """Positions of every committed transaction of a partition, in order."""
    topic = changelog_topic(settings, STANDING)
    return [json.loads(value or b"") for _, key, value in read(settings.kafka, topic, partition) if key == COMMIT]


def inputs(settings: Settings, partition: int) -> dict[str, list[Record]]:
    """The inputs of a partition as a committed reader has them."""
    return {topic: read(settings.kafka, settings.topic(topic), partition) for topic in INPUTS}


def batch(records: list[Record]) -> bytes:
    """A record batch with the records' own offsets."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1 << 30,
    )  # fmt: skip
    first = records[0][0]
    for offset, key, value in records:
        builder.append(offset - first, 0, key, value, [])
    out = bytearray(builder.build())
    out[0:8] = first.to_bytes(8, "big")
    return bytes(out)


def block(topic: str, partition: int, records: list[Record], offsets: list[int], start: int, stop: int) -> Block:
    """Everything of an input in [start, stop)."""
    taken = records[bisect_left(offsets, start) : bisect_left(offsets, stop)]
    return Block(TP(topic, partition), start, stop, [batch(taken)] if taken else [], len(taken))


def replayed(
    settings: Settings, partition: int, logs: dict[str, list[Record]], done: list[dict[str, int]]
) -> tuple[list[Output], list[str]]:
    """(outputs in order, what went wrong) of a partition's committed transactions."""
    job: StandingJob = standing_jobs(settings, epoch=check_world(settings).epoch)()
    registry = registry_for(settings)
    at = dict.fromkeys(INPUTS, 0)
    job.begin(partition, dict(at))
    offsets = {topic: [record[0] for record in records] for topic, records in logs.items()}
    out: list[Output] = []
    odd: list[str] = []
    for number, positions in enumerate(done):
        for topic in INPUTS:
            if positions[topic] < at[topic]:
                odd.append(f"partition {partition}: {topic} goes back from {at[topic]} to {positions[topic]}")
            elif positions[topic] > at[topic]:
                job.feed(block(topic, partition, logs[topic], offsets[topic], at[topic], positions[topic]))
                at[topic] = positions[topic]
        while True:
            outcome = job.work(live=True)
            for topic, pairs in outcome.outputs:
                for key, value in flat(pairs):
                    out.append(output(registry, topic, partition, key, value)._replace(transaction=number))
            if not outcome.more:
                break
        if job.positions() != positions:
            odd.append(f"partition {partition}: {job.positions()} after transaction {number}, committed is {positions}")
            break
    return out, odd


def output(
    registry: Registry, topic: str, partition: int, key: bytes | None, value: bytes | None, offset: int = -1
) -> Output:
    """A record as the checker wants it."""
    made = Output(topic, partition, key or b"", crc32(value or b""), offset=offset)
    try:
        if topic in NAMED:
            record = decode_one(value or b"", registry, name=topic)
            return made._replace(
                name=record["event_id"], cause=record.get("caused_by") or "", version=record.get("effective_date", 0)
            )
        if topic == "dead-letters":
            record = decode_one(value or b"", registry, name=topic)
            return made._replace(name=f"{record['topic']}/{record['partition']}/{record['offset']}")
        if topic == "queue-priority":
            return made._replace(version=decode_one(value or b"", registry, name=topic)["version"])
    except RecordError:
        return made._replace(name=f"unreadable {topic}/{partition}/{offset}")
    return made


def published(settings: Settings, topic: str, isolation: str) -> Iterator[Output]:
    """Every record of an output topic."""
    for partition in range(settings.partitions):
        for offset, key, value in read(settings.kafka, settings.topic(topic), partition, isolation):
            yield output(registry_for(settings), topic, partition, key, value, offset)
