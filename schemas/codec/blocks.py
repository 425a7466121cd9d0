"""A partition's fetch as columns: raw record batches in, int64 columns out.

    registry → Reader (one per topic and unit) → decode(batches, reader, start, stop) → Columns

Speed is a promise here (`python -m bench.parts.codec`), so nothing in this module touches a record on its own.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas import bounds
from schemas.avro_types import SchemaError, Type, parse
from schemas.codec.batches import (
    Batch,
    Lost,
    Unpacked,
    appended_ms,
    base_offset,
    check_batch,
    records_max,
    unpack,
    whole,
)
from schemas.codec.kernel import WRITER, Bytes, Longs, decode_block
from schemas.codec.primitives import LENGTH_MAX, NULL, REF_BITS
from schemas.codec.program import CodecProgram, check_reader
from schemas.codec.records import RecordError, decode_one
from schemas.codec.status import Status
from schemas.letters import Original
from schemas.registry import Registry, contract, file_registry
from schemas.topics import MARK
from schemas.validation.texts import text_limits
from schemas.writers.limits import weighed
from schemas.writers.resolution import IncompatibleError, words

WRITERS_MAX: Final = 256  # schema ids a reader keeps
UNKNOWN_MAX: Final = 1024  # ids it remembers as unknown
UNKNOWN_S: Final = 10.0  # then such an id is asked for again: it may have been registered meanwhile


@dataclass(slots=True)
class Columns:
    """The records of a block. References are `position << 20 | length` into `raw`; NULL is -2**63."""

    n: int
    raw: Bytes  # the joined uncompressed batches, then the defaults of fields a writer lacks
    offset: Longs  # [n], rising
    key: Longs  # [n] references, NULL = no key
    value: Longs  # [n] references, NULL = tombstone
    data: Longs  # [n, F] in the order of the reader's fields; all NULL where there is no datum (but see Status)
    status: Bytes  # [n] Status
    field: npt.NDArray[np.int16]  # [n] index of the reader's field where decoding failed, else -1
    lost: Mapping[int, Lost] = dataclasses.field(default_factory=dict)  # by offset: rows whose bytes are not in `raw`

    def bytes_at(self, ref: int) -> bytes | None:
        """The bytes of a reference, None for NULL."""
        return None if ref == NULL else self.raw[ref >> REF_BITS : (ref >> REF_BITS) + (ref & LENGTH_MAX)].tobytes()

    def text_at(self, ref: int) -> str | None:
        """The text of a reference to a string, None for NULL."""
        found = self.bytes_at(ref)
        return None if found is None else found.decode()

    def key_bytes(self, i: int) -> bytes | None:
        """Key of record i; of one beyond a megabyte its beginning."""
        return self.bytes_at(int(self.key[i]))

    def value_bytes(self, i: int) -> bytes | None:
        """Value of record i as it came, however large, as long as its bytes are here."""
        found = self._value(i)
        return None if found is None else found.tobytes()

    def original(self, i: int) -> Original:
        """What a dead letter says of record i."""
        if (lost := self.lost.get(int(self.offset[i]))) is not None:
            return lost.original
        several = self.status[i] == Status.BAD_BLOCK and self.data.shape[1] > 1
        return Original.of(self._value(i), self.key_bytes(i), int(self.data[i, 1]) if several else None)

    def _value(self, i: int) -> Bytes | None:
        ref = int(self.value[i])
        if ref == NULL:
            return None
        long = self.status[i] in (Status.TOO_LARGE, Status.BAD_BLOCK)
        return self.raw[ref >> REF_BITS :][: int(self.data[i, 0]) if long else ref & LENGTH_MAX]


@dataclass(slots=True, frozen=True)
class _Code:
    """Compiled programs of all writers met so far; replaced as a whole, so that a decode sees one state."""

    writers: Longs
    rows: Longs
    tables: Longs
    tail: bytes
    places: tuple[int, int, int, int] = dataclasses.field(init=False)  # of the arrays, as the kernel takes them

    def __post_init__(self) -> None:
        # Asking for an address takes a microsecond, and small blocks are many.
        where = self.writers.ctypes.data, len(self.writers), self.rows.ctypes.data, self.tables.ctypes.data
        object.__setattr__(self, "places", where)


_NO_CODE: Final = _Code(np.zeros((0, WRITER), np.int64), np.zeros((0, 4), np.int64), np.zeros(0, np.int64), b"")


class Reader:
    """Resolves what writers of a topic wrote to the topic's newest contract. Safe to share between threads.

    `fields` names the columns, `index` gives a field's column. An id it hasn't met is asked of the registry once; one that
    the registry doesn't know once in UNKNOWN_S.
    """

    def __init__(self, topic: str, registry: Registry | None = None, schema: Any = None) -> None:
        """`topic` without prefix; `schema` instead of the committed contract is for tests and tools."""
        self.topic = topic
        self.type: Type = parse(contract(topic) if schema is None else schema)
        check_reader(self.type)
        self.fields = tuple(f.name for f in self.type.fields)
        self.index = {name: i for i, name in enumerate(self.fields)}
        self._mark = parse(contract(MARK))
        self._texts = text_limits(topic, self.type)
        self._registry = registry if registry is not None else file_registry()
        self._writers: dict[int, Type | None] = {}  # None = no Avro schema
        self._types = 0  # in all of them
        self._unknown: dict[int, float] = {}  # id -> when it was asked for
        self._refused: dict[int, str] = {}  # id -> why no record of it is read, or why it was not asked for; the newest
        self._lock = threading.Lock()
        self._code = self._compile()

    def symbols(self, name: str) -> tuple[str, ...]:
        """Symbols of an enum field; its column holds their indices."""
        t = self.type.fields[self.index[name]].type
        return (t.nullable or t).symbols

    def record(self, columns: Columns, i: int) -> dict[str, Any]:
        """Row i as a record, with what columns don't hold. Raises RecordError, also where such a part is not taken."""
        return decode_one(columns.value_bytes(i) or b"", self._registry, self.topic)

    def why(self, columns: Columns, i: int) -> str:
        """Field, wanted and found of a row that this reader could not take, or why its writer's schema is none to read by.

        Nothing where neither says more than the status.
        """
        if columns.status[i] in (Status.UNKNOWN_SCHEMA, Status.INCOMPATIBLE):
            return self._refused.get(int(columns.data[i, 0]), "")
        try:
            self.record(columns, i)
        except RecordError as problem:
            return str(problem) if problem.field else ""
        return ""

    @property
    def code(self) -> _Code:
        """The programs for the next decode."""
        with self._lock:
            # Never within a decode, which would ask for them again for ever.
            if self._full or len(self._writers) > WRITERS_MAX:
                self._writers.clear()
                self._types = 0
                self._code = self._compile()
            return self._code

    @property
    def _full(self) -> bool:
        return self._types >= bounds.WRITERS_TYPES_MAX

    def learn(self, ids: Iterable[int]) -> _Code | None:
        """Asks the registry for ids not asked before: the new programs, None if it knows none of them.

        Made-up ids must not keep registry and partition busy: with so many unknown ones lately (schemas.bounds) no other is
        asked for, and no more types are taken than are kept. Raises RegistryError if it doesn't answer: the
        block must be tried again, not thrown away.
        """
        with self._lock:
            found, since = False, time.monotonic() - UNKNOWN_S
            lately = sum(at > since for at in self._unknown.values())
            for schema_id in ids:
                if schema_id in self._writers:  # another thread was faster
                    found = True
                elif self._full:
                    types = f"{bounds.WRITERS_TYPES_MAX:,} types"
                    self._refuse(
                        schema_id, f"schema {schema_id} was not taken: those of this fetch have {types} already"
                    )
                elif self._unknown.get(schema_id, since) > since:
                    continue
                elif lately < bounds.UNKNOWN_SCHEMAS_ASKED_MAX:
                    known = self._ask(schema_id)
                    found, lately = found or known, lately + (not known)
                else:
                    most = f"{bounds.UNKNOWN_SCHEMAS_ASKED_MAX} unknown ones within {UNKNOWN_S:.0f} s"
                    self._refuse(schema_id, f"schema {schema_id} was not asked for: there were {most}")
            if found:
                self._code = self._compile()
            return self._code if found else None

    def _ask(self, schema_id: int) -> bool:
        schema = self._registry.schema(schema_id)
        self._unknown.pop(schema_id, None)
        if schema is None:
            while len(self._unknown) >= UNKNOWN_MAX:
                del self._unknown[next(iter(self._unknown))]
            self._unknown[schema_id] = time.monotonic()
            self._refuse(schema_id, f"the registry has no schema {schema_id}")
            return False
        try:
            self._writers[schema_id], types = weighed(schema)
            self._types += types
        except SchemaError as problem:
            self._writers[schema_id] = None
            self._refuse(schema_id, f"schema {schema_id}: {problem}")
        return True

    def _refuse(self, schema_id: int, why: str) -> None:
        """Keep in words why records of this schema are not read; they are told when the letters are written."""
        self._refused.pop(schema_id, None)
        while len(self._refused) >= UNKNOWN_MAX:
            del self._refused[next(iter(self._refused))]
        self._refused[schema_id] = why[: bounds.LETTER_DETAIL_CHARS_MAX]

    def _compile(self) -> _Code:
        program = CodecProgram(self._texts)
        writers = [self._program(program, schema_id, writer) for schema_id, writer in self._writers.items()]
        return _Code(
            np.array(writers, np.int64).reshape(-1, WRITER),
            np.array(program.rows, np.int64).reshape(-1, 4),
            np.array(program.tables, np.int64),
            bytes(program.tail),
        )

    def _program(
        self, program: CodecProgram, schema_id: int, writer: Type | None
    ) -> tuple[int, int, int, int, int, int]:
        """The writer's row of the table; its rows are appended to the program."""
        if writer is None or writer.kind != "record":
            if writer is not None:
                self._refuse(schema_id, f"schema {schema_id}: {words(writer)} is no record")
            return schema_id, -1, -1, 0, -1, -1
        mark = writer.name == self._mark.name
        deleted = program.add_deleted(writer)
        try:
            return (schema_id, *program.add(writer, self._mark if mark else self.type), int(mark), *deleted)
        except IncompatibleError as problem:
            self._refuse(schema_id, str(problem))
            return schema_id, -1, -1 if mark else self.index.get(problem.field, -1), 0, *deleted
        except (ValueError, TypeError) as problem:  # a default that is none
            self._refuse(schema_id, f"schema {schema_id}: {problem}")
            return schema_id, -1, -1, 0, *deleted


