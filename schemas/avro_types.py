"""Avro schemas as a small tree of types: what the program compiler and the compatibility check walk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
# Logical types and what they may stand on; Avro takes any other for the bare type. Decimals have a check of their own.
LOGICAL = {
    "date": ("int",),
    "time-millis": ("int",),
    "uuid": ("string", "fixed"),
    "duration": ("fixed",),
    **dict.fromkeys(("time-micros", "timestamp-millis", "timestamp-micros", "timestamp-nanos"), ("long",)),
    **dict.fromkeys((f"local-timestamp-{unit}" for unit in ("millis", "micros", "nanos")), ("long",)),
    "decimal": ("bytes", "fixed"),
}
MISSING: Any = object()  # a field without a default; None is the default null


class SchemaError(ValueError):
    """Not a valid Avro schema."""


@dataclass(slots=True, eq=False)
class Field:
    """One field of a record."""

    name: str
    type: Type
    default: Any = MISSING
    aliases: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Type:
    """One node; a recursive schema refers to its own node again, so compare by identity."""

    kind: str
    name: str = ""  # full name of record, enum, fixed
    aliases: tuple[str, ...] = ()
    size: int = 0  # fixed
    symbols: tuple[str, ...] = ()  # enum
    default: str | None = None  # enum
    items: list[Type] = field(default_factory=list)  # array, map: one; union: its branches
    fields: list[Field] = field(default_factory=list)  # record
    source: Any = None  # the JSON it came from
    logical: str = ""  # logical type, where it is a valid one
    scale: int = 0  # of a decimal
    connect: str = ""  # what Kafka Connect calls it (`connect.name`)

    @property
    def nullable(self) -> Type | None:
        """X of a union of null and X, in either order."""
        rest = [branch for branch in self.items if branch.kind != "null"]
        return rest[0] if self.kind == "union" and len(self.items) == 2 and len(rest) == 1 else None


def parse(schema: Any) -> Type:
    """The tree of a schema given as parsed JSON. Raises SchemaError."""
    try:
        return _parse(schema, "", {})
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SchemaError(f"not an Avro schema: {error!r}") from error


def _parse(schema: Any, namespace: str, names: dict[str, Type]) -> Type:
    if isinstance(schema, list):
        return Type("union", items=[_parse(branch, namespace, names) for branch in schema], source=schema)
    kind = schema if isinstance(schema, str) else schema["type"]
    if not isinstance(kind, str):  # {"type": {"type": …}}
        return _parse(kind, namespace, names)
    if kind in PRIMITIVES:
        return Type(kind, source=kind) if isinstance(schema, str) else _annotated(Type(kind, source=kind), schema)
    if kind in ("array", "map"):
        return Type(
            kind, items=[_parse(schema["items" if kind == "array" else "values"], namespace, names)], source=schema
        )
    if kind in ("record", "error", "enum", "fixed"):
        return _named("record" if kind == "error" else kind, schema, namespace, names)
    found = names.get(_full(kind, namespace)) or names.get(kind)
    if found is None:
        raise SchemaError(f"unknown type {kind!r}")
    return found


def _annotated(node: Type, schema: dict[str, Any]) -> Type:
    """The type with what its attributes say of it."""
    node.connect, logical = str(schema.get("connect.name", "")), schema.get("logicalType")
    if isinstance(logical, str) and node.kind in LOGICAL.get(logical, ()):
        scale, precision = schema.get("scale", 0), schema.get("precision")
        if logical != "decimal":
            node.logical = logical
        elif type(scale) is type(precision) is int and 0 <= scale <= precision:
            node.logical, node.scale = logical, scale
    return node


def _full(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _named(kind: str, schema: dict[str, Any], namespace: str, names: dict[str, Type]) -> Type:
    name = _full(schema["name"], schema.get("namespace", namespace))
    inner = name.rpartition(".")[0]
    node = Type(kind, name, tuple(_full(alias, inner) for alias in schema.get("aliases", ())), source=schema)
    if name in names:
        raise SchemaError(f"{name} is defined twice")
    names[name] = node
    if kind == "fixed":
        node.size = int(schema["size"])
        if node.size < 0:
            raise SchemaError(f"{name}: negative size")
        _annotated(node, schema)
    elif kind == "enum":
        node.symbols, node.default = tuple(schema["symbols"]), schema.get("default")
    else:
        node.fields = [
            Field(f["name"], _parse(f["type"], inner, names), f.get("default", MISSING), tuple(f.get("aliases", ())))
            for f in schema["fields"]
        ]
    return node


def same_name(writer: Type, reader: Type) -> bool:
    """Named types meet by unqualified name or by an alias of the reader."""
    short = writer.name.rpartition(".")[2]
    return short == reader.name.rpartition(".")[2] or writer.name in reader.aliases


def writer_field(reader: Field, writer: Type) -> Field | None:
    """The writer's field that a reader's field takes its value from, by name and then by alias."""
    by_name = {f.name: f for f in writer.fields}
    return next((by_name[name] for name in (reader.name, *reader.aliases) if name in by_name), None)
