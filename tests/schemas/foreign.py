"""Schemas as other systems write them, each field with what plain Python makes of the values that fastavro reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from hypothesis import strategies as st

from schemas.registry import contract
from tests.schemas.helpers import types, values

EXPONENTS: Final = {"CNY": 2, "USD": 2, "JPY": 0, "KWD": 3}
MILLIS: Final = {"type": "long", "logicalType": "timestamp-millis"}
MICROS: Final = {"type": "long", "logicalType": "timestamp-micros"}
DATE: Final = {"type": "int", "logicalType": "date"}
CONNECT: Final = "org.apache.kafka.connect.data."
INTS, LONGS = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63) + 1, 2**63 - 1)
TEXTS: Final = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=20)
RAW: Final = st.one_of(*[TEXTS.map(str.encode)] * 9, st.binary(max_size=19).map(lambda noise: b"\xff" + noise))


class Bad(ValueError):
    """A value that no field of ours takes."""


@dataclass(frozen=True)
class Way:
    """One way to write a field: its type, values of it, and the value that is ours; `ours` None: never taken."""

    type: Any
    values: st.SearchStrategy[Any]
    ours: Callable[[Any], Any] | None = lambda value: value
    scale: int | None = None  # of a decimal of whole currency units

    def optional(self, *, nullable: bool, order: list[int]) -> Way:
        """The same, or null."""
        ours = self.ours

        def or_null(value: Any) -> Any:
            if value is None and not nullable:
                raise Bad
            return None if value is None or ours is None else ours(value)

        both = ["null", self.type]
        made = None if ours is None else or_null
        given = st.one_of(st.none(), *[self.values] * (1 if nullable else 9))
        return Way([both[i] for i in order], given, made, self.scale)


def never(kind: Any, given: st.SearchStrategy[Any]) -> Way:
    """A type that the field doesn't take."""
    return Way(kind, given, None)


def text(value: bytes) -> str:
    """Bytes as text."""
    try:
        return value.decode()
    except UnicodeDecodeError as problem:
        raise Bad from problem


def number(factor: int) -> Callable[[bytes], int]:
    """An unscaled decimal times a factor."""

    def ours(value: bytes) -> int:
        found = int.from_bytes(value, signed=True) * factor
        if not value or abs(found) >= 2**63:
            raise Bad
        return found

    return ours


def unscaled(size: int | None) -> st.SearchStrategy[bytes]:
    """Bytes of decimals, most of them amounts."""
    size_of = st.just(size) if size else st.sampled_from([8, 7, 12])
    amounts = st.tuples(st.integers(-(10**14), 10**14), size_of).map(
        lambda pair: pair[0].to_bytes(pair[1], signed=True)
    )
    return st.one_of(*[amounts] * 9, st.binary(min_size=size or 0, max_size=size or 12))


def decimal(scale: int, ours: Callable[[Any], Any] | None, size: int | None = None, *, amount: bool = False) -> Way:
    """A decimal as Kafka Connect's converter writes it, or as a fixed type."""
    kind: dict[str, Any] = {"type": "bytes"} if size is None else {"type": "fixed", "name": "Decimal", "size": size}
    kind |= {
        "scale": scale, "precision": 19 if size else 64, "logicalType": "decimal", "connect.version": 1,
        "connect.parameters": {"scale": str(scale)}, "connect.name": f"{CONNECT}Decimal",
    }  # fmt: skip
    return Way(kind, unscaled(size), ours, scale if amount else None)


def debezium(kind: str, name: str, given: st.SearchStrategy[Any]) -> Way:
    """A type of Debezium's own."""
    return never({"type": kind, "connect.version": 1, "connect.name": f"io.debezium.time.{name}"}, given)


FLOATS: Final = (never("double", st.floats(allow_nan=False)), never("float", st.just(1.5)))
NUMBERS: Final = (Way("long", LONGS), Way("int", INTS), never("string", TEXTS), never(MILLIS, LONGS), *FLOATS)


