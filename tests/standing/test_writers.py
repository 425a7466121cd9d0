"""What other systems write, through the standing job: the same figures, or a letter that says what is wanted."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.codec.records import plain
from schemas.registry import contract, file_registry
from tests.schemas.helpers import datum, framed
from tests.standing.partition import CONF, Partition, Topics
from tests.twins.events import day, posting, rate, snapshot

DAY = day("2024-03-02")
FIRST = 90_000  # id of the first foreign schema


class Both:
    """The committed contracts, and schemas of other systems."""

    def __init__(self, *schemas: Any) -> None:
        self.schemas = dict(enumerate(schemas, FIRST))

    def schema(self, schema_id: int) -> Any | None:
        return self.schemas.get(schema_id) or file_registry().schema(schema_id)

    def id_of(self, name: str) -> int:
        return file_registry().id_of(name)
