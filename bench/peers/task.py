"""What a peer is told by its environment: where Kafka is, what to read, where to write. The standard library only."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).with_name("events.avsc")


@dataclass(frozen=True, slots=True)
class Task:
    """J1 over one topic; every field is BENCH_ and its name in the environment."""

    servers: str
    topic: str
    output: str
    group: str
    partitions: int
    events: int
    folder: str  # for state and temporary files, the peer's own

    @classmethod
    def given(cls) -> Task:
        """The task in the environment."""
        texts = {name: os.environ[f"BENCH_{name.upper()}"] for name in cls.__dataclass_fields__}
        numbers = {name: int(texts.pop(name)) for name in ("partitions", "events")}
        return cls(**texts, **numbers)  # type: ignore[arg-type]

    def environment(self) -> dict[str, str]:
        """The task as an environment, the schema's file with it."""
        return {f"BENCH_{name.upper()}": str(value) for name, value in asdict(self).items()} | {
            "BENCH_SCHEMA": str(SCHEMA)
        }

    def schema(self) -> dict[str, Any]:
        """Avro schema of an event."""
        return dict(json.loads(SCHEMA.read_text()))
