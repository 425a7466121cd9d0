"""Records in bulk: keys and values as two buffers, and the kernel that lays them out as Kafka v2 record batches.

A changelog row or a standing so never becomes a Python object: appending them took longer than computing them.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import accumulate, groupby
from typing import Any, NamedTuple

import google_crc32c
import numba as nb
import numpy as np
from aiokafka import codec

from schemas.codec.kernel import Bytes, Longs
from schemas.codec.pointers import Pointer, bytes_at
from streams.kernels.varints import long_bytes, write_long

FEW = 64
FRAMING_BYTES_MAX = 24  # of a record's own fields beside key and value
# The header of a batch, message format v2 (KIP-98): base offset, length, leader epoch, magic, crc, attributes,
# last offset delta, first and last timestamp, producer id, producer epoch, base sequence, count.
HEADER = struct.Struct(">qiibIhiqqqhii")
CRC_FROM = 21  # the checksum covers what lies behind it
TRANSACTIONAL = 0x10  # attribute bit
COMPRESS = {
    None: (0, bytes),
    "gzip": (1, codec.gzip_encode),
    "snappy": (2, codec.snappy_encode),
    "lz4": (3, partial(codec.lz4_encode, level=1)),  # the default, 9, takes twelve times as long for a tenth less
    "zstd": (4, partial(codec.zstd_encode, level=1)),
}


class Packed(NamedTuple):
    """n records: key i is keys[key_ends[i-1]:key_ends[i]], value i likewise."""

    keys: Bytes
    key_ends: Longs
    values: Bytes
    value_ends: Longs

    @property
    def records(self) -> int:
        """How many."""
        return len(self.key_ends)

    def pairs(self) -> Iterator[tuple[bytes, bytes]]:
        """One by one."""
        keys, values, k, v = self.keys.tobytes(), self.values.tobytes(), 0, 0
        for key_end, value_end in zip(self.key_ends.tolist(), self.value_ends.tolist(), strict=True):
            yield keys[k:key_end], values[v:value_end]
            k, v = key_end, value_end


_Item = tuple[bytes | None, bytes | None] | Packed


def flat(items: Iterable[_Item]) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Pairs, packed or not, one by one."""
    for item in items:
        if isinstance(item, Packed):
            yield from item.pairs()
        else:
            yield item


def few(packed: Packed) -> list[_Item]:
    """A few records as pairs, to share a batch with others: one of their own would cost a round trip to the broker."""
    return [*packed.pairs()] if packed.records <= FEW else [packed]


def joined(items: Iterable[_Item]) -> list[_Item]:
    """The same records in the same order, pairs beside packed ones packed with them, but for deletions.

    A producer has one batch of a partition on its way at a time, so each further one costs a round trip to the broker.
    """
    out: list[_Item] = []
    some = (item for item in items if not isinstance(item, Packed) or item.records)
    for packable, run in groupby(some, lambda item: isinstance(item, Packed) or None not in item):
        alike = list(run)
        many = packable and len(alike) > 1 and any(isinstance(item, Packed) for item in alike)
        out += [_merged(alike)] if many else alike
    return out


def _merged(items: list[_Item]) -> Packed:
    parts = [item if isinstance(item, Packed) else _packed(*item) for item in items]

    def behind(ends: list[Longs]) -> tuple[list[int], Longs]:
        sizes = [int(end[-1]) for end in ends]
        return sizes, np.concatenate([end + start for end, start in zip(ends, accumulate([0, *sizes]), strict=False)])

    key_sizes, key_ends = behind([part.key_ends for part in parts])
    value_sizes, value_ends = behind([part.value_ends for part in parts])
    keys = np.concatenate([part.keys[:size] for part, size in zip(parts, key_sizes, strict=True)])
    values = np.concatenate([part.values[:size] for part, size in zip(parts, value_sizes, strict=True)])
    return Packed(keys, key_ends, values, value_ends)


def _packed(key: Any, value: Any) -> Packed:
    return Packed(
        np.frombuffer(key, np.uint8), np.array([len(key)]), np.frombuffer(value, np.uint8), np.array([len(value)])
    )


class PackedBatch:
    """A full batch as aiokafka's producer takes it from `send_batch`: what it calls of BatchBuilder."""

    def __init__(self, body: bytes, count: int, compression: str | None, transactional: bool = True) -> None:
        kind, compress = COMPRESS[compression]
        self._attributes, self._body, self._count = kind | (TRANSACTIONAL * transactional), compress(body), count
        self._state = (-1, -1, 0)
        self._buffer: bytes | None = None

    def append(self, **_: Any) -> None:
        """It is full."""

    def close(self) -> None:
        """It is closed."""

    def closed(self) -> bool:
        """Always: nothing can be added."""
        return True

    def size(self) -> int:
        """Bytes of the batch."""
        return HEADER.size + len(self._body)

    def record_count(self) -> int:
        """Records in the batch."""
        return self._count

    def _set_producer_state(self, producer_id: int, epoch: int, sequence: int) -> None:
        self._state = (producer_id, epoch, sequence)

    def _build(self) -> bytes:
        if self._buffer is None:
            length = self.size() - 12
            now = time.time_ns() // 1_000_000  # 0 would be older than any topic keeps
            head = HEADER.pack(
                0, length, -1, 2, 0, self._attributes, self._count - 1, now, now, *self._state, self._count
            )  # fmt: skip
            crc = crc32c(self._body, crc32c(head[CRC_FROM:]))
            self._buffer = head[:17] + struct.pack(">I", crc) + head[CRC_FROM:] + self._body
        return self._buffer


