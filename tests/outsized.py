"""Record batches that are far larger than they look, made by hand: what an attacker or a clumsy neighbour may send."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import cramjam
from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

from deploy.connections.clients import aiokafka_options

MIB = 1 << 20
CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
HEADER = struct.Struct(">qiibIhiqqqhii")
Value = bytes | int  # so many zeros
Record = tuple[bytes | None, Value]


def varint(number: int) -> bytes:
    """Zigzag."""
    z, out = (number << 1) ^ (number >> 63), bytearray()
    while z > 127:
        out.append(z & 127 | 128)
        z >>= 7
    return bytes([*out, z])


def clear(records: Iterable[Record]) -> Iterator[bytes]:
    """The records as they stand in a batch, in pieces of at most a megabyte."""
    for delta, (key, value) in enumerate(records):
        size = value if isinstance(value, int) else len(value)
        name = varint(-1) if key is None else varint(len(key)) + key
        head = b"\0\0" + varint(delta) + name + varint(size)
        yield varint(len(head) + size + 1) + head
        if isinstance(value, int):
            yield from [bytes(min(MIB, size - at)) for at in range(0, size, MIB)]
        else:
            yield value
        yield b"\0"


def squeezed(codec: int, pieces: Iterable[bytes]) -> bytes:
    """The pieces in a codec, never all of them in memory."""
    if codec == 0:
        return b"".join(pieces)
    if codec == 2:  # Xerial's blocks, as Java writes them
        blocks = [bytes(cramjam.snappy.compress_raw(piece)) for piece in pieces]
        return b"\x82SNAPPY\0\0\0\0\1\0\0\0\1" + b"".join(len(block).to_bytes(4, "big") + block for block in blocks)
    # Brokers take blocks of lz4 only if none depends on another.
    new = {
        1: cramjam.gzip.Compressor,
        3: partial(cramjam.lz4.Compressor, block_linked=False),
        4: cramjam.zstd.Compressor,
    }
    compressor = new[codec]()
    for piece in pieces:
        compressor.compress(piece)
    return bytes(compressor.finish())


class Outsized:
    """A batch as aiokafka's producer takes it from `send_batch`."""

    def __init__(self, records: list[Record], codec: int) -> None:
        self.count, self.codec, self.body = len(records), codec, squeezed(codec, clear(records))
        self.state = (-1, -1, -1)

    def append(self, **_: object) -> None:
        """It is full."""

    def close(self) -> None:
        """It is closed."""

    def closed(self) -> bool:
        """Always."""
        return True

    def size(self) -> int:
        """Bytes of the batch."""
        return HEADER.size + len(self.body)

    def record_count(self) -> int:
        """Records in the batch."""
        return self.count

    def _set_producer_state(self, producer_id: int, epoch: int, sequence: int) -> None:
        self.state = (producer_id, epoch, sequence)

    def _build(self) -> bytes:
        head = (0, self.size() - 12, -1, 2, 0, self.codec, self.count - 1, 1, 1, *self.state, self.count)
        raw = HEADER.pack(*head) + self.body
        return raw[:17] + struct.pack(">I", calc_crc32c(raw[21:])) + raw[21:]


def raw_batch(records: list[Record], codec: int, base: int = 0) -> bytes:
    """The batch as a broker keeps it."""
    return struct.pack(">q", base) + Outsized(records, codec)._build()[8:]


def send(kafka: str, topic: str, partition: int, batches: Iterable[Outsized]) -> list[int]:
    """Sends the batches one by one; the offset of each one's first record."""

    async def go() -> list[int]:
        producer = AIOKafkaProducer(**aiokafka_options(kafka), max_request_size=16 << 20, acks="all")
        await producer.start()
        try:
            sent = [await (await producer.send_batch(batch, topic, partition=partition)) for batch in batches]
            return [found.offset for found in sent]
        finally:
            await producer.stop()

    return asyncio.run(go())


def peak_kb() -> int:
    """Resident memory of this process at most so far. Not `getrusage`: a child begins there with what its parent had."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
