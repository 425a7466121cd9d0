"""Who knows which schema an id stands for: the committed files, or a Confluent-compatible registry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable
from functools import cache
from pathlib import Path
from typing import Any, Protocol

HERE = Path(__file__).parent
VERSIONS = HERE / "versions"
IDS = HERE / "ids.json"
_FREE = ("doc", "classification")  # may change without a new version
_NOT_FOUND = 404


class RegistryError(RuntimeError):
    """The registry gave no answer: try again later. An id it doesn't know is no error but None."""


class Registry(Hashable, Protocol):
    """What the codec asks of a registry."""

    def schema(self, schema_id: int) -> Any | None:
        """The schema of an id as parsed JSON, None if there is no such id."""

    def id_of(self, name: str) -> int:
        """The id of the newest version of the contract of this name (a topic's, or close-mark)."""


@cache
def names() -> tuple[str, ...]:
    """Names of all contracts: the topics' and close-mark."""
    return tuple(sorted(path.stem for path in HERE.glob("*.avsc")))


def contract(name: str) -> Any:
    """The newest contract of that name as parsed JSON. Raises KeyError."""
    if name not in names():
        raise KeyError(f"no contract {name!r}; there are {', '.join(names())}")
    return json.loads((HERE / f"{name}.avsc").read_text())


def fingerprint(schema: Any) -> str:
    """SHA-256 of what matters to a reader or writer: all but words and classification."""
    return hashlib.sha256(json.dumps(_bare(schema), sort_keys=True).encode()).hexdigest()


def _bare(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _bare(value) for key, value in schema.items() if key not in _FREE}
    return [_bare(item) for item in schema] if isinstance(schema, list) else schema


class FileRegistry:
    """The ids of `ids.json`; `versions/` holds every released version."""

    def __init__(self) -> None:
        released = json.loads(IDS.read_text())
        self._paths = {r["id"]: VERSIONS / f"{r['name']}-{r['version']}.avsc" for r in released}
        self._newest = {r["name"]: r["id"] for r in sorted(released, key=lambda r: r["version"])}

    def schema(self, schema_id: int) -> Any | None:
        """The released schema of an id."""
        path = self._paths.get(schema_id)
        return None if path is None else json.loads(path.read_text())

    def id_of(self, name: str) -> int:
        """The id of the newest released version."""
        return int(self._newest[name])


class ConfluentRegistry:
    """A registry with Confluent's API. Contracts are registered under `<name>-value` when first asked for."""

    def __init__(self, url: str, timeout_s: int = 10) -> None:
        from confluent_kafka.schema_registry import SchemaRegistryClient

        self._client = SchemaRegistryClient({"url": url, "timeout": timeout_s})
        self._ids: dict[str, int] = {}

    def schema(self, schema_id: int) -> Any | None:
        """Asks the registry; nothing is kept here but what its client keeps. Raises RegistryError."""
        from confluent_kafka.schema_registry.error import SchemaRegistryError

        try:
            found = self._client.get_schema(schema_id)
        except SchemaRegistryError as error:
            if error.http_status_code == _NOT_FOUND:
                return None
            raise RegistryError(f"schema {schema_id}: {error}") from error
        except Exception as error:  # the HTTP library's own
            raise RegistryError(f"schema {schema_id}: no answer from the registry: {error}") from error
        try:
            return json.loads(found.schema_str or "")
        except ValueError:  # Protobuf has no JSON: known, but nothing a reader of ours can resolve
            return {"type": "record", "name": found.schema_type or "unknown", "fields": []}

    def id_of(self, name: str) -> int:
        """Registers the newest contract if the registry lacks it. Raises RegistryError."""
        from confluent_kafka.schema_registry import Schema

        if name not in self._ids:
            try:
                schema = Schema(json.dumps(contract(name)), "AVRO")
                self._ids[name] = int(self._client.register_schema(f"{name}-value", schema))
            except Exception as error:
                raise RegistryError(f"{name}-value was not registered: {error}") from error
        return self._ids[name]


@cache
def file_registry() -> FileRegistry:
    """The default, read once."""
    return FileRegistry()


def registry_for(url: str | None) -> Registry:
    """The registry of the setting `schema_registry_url`; without one the committed files."""
    return ConfluentRegistry(url) if url else file_registry()
