"""A writer's records as dicts of a contract of ours, one by one: fastavro reads them, hooks in the schema change values.

The writer's schema is written anew for fastavro: fields have our names, and what is to be changed carries a logical type
of ours whose hook fastavro calls with the value that it has read. So each branch of a union is changed by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import fastavro
from fastavro.read import LOGICAL_READERS

from schemas.avro_types import PRIMITIVES, Field, Type
from schemas.writers.resolution import (
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

_HOOK: Final = "tidegauge"  # a logical type; beside it in the schema stands the function that makes the value
_KINDS: Final = (*PRIMITIVES, "fixed", "enum", "array", "map", "record")
LONG_BITS: Final = 64

Hook = Callable[[Any], Any]


def _hooked(value: Any, schema: dict[Any, Any] | None, _: Any = None) -> Any:
    assert schema is not None
    return schema[_HOOK](value)


LOGICAL_READERS.update({f"{kind}-{_HOOK}": _hooked for kind in _KINDS})


def reading_schema(writer: Type, reader: Type) -> Any:
    """A schema by which `fastavro.schemaless_reader` reads what the writer wrote as records of the reader's.

    Raises IncompatibleError where the reader can't take them; reading raises it for a value that is not taken, naming
    field, wanted and found.
    """
    if writer.kind != "record":
        raise IncompatibleError(f"{words(writer)} is no record")
    return fastavro.parse_schema(_Rewriting().record(writer, reader))


@dataclass(slots=True)
class _Rewriting:
    """Writes a schema anew. Every named type gets a fresh name; `passed` are those of fields that nobody takes."""

    names: int = 0
    passed: dict[int, str] = field(default_factory=dict)

    def record(self, writer: Type, reader: Type, top: str = "") -> dict[str, Any]:
        """Of a record; `top` is the field of the outermost one that it is in."""
        found = field_sources(writer, reader)
        targets = {id(source): f for source, f in zip(found, reader.fields, strict=True) if source is not None}
        fields = [self._field(i, f, targets.get(id(f)), reader, top) for i, f in enumerate(writer.fields)]
        defaults = {f.name: _default(f) for source, f in zip(found, reader.fields, strict=True) if source is None}
        scales = {
            f.name: decimal.scale
            for source, f in zip(found, reader.fields, strict=True)
            if source is not None and measure(reader, f) is Measure.AMOUNT
            if (decimal := _decimal(source.type)) is not None
        }
        finish = partial(_finish, [f.name for f in reader.fields], defaults, scales)
        return self._named("record", fields=fields, **_hook(finish))

    def _field(self, i: int, f: Field, target: Field | None, reader: Type, top: str) -> dict[str, Any]:
        if target is None:
            return {"name": f"passed_{i}", "type": self._passing(f.type)}
        counts = measure(reader, target)
        if not fits(f.type, target.type, counts):
            raise mismatch(top or target.name, wanted_of(target.type, counts), words(f.type), f.type)
        return {"name": target.name, "type": self._taken(f.type, target.type, counts, top or target.name)}

    def _taken(self, writer: Type, reader: Type, counts: Measure | None, top: str) -> Any:
        if writer.kind == "union":
            return [
                self._taken(branch, reader, counts, top)
                if takes(branch, writer, reader, counts)
                else self._refused(branch, partial(_refuse, top, wanted_of(reader, counts), words(branch)))
                for branch in writer.items
            ]
        if reader.kind == "union":
            reader = next(branch for branch in reader.items if fits(writer, branch, counts))
        if writer.kind == "null":
            return "null"
        if writer.kind == "record":
            return self.record(writer, reader, top)
        if writer.kind == "array":
            return {"type": "array", "items": self._taken(writer.items[0], reader.items[0], None, top)}
        if writer.kind == "map":
            return {"type": "map", "values": self._taken(writer.items[0], reader.items[0], None, top)}
        made = _change(writer, reader, counts, top)
        return {**self._whole(writer), **({} if made is None else _hook(made))}

    def _refused(self, t: Type, refuse: Hook) -> dict[str, Any]:
        made = {**self._whole(t), **_hook(refuse)}
        self.passed.pop(id(t), None)  # what is merely passed must not end at this hook
        return made

    def _passing(self, t: Type) -> Any:
        """The type as it is, but for names."""
        return self.passed[id(t)] if id(t) in self.passed else self._whole(t)

    def _whole(self, t: Type) -> Any:
        if t.kind == "union":
            return [self._passing(branch) for branch in t.items]
        if t.kind in ("array", "map"):
            return {"type": t.kind, ("items" if t.kind == "array" else "values"): self._passing(t.items[0])}
        if t.kind == "fixed":
            return self._named("fixed", size=t.size)
        if t.kind == "enum":
            return self._named("enum", symbols=[f"s{i}" for i in range(len(t.symbols))])
        if t.kind == "record":
            made = self._named("record")
            self.passed[id(t)] = made["name"]
            made["fields"] = [{"name": f"passed_{i}", "type": self._passing(f.type)} for i, f in enumerate(t.fields)]
            return made
        return {"type": t.kind}

    def _named(self, kind: str, **more: Any) -> dict[str, Any]:
        self.names += 1
        return {"type": kind, "name": f"t{self.names}", **more}


def _hook(function: Hook) -> dict[str, Any]:
    return {"logicalType": _HOOK, _HOOK: function}


def _default(f: Field) -> Any:
    inner = f.type.nullable or f.type
    in_json = isinstance(f.default, str) and inner.kind in ("bytes", "fixed")
    return f.default.encode("latin-1") if in_json else f.default


def _decimal(t: Type) -> Type | None:
    """The decimal that a type is, or null beside it."""
    return next((part for part in (t, t.nullable) if part is not None and part.logical == "decimal"), None)


def _change(writer: Type, reader: Type, counts: Measure | None, top: str) -> Hook | None:
    """What becomes of a value without parts; None: nothing."""
    refuse = partial(_refuse, top, wanted_of(reader, counts))
    match change(writer, reader, counts):
        case ValueChange.TEXT:
            return bytes.decode if writer.kind == "bytes" else str.encode
        case ValueChange.SYMBOL:
            theirs = {f"s{i}": symbol for i, symbol in enumerate(writer.symbols)}
            return partial(_symbol, theirs, reader.symbols, reader.default, refuse)
        case ValueChange.TEXT_SYMBOL:
            return partial(_symbol, None, reader.symbols, None, refuse)
        case ValueChange.MILLIS:
            return lambda micros: micros // 1000
        case ValueChange.DECIMAL:
            factor = 10 ** (RATE_SCALE - writer.scale) if counts is Measure.RATE else 1
            return partial(_unscaled, factor, refuse)
    return None


def _refuse(top: str, want: str, found: str, _value: Any = None) -> Any:
    raise mismatch(top, want, found)


def _symbol(theirs: dict[str, str] | None, ours: tuple[str, ...], other: str | None, refuse: Hook, value: str) -> str:
    symbol = value if theirs is None else theirs[value]
    if symbol in ours:
        return symbol
    return other if other is not None else refuse("another text" if theirs is None else symbol)


def _unscaled(factor: int, refuse: Hook, value: bytes) -> int:
    number = int.from_bytes(value, signed=True) * factor
    if not value or not -(1 << (LONG_BITS - 1)) < number < 1 << (LONG_BITS - 1):
        refuse("a decimal beyond 64 bits")
    return number


def _finish(names: list[str], defaults: dict[str, Any], scales: dict[str, int], read: dict[str, Any]) -> dict[str, Any]:
    """The record in the order of our fields, with the defaults of what the writer lacks. Amounts have the right scale."""
    for name, scale in scales.items():
        digits = EXPONENTS.get(read["currency"])
        if read[name] is not None and digits != scale:
            known = "a currency that is taken" if digits is None else f"a decimal of scale {digits}"
            raise mismatch(name, known, f"a decimal of scale {scale}")
    return {name: deepcopy(defaults[name]) if name in defaults else read[name] for name in names}
