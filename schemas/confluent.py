"""A schema registry with Confluent's API: Confluent's own, Apicurio (its `/apis/ccompat/v7`), Karapace.

Contracts stand there under `<name>-value`, those of inputs under `tidegauge-<name>`. Ids are looked up; only `register`
writes. What a process has learned it keeps, so that a registry that is down holds up only what was never met before.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from schemas import bounds
from schemas.answers import TOKEN_SPARE_S, BoundedSession, in_time, new_token
from schemas.bounded import check_size
from schemas.compatibility import level_of
from schemas.registry import CONTRACTS, RegistryError, UnregisteredError, contract, fingerprint, written_version
from schemas.topics import INPUTS
from schemas.writers.limits import UnreadableSchema

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import SchemaRegistryClient

NO_SUBJECT, NO_VERSION, NO_SCHEMA = 40401, 40402, 40403  # error codes of the API
RETRIES, RETRY_MS = 1, 200
SAID_CHARS_MAX: Final = 300  # of an error of the registry
ID_BYTES: Final = 4

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """Where a registry is, and what opens it: a user (basic), or a client that gets tokens (OAuth); empty: nothing."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    token_url: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    scope: str = ""
    ca: Path | None = None

    def config(self) -> dict[str, Any]:
        """The client's configuration. RegistryError where settings are missing or are one too many."""
        if bool(self.user) != bool(self.password):
            raise RegistryError("TIDEGAUGE_SCHEMA_REGISTRY_USER and TIDEGAUGE_SCHEMA_REGISTRY_PASSWORD go together")
        if len({bool(self.token_url), bool(self.client_id), bool(self.client_secret)}) > 1:
            raise RegistryError(
                "TIDEGAUGE_SCHEMA_REGISTRY_TOKEN_URL, TIDEGAUGE_SCHEMA_REGISTRY_CLIENT_ID and "
                "TIDEGAUGE_SCHEMA_REGISTRY_CLIENT_SECRET go together"
            )
        if self.user and self.token_url:
            raise RegistryError("a user and a token for the registry: TIDEGAUGE_SCHEMA_REGISTRY_… takes one of them")
        config: dict[str, Any] = {
            "url": self.url, "max.retries": RETRIES, "retries.wait.ms": RETRY_MS,
        }  # fmt: skip
        if self.ca is not None:
            config["ssl.ca.location"] = str(self.ca)
        if self.user:
            config["basic.auth.user.info"] = f"{self.user}:{self.password}"
        if self.token_url:
            config |= {
                "bearer.auth.credentials.source": "CUSTOM", "bearer.auth.custom.provider.function": RegistryTokens(self),
                "bearer.auth.custom.provider.config": {},
            }  # fmt: skip
        return config


class RegistryTokens:
    """Tokens by OAuth's client credentials. The client's own way would not take the CA file."""

    def __init__(self, access: RegistryAccess) -> None:
        self._access, self._renew_at, self._token = access, 0.0, ""

    def __call__(self, _: dict[str, Any]) -> dict[str, str]:
        """The header fields of a request; raises what the HTTP library raises."""
        if not self._token or time.monotonic() >= self._renew_at:
            access = self._access
            given = access.token_url, access.client_id, access.client_secret, access.scope, access.ca
            self._token, lasts_s = in_time(lambda: new_token(*given))
            self._renew_at = time.monotonic() + lasts_s - TOKEN_SPARE_S
        return {"bearer.auth.token": self._token, "bearer.auth.logical.cluster": ""}


