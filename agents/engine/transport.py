"""Raw fetches to blocks: walks v2 batches, checks CRCs, leaves out control and aborted data, decompresses. No I/O.

A block ends behind the batch that fills it, or inside of one that is too large for a block: what follows is fetched
again. So what waits in memory has bounds (schemas.bounds), however much a few compressed bytes may unpack to.

No Python object is made per record here; `records` is the slow way out for the engine's own changelog and for tests.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecord, DefaultRecordBatch

from agents.engine.job import TP, Block
from agents.engine.record_batches import CRC_FROM, HEADER, TRANSACTIONAL, crc32c
from schemas import bounds
from schemas.codec.batches import BatchError, Lost, Unpacked, unpack, whole

LENGTH_AT = 12  # the length counts from here
CONTROL = 0x20  # attribute bit
ABORT = 0  # type of a control record

log = logging.getLogger(__name__)
_told: set[TP] = set()  # partitions of which it has been said that others write there

# Producer id and first offset of a transaction that was aborted.
Aborted = tuple[int, int]


class CorruptBatch(Exception):
    """Bytes that are not what a producer sent; fetching again may help, skipping would lose events."""

    def __init__(self, tp: TP, offset: int, reason: str) -> None:
        super().__init__(f"{tp.topic}/{tp.partition}: batch at offset {offset}: {reason}")
        self.tp, self.offset = tp, offset


class BatchHeader(NamedTuple):
    """The header of a v2 record batch, field by field."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    first_timestamp: int
    last_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    number: int


def take_block(
    tp: TP,
    raw: bytes | memoryview,
    start: int,
    aborted: Iterable[Aborted] = (),
    *,
    committed: bool = True,
    crc: bool = True,
    own: bool = False,
) -> Block | None:
    """One fetch answer as a block from offset `start`; None if it holds no whole batch. Raises CorruptBatch.

    `own`: the engine's own records, which are all handed on, whatever their size; what is in no transaction there is
    somebody else's, and passed over. Else what is beyond the bounds, or does not decompress, is told in the block's `lost`.
    A batch that turns out damaged behind good ones ends the block before it, and raises at the next fetch.
    """
    view, begins = memoryview(raw), sorted(aborted, key=lambda item: item[1])
    batches: list[bytes | memoryview] = []
    lost: list[Lost] = []
    size = count = 0  # of what was unpacked so far
    doomed: set[int] = set()  # producers inside a transaction that was aborted
    at, end = 0, start
    while at + HEADER.size <= len(view) and size < bounds.BLOCK_BYTES_MAX and count < bounds.BLOCK_RECORDS_MAX:
        header = BatchHeader._make(HEADER.unpack_from(view, at))
        behind, following = at + LENGTH_AT + header.length, header.base_offset + header.last_offset_delta + 1
        if behind > len(view):  # the broker cuts an answer at its size limit
            break
        batch = view[at:behind]
        try:
            _check(tp, header, batch, crc)
            if committed:
                while begins and begins[0][1] <= header.base_offset:
                    doomed.add(begins.pop(0)[0])
            if header.attributes & CONTROL:
                if committed and control_type(batch) == ABORT:
                    doomed.discard(header.producer_id)
            elif own and not header.attributes & TRANSACTIONAL:
                _foreign(tp, header)
            elif not (committed and header.attributes & TRANSACTIONAL and header.producer_id in doomed):
                found = _unpacked(tp, header, batch, start, own)
                batches.append(found.batch)
                lost += found.lost
                size, count = size + found.size, count + header.number
                if found.end < following:  # the rest of it with the next fetch
                    end = found.end
                    break
        except CorruptBatch:
            if end == start:
                raise
            break
        at, end = behind, following
    return Block(tp, start, end, batches, sum(map(len, batches)), tuple(lost)) if end > start else None


def _foreign(tp: TP, header: BatchHeader) -> None:
    """Say once of a partition that somebody else writes there."""
    if tp not in _told:
        _told.add(tp)
        log.warning(
            "%s/%d: what lies at offset %d is not the workers' own, and is passed over: who else writes there? Take the right "
            "to it away", tp.topic, tp.partition, header.base_offset,
        )  # fmt: skip


def _check(tp: TP, header: BatchHeader, batch: memoryview, crc: bool) -> None:
    """Raise CorruptBatch unless this is a v2 batch with the right checksum."""
    if header.magic != 2:
        raise CorruptBatch(tp, header.base_offset, f"message format {header.magic}, only 2 is known")
    if crc and crc32c(batch[CRC_FROM:]) != header.crc:
        raise CorruptBatch(tp, header.base_offset, "wrong checksum")


def _unpacked(tp: TP, header: BatchHeader, batch: memoryview, start: int, own: bool) -> Unpacked:
    """The batch with its records in clear, within bounds; CorruptBatch where an own one does not unpack."""
    if not own:
        return unpack(batch, start)
    try:
        clear = whole(batch)
    except BatchError as problem:
        raise CorruptBatch(tp, header.base_offset, str(problem)) from problem
    return Unpacked(clear, (), header.base_offset + header.last_offset_delta + 1, len(clear))


def control_type(batch: memoryview) -> int:
    """The type of a control batch's record: its key is version and type, two bytes each."""
    for record in DefaultRecordBatch(bytes(batch)):
        return int.from_bytes(record.key[2:4], "big")
    return -1


def records(block: Block) -> Iterator[tuple[int, bytes | None, bytes | None]]:
    """Offset, key and value of the block's records, one Python object each."""
    return ((record.offset, record.key, record.value) for record in with_headers(block))


def headers_of(block: Block) -> dict[int, dict[str, bytes | None]]:
    """Headers by offset, of the records that have any and can be read."""
    found: dict[int, dict[str, bytes | None]] = {}
    with suppress(CorruptRecordException, ValueError):  # UnicodeDecodeError is one
        for record in with_headers(block):
            if record.headers:
                found[record.offset] = dict(record.headers)
    return found


def with_headers(block: Block) -> Iterator[DefaultRecord]:
    """The block's records with their headers."""
    for batch in block.batches:
        for record in DefaultRecordBatch(bytes(batch)):
            if block.start <= record.offset < block.end:
                yield record
