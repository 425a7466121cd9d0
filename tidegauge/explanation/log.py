"""One customer's part of the log: his own records, the broadcast ones and the marks of his partition, at their offsets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from aiokafka import TopicPartition

from agents.engine import recovery
from agents.engine.job import Block
from agents.engine.record_batches import HEADER
from agents.engine.transport import BatchHeader
from agents.offline.memory_log import batch
from connectors.formats.events import Record
from schemas.codec.blocks import frames
from schemas.codec.primitives import LENGTH_MAX, NULL, REF_BITS
from schemas.codec.records import RecordError, decode_one
from schemas.nulls import with_nulls
from schemas.partitioner import partition_of
from schemas.registry import registry_for
from schemas.topics import BROADCAST, CLOSES, INPUTS
from streams.calendar import NO_DAY
from streams.closing import NOTHING_LEFT_OUT, Run, is_set_aside
from tidegauge.bootstrap import STANDING

if TYPE_CHECKING:
    from deploy.settings import Settings
    from schemas.registry import Registry

_TO_ALL: Final = (*BROADCAST, CLOSES)
OUTPUTS: Final = ("tier-changes", "decisions", "restatements", "outlooks", "rm-alerts")
LAST_DELTA, LAST_AT = (BatchHeader._fields.index(name) for name in ("last_offset_delta", "last_timestamp"))
RESERVED: Final = ord("@")  # marks, and what a source says of itself
PROFILES: Final = "customers"


@dataclass(frozen=True, slots=True)
class Told:
    """A published record: the fields that its writer knew, and by the newest contract; null for what is not known."""

    topic: str
    written: Record
    record: Record

    @property
    def name(self) -> str:
        """Its id; outlooks have none and go by their day."""
        record = self.record
        return str(
            record["event_id"] if "event_id" in record else f"{record['customer_id']}/{self.topic}/{record['as_of']}"
        )


@dataclass(slots=True)
class Log:
    """What is in the topics about a customer. `first`: the first offset of every input that is still there."""

    customer_id: str
    partition: int
    first: dict[str, int]
    inputs: dict[str, list[Block]] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    registry: Registry | None = None
    unreadable: Counter[str] = field(default_factory=Counter)  # topic -> records that are none of ours

    def tell(self, topic: str, value: bytes, registry: Registry | None) -> None:
        """Takes a published record; the same bytes again are the same record."""
        try:
            written, record = decode_one(value, registry), decode_one(value, registry, name=topic)
            told = Told(topic, with_nulls(topic, written), with_nulls(topic, record))
        except RecordError:
            self.unreadable[topic] += 1
            return
        if told not in self.told:
            self.told.append(told)

    def decoded(self, topic: str, registry: Registry | None) -> list[Record]:
        """The records of a broadcast input, marks left out, and what can't be read, as the worker leaves it out."""
        found = []
        self.unreadable.pop(topic, None)
        for _, key, value in self.records(topic):
            if key[:1] != b"@" and value:
                try:
                    found.append(decode_one(value, registry, name=topic))
                except RecordError:
                    self.unreadable[topic] += 1
        return found

    def records(self, topic: str) -> Iterable[tuple[int, bytes, bytes | None]]:
        """Offset, key and value of an input's records."""
        return records_of(self.inputs.get(topic, []))

    def closes(
        self, registry: Registry | None, left_out: frozenset[Run] = NOTHING_LEFT_OUT
    ) -> dict[int, dict[str, int]]:
        """The cut of every close that counts and is still there, by day."""
        found: dict[int, dict[str, int]] = {}
        last = NO_DAY
        for record in self.decoded(CLOSES, registry):
            day, forced = record["business_day"], record["force_reason"] is not None
            run = record["asked"], record["last_closed"]
            if record["retracts"] is not None or day <= last or Run.of(day, *run) in left_out:
                continue
            if not is_set_aside(*run, last, forced=forced):
                found[day] = {c["topic"]: c["offset"] for c in record["cut"] if c["partition"] == self.partition}
                last = day
        return found

    def gaps(self, closes: dict[int, dict[str, int]]) -> list[str]:
        """Inputs whose history is no longer whole: cut off by age, or profiles of which only the last are kept."""
        found = [topic for topic, offset in self.first.items() if offset > 0]
        marks = {offset for offset, key, _ in self.records(PROFILES) if key[:1] == b"@"}
        if any(cut[PROFILES] not in marks for cut in closes.values() if PROFILES in cut) and PROFILES not in found:
            found.append(PROFILES)
        return found


