"""Bad bytes: a bad record is a row that says why, its neighbours stay right, nothing is read beyond a record's end."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import Any

import fastavro
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.codec import kernel, primitives
from schemas.codec.batches import BatchError, records_max
from schemas.codec.blocks import Columns, Reader, decode
from schemas.codec.primitives import NULL
from schemas.codec.records import RecordError, decode_one, encode, plain
from schemas.codec.status import REASONS, Status
from schemas.codec.values import decode_values
from schemas.registry import RegistryError, contract, file_registry
from tests.schemas.helpers import ALWAYS, Registry, batch, datum, framed, posting, posting_value, row, values, writers

# fastavro takes these: ints beyond 32 bits, booleans other than 0 and 1, negative indices.
TEXTS = {Status.EMPTY_TEXT, Status.SPACED_TEXT, Status.CONTROL_TEXT, Status.LONG_TEXT}
STRICTER = {Status.BAD_NUMBER, Status.BAD_BOOLEAN, Status.BAD_ENUM, Status.BAD_UNION} | TEXTS
TRANSACTIONS = fastavro.parse_schema(plain(contract("transactions")))
GOOD = posting_value(1)
TX = file_registry().id_of("transactions").to_bytes(4, "big")

FACT = encode("facts", {"event_id": "e", "customer_id": "c", "name": "n", "value": 1, "as_of": 1, "source": "s"})
REVALUED = posting_value(1, nature="fx_revaluation")  # its nature and customer_initiated are the bytes 0e 01


def between(bad: bytes, reader: Reader | None = None) -> Columns:
    """The columns of a bad value between two good ones, which must be right."""
    reader = reader or Reader("transactions")
    columns = decode([batch([posting_value(5), bad, posting_value(6)], 40)], reader, 0, ALWAYS)
    assert columns.offset.tolist() == [40, 41, 42]
    assert (row(columns, reader, 0), row(columns, reader, 2)) == (posting(5), posting(6))
    assert columns.value_bytes(1) == bad
    return columns


NAMED: dict[str, tuple[bytes, Status, str | None]] = {
    "empty": (b"", Status.TRUNCATED, None),
    "magic": (b"\1" + GOOD[1:], Status.BAD_MAGIC, None),
    "text instead": (b'{"event_id": 1}', Status.BAD_MAGIC, None),
    "header cut": (GOOD[:4], Status.TRUNCATED, None),
    "unknown id": (b"\0\xff\xff\xff\xff" + GOOD[5:], Status.UNKNOWN_SCHEMA, None),
    "other contract": (FACT, Status.INCOMPATIBLE, "journal_seq"),
    "nothing after the header": (GOOD[:5], Status.TRUNCATED, "event_id"),
    "cut": (GOOD[:-1], Status.TRUNCATED, "reverses"),
    "padded": (GOOD + b"\0", Status.TRAILING, None),
    "UTF-8": (GOOD.replace("支".encode(), b"\xff\xfe\xfd"), Status.BAD_UTF8, "branch"),
    "surrogate": (GOOD.replace("支".encode(), b"\xed\xa0\x80"), Status.BAD_UTF8, "branch"),
    "overlong": (GOOD.replace("支".encode(), b"\xe0\x80\x80"), Status.BAD_UTF8, "branch"),
    "cut inside a character": (
        GOOD.replace("行".encode(), b"abc").replace("支".encode(), b"ab\xe6"), Status.BAD_UTF8, "branch"),
    "length of eleven bytes": (GOOD[:5] + b"\xff" * 11, Status.BAD_NUMBER, "event_id"),
    "length beyond 64 bits": (GOOD[:5] + b"\xff" * 9 + b"\2", Status.BAD_NUMBER, "event_id"),
    "length of 2**62": (GOOD[:5] + b"\x80" * 8 + b"\x80\1", Status.TRUNCATED, "event_id"),
    "negative length": (GOOD[:5] + b"\1", Status.BAD_LENGTH, "event_id"),
    "value date beyond 32 bits": (
        GOOD.replace(datum("int", 20501), datum("long", 2**31), 1), Status.BAD_NUMBER, "value_date"),
    "the number that stands for null": (posting_value(1, journal_seq=-(2**63)), Status.BAD_NUMBER, "journal_seq"),
    "nature 8": (REVALUED.replace(b"\x0e\1", b"\x10\1"), Status.BAD_ENUM, "nature"),
    "nature -1": (REVALUED.replace(b"\x0e\1", b"\x01\1"), Status.BAD_ENUM, "nature"),
    "boolean 2": (REVALUED.replace(b"\x0e\1", b"\x0e\2"), Status.BAD_BOOLEAN, "customer_initiated"),
    "branch 2 of a union": (GOOD[:-1] + b"\4", Status.BAD_UNION, "reverses"),
    "branch -1 of a union": (GOOD[:-1] + b"\1", Status.BAD_UNION, "reverses"),
    "two megabytes": (posting_value(1, event_id="x" * (2 << 20)), Status.TOO_LARGE, None),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_each_kind_of_damage_has_its_name(name: str) -> None:
    """A bad record carries its status, the field it stumbled over and its bytes; its neighbours are untouched."""
    bad, status, field = NAMED[name]
    columns = between(bad)
    assert Status(columns.status[1]) == status
    assert columns.field[1] == (-1 if field is None else Reader("transactions").index[field])
    assert status in REASONS
    numbers = columns.data[1].tolist()
    first = {
        Status.TOO_LARGE: len(bad),
        Status.UNKNOWN_SCHEMA: 2**32 - 1,
        Status.INCOMPATIBLE: file_registry().id_of("facts"),
    }
    assert numbers == [first.get(status, NULL)] + [NULL] * 16


def test_every_bad_status_has_words() -> None:
    """No dead letter is without a reason."""
    assert set(REASONS) == {s for s in Status if s >= 10}


def test_the_largest_value_and_key() -> None:
    """One byte less than a megabyte is read (its text is too long), a megabyte is too large, and a key is measured alike."""
    room = (1 << 20) - 1 - len(posting_value(1, event_id="x" * 99999)) + 99999
    good, bad = (posting_value(1, event_id="x" * n) for n in (room, room + 1))
    assert (len(good), len(bad)) == ((1 << 20) - 1, 1 << 20)
    columns = decode([batch([good, bad, GOOD], keys=[b"k", b"k", b"k" * (1 << 20)])], Reader("transactions"), 0, ALWAYS)
    assert columns.status.tolist() == [Status.LONG_TEXT, Status.TOO_LARGE, Status.TOO_LARGE]
    assert [columns.value_bytes(i) for i in range(3)] == [good, bad, GOOD]


@pytest.mark.slow
@settings(max_examples=300)
@given(st.data())
def test_random_damage_stays_where_it_is(data: st.DataObject) -> None:
    """A damaged posting is still one, the same that fastavro reads, or has a bad status; neighbours never change."""
    good = posting_value(data.draw(st.integers(1, 10**6)), channel="网银", reverses="r")
    bad = data.draw(damaged(good))
    columns = between(bad)
    status = Status(columns.status[1])
    theirs = _theirs(bad, TRANSACTIONS) if bad[:5] == b"\0" + TX else None
    if status == Status.OK:
        assert row(columns, Reader("transactions"), 1) == theirs
    else:
        assert status >= 10
        assert theirs is None or status in STRICTER


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """Cut, padded, flipped, repeated or overwritten somewhere."""
    at = draw(st.integers(0, len(good)))
    noise = draw(st.binary(min_size=1, max_size=12))
    kind = draw(st.sampled_from(["cut", "pad", "flip", "insert", "overwrite", "remove"]))
    if kind == "flip":
        out = bytearray(good)
        for i in draw(st.lists(st.integers(0, len(good) * 8 - 1), min_size=1, max_size=3)):
            out[i // 8] ^= 1 << i % 8
        return bytes(out)
    return {
        "cut": good[:at], "pad": good + noise, "insert": good[:at] + noise + good[at:],
        "overwrite": good[:at] + noise + good[at + len(noise):], "remove": good[:at] + good[at + len(noise):],
    }[kind]  # fmt: skip


def _theirs(value: bytes, schema: Any) -> Any:
    """What fastavro makes of it: None for an error or for bytes left over."""
    data = io.BytesIO(value[5:])
    try:
        record = fastavro.schemaless_reader(data, schema)
    except Exception:
        return None
    return None if data.read(1) else record


class Guard:
    """Bytes that fail the test where a kernel reads outside what it may."""

    def __init__(self, data: bytes, start: int, stop: int) -> None:
        self.data, self.start, self.stop = data, start, stop

    def __getitem__(self, i: int) -> int:
        assert self.start <= i < self.stop, f"read of byte {i} outside [{self.start}, {self.stop})"
        return self.data[i]


class Flat:
    """An int64 matrix as a pointer sees it, with bounds."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.flat = array.reshape(-1)

    def __getitem__(self, i: int) -> int:
        assert 0 <= i < len(self.flat)
        return int(self.flat[i])

    def __setitem__(self, i: int, value: int) -> None:
        assert 0 <= i < len(self.flat)
        self.flat[i] = value


