"""One record at a time: for producers and for what is rare. Dates are day numbers, instants milliseconds here too."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import fastavro

from schemas.avro_types import parse
from schemas.registry import Registry, contract, file_registry
from schemas.writers.limits import writer_type
from schemas.writers.resolution import IncompatibleError
from schemas.writers.rewritten_schema import reading_schema

MAGIC: Final = b"\0"
HEADER_BYTES: Final = 5
DATUM_BYTES_MAX: Final = 4 << 20
SCHEMAS_MAX: Final = 64  # that are kept, made ready for fastavro

Encode = Callable[[str, dict[str, Any]], bytes]
"""(name of the contract, record) -> framed bytes."""


class RecordError(ValueError):
    """These bytes are not a record of ours, or this dict doesn't fit the schema. `field`: the one at fault, if one is."""

    def __init__(self, text: str, field: str = "") -> None:
        super().__init__(text)
        self.field = field


def encode(contract_or_id: str | int, record: dict[str, Any], registry: Registry | None = None) -> bytes:
    """A record in wire format (magic byte, 4-byte id, Avro), by a contract's name (a topic without prefix) or an id.

    Raises RecordError if the record doesn't fit, which includes fields the schema doesn't know.
    """
    registry = registry if registry is not None else file_registry()
    schema_id = registry.id_of(contract_or_id) if isinstance(contract_or_id, str) else contract_or_id
    schema = _writer(registry, schema_id)
    if isinstance(schema, RecordError):
        raise RecordError(str(schema))
    out = io.BytesIO()
    out.write(MAGIC + schema_id.to_bytes(4, "big"))
    try:
        fastavro.schemaless_writer(out, schema, record, strict_allow_default=True)
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError, struct.error) as error:
        raise RecordError(f"{contract_or_id}: {error}") from error
    return out.getvalue()


def decode_one(value: bytes, registry: Registry | None = None, name: str | None = None) -> dict[str, Any]:
    """The record of a value in wire format; with `name` as a record of that contract's newest version.

    Raises RecordError for whatever is wrong with the bytes or the writer's schema.
    """
    registry = registry if registry is not None else file_registry()
    if len(value) < HEADER_BYTES or value[:1] != MAGIC or len(value) > DATUM_BYTES_MAX:
        raise RecordError("no magic byte and schema id, or too large")
    schema_id = int.from_bytes(value[1:HEADER_BYTES], "big")
    schema = _writer(registry, schema_id) if name is None else _as_ours(registry, schema_id, name)
    if isinstance(schema, RecordError):
        raise RecordError(str(schema), schema.field)
    data = io.BytesIO(value[HEADER_BYTES:])
    try:
        record = fastavro.schemaless_reader(data, schema, None)
    except IncompatibleError as problem:
        raise RecordError(str(problem), problem.field) from problem
    except Exception as error:  # fastavro raises whatever it stumbles over
        raise RecordError(f"schema {schema_id}: {error!r}") from error
    if data.read(1):
        raise RecordError(f"schema {schema_id}: bytes after the end")
    if not isinstance(record, dict):
        raise RecordError(f"schema {schema_id}: not a record")
    return record


@lru_cache(maxsize=SCHEMAS_MAX)
def _writer(registry: Registry, schema_id: int) -> Any:
    """What fastavro reads records of a writer by; a RecordError where it can't."""
    schema = _known(registry, schema_id)
    try:
        writer_type(schema)
        return fastavro.parse_schema(plain(schema))
    except Exception as problem:  # noqa: BLE001 - whatever fastavro stumbles over
        return RecordError(f"schema {schema_id}: {problem}")


@lru_cache(maxsize=SCHEMAS_MAX)
def _as_ours(registry: Registry, schema_id: int, name: str) -> Any:
    """What fastavro reads records of a writer by as those of a contract; a RecordError where it can't (to be kept as well)."""
    schema = _known(registry, schema_id)
    try:
        return reading_schema(writer_type(schema), parse(contract(name)))
    except IncompatibleError as problem:
        return RecordError(str(problem), problem.field)
    except Exception as problem:  # noqa: BLE001 - whatever fastavro stumbles over
        return RecordError(f"schema {schema_id}: {problem}")


def _known(registry: Registry, schema_id: int) -> Any:
    """The schema of an id. An error is not kept: the id may be registered later."""
    if (schema := registry.schema(schema_id)) is None:
        raise RecordError(f"unknown schema id {schema_id}")
    return schema


def plain(schema: Any) -> Any:
    """The schema without logical types: dates stay day numbers, instants stay milliseconds."""
    if isinstance(schema, dict):
        return {key: plain(value) for key, value in schema.items() if key != "logicalType"}
    return [plain(item) for item in schema] if isinstance(schema, list) else schema