def own(block: Block, customer_id: str) -> Block:
    """The block with the records of one customer, and with those under reserved keys, where and when they were."""
    columns, key = frames(block.batches, block.start, block.end), np.frombuffer(customer_id.encode(), np.uint8)
    if block.tp.topic in _TO_ALL:
        kept = np.arange(columns.n)
    else:
        keyed = np.flatnonzero(columns.key != NULL)
        at, size = columns.key[keyed] >> REF_BITS, columns.key[keyed] & LENGTH_MAX
        keyed, at, size = keyed[size > 0], at[size > 0], size[size > 0]
        reserved, fits = columns.raw[at] == RESERVED, size == len(key)
        mine = reserved.copy()
        mine[fits] |= (columns.raw[at[fits][:, None] + np.arange(len(key))] == key).all(axis=1)
        kept = keyed[mine]
    heads = sorted(HEADER.unpack_from(raw) for raw in block.batches)
    ends = np.array([head[0] + head[LAST_DELTA] for head in heads], np.int64)
    of_batch = np.searchsorted(ends, columns.offset[kept])
    batches = []
    for place in np.unique(of_batch).tolist():
        rows = kept[of_batch == place].tolist()
        records = [(int(columns.offset[i]), columns.key_bytes(i), columns.value_bytes(i)) for i in rows]
        batches.append(batch(records, heads[place][LAST_AT]))
    return Block(block.tp, block.start, block.end, batches, sum(map(len, batches)))


def one_by_one(blocks: Sequence[Block]) -> Iterator[tuple[int, Block]]:
    """(instant, block) of every record, a block each; holes belong to the record behind them. Instants do not fall."""
    if not blocks:
        return
    tp, at, now = blocks[0].tp, blocks[0].start, 0
    for block in blocks:
        for raw in block.batches:
            now = max(now, HEADER.unpack_from(raw)[LAST_AT])
            for offset, key, value in records_of([Block(tp, block.start, block.end, [raw], len(raw))]):
                alone = batch([(offset, key, value)], now)
                yield now, Block(tp, at, offset + 1, [alone], len(alone))
                at = offset + 1
    if at < blocks[-1].end:
        yield now, Block(tp, at, blocks[-1].end, [], 0)


def records_of(blocks: Iterable[Block]) -> Iterable[tuple[int, bytes, bytes | None]]:
    """Offset, key and value of every record in blocks."""
    for block in blocks:
        columns = frames(block.batches, block.start, block.end)
        for i in range(columns.n):
            yield int(columns.offset[i]), columns.key_bytes(i) or b"", columns.value_bytes(i)


async def read_log(settings: Settings, customer_id: str) -> Log:
    """The customer's part of the topics as they are now. KafkaError, Rejoin where they cannot be read."""
    registry = registry_for(settings)
    partition = partition_of(customer_id.encode(), settings.partitions)
    recovery.install_blocks(settings, (*INPUTS, *OUTPUTS), recovery.changelog_topic(settings, STANDING))
    consumer = await recovery.open_consumer(settings)
    try:
        places = {topic: TopicPartition(settings.topic(topic), partition) for topic in (*INPUTS, *OUTPUTS)}
        wanted = list(places.values())
        first, end = await consumer.beginning_offsets(wanted), await consumer.end_offsets(wanted)
        log = Log(customer_id, partition, {topic: first[places[topic]] for topic in INPUTS}, registry=registry)
        for topic, place in places.items():
            blocks = [own(b, customer_id) async for b in recovery.blocks(consumer, place, first[place], end[place])]
            if topic in INPUTS:
                log.inputs[topic] = blocks
            else:
                for _, _, value in records_of(blocks):
                    if value:
                        log.tell(topic, value, registry)
    finally:
        await consumer.stop()
    return log
