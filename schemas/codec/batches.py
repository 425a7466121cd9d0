"""Kafka v2 record batches as bytes: check the frame, undo the compression, within bounds of memory (schemas.bounds).

What a batch becomes depends on its bytes and the first offset wanted alone, so a replay sees what the first read saw.
A batch that unpacks to no more than a block is handed on as it is, and the decoder judges its records. A larger one is
unpacked once, one at a time in a process, and gone through: records within bounds are copied out of it, the others
leave a `Lost` with what a dead letter says of them.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import cramjam
import numpy as np

from schemas import bounds
from schemas.codec.kernel import Bytes, frame_at, scan
from schemas.codec.status import Status
from schemas.letters import Original

BATCH_HEADER_BYTES: Final = 61
RECORD_BYTES_MIN: Final = 7
_LENGTH_AT, _MAGIC_AT, _ATTRIBUTES_AT, _LAST_DELTA_AT, _LAST_TIME_AT, _COUNT_AT = 8, 16, 22, 23, 35, 57
_CODEC_MASK: Final = 7
_XERIAL: Final = b"\x82SNAPPY\0"
_XERIAL_HEADER_BYTES: Final = 16
_STREAMS: Final = {1: cramjam.gzip, 3: cramjam.lz4, 4: cramjam.zstd}
_SNAPPY: Final = 2
_FULL: Final = "whole buffer"  # in cramjam's words where the output is full; what fits has been written by then
_FAILURES: Final = (cramjam.DecompressionError, struct.error, ValueError)

Batch = bytes | memoryview

_large = threading.Lock()
_local = threading.local()


class BatchError(ValueError):
    """These bytes are not one whole v2 record batch."""


class Lost(NamedTuple):
    """A record that is not handed on, or all that stands at `offset` and behind it in its batch."""

    offset: int
    status: Status
    original: Original
    at: int = 0  # its batch's `appended_ms`

    @property
    def last(self) -> int:
        """The last offset it stands for."""
        return self.offset if self.original.last is None else self.original.last


class Unpacked(NamedTuple):
    """A batch in clear, or a part of it: what lies below `end`, the next offset to read. `size`: bytes unpacked for it."""

    batch: Batch
    lost: tuple[Lost, ...]
    end: int
    size: int


def check_batch(batch: Batch) -> None:
    """Raises BatchError for what is not one whole v2 batch."""
    size = len(batch)
    if size < BATCH_HEADER_BYTES or batch[_MAGIC_AT] != 2 or int.from_bytes(batch[_LENGTH_AT:12], "big") != size - 12:
        raise BatchError(f"not a whole v2 record batch: {size} bytes")


def base_offset(batch: Batch) -> int:
    """Offset that the records' deltas count from."""
    return int.from_bytes(batch[:8], "big", signed=True)


def last_offset(batch: Batch) -> int:
    """The last offset that the batch stands for."""
    return base_offset(batch) + int.from_bytes(batch[_LAST_DELTA_AT:27], "big", signed=True)


def appended_ms(batch: Batch) -> int:
    """When the broker appended the batch, ms since the epoch; the producer's latest instant where a topic keeps those."""
    return int.from_bytes(batch[_LAST_TIME_AT : _LAST_TIME_AT + 8], "big", signed=True)


def declared(batch: Batch) -> int:
    """Records in the batch, as its header says."""
    return int.from_bytes(batch[_COUNT_AT:BATCH_HEADER_BYTES], "big")