@pytest.fixture
def interpreted() -> Iterator[None]:
    """The kernels as plain Python, so that Guard sees every access."""
    with pytest.MonkeyPatch.context() as patch, np.errstate(over="ignore"):
        for module in (primitives, kernel):
            for name, thing in list(vars(module).items()):
                if hasattr(thing, "py_func"):
                    patch.setattr(module, name, thing.py_func)
        patch.setattr(primitives, "word_at", word)
        yield


def word(b: Any, at: int) -> Any:
    """As schemas.codec.pointers.word_at."""
    return np.uint64(int.from_bytes(bytes(int(b[at + i]) for i in range(8)), "little"))


def guarded(value: bytes, reader: Reader, code: Any) -> tuple[int, int, list[int]]:
    """Decodes a value in the middle of other bytes, none of which may be read."""
    raw = b"\xaa" * 9 + value + b"\x55" * 9
    data = np.full(len(reader.fields), NULL, np.int64)
    status, field = kernel._datum(
        Guard(raw, 9, 9 + len(value)), 9, 9 + len(value), len(raw), Flat(code.writers), len(code.writers),
        Flat(code.rows), Flat(code.tables), Flat(data), 0,
    )  # fmt: skip
    return status, field, data.tolist()


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_read_passes_the_datum(interpreted: None, data: st.DataObject) -> None:
    """Whatever the schema and the damage, decoding touches no byte outside the record's own."""
    writer = data.draw(writers())
    reader = Reader(
        "t",
        Registry(writer),
        {**writer, "fields": [{"name": "none", "type": "string", "default": ""}, *_scalars(writer)]},
    )
    code = reader.learn([1])
    bad = data.draw(damaged(framed(1, datum(writer, data.draw(values(writer))))))
    status, _, _ = guarded(bad, reader, code)
    assert status in list(Status)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_every_beginning_of_a_datum_is_truncated(interpreted: None, data: st.DataObject) -> None:
    """Wherever a record is cut, the decoder sees it and reads nothing behind the cut."""
    writer = data.draw(writers())
    fields = [{"name": "none", "type": "string", "default": ""}, *_scalars(writer)]
    reader = Reader("t", Registry(writer), {**writer, "fields": fields})
    code = reader.learn([1])
    good = framed(1, datum(writer, data.draw(values(writer))))
    assert guarded(good, reader, code)[0] == Status.OK
    for size in range(len(good)):
        # An array's count or byte size that passes the end is an impossible length.
        assert guarded(good[:size], reader, code)[0] in (Status.TRUNCATED, Status.BAD_LENGTH)


