"""Records and batches beyond the bounds: what is left out is told, what stands beside it is read, memory stays small."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cramjam
import pytest
from aiokafka.record.util import calc_crc32c
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.engine.job import TP, Block
from agents.engine.record_batches import HEADER
from agents.engine.transport import BatchHeader, CorruptBatch, records, take_block
from schemas import bounds
from schemas.codec.blocks import Columns, Reader, decode, log_entries
from schemas.codec.records import encode
from schemas.codec.status import Status
from schemas.letters import Original, dead_letter
from tests.outsized import MIB, raw_batch
from tests.schemas.helpers import batch, posting_value, row

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
WHERE = TP("transactions", 0)
TX = Reader("transactions")
ROOT = Path(__file__).resolve().parents[2]

every_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
every_compression = pytest.mark.parametrize("codec", [1, 2, 3, 4], ids=[*CODECS][1:])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds of a hundredth, so that a test needs no time."""
    for name, value in {"BLOCK_BYTES_MAX": 1 << 17, "UNPACKED_BYTES_MAX": 1 << 21, "RECORD_BYTES_MAX": 1 << 15}.items():
        monkeypatch.setattr(bounds, name, value)


def sealed(raw: bytes) -> bytes:
    """The batch with a right checksum."""
    head = BatchHeader._make(HEADER.unpack_from(raw))
    return HEADER.pack(*head._replace(crc=calc_crc32c(raw[21:]))) + raw[HEADER.size :]


def recompressed(raw: bytes, codec: int, body: bytes) -> bytes:
    """The batch with another body of a codec."""
    out = bytearray(raw[:61])
    out[22] = out[22] & ~7 | codec
    out[8:12] = (49 + len(body)).to_bytes(4, "big")
    return sealed(bytes(out) + body)


def raw_snappy(raw: bytes) -> bytes:
    """The plain batch in snappy as librdkafka writes it, in one piece."""
    return recompressed(raw, 2, bytes(cramjam.snappy.compress_raw(raw[61:])))


def blocks(raw: bytes, start: int) -> Iterator[Block]:
    """All blocks of a log, fetched as often as it takes: each time from the batch on that holds the next offset."""
    ends = [(at, head.base_offset + head.last_offset_delta) for at, head in heads(raw)]
    while start <= ends[-1][1]:
        block = take_block(WHERE, raw[next(at for at, last in ends if last >= start) :], start)
        assert block is not None
        assert block.start == start < block.end
        yield block
        start = block.end


def heads(raw: bytes) -> Iterator[tuple[int, BatchHeader]]:
    """Place and header of each batch."""
    at = 0
    while at < len(raw):
        head = BatchHeader._make(HEADER.unpack_from(raw, at))
        yield at, head
        at += 12 + head.length


def columns(raw: bytes, start: int = 0) -> list[Columns]:
    """Everything from an offset on, block by block."""
    return [decode(b.batches, TX, b.start, b.end, b.lost) for b in blocks(raw, start)]


def told(found: list[Columns]) -> list[tuple[int, int, Original]]:
    """Offset, status and original of all records that are not good."""
    return [(int(c.offset[i]), int(c.status[i]), c.original(i)) for c in found for i in range(c.n) if c.status[i] >= 10]


def good(found: list[Columns]) -> list[int]:
    """Offsets of the good records."""
    return [int(c.offset[i]) for c in found for i in range(c.n) if c.status[i] == Status.OK]


@every_codec
def test_one_record_that_no_letter_could_hold(codec: int) -> None:
    """4,194,223 random bytes: the letter has their head, length and hash, and fits into any topic."""
    value = random.Random(1).randbytes(4_194_223)
    found = columns(batch([posting_value(1), value, posting_value(2)], codec=codec))
    assert good(found) == [0, 2]
    [(offset, status, original)] = told(found)
    assert (offset, status) == (1, Status.TOO_LARGE)
    whole = len(value), hashlib.sha256(value).hexdigest()
    assert original == (value[: bounds.LETTER_VALUE_BYTES_MAX], *whole, b"k", None, "")
    letter = dead_letter("transactions", 0, 1, "too large", original)
    assert (letter["original_bytes"], letter["original_sha256"]) == whole
    assert len(encode("dead-letters", letter)) < 80_000