def decode(batches: Sequence[Batch], reader: Reader, start: int, stop: int, lost: Sequence[Lost] = ()) -> Columns:
    """The records with offsets in [start, stop), each offset once, in rising order.

    `batches` are whole v2 record batches, compressed or not, aborted ones taken out; control batches are passed over.
    They may come in any order and overlap. `lost` is what was left out of them before. Bad records come as rows with a
    status; raises BatchError if a batch's own header is broken and RegistryError if the registry doesn't answer.
    """
    unpacked = [_unpacked(batch, start) for batch in batches]
    pieces = sorted((found.batch for found in unpacked), key=base_offset)
    lost = [*lost, *(one for found in unpacked for one in found.lost)]
    rows_max = sum(map(records_max, pieces)) + len(pieces)  # a broken batch takes a row of its own
    code: _Code | None = reader.code
    while True:
        assert code is not None
        columns = _decode(pieces, rows_max, code, len(reader.fields), start, stop)
        if np.count_nonzero(columns.status) and (bad := columns.status == Status.UNKNOWN_SCHEMA).any():
            code = reader.learn(np.unique(columns.data[bad, 0]).tolist())
            if code is not None:
                continue
        return _with(columns, lost, start, stop) if lost else columns


def _unpacked(batch: Batch, start: int) -> Unpacked:
    check_batch(batch)
    return unpack(batch, start, bounds.UNPACKED_BYTES_MAX)


