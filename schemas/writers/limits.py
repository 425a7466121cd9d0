"""Which schemas of others are read by: those whose records can't ask for more work than their bytes are worth.

Whoever may register a schema could else stop every reader with a few bytes: by an array of nothing with a count of years, by
records within records that take no byte, or by a type that contains itself, to which fastavro sets no depth.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from schemas.avro_types import SchemaError, Type, parse
from schemas.bounds import (
    KEY_OR_VALUE_BYTES_MAX,
    SCHEMA_BYTES_MAX,
    SCHEMA_DEPTH_MAX,
    SCHEMA_TYPES_MAX,
    VALUES_PER_BYTE_MAX,
)

_BYTES: Final = {"null": 0, "float": 4, "double": 8}  # at least; all others take one


class UnreadableSchema(dict[str, Any]):
    """What a registry has under an id, where no reader of ours reads by it; `why` in words."""

    def __init__(self, why: str) -> None:
        super().__init__(type="record", name="unreadable", fields=[])
        self.why = why

    @classmethod
    def of(cls, text: str) -> UnreadableSchema:
        """For a text that is too long, or no JSON, such as Protobuf."""
        if len(text) > SCHEMA_BYTES_MAX:
            return cls(f"{len(text):,} characters, {SCHEMA_BYTES_MAX:,} are the limit")
        return cls("no Avro schema")


class _Weight(NamedTuple):
    """What reading a value of a type takes: how many values it has, bytes at least, how deep it is nested."""

    values: int = 1
    bytes: int = 1
    depth: int = 1


def writer_type(schema: Any) -> Type:
    """The type of a writer's schema, given as parsed JSON; see `weighed`."""
    return weighed(schema)[0]


def weighed(schema: Any) -> tuple[Type, int]:
    """The type of a writer's schema, without what it was made from, and how many types are in it.

    Raises SchemaError where it is no Avro schema, or goes beyond the bounds.
    """
    if isinstance(schema, UnreadableSchema):
        raise SchemaError(schema.why)
    try:
        found = parse(schema)
    except (ValueError, OverflowError) as problem:  # a size that is no number
        raise SchemaError(f"not an Avro schema: {str(problem)[:200]}") from problem
    weights = _Weights()
    weights.of(found)
    return found, weights.count


class _Weights:
    """Weighs each type of a schema once."""

    def __init__(self) -> None:
        self._known: dict[int, _Weight | None] = {}  # None: what is being weighed

    @property
    def count(self) -> int:
        """Types so far."""
        return len(self._known)

    def of(self, t: Type) -> _Weight:
        """What a value of the type takes."""
        if id(t) in self._known:
            known = self._known[id(t)]
            if known is None:
                raise SchemaError(f"{t.name} contains itself")
            return known
        if len(self._known) >= SCHEMA_TYPES_MAX:
            raise SchemaError(f"more than {SCHEMA_TYPES_MAX:,} types, the limit")
        self._known[id(t)] = None
        _check_names(t)
        t.source = None
        weight = self._known[id(t)] = self._weighed(t)
        if weight.depth > SCHEMA_DEPTH_MAX:
            raise SchemaError(f"types in one another more than {SCHEMA_DEPTH_MAX} deep, the limit")
        return weight

    def _weighed(self, t: Type) -> _Weight:
        if t.kind == "record":
            parts = [self.of(f.type) for f in t.fields]
            paid, depth = sum(part.bytes for part in parts), 1 + max((part.depth for part in parts), default=0)
            weight = _Weight(1 + sum(part.values for part in parts), paid, depth)
            self.check(weight, paid + 1, t)
            return weight
        if t.kind == "fixed":
            if t.size > KEY_OR_VALUE_BYTES_MAX:
                raise SchemaError(f"{t.name}: {t.size:,} bytes, a record has at most {KEY_OR_VALUE_BYTES_MAX:,}")
            return _Weight(bytes=t.size)
        if t.kind not in ("array", "map", "union"):
            return _Weight(bytes=_BYTES.get(t.kind, 1))
        parts = [self.of(part) for part in t.items]
        for part in parts:  # its number, or its key, is a byte; an array's item has none
            self.check(part, part.bytes + (t.kind != "array"), t)
        return _Weight(depth=1 + max((part.depth for part in parts), default=0))

    @staticmethod
    def check(weight: _Weight, paid: int, t: Type) -> None:
        """Raises SchemaError where so many values come for so few bytes."""
        if weight.values > VALUES_PER_BYTE_MAX * paid:
            raise SchemaError(
                f"{t.kind}: {weight.values:,} values for {paid} bytes, {VALUES_PER_BYTE_MAX} a byte are the limit"
            )


def _check_names(t: Type) -> None:
    """Names are told to people, so they are texts that can be written."""
    named = [t.name, t.connect, *t.aliases, *t.symbols, *([t.default] if t.default is not None else [])]
    for f in t.fields:
        named += [f.name, *f.aliases]
    try:
        "".join(named).encode()
    except (TypeError, UnicodeEncodeError) as problem:
        raise SchemaError(f"a name that is no text: {problem!r}") from problem
