"""Compiles (writer's schema, reader's schema) into rows that the decode kernel interprets.

The reader's fields become int64 columns. Nested values (arrays, maps, records, unions of several types) become
references to the writer's bytes; whoever needs what is inside decodes the record with `schemas.codec.records.decode_one`.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import fastavro

from schemas.avro_types import MISSING, Field, Type, same_name, writer_field
from schemas.codec import primitives as k

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
PROMOTIONS = {("int", "long"), ("string", "bytes"), ("bytes", "string")}
SKIPPED = -1  # as `out`: no field of the reader's takes it
NO_ROW = -1


class IncompatibleError(ValueError):
    """The writer's schema can't be resolved to the reader's."""


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

    rows: list[tuple[int, int, int, int]] = field(default_factory=list)
    tables: list[int] = field(default_factory=list)
    tail: bytearray = field(default_factory=bytearray)
    _skips: dict[int, int] = field(default_factory=dict)  # id(Type) -> row, so that recursion ends
    _types: list[Type] = field(default_factory=list)  # keeps those ids alive

    def add(self, writer: Type, reader: Type) -> tuple[int, int]:
        """Appends a writer's program: its rows [start, stop). Raises IncompatibleError."""
        if writer.kind != "record" or not same_name(writer, reader):
            raise IncompatibleError(f"{writer.name or writer.kind} is not {reader.name}")
        outs = {id(source): i for i, f in enumerate(reader.fields) if (source := writer_field(f, writer))}
        program = [self._field(f, reader.fields, outs.get(id(f), SKIPPED)) for f in writer.fields]
        program += [self._default(f, i) for i, f in enumerate(reader.fields) if i not in outs.values()]
        start = len(self.rows)
        self.rows += program
        return start, len(self.rows)

    def _field(self, f: Field, readers: list[Field], out: int) -> tuple[int, int, int, int]:
        if out == SKIPPED:
            row = self.passing(f.type)
            kind, a, b, _ = self.rows[row]
            return kind, a, b, SKIPPED
        row_or_none = self._resolve(f.type, readers[out].type, out)
        if row_or_none is None:
            raise IncompatibleError(
                f"{readers[out].name}: {_words(f.type)} can't be read as {_words(readers[out].type)}"
            )
        return row_or_none

    def _resolve(self, writer: Type, reader: Type, out: int) -> tuple[int, int, int, int] | None:
        if nested(reader):
            return self._resolve_nested(writer, reader, out)
        if writer.kind == "union":
            found = [self._resolve(branch, reader, out) for branch in writer.items]
            if not any(found):
                return None
            return k.K_UNION, self._table([NO_ROW if row is None else self._row(row) for row in found]), len(found), out
        if writer.kind == "null":
            return (k.K_NULL, 0, 0, out) if reader.nullable else None
        target = reader.nullable or reader
        if writer.kind == target.kind == "enum" and same_name(writer, target):
            return k.K_ENUM, self._table(_symbols(writer, target)), len(writer.symbols), out
        if writer.kind == target.kind == "fixed":
            return (
                (k.K_FIXED, writer.size, 0, out) if writer.size == target.size and same_name(writer, target) else None
            )
        if writer.kind == target.kind != "enum":
            return VALUE_KINDS[writer.kind], 0, 0, out
        if (writer.kind, target.kind) in PROMOTIONS:
            # Text stays text: bytes read as a string must be UTF-8, a string read as bytes was.
            kind = k.K_STRING if "string" in (writer.kind, target.kind) else VALUE_KINDS[writer.kind]
            return kind, 0, 0, out
        return None

    def _resolve_nested(self, writer: Type, reader: Type, out: int) -> tuple[int, int, int, int] | None:
        if reader.nullable and writer.kind == "null":
            return k.K_NULL, 0, 0, out
        if reader.nullable and writer.nullable:
            rows = [
                self._row((k.K_NULL, 0, 0, out) if b.kind == "null" else (k.K_REF, self.passing(b), 0, out))
                for b in writer.items
            ]
            return k.K_UNION, self._table(rows), len(rows), out
        inner = reader.nullable or reader
        if "union" not in (writer.kind, inner.kind) and writer.kind != inner.kind:
            return None
        return k.K_REF, self.passing(writer), 0, out

    def _default(self, f: Field, out: int) -> tuple[int, int, int, int]:
        if f.default is MISSING:
            raise IncompatibleError(f"{f.name}: the writer lacks it and it has no default")
        if f.default is None:
            return k.K_CONST, k.NULL, 0, out
        target = f.type.nullable or f.type
        if target.kind == "boolean" or target.kind in ("int", "long"):
            return k.K_CONST, int(f.default), 0, out
        if target.kind == "enum":
            return k.K_CONST, target.symbols.index(f.default), 0, out
        data = _default_bytes(target, f.default)
        position = len(self.tail)
        self.tail += data
        return k.K_CONST_REF, position, len(data), out

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

    def _row(self, row: tuple[int, int, int, int]) -> int:
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


def _words(t: Type) -> str:
    return t.name or (f"[{', '.join(_words(b) for b in t.items)}]" if t.kind == "union" else t.kind)