def frames(batches: Sequence[Batch], start: int, stop: int) -> Columns:
    """Keys and values of records that are no Avro, such as a changelog's: as `decode`, but no datum is looked into.

    A tombstone's value is NULL; `data` has one column, the true length of a value beyond a megabyte (TOO_LARGE).
    Records are whole, however large.
    """
    pieces = sorted(map(whole, batches), key=base_offset)
    return _decode(pieces, sum(map(records_max, pieces)) + len(pieces), _NO_CODE, 1, start, stop)


class LogEntry(NamedTuple):
    """A record as it stands in the log, or what is left of one, or of several, beyond the bounds."""

    offset: int
    at: int  # of its batch, in milliseconds: the brokers' time, or its producer's for the newest record
    key: bytes | None
    value: bytes | None  # None: a tombstone, or lost
    lost: Lost | None = None

    @property
    def end(self) -> int:
        """The next offset to read."""
        return (self.offset if self.lost is None else self.lost.last) + 1


def log_entries(batches: Sequence[Batch], start: int, stop: int, lost: Sequence[Lost] = ()) -> list[LogEntry]:
    """The records with offsets in [start, stop) one by one, in rising order: for topics of few records.

    `batches`, in order, and `lost` are as `batches.unpack` gives them. A damaged or outsized record is an entry with a Lost.
    """
    found = [
        LogEntry(max(one.offset, start), one.at, one.original.key, None, one)
        for one in lost
        if one.last >= start and one.offset < stop
    ]
    for batch in batches:
        columns, at = _decode([batch], records_max(batch) + 1, _NO_CODE, 2, start, stop), appended_ms(batch)
        raw, bad = columns.raw.tobytes(), np.isin(columns.status, (Status.TOO_LARGE, Status.BAD_BLOCK)).tolist()
        keys, values = (
            [None if ref == NULL else raw[ref >> REF_BITS : (ref >> REF_BITS) + (ref & LENGTH_MAX)] for ref in refs]
            for refs in (columns.key.tolist(), columns.value.tolist())
        )
        for i, offset in enumerate(columns.offset.tolist()):
            if bad[i]:
                one = Lost(offset, Status(columns.status[i]), columns.original(i), at)
                found.append(LogEntry(offset, at, one.original.key, None, one))
            else:
                found.append(LogEntry(offset, at, keys[i], values[i]))
    return sorted(found, key=lambda one: one.offset) if lost else found


