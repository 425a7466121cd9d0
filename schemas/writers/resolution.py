"""Which of a writer's fields each of ours takes, and what becomes of its values (docs/integrators.md#schemas-of-your-own).

Names of records, enumerations and fixed types are free; fields are the contract. Beyond Avro's own promotions a text is
taken for an enumeration, a decimal for an amount, and microseconds for milliseconds. Both decoders go by this module: the
block decoder's programs (schemas.codec.program) and the records read one by one (schemas.writers.rewritten_schema).
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from schemas.avro_types import MISSING, Field, Type

DELETED: Final = "__deleted"  # of Debezium's unwrapped rows: true where the row was deleted
RATE_SCALE: Final = 6  # decimals of rate_micro
PROMOTIONS: Final = {("int", "long"), ("string", "bytes"), ("bytes", "string")}
_TIME: Final = ("date", "time-", "timestamp-", "local-timestamp-", "duration")
_DEBEZIUM: Final = "io.debezium.time."
_DEBEZIUM_DATE: Final = _DEBEZIUM + "Date"  # days since 1970, as `date`
_ADVICE: Final = "set time.precision.mode=connect in Debezium's connector"


class Measure(Enum):
    """What a whole number of ours counts, where a decimal may stand for it."""

    AMOUNT = "amount"  # minor units of the currency beside it
    RATE = "rate"  # millionths


class ValueChange(Enum):
    """What becomes of a value."""

    NONE = "none"  # an int for a long too
    TEXT = "text"  # bytes for text or the other way round; both are UTF-8
    SYMBOL = "symbol"  # an enumeration's symbol for ours of the same name
    TEXT_SYMBOL = "text symbol"  # a text for the symbol of this name
    MILLIS = "millis"  # microseconds, rounded down
    DECIMAL = "decimal"


class IncompatibleError(ValueError):
    """The writer's schema can't be resolved to the reader's. `field`: the reader's field at fault, where there is one."""

    def __init__(self, text: str, field: str = "") -> None:
        super().__init__(text)
        self.field = field


def mismatch(field: str, wanted: str, found: str, writer: Type | None = None) -> IncompatibleError:
    """The error of a field; `writer` is what was found there."""
    time = writer is not None and any(t.connect.startswith(_DEBEZIUM) for t in (writer, *writer.items))
    advice = f"; {_ADVICE}" if time else ""
    return IncompatibleError(f"{field}: wanted {wanted}, found {found}{advice}", field)


def field_sources(writer: Type, reader: Type) -> list[Field | None]:
    """For each of the reader's fields the writer's that it takes; None where it has its default.

    A field of the writer's claims one of ours by its name, by an alias of ours, or by an alias of its own. Raises
    IncompatibleError where there are two claimants, or where one field claims two of ours, or where one is lacking.
    """
    found: list[Field | None] = []
    taken: dict[int, str] = {}
    for f in reader.fields:
        claimants = [w for w in writer.fields if w.name in (f.name, *f.aliases) or f.name in w.aliases]
        if not claimants and f.default is MISSING:
            raise mismatch(f.name, wanted_of(f.type, measure(reader, f)), "no such field")
        if len(claimants) > 1:
            names = " and ".join(w.name for w in claimants)
            raise mismatch(f.name, "one field", f"{len(claimants)}: {names}")
        for w in claimants:
            if id(w) in taken:
                raise mismatch(f.name, "a field of its own", f"{w.name}, which also stands for {taken[id(w)]}")
            taken[id(w)] = f.name
        found.append(claimants[0] if claimants else None)
    return found


def measure(reader: Type, f: Field) -> Measure | None:
    """What a field of the reader's measures, where a decimal may be taken for it."""
    if f.name == "rate_micro":
        return Measure.RATE
    beside = any(other.name == "currency" for other in reader.fields)
    return Measure.AMOUNT if beside and f.name.endswith("_minor") else None