def records_max(batch: Batch) -> int:
    """At most this many records are in an uncompressed batch, whatever its header says."""
    return min(declared(batch), (len(batch) - BATCH_HEADER_BYTES) // RECORD_BYTES_MIN)


def whole(batch: Batch) -> Batch:
    """The batch in clear with every record, whatever its size: for what the engine itself has written.

    Its CRC no longer holds. Raises BatchError for what does not decompress, or to more than UNPACKED_BYTES_MAX.
    """
    check_batch(batch)
    codec = batch[_ATTRIBUTES_AT] & _CODEC_MASK
    if codec == 0:
        return batch
    place = f"codec {codec} at offset {base_offset(batch)}"
    try:
        if (clear := _small(batch, codec)) is not None:
            return clear
        with _large:
            out = np.empty(bounds.UNPACKED_BYTES_MAX, np.uint8)
            size, cut = _decompress(codec, batch[BATCH_HEADER_BYTES:], out)
            if cut:
                raise ValueError(f"more than {bounds.UNPACKED_BYTES_MAX} bytes")
            return _clear(batch, [out[:size].data], declared(batch))
    except _FAILURES as error:
        raise BatchError(f"{place}: {error}") from error


def unpack(batch: Batch, start: int, room: int | None = None) -> Unpacked:
    """The batch in clear from offset `start` on: gzip, snappy, lz4 or zstd undone, within bounds. Its CRC no longer holds.

    Args:
        batch: a whole one (`check_batch`), its checksum verified.
        start: the first offset wanted.
        room: bytes of records after which it stops, where the batch is a large one; None: BLOCK_BYTES_MAX.
    """
    codec = batch[_ATTRIBUTES_AT] & _CODEC_MASK
    try:
        clear = batch if codec == 0 else _small(batch, codec)
        if clear is None:
            with _large:
                out = np.empty(bounds.UNPACKED_BYTES_MAX, np.uint8)
                size, cut = _decompress(codec, batch[BATCH_HEADER_BYTES:], out)
                if min(declared(batch), size // RECORD_BYTES_MIN) <= bounds.BATCH_RECORDS_MAX:
                    return _picked(batch, out[:size], cut, start, bounds.BLOCK_BYTES_MAX if room is None else room)
        elif records_max(clear) <= bounds.BATCH_RECORDS_MAX:
            return Unpacked(clear, (), last_offset(batch) + 1, len(clear))
    except _FAILURES as error:
        return _refused(batch, start, Status.BAD_BLOCK, f"codec {codec}: {error}")
    why = f"{declared(batch)} records in a batch, more than {bounds.BATCH_RECORDS_MAX}"
    return _refused(batch, start, Status.BATCH_TOO_LARGE, why)


def _small(batch: Batch, codec: int) -> bytes | None:
    """The batch in clear; None where it is larger than a block. Raises one of _FAILURES."""
    out = _scratch()
    size, cut = _decompress(codec, batch[BATCH_HEADER_BYTES:], out)
    return None if cut else _clear(batch, [out[:size].data], declared(batch))


def _clear(batch: Batch, parts: Sequence[Any], count: int) -> bytes:
    """A batch with this header and these records."""
    head = bytearray(batch[:BATCH_HEADER_BYTES])
    head[_LENGTH_AT:12] = struct.pack(">i", BATCH_HEADER_BYTES - 12 + sum(map(len, parts)))
    head[_ATTRIBUTES_AT] &= ~_CODEC_MASK
    head[_COUNT_AT:BATCH_HEADER_BYTES] = struct.pack(">I", count)
    return b"".join((head, *parts))


def _refused(batch: Batch, start: int, status: Status, why: str) -> Unpacked:
    """Nothing of the batch, and one Lost for all of it."""
    first, last = max(base_offset(batch), start), last_offset(batch)
    original = Original(b"", None, None, None, last, why)
    lost = (Lost(first, status, original, appended_ms(batch)),) if first <= last else ()
    return Unpacked(_clear(batch, [], 0), lost, last + 1, len(batch))


def _picked(batch: Batch, clear: Bytes, cut: bool, start: int, room: int) -> Unpacked:
    """The records of a large batch from `start` on that are within bounds, up to `room` bytes; `cut`: it goes on."""
    base, last = base_offset(batch), last_offset(batch)
    count, kept, lost, parts = declared(batch), 0, list[Lost](), list[bytes]()
    at, before, size = 0, -1, len(clear)
    while count > 0:
        begin, at, read, taken, before = scan(
            clear.ctypes.data, at, size, count, before, last - base, start - base, room, bounds.RECORD_BYTES_MAX
        )
        parts.append(clear[begin:at].tobytes())
        count, kept, room = count - read, kept + taken, room - (at - begin)
        if room <= 0 and count > 0:
            return Unpacked(_clear(batch, parts, kept), tuple(lost), base + before + 1, size)
        following, delta, key, key_size, value, value_size = frame_at(clear.ctypes.data, at, size)
        if count == 0 or following < 0 or not before < delta <= last - base:
            break
        if base + delta >= start:
            name = None if key_size < 0 else clear[key : key + key_size]
            original = Original.of(None if value_size < 0 else clear[value : value + value_size], name)
            lost.append(Lost(base + delta, Status.TOO_LARGE, original, appended_ms(batch)))
        at, before, count = following, delta, count - 1
    first, appended = max(base + before + 1, start), appended_ms(batch)
    if cut and first <= last:
        why = f"the batch unpacks to more than {bounds.UNPACKED_BYTES_MAX} bytes"
        lost.append(Lost(first, Status.BATCH_TOO_LARGE, Original(b"", None, None, None, last, why), appended))
    elif at != size and first <= last:
        lost.append(Lost(first, Status.BAD_BLOCK, Original.of(clear[at:], None, last), appended))
    return Unpacked(_clear(batch, parts, kept), tuple(lost), last + 1, size)


def _scratch() -> Bytes:
    """Room for a block, this thread's own; fresh memory for each batch would cost more than unpacking it."""
    if getattr(_local, "room", None) is None or len(_local.room) != bounds.BLOCK_BYTES_MAX:
        _local.room = np.empty(bounds.BLOCK_BYTES_MAX, np.uint8)
    found: Bytes = _local.room
    return found


def _decompress(codec: int, data: Batch, out: Bytes) -> tuple[int, bool]:
    """Fills `out`: (bytes written, whether there is more than fits). Raises one of _FAILURES."""
    if codec == _SNAPPY:
        return _snappy(data, out)
    if codec not in _STREAMS:
        raise ValueError("unknown codec")
    try:
        return _STREAMS[codec].decompress_into(data, out.data), False
    except cramjam.DecompressionError as error:
        if _FULL not in str(error):
            raise
        return len(out), True


def _snappy(data: Batch, out: Bytes) -> tuple[int, bool]:
    """Raw snappy (librdkafka), or Xerial's blocks of it (Java)."""
    if bytes(data[: len(_XERIAL)]) != _XERIAL:
        size = _raw_snappy(data, out)
        return max(size, 0), size < 0
    at, written = _XERIAL_HEADER_BYTES, 0
    while at < len(data):
        (size,) = struct.unpack_from(">i", data, at)
        if not 0 <= size <= len(data) - at - 4:
            raise ValueError("a snappy block passes the end")
        if (more := _raw_snappy(data[at + 4 : at + 4 + size], out[written:])) < 0:
            return written, True
        at, written = at + 4 + size, written + more
    return written, False


def _raw_snappy(data: Batch, out: Bytes) -> int:
    """Bytes written; -1 where it says to be longer than there is room for."""
    size = int(cramjam.snappy.decompress_raw_len(data))
    return -1 if size > len(out) else int(cramjam.snappy.decompress_raw_into(data, out.data))
