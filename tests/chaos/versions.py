"""A schema registry whose contract of `transactions` has three versions; only the first is the product's own.

Version 2 has one field more, with a default; version 3 has it too, and lacks two that have defaults.
"""

from __future__ import annotations

import io
import json
import random
from typing import TYPE_CHECKING, Any

import fastavro

from schemas.codec.records import HEADER_BYTES, decode_one, plain
from schemas.compatibility import release_problems
from schemas.confluent import subject_of
from schemas.registry import contract
from tests.schemas.registry_server import RegistryServer

if TYPE_CHECKING:
    from schemas.registry import Registry

TOPIC = "transactions"
NEW_FIELD = {
    "name": "chaos_note", "type": ["null", "string"], "classification": "C1", "doc": "Only here.", "default": None,
}  # fmt: skip
LEFT_OUT = ("counterparty_ref", "reverses")  # optional, and without meaning for what is computed


def later_versions() -> list[Any]:
    """Versions 2 and 3; both can be read by readers of version 1, and the other way round."""
    second = contract(TOPIC)
    second["fields"] = [*second["fields"], NEW_FIELD]
    third = json.loads(json.dumps(second))
    third["fields"] = [field for field in third["fields"] if field["name"] not in LEFT_OUT]
    for version in (second, third):
        assert not release_problems(TOPIC, version, [contract(TOPIC)])
    return [second, third]


class VersionedRegistry(RegistryServer):
    """A registry with ids of its own that has the later versions too; `later` are their ids."""

    def __init__(self) -> None:
        super().__init__()
        self.later = [self.add(subject_of(TOPIC), {"schema": json.dumps(version)}) for version in later_versions()]


class Rewriter:
    """Writes postings in another version of their contract; `chance` says with which odds each version is taken."""

    def __init__(self, ids: list[int], seed: int, registry: Registry) -> None:
        self.ids, self.registry = ids, registry
        self.parsed = [fastavro.parse_schema(plain(version)) for version in later_versions()]
        self.rng = random.Random(seed)
        self.chance = (1.0, 0.0, 0.0)  # version 1, 2, 3
        self.written = [0, 0, 0]

    def __call__(self, topic: str, value: bytes) -> bytes:
        """The same record under the registry's id, a posting perhaps in another version. `value` has the id of the files."""
        version = 0
        if topic == TOPIC:
            (version,) = self.rng.choices(range(3), self.chance)
            self.written[version] += 1
        if version == 0:
            return value[:1] + self.registry.id_of(topic).to_bytes(HEADER_BYTES - 1, "big") + value[HEADER_BYTES:]
        record = decode_one(value, name=TOPIC) | {"chaos_note": "new" if self.rng.random() < 0.5 else None}
        out = io.BytesIO()
        out.write(value[:1] + self.ids[version - 1].to_bytes(HEADER_BYTES - 1, "big"))
        fastavro.schemaless_writer(out, self.parsed[version - 1], record)
        return out.getvalue()
