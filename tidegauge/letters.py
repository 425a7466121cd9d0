"""Dead letters as an operator has them: read, counted, shown without personal data, and sent again from their source."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from aiokafka import TopicPartition
from aiokafka.record.default_records import DefaultRecord
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from agents.engine import recovery
from agents.engine.reader import blocks_to_the_end
from agents.engine.transport import with_headers
from connectors.loading.publisher import producer_config
from deploy import admin
from schemas.codec.blocks import log_entries
from schemas.codec.records import RecordError, decode_one
from schemas.codec.status import REASONS, Status
from schemas.partitioner import MISPLACED
from schemas.registry import Registry, contract, registry_for
from schemas.topics import CLOSES, INPUTS
from tidegauge.bootstrap import STANDING

if TYPE_CHECKING:
    from deploy.settings import Settings

LETTERS_TOPIC: Final = "dead-letters"
FILES: Final = "file"  # a line of a file has the topic `file:NAME`
_OPEN: Final = "C1"  # the class of what may be shown to everybody in the bank
ANSWER_S: Final = 15.0
SENT_AT_ONCE_MAX: Final = 10_000  # records that wait for the brokers' answers
# Topics of which the last record counts, whatever it says: what is sent again would put an older one over it.
LAST_COUNTS: Final = {
    "customers": "a newer profile may stand behind it: let its source send the profile",
    CLOSES: "closes are written in their order: `tidegauge close` writes it anew",
}
# Such a letter stands for what can't be told apart; any other with a last offset for many records of one reason.
DAMAGED: Final = (REASONS[Status.BAD_BLOCK], REASONS[Status.BATCH_TOO_LARGE])
NUMBERS: Final = (int, bool, float, type(None))


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter and when it was written (milliseconds). Ordered by `at`."""

    at: int
    record: dict[str, Any]

    @property
    def place(self) -> str:
        """Where the bad record lies: LETTERS_TOPIC/PARTITION/OFFSET."""
        return "/".join(map(str, self.source))

    @property
    def source(self) -> tuple[str, int, int]:
        """Topic, partition and offset of the bad record. In this order records are sent again: as they were sent once."""
        return self.record["topic"], self.record["partition"], self.record["offset"]

    @property
    def offsets(self) -> int:
        """How many offsets it stands for; good records may lie among them."""
        last = self.record["last_offset"]
        return 1 if last is None else max(1, last - self.record["offset"] + 1)

    def bare(self) -> Letter:
        """Without the original's bytes, so that many can be held."""
        return Letter(self.at, {**self.record, "original": b"", "original_key": None})

    def plain(self) -> dict[str, Any]:
        """All but the original's bytes: none of it is personal."""
        shown = ("reason", "field", "detail", "original_bytes", "original_sha256", "last_offset")
        return {"at": self.at, "place": self.place, **{name: self.record[name] for name in shown}}

    def masked(self, registry: Registry) -> dict[str, Any]:
        """`plain`, and of the original what its contract classes as C1; of everything else only how long it is."""
        value, key = self.record["original"], self.record["original_key"]
        return {
            **self.plain(),
            "key": None if key is None else _length(key),
            "original": masked_fields(self.record["topic"], value, registry),
        }

    def whole(self) -> dict[str, Any]:
        """`plain`, and the original's bytes in hexadecimal digits."""
        value, key = self.record["original"], self.record["original_key"]
        return {**self.plain(), "key": None if key is None else key.hex(), "original": value.hex()}


def letters(settings: Settings, topic: str = "", reason: str = "") -> Iterator[Letter]:
    """Every letter that is kept, about a topic (FILES: files) or with a reason if that is said. Raises KafkaException."""
    for letter in letters_from(settings, {}):
        if topic in ("", letter.record["topic"].partition(":")[0]) and reason in ("", letter.record["reason"]):
            yield letter


def letters_from(settings: Settings, first: Mapping[int, int]) -> Iterator[Letter]:
    """The letters at and behind an offset of each partition; of one that is not named all. Raises KafkaException."""
    name, registry = settings.topic(LETTERS_TOPIC), registry_for(settings)
    there = admin.client(settings.kafka).list_topics(timeout=ANSWER_S).topics  # of all: to ask for one could create it
    if (found := there.get(name)) is None:
        raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, f"there is no topic {name}"))
    for block in blocks_to_the_end(settings.kafka, [(name, partition) for partition in found.partitions], first):
        for one in log_entries(block.batches, block.start, block.end, block.lost):
            if (letter := _letter(one.value or b"", one.at, registry)) is not None:
                yield letter


def newest(found: Iterator[Letter], limit: int) -> list[Letter]:
    """The newest ones, the newest first; those of one moment by where their records lie, the last first."""
    return heapq.nlargest(limit, found, key=lambda letter: (letter.at, letter.source))


