"""What is fuzzed: each target takes any bytes and fails by an exception that the product must never raise.

The bounds are small here, so that small inputs pass them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import cramjam
import numpy as np
from aiokafka.record.util import calc_crc32c

from agents.engine.job import TP, RecoveryError
from agents.engine.record_batches import HEADER, TRANSACTIONAL
from agents.engine.recovery import rows_of
from agents.engine.transport import CorruptBatch, take_block
from connectors.formats.parquet_pages import pages_of
from schemas import bounds
from schemas.codec.blocks import Reader, decode, log_entries
from schemas.codec.records import RecordError, decode_one, encode
from schemas.codec.status import REASONS, Status
from schemas.codec.values import decode_values
from schemas.letters import dead_letter
from schemas.registry import contract, file_registry, names
from schemas.topics import INPUTS
from tidegauge.letters import masked_fields
from tidegauge.world.identity import world_entry

SMALL = {
    "BLOCK_BYTES_MAX": 1 << 14,
    "UNPACKED_BYTES_MAX": 1 << 17,
    "RECORD_BYTES_MAX": 1 << 12,
    "BATCH_RECORDS_MAX": 256,
}
WHERE = TP("transactions", 0)
HEAD = struct.Struct(">BHHB")  # codec and how the body is meant, count, last offset delta, first offset wanted
PACK = {1: cramjam.gzip.compress, 2: cramjam.snappy.compress_raw, 3: cramjam.lz4.compress, 4: cramjam.zstd.compress}
READY = 8  # bit of the first byte: the body is compressed already
TIMES = 16  # bit: the body stands so often one behind the other
TOPIC = 5  # from this bit on: on which input the batch lies
SPARE = 1 << 12  # a batch's own header, and what numpy keeps


def shrink() -> None:
    """Make the bounds small, in this process for good."""
    for name, value in SMALL.items():
        setattr(bounds, name, value)


def batch(data: bytes, attributes: int = 0) -> tuple[bytes, int, int]:
    """A batch with a right checksum out of any bytes: (batch, first offset wanted, offset behind it)."""
    kind, count, last, start = HEAD.unpack(data[: HEAD.size].ljust(HEAD.size, b"\0"))
    kind &= (1 << TOPIC) - 1
    body, codec = data[HEAD.size :] * (64 if kind & TIMES else 1), kind % 8
    if codec in PACK and not kind & READY:
        body = bytes(PACK[codec](body))
    fields = [0, 49 + len(body), 0, 2, 0, codec | attributes, last, 0, 0, -1, -1, -1, count]
    raw = HEADER.pack(*fields) + body
    return raw[:17] + struct.pack(">I", calc_crc32c(raw[21:])) + raw[21:], min(start, last), last + 1


def block(data: bytes) -> None:
    """From the fetch to columns and letters: every offset at most once, in order, whatever the batch."""
    raw, at, end = batch(data)
    topic = INPUTS[(data[0] if data else 0) >> TOPIC]
    reader, before = reader_of(topic), -1
    while at < end:
        found = take_block(WHERE, raw, at)
        assert found is not None
        assert at == found.start < found.end <= end
        assert found.size <= bounds.BLOCK_BYTES_MAX + bounds.RECORD_BYTES_MAX + len(raw) + SPARE
        columns = decode(found.batches, reader, found.start, found.end, found.lost)
        assert columns.n <= bounds.BATCH_RECORDS_MAX + 2 + len(found.lost)
        offsets = columns.offset.tolist()
        one_by_one = log_entries(found.batches, found.start, found.end, found.lost)
        assert [one.offset for one in one_by_one] == offsets
        assert all(one.lost is None or one.end <= end for one in one_by_one)
        assert offsets == sorted(set(offsets))
        assert not offsets or (before < offsets[0] and found.start <= offsets[0] and offsets[-1] < found.end)
        before = offsets[-1] if offsets else before
        for i in np.flatnonzero(columns.status >= Status.BAD_MAGIC).tolist():
            reason = REASONS[Status(columns.status[i])]
            record = dead_letter(topic, 0, offsets[i], reason, columns.original(i))
            letter = encode("dead-letters", record)
            assert masked_fields(topic, record["original"], file_registry()) is not None
            assert len(letter) < bounds.LETTER_VALUE_BYTES_MAX + bounds.LETTER_KEY_BYTES_MAX + SPARE
        at = found.end


def changelog(data: bytes) -> None:
    """The engine's own records: rows, or one of two refusals."""
    raw, at, _ = batch(data, TRANSACTIONAL)
    with suppress(CorruptBatch, RecoveryError):
        found = take_block(WHERE, raw, at, own=True)
        assert found is not None
        assert found.size <= bounds.UNPACKED_BYTES_MAX + len(raw)
        for _ in rows_of(found, found.end):
            pass


@cache
def reader_of(topic: str) -> Reader:
    """One a topic, as a worker has it."""
    return Reader(topic)


def topic_of(data: bytes) -> str:
    """The topic that a value lies on: as its first byte says, or with 0 that of its own schema."""
    if data[:1] > b"\0":
        return names()[data[0] % len(names())]
    schema = file_registry().schema(int.from_bytes(data[2:6], "big"))
    found = [] if schema is None else [name for name in names() if contract(name)["name"] == schema["name"]]
    return found[0] if found else "transactions"


def value(data: bytes) -> None:
    """One record alone on any topic: read, or RecordError; in columns the same bytes are good or bad with a reason."""
    topic, raw = topic_of(data), data[1:]
    columns = decode_values([raw], reader_of(topic))
    assert columns.status[0] < Status.BAD_MAGIC or Status(columns.status[0]) in REASONS
    read: Any = None
    with suppress(RecordError):
        read = decode_one(raw, name=topic)
    if columns.status[0] == Status.OK:
        assert read is not None
    assert masked_fields(topic, raw, file_registry()) is not None
    if read is not None and topic == "world":
        with suppress(ValueError):
            world_entry(read)


def page(data: bytes) -> None:
    """Page headers of a Parquet file: pages, or ValueError."""
    with suppress(ValueError):
        for found in pages_of(data, 0, len(data)):
            assert found.unpacked >= 0


TARGETS: dict[str, Callable[[bytes], None]] = {"block": block, "changelog": changelog, "page": page, "value": value}
