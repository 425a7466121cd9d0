"""`tidegauge queue serve` while Kafka is away, from its start on: tickets go on, and every step follows when Kafka is there."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from redis import Redis

from deploy.embedded import processes
from deploy.settings import Settings
from services.access.audit import AUDIT_FILE
from services.queue.tickets.keys import TicketKeys
from tests.chaos.proxy import Proxy
from tests.cli.invocation import call
from tests.queue.stored import waited
from tidegauge.branch.log import read_branch
from tidegauge.demo.processes import environment

pytestmark = [pytest.mark.integration, pytest.mark.slow]
BEGIN_S = 60


def test_without_kafka_tickets_go_on(
    make_topics: Callable[..., Settings], tickets_server: str, redis_server: str, database: str, tmp_path: Path
) -> None:
    """Issued, called and refused by a service that has never seen a broker; then one answers, and has all of it."""
    real = make_topics("queue-priority", "queue-tickets", "audit-log")
    broker = processes.free_row(2)
    port = broker + 1
    away = real.model_copy(update={
        "bootstrap_servers": f"127.0.0.1:{broker}", "tickets_url": tickets_server, "redis_url": redis_server,
        "database_url": database, "data_dir": tmp_path,
    })  # fmt: skip
    env = environment(away) | {"TIDEGAUGE_ACTOR": "administrator:hq"}
    assert call("database", "migrate", env=env).code == 0
    keys = {
        role: json.loads(call("keys", "issue", role, "hq/B1", "--json", env=env).out)["key"]
        for role in ("kiosk", "counter")
    }
    before = len((tmp_path / AUDIT_FILE).read_text().splitlines())
    command = [sys.executable, "-m", "tidegauge.cli.main", "queue", "serve", "--port", str(port), "--metrics-port", "0"]
    with (tmp_path / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=5)
        _until_served(client, process)

        def ask(role: str, path: str, request: str) -> Any:
            headers = {"Authorization": f"Bearer {keys[role]}", "Idempotency-Key": request}
            return client.post(path, headers=headers, json={})

        assert [ask("kiosk", "/v1/tickets", f"k{n}").status_code for n in range(2)] == [201, 201]
        assert ask("counter", "/v1/counters/1/next", "c1").json()["ticket"]["number"] == "D001"
        assert ask("kiosk", "/v1/counters/1/next", "k9").status_code == 403
        told = [json.loads(line) for line in (tmp_path / AUDIT_FILE).read_text().splitlines()[before:]]
        assert [(one["outcome"], one["resource"]) for one in told] == [("denied", "calls of B1")]
        with Redis.from_url(tickets_server) as store:
            outbox = TicketKeys.of(real.topic_prefix).outbox
            assert store.xlen(outbox) == 3
            assert process.poll() is None, (tmp_path / "serve.log").read_text()
            with Proxy(broker, int(real.kafka.rpartition(":")[2])):
                waited(lambda: store.xlen(outbox) == 0, "the steps do not follow")
        assert [step["action"] for step in read_branch(real, "B1").steps] == ["issued", "issued", "called"]
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()


def _until_served(client: httpx2.Client, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + BEGIN_S
    while time.monotonic() < until:
        assert process.poll() is None, "the service has ended"
        try:
            if client.get("/livez").status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.1)
    raise AssertionError("the service does not begin")
