"""docker-compose.yml: the same stack with the official images."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.embedded import jars, postgres
from deploy.settings import Settings
from tidegauge.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file as read by a YAML reader, merge keys resolved."""
    return yaml.safe_load(FILE.read_text())


def test_docker_accepts_it(compose: dict[str, Any]) -> None:
    """`docker compose config` accepts the file, where a machine has docker compose; every reference in it resolves."""
    for tool in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(tool[0]) and _works([*tool, "version"]):
            done = subprocess.run([*tool, "-f", FILE, "config", "--quiet"], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    services = compose["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in services, f"{name} depends on {other}"
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[other], f"{name} waits for the health of {other}"
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in compose["volumes"]


def _works(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_runs_the_embedded_versions(compose: dict[str, Any]) -> None:
    """Compose runs the Kafka version that the embedded stack pins, with the same limits."""
    kafka = next(jar.coordinate for jar in jars.locked() if jar.coordinate.startswith("org.apache.kafka:kafka_2.13:"))
    assert compose["services"]["kafka"]["image"] == f"apache/kafka:{kafka.rpartition(':')[2]}"
    assert compose["services"]["kafka"]["environment"]["KAFKA_MESSAGE_MAX_BYTES"] == 4 << 20
    assert compose["services"]["postgres"]["image"] == f"postgres:{postgres.VERSION.removesuffix('.0')}"


def test_commands_and_settings_exist(compose: dict[str, Any]) -> None:
    """Every service of ours calls a command that exists, with settings that exist."""
    known = {f"TIDEGAUGE_{name.upper()}" for name in Settings.model_fields}
    ours = {name: service for name, service in compose["services"].items() if "build" in service}
    assert {"topics", "worker", "views", "lookup"} <= ours.keys()
    for service in ours.values():
        assert service["command"][0] in COMMANDS
        assert service["environment"].keys() <= known
    assert set(re.findall(r"\$\{(TIDEGAUGE_\w+)", FILE.read_text())) <= known


def test_topics_are_created_once_and_first(compose: dict[str, Any]) -> None:
    """The topics are made by a one-shot service that the worker waits for."""
    services = compose["services"]
    assert services["topics"]["command"][:2] == ["topics", "--create"]
    assert services["topics"]["restart"] == "on-failure"
    assert services["worker"]["depends_on"]["topics"]["condition"] == "service_completed_successfully"


def test_tables_are_made_once(compose: dict[str, Any]) -> None:
    """By a one-shot service, as the owner of the database."""
    services = compose["services"]
    assert services["tables"]["command"] == ["database", "migrate"]
    assert (
        services["tables"]["environment"]["TIDEGAUGE_DATABASE_USER"]
        == services["postgres"]["environment"]["POSTGRES_USER"]
    )


def test_probes_reach_a_container(compose: dict[str, Any]) -> None:
    """The image serves metrics and health to the outside, and compose exposes the port of each process that has one."""
    assert "TIDEGAUGE_METRICS_HOST=0.0.0.0" in (ROOT / "deploy" / "Dockerfile").read_text()
    services, ports = compose["services"], Settings.model_fields
    assert services["worker"]["expose"] == [str(ports["metrics_port"].default)]
    assert services["lookup"]["expose"] == [str(ports["lookup_metrics_port"].default)]
    assert services["views"]["expose"] == [services["views"]["command"][-1]]