def masked_fields(topic: str, value: bytes, registry: Registry) -> dict[str, Any]:
    """The fields of a record that its contract classes as C1, and the length of the others; of other bytes their length."""
    try:
        record = decode_one(value, registry, name=topic)
        classes = _classes(topic)
    except (RecordError, OSError, KeyError):
        return {"unreadable": _length(value)}
    return {
        name: content if classes.get(name) == _OPEN or content is None else _length(content)
        for name, content in record.items()
    }


@lru_cache(maxsize=64)
def _classes(topic: str) -> dict[str, str]:
    return {field["name"]: field.get("classification", "") for field in contract(topic)["fields"]}


def _length(content: Any) -> str:
    if isinstance(content, NUMBERS):
        return "a number"
    return f"{len(content)} {'bytes' if isinstance(content, bytes) else 'characters'}"


def _letter(value: bytes, at: int, registry: Registry) -> Letter | None:
    try:
        return Letter(at, decode_one(value, registry, name=LETTERS_TOPIC))
    except RecordError:  # somebody else's record, or one beyond the bounds: nothing to be done about it here
        return None


async def redrive(settings: Settings, chosen: list[Letter]) -> list[tuple[Letter, str]]:
    """Reads the source of each letter again and writes it anew: (letter, what stood in the way, "" where nothing did).

    The record comes as it was, with its key and headers, to the partition it was in; of a letter for many all that lie between its
    offsets. Their ids keep them from counting twice. Raises KafkaException or KafkaError where the brokers do not answer or take it.
    """
    recovery.install_blocks(settings, INPUTS, recovery.changelog_topic(settings, STANDING))
    producer, done = Producer(producer_config(settings)), list[tuple[Letter, str]]()
    failed: list[KafkaError] = []

    def delivered(problem: KafkaError | None, _message: Message) -> None:
        if problem is not None:
            failed.append(problem)

    consumer = await recovery.open_consumer(settings)
    try:
        for letter in chosen:
            topic, partition = settings.topic(letter.record["topic"]), letter.record["partition"]
            if not (problem := _obstacle(settings, letter)):
                try:
                    async for found in _sources(settings, consumer, letter):
                        producer.produce(topic, found.value, found.key, partition, delivered, headers=[*found.headers])
                        if len(producer) >= SENT_AT_ONCE_MAX:
                            _answered(producer)
                except _Missing as missing:
                    problem = str(missing)
            done.append((letter, problem))
        _answered(producer)
    finally:
        await consumer.stop()
    if failed:
        raise KafkaException(failed[0])
    return done


def _answered(producer: Producer) -> None:
    """Waits until the brokers have taken what was sent; KafkaException where they don't in time."""
    if producer.flush(ANSWER_S):
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "records were not taken"))  # noqa: SLF001


class _Missing(Exception):
    """Why a letter's record, or a part of them, is not to be had."""


def _obstacle(settings: Settings, letter: Letter) -> str:
    """Why a letter's records are not sent again, whatever the source holds; "" where nothing stands in the way."""
    topic, partition, reason = (letter.record[name] for name in ("topic", "partition", "reason"))
    if topic.startswith(f"{FILES}:"):
        return "it is a line of a file: correct it there and import the file again"
    if topic not in INPUTS:
        return "it is no input: correct what reads it, then `tidegauge rebuild`"
    if not 0 <= partition < settings.partitions:
        return f"{topic} has no partition {partition}"
    if topic in LAST_COUNTS:
        return LAST_COUNTS[topic]
    several = letter.record["last_offset"] is not None
    if several and reason in DAMAGED:
        return "it stands for records that can't be told apart: correct them at the source"
    if several and topic == "policies":
        return "a pack among them may have been retracted since: send those that are meant with `tidegauge policy activate`"
    if reason in MISPLACED.values():
        return "it would lie wrong again: correct its producer, and let that send it"
    return ""


async def _sources(settings: Settings, consumer: Any, letter: Letter) -> AsyncIterator[DefaultRecord]:
    """The records between a letter's offsets, within the bounds of a record. _Missing where that is not all of them."""
    topic, partition, offset = letter.source
    place, behind, one = TopicPartition(settings.topic(topic), partition), offset + letter.offsets, letter.offsets == 1
    first, end = (await consumer.beginning_offsets([place]))[place], (await consumer.end_offsets([place]))[place]
    start, stop, found = max(offset, first), min(behind, end), False
    if start < stop:
        try:
            async for block in recovery.blocks(consumer, place, start, stop):
                if one and any(lost.offset <= offset <= lost.last for lost in block.lost):
                    raise _Missing("it is beyond the bounds (docs/guarantees.md): correct it at the source")
                for record in with_headers(block):
                    if start <= record.offset < stop:
                        found = True
                        yield record
        except UnicodeDecodeError:
            raise _Missing("the name of a header is no text: correct it at the source") from None
    if not found or start > offset:
        gone = "it is" if one else f"what lay below offset {start} is" if found else "all of it is"
        raise _Missing(
            f"{gone} gone from {topic}, which holds offsets {first} to {end - 1}: ask the source to send it again"
        )