@every_codec
@pytest.mark.usefixtures("small")
def test_a_record_beyond_its_bound_leaves_its_neighbours(codec: int) -> None:
    """Large records here and there in a large batch: each one is told, all others are read, at their offsets."""
    rng = random.Random(codec)
    values = [rng.randbytes(1 << 16) if i % 7 == 3 else posting_value(i) for i in range(40)]
    keys: list[bytes | None] = [None if i % 5 == 3 else b"key %d" % i * (1 + 5000 * (i == 3)) for i in range(40)]
    found = columns(batch(values, 100, keys=keys, codec=codec), 100)
    assert good(found) == [100 + i for i in range(40) if i % 7 != 3]
    large = told(found)
    assert [offset - 100 for offset, _, _ in large] == list(range(3, 40, 7))
    for offset, _, original in large:
        value, key = values[offset - 100], keys[offset - 100]
        assert original.head == value[: bounds.LETTER_VALUE_BYTES_MAX]
        assert (original.size, original.sha256) == (len(value), hashlib.sha256(value).hexdigest())
        assert original.key == (None if key is None else key[: bounds.LETTER_KEY_BYTES_MAX])
    everything = [
        (int(c.offset[i]), row(c, TX, i)["journal_seq"]) for c in found for i in range(c.n) if c.status[i] == 0
    ]
    assert everything == [(100 + i, i) for i in range(40) if i % 7 != 3]


@every_compression
@pytest.mark.usefixtures("small")
def test_beyond_the_unpacked_bound_one_letter_names_the_rest(codec: int) -> None:
    """What lies below the bound is read; one row says which offsets do not; the next batch goes on."""
    values = [posting_value(0), *[b"\0" * (1 << 19)] * 10, posting_value(9)]
    raw = batch(values, 50, codec=codec) + batch([posting_value(3)], 62)
    found = columns(raw, 50)
    assert good(found) == [50, 62]
    *large, (offset, status, original) = told(found)
    assert [(o, s) for o, s, _ in large] == [(o, Status.TOO_LARGE) for o in (51, 52, 53)]
    assert (offset, status, original.last, original.size, original.sha256) == (
        54,
        Status.BATCH_TOO_LARGE,
        61,
        None,
        None,
    )
    assert str(bounds.UNPACKED_BYTES_MAX) in original.why


@pytest.mark.usefixtures("small")
def test_snappy_in_one_piece() -> None:
    """librdkafka's snappy says how long it is: below the bound it is gone through, beyond it all is told at once."""
    found = columns(raw_snappy(batch([posting_value(0), b"\0" * (1 << 19), posting_value(2)])))
    assert (good(found), [(o, s) for o, s, _ in told(found)]) == ([0, 2], [(1, Status.TOO_LARGE)])
    found = columns(raw_snappy(batch([posting_value(0), *[b"\0" * (1 << 19)] * 9])))
    assert (good(found), [(o, s, x.last) for o, s, x in told(found)]) == ([], [(0, Status.BATCH_TOO_LARGE, 9)])


@every_codec
def test_too_many_records(codec: int) -> None:
    """Seven bytes a record: more of them than a batch may have are one letter, and the partition goes on."""
    count = bounds.BATCH_RECORDS_MAX + 1
    plain = bytearray(batch([b"x"], 10))
    plain[23:27], plain[57:61] = (count - 1).to_bytes(4, "big"), count.to_bytes(4, "big")
    body = b"\x0c\0\0\0\1\1\0" * count
    squeeze = {0: bytes, 1: cramjam.gzip.compress, 3: cramjam.lz4.compress, 4: cramjam.zstd.compress}
    pack = squeeze.get(codec, cramjam.snappy.compress_raw)
    raw = recompressed(bytes(plain), codec, bytes(pack(body)))
    found = columns(raw + batch([posting_value(1)], 10 + count), 10)
    assert good(found) == [10 + count]
    [(offset, status, original)] = told(found)
    assert (offset, status, original.last) == (10, Status.BATCH_TOO_LARGE, 9 + count)
    assert str(bounds.BATCH_RECORDS_MAX) in original.why


