"""Raw fetches to blocks: walks v2 batches, checks CRCs, leaves out control and aborted data, decompresses. No I/O.

No Python object is made per record here; `records` is the slow way out for the engine's own changelog and for tests.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from aiokafka import codec
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.util import calc_crc32c

from agents.engine.job import TP, Block
from agents.engine.packing import CRC_FROM, HEADER, TRANSACTIONAL

LENGTH_AT = 12  # the length counts from here
CODEC, CONTROL = 0x07, 0x20  # attribute bits
DECOMPRESS = {1: codec.gzip_decode, 2: codec.snappy_decode, 3: codec.lz4_decode, 4: codec.zstd_decode}
ABORT = 0  # type of a control record

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
) -> Block | None:
    """One fetch answer as a block from offset `start`; None if it holds no whole batch. Raises CorruptBatch.

    A batch that turns out damaged behind good ones ends the block before it, and raises at the next fetch.
    """
    view, begins = memoryview(raw), sorted(aborted, key=lambda item: item[1])
    batches: list[bytes | memoryview] = []
    doomed: set[int] = set()  # producers inside a transaction that was aborted
    at, end = 0, start
    while at + HEADER.size <= len(view):
        header = BatchHeader._make(HEADER.unpack_from(view, at))
        whole = LENGTH_AT + header.length
        if at + whole > len(view):  # the broker cuts an answer at its size limit
            break
        batch = view[at : at + whole]
        try:
            _check(tp, header, batch, crc)
            if committed:
                while begins and begins[0][1] <= header.base_offset:
                    doomed.add(begins.pop(0)[0])
            if header.attributes & CONTROL:
                if committed and control_type(batch) == ABORT:
                    doomed.discard(header.producer_id)
            elif not (committed and header.attributes & TRANSACTIONAL and header.producer_id in doomed):
                batches.append(_uncompressed(tp, header, batch))
        except CorruptBatch:
            if end == start:
                raise
            break
        at, end = at + whole, header.base_offset + header.last_offset_delta + 1
    return Block(tp, start, end, batches, sum(map(len, batches))) if end > start else None


def _check(tp: TP, header: BatchHeader, batch: memoryview, crc: bool) -> None:
    """Raise CorruptBatch unless this is a v2 batch with the right checksum."""
    if header.magic != 2:
        raise CorruptBatch(tp, header.base_offset, f"message format {header.magic}, only 2 is known")
    if crc and calc_crc32c(batch[CRC_FROM:]) != header.crc:  # any buffer will do
        raise CorruptBatch(tp, header.base_offset, "wrong checksum")


def _uncompressed(tp: TP, header: BatchHeader, batch: memoryview) -> bytes | memoryview:
    """The batch with its records in clear; the very same bytes if they are."""
    if not (kind := header.attributes & CODEC):
        return batch
    if kind not in DECOMPRESS:
        raise CorruptBatch(tp, header.base_offset, f"unknown codec {kind}")
    try:
        body = DECOMPRESS[kind](bytes(batch[HEADER.size :]))
    except Exception as problem:  # each codec library has its own errors
        raise CorruptBatch(tp, header.base_offset, f"codec {kind}: {problem}") from problem
    clear = header._replace(length=HEADER.size - LENGTH_AT + len(body), attributes=header.attributes & ~CODEC)
    packed: bytes = HEADER.pack(*clear) + body
    return packed


def control_type(batch: memoryview) -> int:
    """The type of a control batch's record: its key is version and type, two bytes each."""
    for record in DefaultRecordBatch(bytes(batch)):
        return int.from_bytes(record.key[2:4], "big")
    return -1


def records(block: Block) -> Iterator[tuple[int, bytes | None, bytes | None]]:
    """Offset, key and value of the block's records, one Python object each."""
    for batch in block.batches:
        for record in DefaultRecordBatch(bytes(batch)):
            if block.start <= record.offset < block.end:
                yield record.offset, record.key, record.value