class ConfluentRegistry:
    """See the module. Safe to share between threads; nothing is asked before it is needed."""

    def __init__(self, access: RegistryAccess, contracts: int = CONTRACTS[0]) -> None:
        from confluent_kafka.schema_registry import SchemaRegistryClient

        self.access, self.contracts = access, contracts
        try:
            if access.ca is not None:
                check_size(access.ca, bounds.SMALL_FILE_BYTES_MAX)
            self._client: SchemaRegistryClient = SchemaRegistryClient(access.config())
            http = self._client._rest_client  # noqa: SLF001 - there is no other way to give it a session
            http.session = BoundedSession(http.verify, http.auth)  # type: ignore[assignment]
        except (ValueError, TypeError, OSError) as problem:  # OSError: the CA file
            raise RegistryError(f"TIDEGAUGE_SCHEMA_REGISTRY_URL or its CA file is not right: {problem}") from problem
        self._schemas: dict[int, tuple[Any, int]] = {}  # and the length of its text
        self._ids: dict[tuple[str, int], int] = {}  # of a contract's versions
        self._lock = threading.Lock()

    def schema(self, schema_id: int) -> Any | None:
        """The schema of an id; None if the registry says that there is none. Raises RegistryError."""
        if (known := self._schemas.get(schema_id)) is not None:
            return known[0]
        found = self._asked(f"schema {schema_id}", lambda: self._client.get_schema(schema_id))
        if found is None:
            return None
        schema = _parsed(found.schema_str)
        if schema is None:  # known, but nothing a reader of ours can resolve
            schema = UnreadableSchema.of(found.schema_str or "")
        with self._lock:
            self._schemas[schema_id] = schema, len(found.schema_str or "")
            self._forget()
        return schema

    def _forget(self) -> None:
        """The oldest schemas go where there are too many; the last one stays."""
        total = sum(size for _, size in self._schemas.values())
        while len(self._schemas) > bounds.SCHEMAS_KEPT_MAX or (
            total > bounds.SCHEMAS_KEPT_BYTES_MAX and len(self._schemas) > 1
        ):
            total -= self._schemas.pop(next(iter(self._schemas)))[1]

    def id_of(self, name: str) -> int:
        """The registry's id of the version that is written. Raises UnregisteredError where it lacks it, RegistryError."""
        found = self._id_of(name, self.contracts)
        if found is None:
            raise UnregisteredError(f"the registry has no {subject_of(name)} as this version writes it")
        return found

    def _id_of(self, name: str, contracts: int) -> int | None:
        key = name, written_version(name, contracts)
        if key not in self._ids:
            # Contracts of inputs stood under `-value` once; where they still do, their ids stay what they are.
            places, schema = dict.fromkeys((subject_of(name), _topic_subject(name))), contract(name, contracts)
            found = next((i for place in places if (i := self._registered(place, schema)) is not None), None)
            if found is None:
                return None
            self._ids[key] = found
        return self._ids[key]

    def _registered(self, subject: str, schema: Any) -> int | None:
        given = self._asked(subject, lambda: _id(self._client.lookup_schema(subject, _text(schema))))
        return self._reworded(subject, schema) if given is None else given

    def register(self, name: str) -> int:
        """Registers what is written of the contract and its newest version, each if the registry lacks it: the first's id.

        The subject's compatibility is set to what the contract changes by. Raises RegistryError.
        """
        is_set = self._set_level(name)
        for contracts in (self.contracts, CONTRACTS[-1]):
            if self._id_of(name, contracts) is None:
                self._register(name, contracts)
            is_set = is_set or self._set_level(name)  # there are registries that set it of a known subject only
        return self.id_of(name)

    def _register(self, name: str, contracts: int) -> None:
        subject, schema = subject_of(name), contract(name, contracts)
        found = self._asked(subject, lambda: int(self._client.register_schema(subject, _text(schema))))
        if found is None:
            raise RegistryError(f"{subject} was not registered: is TIDEGAUGE_SCHEMA_REGISTRY_URL right?") from None
        self._ids[name, written_version(name, contracts)] = found

    def _set_level(self, name: str) -> bool:
        """Whether the registry has taken the level of compatibility of the contract's subject."""
        subject, level = subject_of(name), level_of(name)
        return self._asked(subject, lambda: self._client.set_compatibility(subject, level)) is not None

    def fits(self, name: str) -> bool:
        """Whether the registry would take the contract beside the versions that it has. Raises RegistryError."""
        subject, schema = subject_of(name), contract(name, self.contracts)
        found = self._asked(subject, lambda: self._client.test_compatibility(subject, _text(schema)))
        return True if found is None else bool(found)  # None: no such subject yet

    def _reworded(self, subject: str, schema: Any) -> int | None:
        """The id of a version that says the same in other words: descriptions change without a new version.

        The newest SCHEMA_VERSIONS_MAX are looked at. RegistryError where that takes longer than SCHEMA_VERSIONS_S.
        """
        mine, until = fingerprint(schema), time.monotonic() + bounds.SCHEMA_VERSIONS_S
        versions = self._asked(subject, lambda: sorted(map(int, self._client.get_versions(subject)))) or []
        for version in reversed(versions[-bounds.SCHEMA_VERSIONS_MAX :]):
            if time.monotonic() > until:
                raise RegistryError(f"{subject}: its versions were not told within {bounds.SCHEMA_VERSIONS_S:.0f} s")
            found = self._asked(subject, partial(self._version, subject, version))
            if found is not None and _same(found[0], mine):
                return found[1]
        return None

    def _version(self, subject: str, version: int) -> tuple[str | None, int]:
        """Text and id of a subject's version."""
        found = self._client.get_version(subject, version)
        return found.schema.schema_str, _id(found)

    def _asked(self, what: str, question: Callable[[], T]) -> T | None:
        """The answer to a question; None where the registry says that there is no such thing. Raises RegistryError."""
        from confluent_kafka.schema_registry.error import SchemaRegistryError

        try:
            answer = question()
            self._client.clear_caches()  # which have no bound; what is to be kept stands here
            return answer
        except SchemaRegistryError as error:
            # Another 404 is no answer of a registry: a wrong path must not turn every record into a dead letter.
            if error.error_code in (NO_SUBJECT, NO_VERSION, NO_SCHEMA):
                return None
            raise RegistryError(f"{what}: the registry refuses: {str(error)[:SAID_CHARS_MAX]}") from error
        except Exception as error:  # the HTTP library's own
            raise RegistryError(f"{what}: no answer from the registry: {repr(error)[:SAID_CHARS_MAX]}") from error


def subject_of(name: str) -> str:
    """The subject under which a contract stands: an input's `-value` belongs to whoever writes that input."""
    return f"tidegauge-{name}" if name in INPUTS else _topic_subject(name)


def _topic_subject(name: str) -> str:
    return f"{name}-value"


def _id(found: Any) -> int:
    """The id in an answer. TypeError, ValueError or OverflowError where it has none that a record has room for."""
    number = int(found.schema_id)
    number.to_bytes(ID_BYTES, "big")
    return number


def _parsed(text: str | None) -> Any | None:
    """A schema's text as JSON; None where it is none, such as Protobuf, or larger than any that is read by."""
    if text is None or len(text) > bounds.SCHEMA_BYTES_MAX:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _same(text: str | None, mine: str) -> bool:
    """Whether a text is a schema with this fingerprint."""
    try:
        return fingerprint(_parsed(text)) == mine
    except (ValueError, RecursionError, TypeError):
        return False


def _text(schema: Any) -> Any:
    from confluent_kafka.schema_registry import Schema

    return Schema(json.dumps(schema), "AVRO")