@every_compression
def test_a_body_that_does_not_unpack(codec: int) -> None:
    """With a right checksum it will never be better: one letter for its offsets, the partition goes on."""
    whole = batch([posting_value(i) for i in range(20)], 5, codec=codec)
    spoilt = recompressed(whole, codec, whole[61:-30])
    found = columns(spoilt + batch([posting_value(1)], 25), 5)
    assert good(found) == [25]
    [(offset, status, original)] = told(found)
    assert (offset, status, original.last) == (5, Status.BAD_BLOCK, 24)
    assert f"codec {codec}" in original.why
    with pytest.raises(CorruptBatch, match=f"codec {codec}"):
        take_block(
            WHERE, recompressed(batch([b"a"], 5, codec=codec, transactional=True), codec, whole[61:-30]), 5, own=True
        )


def test_an_unknown_codec() -> None:
    """A letter too."""
    raw = recompressed(batch([posting_value(1)]), 5, b"x")
    assert [(o, s, x.why) for o, s, x in told(columns(raw))] == [(0, Status.BAD_BLOCK, "codec 5: unknown codec")]


@every_compression
@pytest.mark.usefixtures("small")
def test_own_records_are_whole(codec: int) -> None:
    """A changelog's rows are handed on whatever their size; beyond the bound the recovery says so."""
    values = [b"a" * 10, os.urandom(1 << 19), b"b" * (1 << 19)]
    block = take_block(WHERE, batch(values, codec=codec, transactional=True), 0, own=True)
    assert block is not None
    assert [value for _, _, value in records(block)] == values
    with pytest.raises(CorruptBatch, match="more than 2097152 bytes"):
        take_block(WHERE, batch([bytes(1 << 19)] * 5, codec=codec, transactional=True), 0, own=True)


@pytest.mark.usefixtures("small")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.sampled_from([0, 0, 0, 20_000, 40_000, 300_000]), min_size=1, max_size=40),
    gaps=st.randoms(use_true_random=False),
    codec=st.sampled_from([*CODECS.values()]),
    cut=st.integers(0, 100),
    stop=st.integers(0, 120),
)
def test_a_function_of_the_log(sizes: list[int], gaps: random.Random, codec: int, cut: int, stop: int) -> None:
    """Wherever a read begins and ends, each offset there gives the same row: whether a first read, a replay, or a part."""
    deltas = sorted(gaps.sample(range(100), len(sizes)))
    values: list[bytes | None] = [posting_value(i) if size == 0 else bytes(size) for i, size in enumerate(sizes)]
    raw = batch(values, deltas=deltas, codec=codec)
    whole = {
        int(c.offset[i]): (int(c.status[i]), c.original(i), c.data[i].tolist()[2])
        for c in columns(raw) for i in range(c.n)
    }  # fmt: skip
    assert whole.keys() <= set(deltas) | {d + 1 for d in deltas}
    last = deltas[-1]
    if cut > last:
        return
    part = {
        int(c.offset[i]): (int(c.status[i]), c.original(i), c.data[i].tolist()[2])
        for b in blocks(raw, cut)
        for c in [decode(b.batches, TX, b.start, min(b.end, stop), b.lost)]
        for i in range(c.n)
    }
    ranges = {o for o, (s, _, _) in whole.items() if s == Status.BATCH_TOO_LARGE}
    assert {o: x for o, x in part.items() if x[0] != Status.BATCH_TOO_LARGE} == {
        o: x for o, x in whole.items() if cut <= o < stop and o not in ranges
    }
    assert all(x.last == last for s, x, _ in part.values() if s == Status.BATCH_TOO_LARGE)


