"""A partition's history in the order in which a worker has met it, as far as what it has published shows that.

Records come as the brokers have stamped them, postings among the others. A worker looks at cases where a transaction ends, and a
look that tells nothing leaves no trace: so it is enough to end one behind every posting and act that a published alert names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from agents.engine.job import Block
from agents.engine.record_batches import HEADER
from agents.engine.transport import BatchHeader
from agents.offline.memory_log import batch
from schemas.codec.batches import Lost
from schemas.codec.blocks import log_entries
from schemas.codec.records import HEADER_BYTES, MAGIC, SCHEMAS_MAX, RecordError, decode_one
from schemas.topics import INPUTS

if TYPE_CHECKING:
    from schemas.registry import Registry

_CAUSES: Final = ("transactions", "crm-actions")


class Piece(NamedTuple):
    """Some records of a topic. ends: a transaction of the worker has ended behind them."""

    stamp: int
    block: Block
    ends: bool


def pieces(block: Block, causes: set[str], registry: Registry, stamp: int = 0) -> Iterator[Piece]:
    """A block batch by batch, cut behind each record that an alert names; `causes` loses it: the same again changes nothing.

    Stamps do not fall below `stamp`.
    """
    at = block.start
    for number, raw in enumerate(block.batches):
        head = BatchHeader(*HEADER.unpack_from(raw))
        stamp = max(stamp, head.last_timestamp)
        end = block.end if number + 1 == len(block.batches) else head.base_offset + head.last_offset_delta + 1
        cuts = _cuts(raw, at, end, causes, registry) if causes and block.tp.topic.endswith(_CAUSES) else []
        if not cuts:
            yield Piece(stamp, Block(block.tp, at, end, [raw], len(raw), _lost(block, at, end)), False)
        else:
            yield from _cut(block, raw, (at, end), cuts, stamp)
        at = end
    if not block.batches:
        yield Piece(stamp, block, False)


def _cuts(raw: bytes | memoryview, start: int, end: int, causes: set[str], registry: Registry) -> list[int]:
    """Offsets of the records that alerts name, and that were not met before."""
    found = []
    for entry in log_entries([raw], start, end):
        if entry.value and (event := _event_id(entry.value, registry)) in causes:
            causes.discard(event or "")
            found.append(entry.offset)
    return found


def _event_id(value: bytes, registry: Registry) -> str | None:
    """The id of an event, read where the contracts have it, at the beginning; None for what has none."""
    if value[:1] == MAGIC and _begins_with_id(registry, int.from_bytes(value[1:HEADER_BYTES], "big")):
        size, at = value[HEADER_BYTES], HEADER_BYTES + 1
        if size >= 128:
            size, at = size & 127 | value[at] << 7, at + 1
        return value[at : at + size // 2].decode(errors="replace")
    try:
        return str(decode_one(value, registry).get("event_id"))
    except RecordError:
        return None  # a mark, or what the job puts aside


@lru_cache(maxsize=SCHEMAS_MAX)
def _begins_with_id(registry: Registry, schema_id: int) -> bool:
    schema = registry.schema(schema_id)
    first = schema["fields"][0] if isinstance(schema, dict) and schema.get("fields") else {}
    return bool(first.get("name") == "event_id" and first.get("type") == "string")


def _cut(
    block: Block, raw: bytes | memoryview, span: tuple[int, int], cuts: Sequence[int], stamp: int
) -> Iterator[Piece]:
    entries, at = [(e.offset, e.key, e.value) for e in log_entries([raw], *span)], span[0]
    for cut in (*cuts, span[1] - 1):
        records = [entry for entry in entries if at <= entry[0] <= cut]
        batches = [batch(records, stamp)] if records else []
        if cut >= at:
            size, lost = sum(map(len, batches)), _lost(block, at, cut + 1)
            yield Piece(stamp, Block(block.tp, at, cut + 1, batches, size, lost), cut in cuts)
        at = max(at, cut + 1)


def _lost(block: Block, start: int, end: int) -> list[Lost]:
    return [one for one in block.lost if start <= one.last and one.offset < end] if block.lost else []


def _of_topic(blocks: Sequence[Block], causes: set[str], registry: Registry) -> Iterator[Piece]:
    stamp = 0
    for block in blocks:
        for piece in pieces(block, causes, registry, stamp):
            stamp = piece.stamp
            yield piece


async def guided(
    others: Sequence[Sequence[Block]], postings: AsyncIterator[Block], causes: set[str], registry: Registry
) -> AsyncIterator[Piece]:  # fmt: skip
    """The pieces of all topics in the order of their stamps; `others` by topic, in the order of INPUTS where stamps are equal."""
    found = (
        ((piece.stamp, place, number), piece)
        for place, blocks in enumerate(others)
        for number, piece in enumerate(_of_topic(blocks, causes, registry))
    )
    waiting, at, stamp = sorted(found, key=lambda entry: entry[0]), 0, 0
    async for block in postings:
        for piece in pieces(block, causes, registry, stamp):
            stamp = piece.stamp
            while at < len(waiting) and waiting[at][0][0] < stamp:
                yield waiting[at][1]
                at += 1
            yield piece
    for _, piece in waiting[at:]:
        yield piece


assert INPUTS[0] == "transactions"  # postings first where stamps are equal, as a worker takes them