def _scalars(writer: Any) -> list[Any]:
    return [
        f
        for f in writer["fields"]
        if f["type"] not in ("float", "double", ["null"]) and "float" not in f["type"] and "double" not in f["type"]
    ]


def test_counts_that_ask_for_years_of_work_end_at_once() -> None:
    """An array's or map's count is bounded by the bytes left; what has no byte of its own has no reader."""
    array, nothing = (
        {"type": "record", "name": "E", "fields": [{"name": "a", "type": {"type": "array", "items": items}}]}
        for items in ({"type": "array", "items": "boolean"}, "null")
    )
    reader = Reader(
        "t",
        Registry(array, nothing),
        {"type": "record", "name": "E", "fields": [{"name": "x", "type": "int", "default": 0}]},
    )
    bad = [
        framed(1, datum("long", 2**62)), framed(1, datum("long", -(2**63)) + b"\0"),
        framed(1, b"\2" + datum("long", 2**40)), framed(1, b"\3\10\2\0\0\0\0"), framed(1, b"\3\6\2\0\0\0\0"),
        framed(2, datum("long", 2**40) + b"\0"), framed(2, b"\2\0"),
    ]  # fmt: skip
    columns = decode([batch(bad)], reader, 0, ALWAYS)
    length, none = Status.BAD_LENGTH, Status.INCOMPATIBLE
    assert columns.status.tolist() == [length, length, length, Status.OK, length, none, none]