def crc32c(data: bytes | memoryview, before: int = 0) -> int:
    """CRC-32C of `data` behind what has the checksum `before`. By the processor's own instruction, where it has one."""
    view = np.frombuffer(data, np.uint8)
    view.flags.writeable = False  # the library takes nothing else
    return int(google_crc32c.extend(before, view))


def batches(
    packed: Packed, bytes_max: int, compression: str | None, transactional: bool = True
) -> Iterator[PackedBatch]:
    """The records in order as batches of at most `bytes_max` uncompressed bytes; a larger record has one of its own."""
    first, out = 0, np.empty(bytes_max, np.uint8)
    while first < packed.records:
        last, size = _lay_out(
            packed.keys.ctypes.data, packed.key_ends, packed.values.ctypes.data, packed.value_ends, first,
            out.ctypes.data, len(out),
        )  # fmt: skip
        if last == first:
            out = np.empty(2 * len(out), np.uint8)
            continue
        yield PackedBatch(out[:size].tobytes(), last - first, compression, transactional)
        first = last


def fill(items: Iterable[_Item], new: Callable[[], Any], bytes_max: int, compression: str | None) -> Iterator[Any]:
    """Batches of pairs and packed records in their order; `new` gives the empty ones that pairs go into."""
    batch = new()
    for item in items:
        if isinstance(item, Packed):
            if batch.record_count():
                yield batch
                batch = new()
            yield from batches(item, bytes_max, compression)
        elif batch.append(key=item[0], value=item[1], timestamp=None) is None:  # full; an empty one takes any size
            yield batch
            batch = new()
            batch.append(key=item[0], value=item[1], timestamp=None)
    if batch.record_count():
        yield batch


@nb.njit(cache=True, nogil=True)
def _copy(out: Pointer, at: int, source: Pointer, begin: int, length: int) -> int:
    """Copies bytes; where what follows begins. Through pointers, since over arrays the loop is not vectorized."""
    for j in range(length):
        out[at + j] = source[begin + j]
    return at + length


@nb.njit(cache=True, nogil=True)
def _lay_out(
    keys_at: int, key_ends: Longs, values_at: int, value_ends: Longs, first: int, out_at: int, size: int
) -> tuple[int, int]:
    """Records from `first` on into the `size` bytes at `out_at` while they fit: (first that does not fit, bytes)."""
    keys, values, out = bytes_at(keys_at), bytes_at(values_at), bytes_at(out_at)
    at = 0
    for i in range(first, len(key_ends)):
        k = key_ends[i - 1] if i > 0 else 0
        v = value_ends[i - 1] if i > 0 else 0
        key_length, value_length = key_ends[i] - k, value_ends[i] - v
        if at + FRAMING_BYTES_MAX + key_length + value_length > size:
            return i, at
        delta = i - first
        body = 3 + long_bytes(delta) + long_bytes(key_length) + key_length
        body += long_bytes(value_length) + value_length
        at = write_long(out, at, body)
        out[at] = out[at + 1] = 0  # attributes, timestamp delta: the topics carry the broker's time
        at = write_long(out, at + 2, delta)
        at = write_long(out, at, key_length)
        at = _copy(out, at, keys, k, key_length)
        at = write_long(out, at, value_length)
        at = _copy(out, at, values, v, value_length)
        out[at] = 0  # no headers
        at += 1
    return len(key_ends), at


@nb.njit(cache=True, nogil=True)
def _gather(arena_at: int, refs: Longs, prefix: int, out_at: int, ends: Longs) -> int:
    """The texts of packed references one behind the other, each behind a byte `prefix` if that is >= 0."""
    arena, out = bytes_at(arena_at), bytes_at(out_at)
    at = 0
    for i in range(len(refs)):
        if prefix >= 0:
            out[at] = prefix
            at += 1
        at = _copy(out, at, arena, refs[i] >> 20, refs[i] & 0xFFFFF)
        ends[i] = at
    return at


def texts(arena: Bytes, refs: Longs, prefix: bytes = b"") -> tuple[Bytes, Longs]:
    """(buffer, ends) of the texts of packed references, each behind `prefix` (one byte, or none)."""
    ends = np.empty(len(refs), np.int64)
    out = np.empty(int((refs & 0xFFFFF).sum()) + len(prefix) * len(refs), np.uint8)
    size = _gather(arena.ctypes.data, refs, prefix[0] if prefix else -1, out.ctypes.data, ends)
    return out[:size], ends
