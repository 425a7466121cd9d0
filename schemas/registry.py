"""Who knows which schema an id stands for: the committed files, or the registry that the settings name.

A process takes its registry from `registry_for(settings)` and gives it to everything that reads or writes values.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from schemas import bounds
from schemas.bounded import read_bounded

if TYPE_CHECKING:
    from schemas.confluent import RegistryAccess

HERE = Path(__file__).parent
VERSIONS = HERE / "versions"
IDS = HERE / "ids.json"
CONTRACTS: Final = (1, 2)
"""What TIDEGAUGE_CONTRACTS takes. 2 writes the versions with null for what is not known, which readers of before can't read."""
_FREE = ("doc", "classification")  # may change without a new version


class RegistryError(RuntimeError):
    """The registry gave no answer: try again later. An id it doesn't know is no error but None."""


class UnregisteredError(RegistryError):
    """The registry answered: it lacks a contract of ours. `tidegauge schemas register` brings it there."""


class Registry(Hashable, Protocol):
    """What the codec asks of a registry."""

    def schema(self, schema_id: int) -> Any | None:
        """The schema of an id as parsed JSON, None if there is no such id."""

    def id_of(self, name: str) -> int:
        """The id of the version that is written of the contract of this name (a topic's, or close-mark)."""


class Secret(Protocol):
    """A text that doesn't show when it is printed."""

    def get_secret_value(self) -> str:
        """The text."""


class RegistrySettings(Protocol):
    """What a registry needs to know (a part of deploy.settings.Settings)."""

    @property
    def contracts(self) -> int:
        """Which versions of the contracts are written."""

    @property
    def schema_registry_url(self) -> str | None:
        """Its address; none: the ids of the files."""

    @property
    def schema_registry_user(self) -> str:
        """A user, for basic authentication."""

    @property
    def schema_registry_password(self) -> Secret | None:
        """The user's password."""

    @property
    def schema_registry_token_url(self) -> str:
        """Where tokens come from, for OAuth."""

    @property
    def schema_registry_client_id(self) -> str:
        """The client that gets tokens."""

    @property
    def schema_registry_client_secret(self) -> Secret | None:
        """The client's secret."""

    @property
    def schema_registry_scope(self) -> str:
        """What the token is asked for."""

    @property
    def schema_registry_ca(self) -> Path | None:
        """The authorities that are trusted, as a PEM file."""


@cache
def names() -> tuple[str, ...]:
    """Names of all contracts: the topics' and close-mark."""
    return tuple(sorted(path.stem for path in HERE.glob("*.avsc")))


def contract(name: str, contracts: int = CONTRACTS[-1]) -> Any:
    """The contract of that name as parsed JSON: the newest, by which all is read, or the one that is written. KeyError."""
    if name not in names():
        raise KeyError(f"no contract {name!r}; there are {', '.join(names())}")
    return json.loads(_own(version_file(name, written_version(name, contracts))))


def written_version(name: str, contracts: int) -> int:
    """The newest version of a contract among those of TIDEGAUGE_CONTRACTS up to this one."""
    return max(entry["version"] for entry in released()[name] if entry.get("contracts", CONTRACTS[0]) <= contracts)


def version_file(name: str, version: int) -> Path:
    """Where a released version lies."""
    return VERSIONS / f"{name}-{version}.avsc"


@cache
def released() -> dict[str, list[dict[str, Any]]]:
    """What `ids.json` says of every contract's versions. `contracts`: they are written from that setting on."""
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in json.loads(_own(IDS)):
        found.setdefault(entry["name"], []).append(entry)
    return found


def _own(path: Path) -> bytes:
    """A file of this folder."""
    return read_bounded(path, bounds.SMALL_FILE_BYTES_MAX)


def fingerprint(schema: Any) -> str:
    """SHA-256 of what matters to a reader or writer: all but words and classification."""
    return hashlib.sha256(json.dumps(_bare(schema), sort_keys=True).encode()).hexdigest()


def _bare(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _bare(value) for key, value in schema.items() if key not in _FREE}
    return [_bare(item) for item in schema] if isinstance(schema, list) else schema


class FileRegistry:
    """The ids of `ids.json`; `versions/` holds every released version."""

    def __init__(self, contracts: int = CONTRACTS[0]) -> None:
        entries = [entry for versions in released().values() for entry in versions]
        self._paths = {entry["id"]: version_file(entry["name"], entry["version"]) for entry in entries}
        ids = {(entry["name"], entry["version"]): entry["id"] for entry in entries}
        self._written = {name: ids[name, written_version(name, contracts)] for name in released()}

    def schema(self, schema_id: int) -> Any | None:
        """The released schema of an id."""
        path = self._paths.get(schema_id)
        return None if path is None else json.loads(_own(path))

    def id_of(self, name: str) -> int:
        """The id of the version that is written."""
        return int(self._written[name])


def file_registry(contracts: int = CONTRACTS[0]) -> FileRegistry:
    """The files as a registry, read once."""
    return _files(contracts)


@cache
def _files(contracts: int) -> FileRegistry:
    return FileRegistry(contracts)


def registry_for(settings: RegistrySettings) -> Registry:
    """The registry of the settings, the same for a whole process; without an address the committed files.

    Raises RegistryError where the settings contradict each other. Nothing is asked yet.
    """
    if not settings.schema_registry_url:
        return file_registry(settings.contracts)
    from schemas.confluent import RegistryAccess

    access = RegistryAccess(
        settings.schema_registry_url,
        settings.schema_registry_user,
        _secret(settings.schema_registry_password),
        settings.schema_registry_token_url,
        settings.schema_registry_client_id,
        _secret(settings.schema_registry_client_secret),
        settings.schema_registry_scope,
        settings.schema_registry_ca,
    )
    return _confluent(access, settings.contracts)


@cache
def _confluent(access: RegistryAccess, contracts: int) -> Registry:
    from schemas.confluent import ConfluentRegistry

    return ConfluentRegistry(access, contracts)


def _secret(hidden: Secret | None) -> str:
    return "" if hidden is None else hidden.get_secret_value()
