"""Compiles (writer's schema, reader's schema) into rows that the decode kernel interprets.

The reader's fields become int64 columns. Nested values (arrays, maps, records, unions of several types) become
references to the writer's bytes; whoever needs what is inside decodes the record with `schemas.codec.records.decode_one`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import fastavro

from schemas.avro_types import MISSING, Field, Type
from schemas.codec import kernel
from schemas.codec import primitives as k
from schemas.validation.texts import TextLimit
from schemas.writers.resolution import (
    DELETED,
    RATE_SCALE,
    IncompatibleError,
    Measure,
    ValueChange,
    change,
    field_sources,
    fits,
    measure,
    mismatch,
    takes,
    wanted_of,
    words,
)
from streams.money import EXPONENTS

VALUE_KINDS = {
    "null": k.K_NULL,
    "boolean": k.K_BOOLEAN,
    "int": k.K_INT,
    "long": k.K_LONG,
    "bytes": k.K_BYTES,
    "string": k.K_STRING,
    "fixed": k.K_FIXED,
    "enum": k.K_ENUM,
    "array": k.K_ARRAY,
    "map": k.K_MAP,
    "record": k.K_RECORD,
}
Row = tuple[int, int, int, int]  # kind, a, b, out: see schemas.codec.primitives
_BOOLEAN = Type("boolean")
_TRUTH = Type("enum", symbols=("false", "true"))
SKIPPED = -1  # as `out`: no field of the reader's takes it
NO_ROW = -1


def nested(field_type: Type) -> bool:
    """True for what doesn't fit an int64 and is kept as a reference to its encoded bytes."""
    inner = field_type.nullable or field_type
    return inner.kind in ("array", "map", "record", "union")


def check_reader(reader: Type) -> None:
    """Raises IncompatibleError if columns can't hold the schema."""
    if reader.kind != "record" or not reader.fields:
        raise IncompatibleError("a block's reader needs a record with at least one field")
    for f in reader.fields:
        if (f.type.nullable or f.type).kind in ("float", "double", "null"):
            raise IncompatibleError(f"{f.name}: no column for {(f.type.nullable or f.type).kind}")


