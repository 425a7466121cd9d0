"""The raw-batch walk against batches built by aiokafka's own builder, and by hand where no client builds them."""

import random
import struct

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from agents.engine.job import TP
from agents.engine.record_batches import HEADER
from agents.engine.transport import BatchHeader, CorruptBatch, records, take_block

WHERE = TP("left", 3)
PLAIN, GZIP, SNAPPY, LZ4, ZSTD = range(5)


def batch(
    offset: int,
    values: list[bytes],
    codec: int = PLAIN,
    producer: int = -1,
    transactional: bool = False,
    key: bytes = b"key",
) -> bytes:
    """A v2 batch as a broker stores it: values at offset, offset + 1, ..."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=codec, is_transactional=int(transactional), producer_id=producer, producer_epoch=0,
        base_sequence=0, batch_size=1 << 20,
    )  # fmt: skip
    for i, value in enumerate(values):
        builder.append(i, 1_700_000_000_000, key, value, [("trace", b"1")])
    raw = bytearray(builder.build())
    raw[:8] = struct.pack(">q", offset)  # not covered by the checksum
    return bytes(raw)


def control(offset: int, producer: int, kind: int) -> bytes:
    """A commit (1) or abort (0) marker."""
    key, value = struct.pack(">hh", 0, kind), struct.pack(">hi", 0, 0)
    body = b"\x00\x00\x00" + bytes([len(key) << 1]) + key + bytes([len(value) << 1]) + value + b"\x00"
    body = bytes([len(body) << 1]) + body
    head = BatchHeader(offset, 49 + len(body), 0, 2, 0, 0x30, 0, 0, 0, producer, 0, -1, 1)
    whole = HEADER.pack(*head) + body
    return HEADER.pack(*head._replace(crc=calc_crc32c(whole[21:]))) + body


def seen(raw: bytes, start: int = 0, aborted: list[tuple[int, int]] = (), **options: bool) -> list[tuple[int, bytes]]:
    """Offsets and values a block gives."""
    block = take_block(WHERE, raw, start, aborted, **options)
    assert block is not None
    return [(offset, value) for offset, _, value in records(block)]


@pytest.mark.parametrize("codec", [PLAIN, GZIP, SNAPPY, LZ4, ZSTD])
def test_every_codec_gives_the_same_records(codec: int) -> None:
    """A compressed batch becomes a plain v2 batch with the same offsets, keys and values."""
    values = [random.Random(codec).randbytes(30) for _ in range(500)]
    block = take_block(WHERE, batch(700, values, codec), 700)
    assert block is not None
    assert (block.start, block.end, block.tp) == (700, 1200, WHERE)
    assert [(o, k, v) for o, k, v in records(block)] == [(700 + i, b"key", v) for i, v in enumerate(values)]
    assert all(bytes(piece)[22] & 7 == 0 for piece in block.batches)
    assert block.size == sum(map(len, block.batches))


def test_aborted_transactions_are_left_out() -> None:
    """Of a producer with an aborted transaction everything up to its marker is invisible, and only that."""
    raw = b"".join([
        batch(0, [b"a"], producer=7, transactional=True),
        batch(1, [b"b"], producer=8, transactional=True),
        batch(2, [b"plain"]),
        control(3, 7, 0),
        control(4, 8, 1),
        batch(5, [b"again"], producer=7, transactional=True),
        control(6, 7, 1),
    ])  # fmt: skip
    assert seen(raw, aborted=[(7, 0)]) == [(1, b"b"), (2, b"plain"), (5, b"again")]
    assert seen(raw, aborted=[(7, 0)], committed=False) == [(0, b"a"), (1, b"b"), (2, b"plain"), (5, b"again")]


def test_two_aborted_transactions_of_one_producer() -> None:
    """The second abort counts from its own first offset."""
    raw = b"".join([
        batch(0, [b"a"], producer=7, transactional=True), control(1, 7, 0),
        batch(2, [b"b"], producer=7, transactional=True), control(3, 7, 1),
        batch(4, [b"c"], producer=7, transactional=True), control(5, 7, 0),
    ])  # fmt: skip
    assert seen(raw, aborted=[(7, 4), (7, 0)]) == [(2, b"b")]


def test_markers_only_still_move_the_position() -> None:
    """A fetch of control records is an empty block up to their end; else the next block would look like a gap."""
    block = take_block(WHERE, control(9, 7, 1), 9)
    assert block is not None
    assert (block.start, block.end, list(block.batches)) == (9, 10, [])


def test_a_cut_answer_ends_before_the_cut() -> None:
    """The broker cuts answers at its size limit: the torn batch comes with the next fetch."""
    first, second = batch(0, [b"a"]), batch(1, [b"b"])
    for cut in (1, 30, len(second) - 1):
        block = take_block(WHERE, first + second[:cut], 0)
        assert block is not None
        assert block.end == 1
    assert take_block(WHERE, first[:-1], 0) is None


def test_records_below_the_start_and_compacted_gaps() -> None:
    """The first batch may begin below the fetch offset; offsets that compaction removed are just missing."""
    raw = batch(10, [b"a", b"b", b"c"]) + batch(90, [b"d"])
    assert seen(raw, 11) == [(11, b"b"), (12, b"c"), (90, b"d")]


@pytest.mark.parametrize("at", [21, 40, 58, 62, 80])
def test_a_wrong_checksum_is_refused(at: int) -> None:
    """One flipped byte anywhere under the checksum refuses the batch and names place and offset."""
    raw = bytearray(batch(5, [b"some value", b"another"]))
    raw[at] ^= 1
    with pytest.raises(CorruptBatch, match="left/3: batch at offset 5: wrong checksum"):
        take_block(WHERE, bytes(raw), 5)


def test_a_damaged_batch_does_not_take_good_ones_with_it() -> None:
    """What lies before the damage is delivered; the damage raises at the next fetch."""
    bad = bytearray(batch(1, [b"b"]))
    bad[70] ^= 255
    block = take_block(WHERE, batch(0, [b"a"]) + bytes(bad), 0)
    assert block is not None
    assert block.end == 1
    with pytest.raises(CorruptBatch):
        take_block(WHERE, bytes(bad), 1)


def test_old_message_formats_are_refused() -> None:
    """Kafka 4 no longer serves formats before v2."""
    raw = bytearray(batch(0, [b"x"]))
    raw[16] = 1
    with pytest.raises(CorruptBatch, match="message format 1"):
        take_block(WHERE, bytes(raw), 0)


def test_what_others_write_beside_the_workers_own_is_passed_over() -> None:
    """Workers write in transactions only: a record that is in none, on their own topic, is nobody's row, and is said once."""
    raw = batch(0, [b"a"], transactional=True) + batch(1, [b"x", b"y"]) + batch(3, [b"b"], transactional=True)
    assert seen(raw, own=True) == [(0, b"a"), (3, b"b")]
    assert [value for _, value in seen(raw)] == [b"a", b"x", b"y", b"b"]
    alone = take_block(WHERE, batch(1, [b"x", b"y"]), 1, own=True)
    assert alone is not None and (alone.end, list(records(alone))) == (3, [])