@pytest.mark.slow
@settings(max_examples=200)
@given(st.data())
def test_a_damaged_batch_spoils_no_other(data: st.DataObject) -> None:
    """Of a batch whose framing is nonsense the readable records come and a row for the rest; others stay right."""
    middle = bytearray(batch([posting_value(i) for i in range(10, 16)], 10))
    for at in data.draw(st.lists(st.integers(57, len(middle) - 1), min_size=1, max_size=4)):
        middle[at] = data.draw(st.integers(0, 255))
    reader = Reader("transactions")
    first, last = (batch([posting_value(i) for i in range(o, o + 3)], o) for o in (7, 16))
    columns = decode([first, bytes(middle), last], reader, 0, ALWAYS)
    assert columns.n <= 13
    assert (np.diff(columns.offset) > 0).all()
    for i, offset in enumerate(columns.offset.tolist()):
        if not 10 <= offset < 16:
            assert row(columns, reader, i) == posting(offset)
    assert {7, 8, 9, 16, 17, 18} <= set(columns.offset.tolist())


def _overstepping(what: str, by: int) -> bytes:
    """A batch of one record without headers, one of whose lengths passes the record's end."""
    key, value = b"key", b"value"
    lengths = {"record": 0, "key": len(key), "value": len(value)}
    lengths[what] += by
    parts = (b"\0\0\0", datum("int", lengths["key"]), key, datum("int", lengths["value"]), value)
    body = b"".join(parts)
    raw = batch([GOOD])[:61] + datum("int", len(body) + lengths["record"]) + body
    return raw[:8] + (len(raw) - 12).to_bytes(4, "big") + raw[12:]


@pytest.mark.parametrize(("what", "by"), [("record", 1), ("record", 100), ("key", 100), ("value", 100)])
def test_lengths_in_the_framing_stay_inside_the_record(what: str, by: int) -> None:
    """A record, key or value that claims more bytes than there are breaks its batch."""
    columns = decode([_overstepping(what, by)], Reader("transactions"), 0, ALWAYS)
    assert columns.status.tolist() == [Status.BAD_BLOCK]


@pytest.mark.parametrize(("beyond", "status"), [(0, Status.BAD_MAGIC), (1, Status.BAD_BLOCK)])
def test_a_value_ends_where_its_record_ends(beyond: int, status: Status) -> None:
    """Up to the record's last byte a value is a value; one byte more and the framing is broken."""
    body = b"\0\0\0\1" + datum("int", 5 + beyond) + b"value"
    raw = batch([GOOD])[:61] + datum("int", len(body)) + body + datum("int", 30)
    raw = raw[:8] + (len(raw) - 12).to_bytes(4, "big") + raw[12:]
    assert decode([raw], Reader("transactions"), 0, ALWAYS).status.tolist()[0] == status