@dataclass(slots=True)
class CodecProgram:
    """All writers' rows of one reader, addressed absolutely, and the bytes of defaults (the tail)."""

    texts: Mapping[str, TextLimit] = field(default_factory=dict)  # by the reader's fields: what their texts keep to
    rows: list[Row] = field(default_factory=list)
    tables: list[int] = field(default_factory=list)
    tail: bytearray = field(default_factory=bytearray)
    _skips: dict[int, int] = field(default_factory=dict)  # id(Type) -> row, so that recursion ends
    _types: list[Type] = field(default_factory=list)  # keeps those ids alive
    _limit: TextLimit | None = None  # of the field whose rows are made

    def add(self, writer: Type, reader: Type) -> tuple[int, int]:
        """Appends a writer's program: its rows [start, stop). Raises IncompatibleError."""
        if writer.kind != "record":
            raise IncompatibleError(f"{words(writer)} is no record")
        found = field_sources(writer, reader)
        outs = {id(source): i for i, source in enumerate(found) if source is not None}
        program = [self._field(f, reader, outs.get(id(f), SKIPPED)) for f in writer.fields]
        program += [self._default(f, i) for i, f in enumerate(reader.fields) if found[i] is None]
        program += [row for i, f in enumerate(found) if f is not None for row in self._scale(f.type, reader, i)]
        start = len(self.rows)
        self.rows += program
        return start, len(self.rows)

    def add_deleted(self, writer: Type) -> tuple[int, int]:
        """Appends the program that reads whether a row was deleted: its rows, (-1, -1) where the writer doesn't say."""
        at = next((i for i, f in enumerate(writer.fields) if f.name == DELETED), None)
        if at is None:
            return NO_ROW, NO_ROW
        said = self._resolve(writer.fields[at].type, _BOOLEAN, 0) or self._resolve(writer.fields[at].type, _TRUTH, 0)
        if said is None:
            return NO_ROW, NO_ROW
        program = [self.rows[self.passing(f.type)] for f in writer.fields[:at]]
        start = len(self.rows)
        self.rows += [*program, said]
        return start, len(self.rows)

    def _field(self, f: Field, reader: Type, out: int) -> Row:
        if out == SKIPPED:
            row = self.passing(f.type)
            kind, a, b, _ = self.rows[row]
            return kind, a, b, SKIPPED
        target = reader.fields[out]
        counts = measure(reader, target)
        self._limit = self.texts.get(target.name)
        row_or_none = self._resolve(f.type, target.type, out, counts)
        self._limit = None
        if row_or_none is None:
            raise mismatch(target.name, wanted_of(target.type, counts), words(f.type), f.type)
        return row_or_none

    def _resolve(self, writer: Type, reader: Type, out: int, counts: Measure | None = None) -> Row | None:
        if not fits(writer, reader, counts):
            return None
        if reader.kind == "union" and not reader.nullable:
            return k.K_REF, self.passing(writer), 0, out
        if writer.kind == "union":
            branches = [
                self._resolve(branch, reader, out, counts) if takes(branch, writer, reader, counts) else None
                for branch in writer.items
            ]
            rows = [NO_ROW if row is None else self._row(row) for row in branches]
            return k.K_UNION, self._table(rows), len(rows), out
        if writer.kind == "null":
            return k.K_NULL, 0, 0, out
        if nested(reader):
            return k.K_REF, self.passing(writer), 0, out
        return self._changed(writer, reader.nullable or reader, out, counts)

    def _changed(self, writer: Type, reader: Type, out: int, counts: Measure | None) -> Row:
        """The row of a value without parts."""
        if self._limit is not None and reader.kind == "string":
            return k.K_TEXT, self._limit.bytes_max, int(self._limit.lines), out
        match change(writer, reader, counts):
            case ValueChange.TEXT:  # text stays text: bytes read as a string must be UTF-8, a string read as bytes was
                return k.K_STRING, 0, 0, out
            case ValueChange.SYMBOL:
                return k.K_ENUM, self._table(_symbols(writer, reader)), len(writer.symbols), out
            case ValueChange.TEXT_SYMBOL:
                places = [self._kept(symbol.encode()) for symbol in reader.symbols]
                refs = [position << k.REF_BITS | size for position, size in places]
                return k.K_TEXT_ENUM, self._table(refs), len(refs), out
            case ValueChange.MILLIS:
                return k.K_MICROS, 0, 0, out
            case ValueChange.DECIMAL:
                factor = 10 ** (RATE_SCALE - writer.scale) if counts is Measure.RATE else 1
                return k.K_DECIMAL, writer.size if writer.kind == "fixed" else -1, factor, out
        return VALUE_KINDS[writer.kind], writer.size, 0, out

    def _scale(self, writer: Type, reader: Type, out: int) -> list[Row]:
        """The check of an amount's scale, where the writer has a decimal for it."""
        decimal = next((t for t in (writer, writer.nullable) if t is not None and t.logical == "decimal"), None)
        if decimal is None or measure(reader, reader.fields[out]) is not Measure.AMOUNT:
            return []
        column = next(i for i, f in enumerate(reader.fields) if f.name == "currency")
        taken = [int.from_bytes(code.encode()) for code, digits in EXPONENTS.items() if digits == decimal.scale]
        return [(k.K_SCALE, self._table([column, *taken]), 1 + len(taken), kernel.SCALED - out)]

    def _default(self, f: Field, out: int) -> Row:
        if f.default is MISSING:
            raise IncompatibleError(f"{f.name}: the writer lacks it and it has no default")
        if f.default is None:
            return k.K_CONST, k.NULL, 0, out
        target = f.type.nullable or f.type
        if target.kind == "boolean" or target.kind in ("int", "long"):
            return k.K_CONST, int(f.default), 0, out
        if target.kind == "enum":
            return k.K_CONST, target.symbols.index(f.default), 0, out
        return k.K_CONST_REF, *self._kept(_default_bytes(target, f.default)), out

    def _kept(self, data: bytes) -> tuple[int, int]:
        """Puts bytes into the tail: (where, how many)."""
        position = len(self.tail)
        self.tail += data
        return position, len(data)

    def passing(self, writer: Type) -> int:
        """The row that passes a value of this type, made once."""
        if (known := self._skips.get(id(writer))) is not None:
            return known
        row = self._skips[id(writer)] = self._row((k.K_NULL, 0, 0, SKIPPED))
        self._types.append(writer)
        a = b = 0
        kind = VALUE_KINDS.get(writer.kind, k.K_UNION)
        if writer.kind in ("float", "double"):
            kind, a = k.K_FIXED, 4 if writer.kind == "float" else 8
        elif writer.kind == "fixed":
            a = writer.size
        elif writer.kind == "enum":
            a, b = self._table(list(range(len(writer.symbols)))), len(writer.symbols)
        elif writer.kind in ("array", "map"):
            a = self.passing(writer.items[0])
        elif writer.kind in ("union", "record"):
            parts = writer.items or [f.type for f in writer.fields]
            a, b = self._table([self.passing(part) for part in parts]), len(parts)
        self.rows[row] = (kind, a, b, SKIPPED)
        return row

    def _row(self, row: Row) -> int:
        self.rows.append(row)
        return len(self.rows) - 1

    def _table(self, values: list[int]) -> int:
        start = len(self.tables)
        self.tables += values
        return start


def _symbols(writer: Type, reader: Type) -> list[int]:
    other = reader.symbols.index(reader.default) if reader.default is not None else NO_ROW
    return [reader.symbols.index(s) if s in reader.symbols else other for s in writer.symbols]


def _default_bytes(target: Type, default: Any) -> bytes:
    if target.kind == "string":
        return str(default).encode()
    if target.kind in ("bytes", "fixed"):
        return str(default).encode("latin-1")  # Avro's JSON form of bytes
    if target.kind == "union":
        target = target.items[0]  # a union's default is of its first branch
        return b"\0" + _default_bytes(target, default)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, target.source, default)
    return out.getvalue()
