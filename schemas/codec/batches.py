"""Kafka v2 record batches as bytes: check the frame, undo the compression, within bounds of memory."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

import cramjam

HEADER_BYTES: Final = 61
RECORD_BYTES_MIN: Final = 7
UNCOMPRESSED_BYTES_MAX: Final = 256 << 20
_LENGTH_AT, _MAGIC_AT, _ATTRIBUTES_AT, _COUNT_AT = 8, 16, 22, 57
_CODEC_MASK: Final = 7
_XERIAL: Final = b"\x82SNAPPY\0"
_XERIAL_HEADER_BYTES: Final = 16

Batch = bytes | memoryview


class BatchError(ValueError):
    """These bytes are not one whole v2 record batch."""


def uncompressed(batch: Batch) -> Batch:
    """The batch with its records in clear: gzip, snappy, lz4 or zstd undone. Its CRC no longer holds; check it before.

    Raises BatchError for what is not one whole v2 batch, has an unknown codec or does not decompress.
    """
    size = len(batch)
    if size < HEADER_BYTES or batch[_MAGIC_AT] != 2 or int.from_bytes(batch[_LENGTH_AT:12], "big") != size - 12:
        raise BatchError(f"not a whole v2 record batch: {size} bytes")
    codec = batch[_ATTRIBUTES_AT] & _CODEC_MASK
    if codec == 0:
        return batch
    try:
        body = _decompress(codec, batch[HEADER_BYTES:])
    except (cramjam.DecompressionError, struct.error, ValueError) as error:
        raise BatchError(f"codec {codec} at offset {base_offset(batch)}: {error}") from error
    head = bytearray(batch[:HEADER_BYTES])
    head[_LENGTH_AT:12] = struct.pack(">i", HEADER_BYTES - 12 + len(body))
    head[_ATTRIBUTES_AT] &= ~_CODEC_MASK
    return b"".join((head, body))


def base_offset(batch: Batch) -> int:
    """Offset that the records' deltas count from."""
    return int.from_bytes(batch[:8], "big", signed=True)


def records_max(batch: Batch) -> int:
    """At most this many records are in an uncompressed batch, whatever its header says."""
    declared = int.from_bytes(batch[_COUNT_AT:HEADER_BYTES], "big")
    return min(declared, (len(batch) - HEADER_BYTES) // RECORD_BYTES_MIN)


def _decompress(codec: int, data: Batch) -> Batch:
    if codec == 1:
        return _grown(cramjam.gzip.decompress_into, data)
    if codec == 2:
        return _snappy(data)
    if codec == 3:
        return _grown(cramjam.lz4.decompress_into, data)
    if codec == 4:
        return _grown(cramjam.zstd.decompress_into, data)
    raise ValueError("unknown codec")


def _grown(decompress_into: Callable[[Batch, bytearray], int], data: Batch) -> Batch:
    """Decompresses into a buffer that is doubled until it is enough: the streams don't say how long they are."""
    room = min(max(8 * len(data), 1 << 16), UNCOMPRESSED_BYTES_MAX)
    while True:
        out = bytearray(room)
        try:
            return memoryview(out)[: decompress_into(data, out)]
        except cramjam.DecompressionError as error:
            if "whole buffer" not in str(error) or room >= UNCOMPRESSED_BYTES_MAX:
                raise
        room = min(4 * room, UNCOMPRESSED_BYTES_MAX)


def _snappy(data: Batch) -> bytes:
    """Raw snappy (librdkafka), or Xerial's blocks of it (Java)."""
    if bytes(data[: len(_XERIAL)]) != _XERIAL:
        return _raw_snappy(data, UNCOMPRESSED_BYTES_MAX)
    parts, at, room = [], _XERIAL_HEADER_BYTES, UNCOMPRESSED_BYTES_MAX
    while at < len(data):
        (size,) = struct.unpack_from(">i", data, at)
        if not 0 <= size <= len(data) - at - 4:
            raise ValueError("a snappy block passes the end")
        parts.append(_raw_snappy(data[at + 4 : at + 4 + size], room))
        at, room = at + 4 + size, room - len(parts[-1])
    return b"".join(parts)


def _raw_snappy(data: Batch, room: int) -> bytes:
    if cramjam.snappy.decompress_raw_len(data) > room:
        raise ValueError(f"more than {UNCOMPRESSED_BYTES_MAX} bytes")
    return bytes(cramjam.snappy.decompress_raw(data))