def test_a_batch_whose_count_lies() -> None:
    """Too small a count leaves a row for what it hides; too large a one reserves no more than the bytes could hold."""
    raw = bytearray(batch([posting_value(i) for i in range(10)], 100))
    raw[57:61] = (4).to_bytes(4, "big")
    columns = decode([bytes(raw)], Reader("transactions"), 0, ALWAYS)
    assert columns.offset.tolist() == [100, 101, 102, 103, 104]
    assert columns.status.tolist() == [0, 0, 0, 0, Status.BAD_BLOCK]
    assert (columns.value_bytes(4) or b"").endswith(bytes(raw)[-40:])
    raw[57:61] = b"\xff\xff\xff\xff"
    assert records_max(bytes(raw)) < len(raw)
    assert decode([bytes(raw)], Reader("transactions"), 0, ALWAYS).n == 10


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_read_passes_the_batches(interpreted: None, data: st.DataObject) -> None:
    """Whatever stands in the batches, no byte behind them is touched and no row beyond those reserved."""
    raw = bytearray(batch([posting_value(i) for i in range(3)], 5, keys=[None, b"", b"abc"]))
    for at in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=5)):
        raw[at] = data.draw(st.integers(0, 255))
    reader = Reader("transactions")
    code = reader.learn([int.from_bytes(TX, "big")])
    assert code is not None
    rows = records_max(bytes(raw)) + 1
    columns = [np.zeros(rows, np.int64) for _ in range(5)]
    table = {1: Guard(bytes(raw) + b"\xaa" * 9, 0, len(raw)), 2: Flat(np.zeros(rows * 17, np.int64)),
             3: Flat(code.writers), 4: Flat(code.rows), 5: Flat(code.tables)}  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "bytes_at", table.get)
        patch.setattr(kernel, "longs_at", table.get)
        n = kernel.decode_block(1, len(raw), -(2**62), ALWAYS, 3, len(code.writers), 4, 5, 2, 17, *columns)
    assert 0 <= n <= rows


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw[:60],
        lambda raw: raw[:-1],
        lambda raw: raw + b"\0",
        lambda raw: raw[:16] + b"\1" + raw[17:],
    ],
)
def test_what_is_no_batch_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    """A cut batch or an old format raises BatchError."""
    with pytest.raises(BatchError):
        decode([spoil(batch([posting_value()]))], Reader("transactions"), 0, ALWAYS)


def test_a_registry_that_does_not_answer_spoils_no_record() -> None:
    """Without an answer decode raises, so that the block is tried again and not thrown away."""

    class Silent(Registry):
        def schema(self, schema_id: int) -> Any:
            raise RegistryError("no answer")

    with pytest.raises(RegistryError):
        decode([batch([GOOD])], Reader("transactions", Silent()), 0, ALWAYS)


def test_values_without_batches_decode_alike() -> None:
    """decode_values gives the rows that the same values have in a block, bad ones included."""
    sent = [bad for bad, _, _ in NAMED.values()] + [GOOD]
    alone, block = decode_values(sent, Reader("transactions")), decode([batch(sent)], Reader("transactions"), 0, ALWAYS)
    assert (alone.n, alone.offset.tolist()) == (len(sent), block.offset.tolist())
    assert [alone.value_bytes(i) for i in range(alone.n)] == sent
    assert (alone.status.tolist(), alone.field.tolist()) == (block.status.tolist(), block.field.tolist())
    bad = alone.status != Status.OK
    assert alone.data[bad].tolist() == block.data[bad].tolist()
    assert row(alone, Reader("transactions"), alone.n - 1) == posting(1)
    assert decode_values([], Reader("transactions")).n == 0


@settings(max_examples=200)
@given(st.data())
def test_the_record_path_raises_one_error(data: st.DataObject) -> None:
    """decode_one gives a record or raises RecordError, whatever the bytes."""
    with contextlib.suppress(RecordError):
        decode_one(data.draw(damaged(GOOD)))