def _with(columns: Columns, lost: Sequence[Lost], start: int, stop: int) -> Columns:
    """The columns with a row for each Lost in [start, stop), in the order of offsets."""
    places = {max(one.offset, start): one for one in lost if one.last >= start and one.offset < stop}
    offsets = np.array(sorted(places), np.int64)
    found = [places[offset] for offset in offsets.tolist()]
    at = np.searchsorted(columns.offset, offsets)
    data = np.insert(columns.data, at, NULL, axis=0)
    data[at + np.arange(len(at)), 0] = [NULL if one.original.size is None else one.original.size for one in found]
    return Columns(
        columns.n + len(at), columns.raw, np.insert(columns.offset, at, offsets), np.insert(columns.key, at, NULL),
        np.insert(columns.value, at, NULL), data, np.insert(columns.status, at, [one.status for one in found]),
        np.insert(columns.field, at, -1), places,
    )  # fmt: skip


def _decode(pieces: list[Batch], rows_max: int, code: _Code, width: int, start: int, stop: int) -> Columns:
    raw = np.frombuffer(b"".join((*pieces, code.tail)), np.uint8)
    offset, key, value = (np.empty(rows_max, np.int64) for _ in range(3))
    data = np.empty((rows_max, width), np.int64)
    status, field = np.empty(rows_max, np.uint8), np.empty(rows_max, np.int16)
    n = decode_block(
        raw.ctypes.data, len(raw) - len(code.tail), start, stop, *code.places,
        data.ctypes.data, width, offset, key, value, status, field,
    )  # fmt: skip
    return Columns(n, raw, offset[:n], key[:n], value[:n], data[:n], status[:n], field[:n])