def ways(name: str, reader: Any) -> list[Way]:
    """Every way to write a field whose type in our contract is `reader`, null aside."""
    if isinstance(reader, dict) and reader["type"] == "enum":
        return enum_ways(reader)
    logical = reader.get("logicalType") if isinstance(reader, dict) else None
    if logical == "date":
        days = debezium("int", "Date", INTS)
        return [
            Way(DATE, INTS), Way("int", INTS), Way(days.type, INTS), never("long", LONGS), never("string", TEXTS),
            never({"type": "int", "logicalType": "time-millis"}, INTS), debezium("string", "IsoDate", TEXTS),
        ]  # fmt: skip
    if logical == "timestamp-millis":
        return [
            Way(MILLIS, LONGS), Way("long", LONGS), Way("int", INTS), Way(MICROS, LONGS, lambda micros: micros // 1000),
            Way({**MILLIS, "connect.version": 1, "connect.name": f"{CONNECT}Timestamp"}, LONGS),
            never({"type": "long", "logicalType": "local-timestamp-millis"}, LONGS), never(DATE, INTS),
            debezium("long", "MicroTimestamp", LONGS), debezium("string", "ZonedTimestamp", TEXTS), *FLOATS,
        ]  # fmt: skip
    if reader == "string":
        return [
            Way("string", TEXTS), Way("bytes", RAW, text), Way({"type": "string", "logicalType": "uuid"}, TEXTS),
            never("int", INTS), never({"type": "enum", "name": "Word", "symbols": ["A", "B"]}, st.sampled_from("AB")),
            decimal(0, None), debezium("string", "ZonedTimestamp", TEXTS),
        ]  # fmt: skip
    if reader == "boolean":
        return [Way("boolean", st.booleans()), never("string", TEXTS), never("int", INTS)]
    assert reader == "long", reader
    if name.endswith("_minor"):
        amounts = [decimal(scale, number(1), amount=True) for scale in (0, 2, 2, 2, 3)]
        return [*NUMBERS, *amounts, decimal(2, number(1), 9, amount=True)]
    if name == "rate_micro":
        rates = [decimal(scale, number(10 ** (6 - scale))) for scale in (0, 4, 6)]
        return [*NUMBERS, *rates, decimal(7, None)]
    return [*NUMBERS, decimal(0, None)]


def enum_ways(reader: Any) -> list[Way]:
    """An enumeration of other symbols and name, or text."""
    symbols = reader["symbols"]

    def known(value: str) -> str:
        if value not in symbols:
            raise Bad
        return value

    def known_or_default(value: str) -> str:
        return reader.get("default") or known(value) if value not in symbols else value

    theirs = ["OTHER", *reversed(symbols[1:])]
    return [
        Way({"type": "enum", "name": "Theirs", "symbols": theirs}, st.sampled_from(theirs), known_or_default),
        Way("string", st.sampled_from([*symbols * 3, "x", symbols[0][:-1]]), known), never("int", INTS),
        Way(reader, st.sampled_from(symbols)),
    ]  # fmt: skip


@dataclass
class Foreign:
    """A writer's schema: by field of ours the writer's name and way; the fields of ours that can't be had."""

    topic: str
    schema: Any
    taken: dict[str, tuple[str, Way]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def records(self) -> st.SearchStrategy[Any]:
        """Records of the writer's."""
        known = {theirs: way.values for theirs, way in self.taken.values()}
        return st.fixed_dictionaries({
            f["name"]: known[f["name"]] if f["name"] in known else values(f["type"]) for f in self.schema["fields"]
        })  # fmt: skip

    def ours(self, read: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
        """What fastavro has read as a record of ours, and the fields of it that are not taken."""
        found, bad = {}, set()
        for f in contract(self.topic)["fields"]:
            name = f["name"]
            if name not in self.taken:
                found[name] = f.get("default")
                continue
            theirs, way = self.taken[name]
            try:
                assert way.ours is not None
                found[name] = way.ours(read[theirs])
            except Bad:
                bad.add(name)
        for name, (theirs, way) in self.taken.items():
            digits = EXPONENTS.get(found.get("currency", ""))
            if way.scale is not None and read[theirs] is not None and way.scale != digits:
                bad.add(name)
        return found, bad


@st.composite
def foreign(draw: st.DrawFn) -> Foreign:
    """Any writer for one of our inputs. Most fields are written as ours, so that many records are taken."""
    topic = draw(st.sampled_from(["transactions", "balances", "customers", "fx-rates"]))
    kind = draw(st.sampled_from(["Envelope", "Value", "ConnectDefault"]))
    space = draw(st.sampled_from(["", "a.b", "core.x"]))
    found, fields = Foreign(topic, None), []
    odd = draw(st.sampled_from([0, 0, 0, 1]))  # of fields that may be written in a way that is not taken, and of losses
    for i, f in enumerate(contract(topic)["fields"]):
        name, fate = f["name"], draw(st.sampled_from(["own", "own", "own", "alias"] + ["gone", "twice"] * odd))
        nullable = isinstance(f["type"], list)
        if fate == "gone" or (nullable and draw(st.integers(0, 3)) == 0):
            found.refused |= set() if "default" in f else {name}
            continue
        way = draw(way_of(name, f["type"][1] if nullable else f["type"], nullable=nullable, odd=odd))
        if name == "currency" and way.ours is not None and way.type == "string":
            way = Way("string", st.sampled_from([*EXPONENTS, *["CNY"] * 9, "XXX", "CNYX"]))
        theirs = name if fate in ("own", "twice") else f"their_{i}"
        fields.append({"name": theirs, "type": named(way.type, i)})
        if fate == "alias":
            fields[-1]["aliases"] = ["unheard", name]
        if fate == "twice":
            fields.append({"name": f"also_{i}", "type": "long", "aliases": [name]})
        if fate == "twice" or way.ours is None:
            found.refused.add(name)
        else:
            found.taken[name] = theirs, way
    fields += [{"name": f"more_{i}", "type": draw(types(f"More{i}", 1))} for i in range(draw(st.integers(0, 2)))]
    found.schema = {"type": "record", "name": kind, "namespace": space, "fields": draw(st.permutations(fields))}
    return found


@st.composite
def way_of(draw: st.DrawFn, name: str, reader: Any, *, nullable: bool, odd: int) -> Way:
    """A way to write a field, null or not."""
    way = draw(st.sampled_from([way for way in ways(name, reader) if odd or way.ours is not None]))
    if draw(st.integers(0, 2 if nullable else 8)) == 0:
        way = way.optional(nullable=nullable, order=draw(st.permutations([0, 1])))
    return way


def named(kind: Any, i: int) -> Any:
    """The type with a name that no other field has."""
    if isinstance(kind, list):
        return [named(branch, i) for branch in kind]
    return {**kind, "name": f"{kind['name']}{i}"} if isinstance(kind, dict) and "name" in kind else kind
