"""Contracts as files that stand by themselves, from `*.avsc` and the types that they have in common (`shared/`).

Registries, readers and code of ours use the form built here, which `schemas.release` keeps in `versions/`. Tools that make
code take the sources, each type of which is defined once: `avro-tools compile schema schemas/shared schemas out`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from schemas.registry import HERE

SHARED: Final = HERE / "shared"
_TYPES: Final = ("type", "items", "values")  # keys behind which a type stands


def built(name: str, sources: Path = HERE) -> str:
    """The text of a contract in which no other file is named. Its first use of a shared type has the definition."""
    text = (sources / f"{name}.avsc").read_text()
    schema, shared = json.loads(text), shared_types()
    whole = _whole(schema, schema.get("namespace", ""), shared)
    return text if whole == schema else _printed(whole)


def shared_types() -> dict[str, Any]:
    """The shared types by their names."""
    return {schema["name"]: schema for path in SHARED.glob("*.avsc") for schema in [json.loads(path.read_text())]}


def _whole(schema: Any, namespace: str, left: dict[str, Any]) -> Any:
    """The type with those of `left` put in, each of which is defined once."""
    if isinstance(schema, list):
        return [_whole(branch, namespace, left) for branch in schema]
    if isinstance(schema, str):
        return _whole(_inner(left.pop(schema), namespace), namespace, left) if schema in left else schema
    fields = {"fields": [_whole(field, namespace, left) for field in schema["fields"]]} if "fields" in schema else {}
    return {key: _whole(value, namespace, left) if key in _TYPES else value for key, value in schema.items()} | fields


def _inner(schema: dict[str, Any], namespace: str) -> dict[str, Any]:
    """The type as it is written within a record of that namespace."""
    return {key: value for key, value in schema.items() if (key, value) != ("namespace", namespace)}


def _printed(schema: dict[str, Any]) -> str:
    """A record with a line for each field."""
    head = json.dumps({key: value for key, value in schema.items() if key != "fields"}, ensure_ascii=False)
    lines = ",\n".join(f"    {json.dumps(field, ensure_ascii=False)}" for field in schema["fields"])
    return f'{head[:-1]},\n  "fields": [\n{lines}\n  ]\n}}\n'
