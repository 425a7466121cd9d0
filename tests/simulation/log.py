"""One partition of a simulated topic: stored batches, open and aborted transactions, the stable offset, compaction.

Batches are the real bytes (message format v2), so that the engine's own reader walks them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from agents.engine.record_batches import CRC_FROM, HEADER, TRANSACTIONAL
from agents.engine.transport import CONTROL, BatchHeader

Pair = tuple[bytes | None, bytes | None]
BATCH_BYTES_MAX = 1 << 20


class Stored(NamedTuple):
    """A batch in the log."""

    base: int
    last: int
    raw: bytes
    producer: int  # -1 outside of a transaction
    control: bool


class Record(NamedTuple):
    """A record that a committed reader gets."""

    offset: int
    key: bytes | None
    value: bytes | None


class PartitionLog:
    """Appends are atomic; what is read is up to the last stable offset unless said otherwise."""

    def __init__(self) -> None:
        self.batches: list[Stored] = []
        self.written: list[Stored] = []  # the same before any compaction
        self.start = self.end = 0
        self.open: dict[int, int] = {}  # producer -> first offset of its open transaction
        self.aborted: list[tuple[int, int, int]] = []  # producer, first offset, offset of the marker
        self.aborts: list[tuple[int, int, int]] = []  # the same before any compaction

    @property
    def stable(self) -> int:
        """The last stable offset."""
        return min(self.open.values(), default=self.end)

    def append(self, raw: bytes, producer: int = -1) -> int:
        """A batch as a producer sent it; its base offset."""
        header = BatchHeader._make(HEADER.unpack_from(raw))
        base, self.end = self.end, self.end + header.last_offset_delta + 1
        if producer >= 0:
            self.open.setdefault(producer, base)
        control = bool(header.attributes & CONTROL)
        self.written.append(Stored(base, self.end - 1, base.to_bytes(8, "big") + raw[8:], producer, control))
        self.batches.append(self.written[-1])
        return base

    def mark(self, producer: int, epoch: int, commit: bool) -> None:
        """The control record that ends a transaction."""
        key = struct.pack(">hh", 0, int(commit))
        raw = encode([(key, struct.pack(">hi", 0, 0))], producer, epoch, TRANSACTIONAL | CONTROL)
        first = self.open.get(producer, self.end)
        offset = self.append(raw, producer)
        self.open.pop(producer)
        if not commit:
            self.aborted.append((producer, first, offset))
            self.aborts.append((producer, first, offset))

    def fetch(
        self, offset: int, bytes_max: int, committed: bool, *, written: bool = False
    ) -> tuple[bytes, list[tuple[int, int]]]:
        """Batches from the one that holds `offset` on, and the aborted transactions that touch them.

        `written`: as if nothing were compacted.
        """
        stop, parts, size, last = self.stable if committed else self.end, [], 0, offset
        aborted = self.aborts if written else self.aborted
        for batch in self.written if written else self.batches:
            if batch.last < offset:
                continue
            if batch.base >= stop or (size and size + len(batch.raw) > bytes_max):
                break
            parts.append(batch.raw)
            size, last = size + len(batch.raw), batch.last
        return b"".join(parts), [(p, first) for p, first, mark in aborted if mark >= offset and first <= last]

    def records(self, written: bool = True) -> Iterator[Record]:
        """Every record that a committed reader gets, by a way of its own; `written`: as if nothing were compacted."""
        for batch in self.written if written else self.batches:
            if batch.last >= self.stable or batch.control or self._is_aborted(batch):
                continue
            for record in DefaultRecordBatch(batch.raw):
                yield Record(record.offset, record.key, record.value)

    def _is_aborted(self, batch: Stored) -> bool:
        return any(p == batch.producer and first <= batch.base < mark for p, first, mark in self.aborts)

    def compact(self, upto: int) -> int:
        """Keep the last record of every key below an offset; the number of records dropped. Offsets stay."""
        upto = min(upto, self.stable, self.batches[-1].base if self.batches else 0)
        latest = {record.key: record.offset for record in self.records(written=False) if record.offset < upto}
        kept, dropped = list[Stored](), 0
        for batch in self.batches:
            if batch.base >= upto or batch.last >= upto:
                kept.append(batch)
                continue
            if batch.control:
                continue  # nothing below is open, and what was aborted goes now
            records = [] if self._is_aborted(batch) else list(DefaultRecordBatch(batch.raw))
            rest = [r for r in records if latest.get(r.key) == r.offset]
            dropped += len(records) - len(rest)
            if rest:
                kept.append(batch._replace(raw=_only(batch, {r.offset for r in rest})))
        self.batches = kept
        self.aborted = [item for item in self.aborted if item[2] >= upto]
        return dropped


def encode(pairs: list[Pair], producer: int = -1, epoch: int = -1, attributes: int = 0) -> bytes:
    """Records as one uncompressed batch."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=0, producer_id=producer, producer_epoch=epoch, base_sequence=-1,
        batch_size=BATCH_BYTES_MAX,
    )  # fmt: skip
    for i, (key, value) in enumerate(pairs):
        builder.append(i, 0, key, value, [])
    return _patched(bytes(builder.build()), attributes=attributes)


def _patched(raw: bytes, **fields: int) -> bytes:
    """The batch with other header fields and the right checksum."""
    head = HEADER.pack(*BatchHeader._make(HEADER.unpack_from(raw))._replace(**fields))
    crc = calc_crc32c(head[CRC_FROM:] + raw[HEADER.size :])
    return head[: CRC_FROM - 4] + crc.to_bytes(4, "big") + head[CRC_FROM:] + raw[HEADER.size :]


def _only(batch: Stored, offsets: set[int]) -> bytes:
    """A batch with some of its records, at their offsets."""
    header = BatchHeader._make(HEADER.unpack_from(batch.raw))
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=0, producer_id=header.producer_id,
        producer_epoch=header.producer_epoch, base_sequence=-1, batch_size=BATCH_BYTES_MAX,
    )  # fmt: skip
    for record in DefaultRecordBatch(batch.raw):
        if record.offset in offsets:
            builder.append(record.offset - batch.base, 0, record.key, record.value, [])
    attributes = header.attributes & TRANSACTIONAL
    return _patched(
        bytes(builder.build()), base_offset=batch.base, attributes=attributes, last_offset_delta=batch.last - batch.base
    )