WIDE = dict.fromkeys(("event_id", "channel", "counterparty_bank", "counterparty_ref", "reverses"), "x" * 512)


@pytest.mark.usefixtures("small")
@every_compression
def test_a_block_never_grows_beyond_its_bound(codec: int) -> None:
    """A batch of small records that unpacks to many blocks comes in as many; so do many batches of one answer."""
    values = [posting_value(i, **WIDE) for i in range(400)]
    found = list(blocks(batch(values, codec=codec), 0))
    assert len(found) > 5
    assert max(block.size for block in found) < bounds.BLOCK_BYTES_MAX + bounds.RECORD_BYTES_MAX
    answers = b"".join(batch([posting_value(i, **WIDE)] * 40, 40 * i, codec=codec) for i in range(20))
    several = list(blocks(answers, 0))
    assert len(several) > 5
    assert max(block.size for block in several) < 2 * bounds.BLOCK_BYTES_MAX
    assert good([decode(b.batches, TX, b.start, b.end, b.lost) for b in several]) == list(range(800))


@pytest.mark.usefixtures("small")
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.sampled_from([None, 0, 0, 20_000, 40_000, 300_000]), min_size=1, max_size=30),
    codec=st.sampled_from([*CODECS.values()]),
    damage=st.lists(st.tuples(st.integers(61, 400), st.integers(0, 255)), max_size=2),
)
def test_entries_are_what_the_columns_are(sizes: list[int | None], codec: int, damage: list[tuple[int, int]]) -> None:
    """One by one or in columns, damaged or not: the same offsets, keys, values, and the same words for what is lost."""
    values = [None if size is None else posting_value(i) if size == 0 else bytes(size) for i, size in enumerate(sizes)]
    raw = bytearray(batch(values, 7, codec=codec))
    for at, byte in damage:
        raw[min(at, len(raw) - 1)] = byte
    for found in blocks(sealed(bytes(raw)), 7):
        one_by_one = log_entries(found.batches, found.start, found.end, found.lost)
        c = decode(found.batches, TX, found.start, found.end, found.lost)
        assert [one.offset for one in one_by_one] == c.offset.tolist()
        for i, one in enumerate(one_by_one):
            if c.status[i] in (Status.TOO_LARGE, Status.BAD_BLOCK, Status.BATCH_TOO_LARGE):
                assert one.lost is not None
                assert (one.lost.status, one.lost.original, one.value) == (c.status[i], c.original(i), None)
                assert one.end == one.lost.last + 1
            else:
                assert (one.lost, one.key, one.value) == (None, c.key_bytes(i), c.value_bytes(i))
                assert one.at == 1_700_000_000_000 + len(values) - 1


MEMORY = """
import sys
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from tests.outsized import peak_kb
from tests.schemas.test_bounds import columns, good, told, zeros
raw = zeros(int(sys.argv[1]), int(sys.argv[2]))
before = peak_kb()
found = columns(raw)
print(len(raw), (peak_kb() - before) >> 10, good(found), len(told(found)))
"""


def zeros(codec: int, count: int = 60, size: int = 16 * MIB) -> bytes:
    """A posting, `count` records of `size` zeros and a posting in one batch, made without holding them all."""
    return raw_batch([(b"k", posting_value(0)), *[(None, size)] * count, (b"k", posting_value(1))], codec)


@pytest.mark.slow
@pytest.mark.parametrize(("codec", "count"), [(1, 20), (2, 20), (3, 20), (4, 60)], ids=[*CODECS][1:])
def test_sixty_records_of_sixteen_megabytes_of_zeros(codec: int, count: int) -> None:
    """A gigabyte in a few kilobytes: the process grows by less than 500 MB, and says what it left out."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(codec), str(count)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    size, grown, read, letters = done.stdout.split()
    assert (read, int(letters)) == ("[0]", 16)
    assert int(grown) < 500
    assert int(size) < 64 * MIB
