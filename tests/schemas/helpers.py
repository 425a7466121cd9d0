"""Record batches and random schemas for the codec's tests."""

from __future__ import annotations

import io
from typing import Any

import fastavro
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import strategies as st

from schemas.codec.blocks import Columns, Reader
from schemas.codec.records import encode, plain
from schemas.codec.status import Status

ALWAYS = 1 << 62


class Registry:
    """A registry in memory that counts what it is asked."""

    def __init__(self, *schemas: Any) -> None:
        self.schemas = dict(enumerate(schemas, 1))
        self.asked: list[int] = []

    def schema(self, schema_id: int) -> Any | None:
        self.asked.append(schema_id)
        return self.schemas.get(schema_id)

    def id_of(self, name: str) -> int:
        return next(i for i, s in self.schemas.items() if s["name"] == name)


def batch(
    values: list[bytes | None],
    base: int = 0,
    *,
    keys: list[bytes | None] | None = None,
    codec: int = 0,
    deltas: list[int] | None = None,
    transactional: bool = False,
) -> bytes:
    """One v2 batch with a right CRC."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=int(transactional),
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 26,
    )
    keys = keys or [b"k"] * len(values)
    for delta, key, value in zip(deltas or range(len(values)), keys, values, strict=True):
        assert builder.append(delta, timestamp=1_700_000_000_000 + delta, key=key, value=value, headers=[("h", b"x")])
    raw = bytearray(builder.build())
    raw[:8] = base.to_bytes(8, "big")
    return bytes(raw)


def framed(schema_id: int, datum: bytes) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big") + datum


def datum(schema: Any, record: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(plain(schema)), record)
    return out.getvalue()


def posting(i: int = 1, **other: Any) -> dict[str, Any]:
    return {
        "event_id": f"core-{i}", "source": "core", "journal_seq": i,
        "customer_id": f"c{i % 7}", "account_id": f"a{i % 9}",
        "asset_class": "savings", "currency": "CNY", "amount_minor": -i * 12345, "value_date": 20500 + i,
        "booked_at": 1_700_000_000_000 + i,
        "nature": "external", "customer_initiated": bool(i % 2), "branch": "支行",
        "channel": "mobile" if i % 3 else None,
        "counterparty_bank": None, "counterparty_ref": None, "reverses": None, **other,
    }  # fmt: skip


def posting_value(i: int = 1, **other: Any) -> bytes:
    return encode("transactions", posting(i, **other))


def row(columns: Columns, reader: Reader, i: int) -> dict[str, Any]:
    """A row as fastavro would give it; nested fields stay bytes."""
    assert columns.status[i] == Status.OK, (Status(columns.status[i]), columns.field[i])
    return {f.name: cell(columns, f.type, int(columns.data[i, j])) for j, f in enumerate(reader.type.fields)}


def cell(columns: Columns, kind: Any, number: int) -> Any:
    kind = kind.nullable or kind
    if number == -(2**63):
        return None
    if kind.kind in ("int", "long"):
        return number
    if kind.kind == "boolean":
        return bool(number)
    if kind.kind == "enum":
        return kind.symbols[number]
    return columns.text_at(number) if kind.kind == "string" else columns.bytes_at(number)


# Random schemas. -2**63 stands for null in the columns, so numbers end one above it.
LONGS = st.integers(-(2**63) + 1, 2**63 - 1)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": LONGS,
    "float": st.just(1.5),
    "double": st.floats(allow_nan=False),
    "bytes": st.binary(max_size=70),
    "string": st.text(max_size=70),
}
SCALARS = ("boolean", "int", "long", "bytes", "string")


@st.composite
def types(draw: st.DrawFn, name: str, depth: int = 2) -> Any:
    """A type whose named types have names that begin with `name`."""
    nested = ["array", "map", "record", "union"] if depth else []
    kind = draw(st.sampled_from(["nullable", *SCALARS, "float", "double", "fixed", "enum", *nested]))
    if kind in VALUES:
        return kind
    if kind == "fixed":
        return {"type": "fixed", "name": f"{name}F", "size": draw(st.integers(1, 20))}
    if kind == "enum":
        return {"type": "enum", "name": f"{name}E", "symbols": list("ABCD")[: draw(st.integers(1, 4))], "default": "A"}
    if kind == "nullable":
        inner = draw(types(f"{name}N", depth).filter(lambda t: not isinstance(t, list)))
        return draw(st.permutations(["null", inner]))
    if kind == "array":
        return {"type": "array", "items": draw(types(f"{name}A", depth - 1))}
    if kind == "map":
        return {"type": "map", "values": draw(types(f"{name}M", depth - 1))}
    if kind == "record":
        fields = [
            {"name": f"g{i}", "type": draw(types(f"{name}R{i}", depth - 1))} for i in range(draw(st.integers(1, 3)))
        ]
        return {"type": "record", "name": f"{name}R", "fields": fields}
    # Not string and bytes together: fastavro takes the first branch it can promote to, not the one that was written.
    return draw(st.lists(st.sampled_from(["null", "boolean", "int", "string"]), min_size=1, max_size=4, unique=True))


def values(schema: Any) -> st.SearchStrategy[Any]:
    """Values of a schema."""
    if isinstance(schema, list):
        return st.one_of([values(branch) for branch in schema])
    if isinstance(schema, str):
        return VALUES[schema]
    kind = schema["type"]
    if kind == "fixed":
        return st.binary(min_size=schema["size"], max_size=schema["size"])
    if kind == "enum":
        return st.sampled_from(schema["symbols"])
    if kind == "array":
        return st.lists(values(schema["items"]), max_size=4)
    if kind == "map":
        return st.dictionaries(st.text(max_size=5), values(schema["values"]), max_size=3)
    if kind == "record":
        return st.fixed_dictionaries({f["name"]: values(f["type"]) for f in schema["fields"]})
    return values(kind)


@st.composite
def writers(draw: st.DrawFn, name: str = "") -> Any:
    fields = [{"name": f"f{i}", "type": draw(types(f"{name}T{i}"))} for i in range(draw(st.integers(1, 6)))]
    return {"type": "record", "name": "Event", "namespace": "t", "fields": fields}


@st.composite
def evolved(draw: st.DrawFn, writer: Any) -> Any:
    """A reader's schema that can resolve the writer's: fields dropped, added, moved, widened, made nullable."""
    added = [
        {"name": "x0", "type": "string", "default": "缺省"}, {"name": "x1", "type": ["null", "long"], "default": None},
        {"name": "x2", "type": "long", "default": -7},
        {"name": "x4", "type": {"type": "enum", "name": "X4", "symbols": ["P", "Q"]}, "default": "Q"},
        {"name": "x5", "type": ["boolean", "null"], "default": True},
    ]  # fmt: skip
    fields = [draw(st.sampled_from(added))]
    for f in writer["fields"]:
        change = draw(st.sampled_from(["keep", "keep", "drop", "widen", "nullable", "symbols"]))
        kind = f["type"]
        branches = [b for b in (kind if isinstance(kind, list) else [kind]) if b != "null"]
        if change == "drop" or branches in ([], ["float"], ["double"]):
            continue
        if change == "widen" and kind in ("int", "string"):
            kind = {"int": "long", "string": "bytes"}[kind]
        elif change == "nullable" and not isinstance(kind, list):
            kind = ["null", kind]
        elif change == "symbols" and isinstance(kind, dict) and kind["type"] == "enum":
            kind = {**kind, "symbols": ["Z", "A", "C"]}
        if kind != ["null"]:
            fields.append({**f, "type": kind})
    return {**writer, "fields": draw(st.permutations(fields))}