def change(writer: Type, reader: Type, counts: Measure | None = None) -> ValueChange | None:
    """What becomes of a value without parts; None: it is not taken. Neither type is a union."""
    if writer.connect.startswith(_DEBEZIUM) and writer.connect != _DEBEZIUM_DATE:
        return None
    logical = "date" if writer.connect == _DEBEZIUM_DATE else writer.logical
    if reader.logical.startswith(_TIME) or logical.startswith(_TIME):
        return _time_change(writer, logical, reader)
    if logical == "decimal":
        good = counts is Measure.AMOUNT or (counts is Measure.RATE and writer.scale <= RATE_SCALE)
        return ValueChange.DECIMAL if good else None
    if reader.kind == "enum":
        return {"enum": ValueChange.SYMBOL, "string": ValueChange.TEXT_SYMBOL}.get(writer.kind)
    if reader.kind == "fixed":
        return ValueChange.NONE if writer.kind == "fixed" and writer.size == reader.size else None
    if (writer.kind, reader.kind) in PROMOTIONS:
        return ValueChange.NONE if writer.kind == "int" else ValueChange.TEXT
    return ValueChange.NONE if writer.kind == reader.kind else None


def _time_change(writer: Type, logical: str, reader: Type) -> ValueChange | None:
    """A day is no number and an instant no day; without a logical type a number is in the contract's unit."""
    if writer.kind not in (("int",) if reader.kind == "int" else ("int", "long")):
        return None
    if logical in ("", reader.logical):
        return ValueChange.NONE
    return ValueChange.MILLIS if (logical, reader.logical) == ("timestamp-micros", "timestamp-millis") else None


def fits(writer: Type, reader: Type, counts: Measure | None = None) -> bool:
    """Whether values of the writer's type are taken for the reader's: of a union those of one branch, null aside."""
    if writer.kind == "union":
        return any(takes(branch, writer, reader, counts) for branch in given(writer))
    if reader.kind == "union":
        return any(fits(writer, branch, counts) for branch in reader.items)
    if "null" in (writer.kind, reader.kind):
        return writer.kind == reader.kind
    if writer.kind != reader.kind and {writer.kind, reader.kind} & {"array", "map", "record"}:
        return False
    if writer.kind in ("array", "map"):
        return fits(writer.items[0], reader.items[0])
    if writer.kind == "record":
        try:
            pairs = zip(field_sources(writer, reader), reader.fields, strict=True)
        except IncompatibleError:
            return False
        return all(w is None or fits(w.type, f.type) for w, f in pairs)
    return change(writer, reader, counts) is not None


def given(writer: Type) -> list[Type]:
    """The branches of a union that say something: all but null, where there are others."""
    return [branch for branch in writer.items if branch.kind != "null"] or writer.items


def takes(branch: Type, writer: Type, reader: Type, counts: Measure | None) -> bool:
    """Whether a branch of the writer's union is taken. A decimal beside other numbers would leave open which it is."""
    if branch.logical == "decimal" and len(given(writer)) > 1:
        return False
    return fits(branch, reader, counts)


def words(t: Type) -> str:
    """A type as it is named to people."""
    if t.kind == "union":
        return " or ".join(words(branch) for branch in t.items)
    if t.connect.startswith(_DEBEZIUM):
        return t.connect
    if t.logical == "decimal":
        return f"decimal of scale {t.scale}"
    return t.logical or (f"{t.kind} {t.name}" if t.name else t.kind)


def wanted_of(reader: Type, counts: Measure | None = None) -> str:
    """What a field of ours takes, as it is named to people."""
    inner = reader.nullable or reader
    text = f"one of {', '.join(inner.symbols)}" if inner.kind == "enum" else words(inner)
    if counts is Measure.AMOUNT:
        text += " or a decimal with the currency's scale"
    elif counts is Measure.RATE:
        text += f" or a decimal of scale {RATE_SCALE} at most"
    return f"{text}, or null" if reader.nullable else text
