"""What goes on behind the interface, with a real Kafka and a server that syncs: steps reach the log, classes reach the queue."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from confluent_kafka import Producer
from fastapi.testclient import TestClient

from agents.engine.reader import LogReader
from deploy.connections.clients import librdkafka
from deploy.settings import Settings
from schemas.codec.records import encode
from services.access.callers import RequestCallers
from services.access.decision import Actor, Role
from services.queue.lookup import Lookup, QueueRow
from services.queue.priority import create_app
from services.queue.server import listening, server
from services.queue.tickets.interface import add_tickets
from services.queue.tickets.rights import TicketRights
from services.queue.tickets.setup import Behind, ticketing_of
from streams.calendar import day_of
from tests.cli.invocation import call
from tests.queue import description
from tests.queue.stored import waited
from tidegauge.branch.log import read_branch

pytestmark = [pytest.mark.integration, pytest.mark.slow]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "queue.md"
ROLES = {"kiosk": Role.KIOSK, "counter": Role.COUNTER, "lobby": Role.LOBBY}
REF = "r" * 26


class Nobody:
    """A view that knows nobody."""

    async def read(self, _: str) -> QueueRow:
        return QueueRow(None, False, None, 0.0)


def new_lookup() -> Lookup:
    return Lookup(Nobody(), "ordinary", date.today)


class Keys:
    """Those of the branch."""

    def actor(self, text: str) -> Actor | None:
        role = ROLES.get(text.removeprefix("tgk_"))
        return role and Actor(f"key {role}", role, ("hq", "B1"))


def application(settings: Settings, lookup: Lookup | None = None) -> Any:
    app = create_app(lookup or new_lookup())
    app.state.ticketing = ticketing_of(settings, app.state.lookup)
    add_tickets(app, app.state.ticketing, TicketRights(RequestCallers(lambda _: None, keys=Keys()), mock.Mock()), 0)
    return app


def test_steps_reach_the_log_and_classes_the_queue(make_topics: Callable[..., Settings], tickets_server: str) -> None:
    """A change of tier moves a waiting ticket; the log says what happened, compares with the store, and brings it back."""
    settings = make_topics("queue-priority", "queue-tickets", "audit-log").model_copy(
        update={"tickets_url": tickets_server}
    )
    app = application(settings)
    behind = Behind(settings, app.state.ticketing, new_lookup, LogReader)
    with TestClient(app) as client:

        def ask(who: str, method: str, path: str, **body: Any) -> Any:
            headers = {"Authorization": f"Bearer tgk_{who}", "Idempotency-Key": os.urandom(8).hex()}
            answer = client.request(method, path, headers=headers, json=body if method != "GET" else None)
            assert answer.is_success, answer.text
            return answer.json()

        behind.start()
        try:
            first = ask("kiosk", "POST", "/v1/tickets")
            own = ask("kiosk", "POST", "/v1/tickets", customer_ref=REF)
            producer = Producer(librdkafka(settings.kafka))
            record = {
                "customer_ref": REF, "queue_class": "diamond", "vip_area": True, "valid_until": None,
                "as_of": day_of(date(2026, 3, 2)), "version": 1,
            }  # fmt: skip

            def moved() -> bool:
                producer.produce(settings.topic("queue-priority"), encode("queue-priority", record), key=REF)
                producer.flush(5)
                time.sleep(0.2)
                return bool(ask("kiosk", "GET", f"/v1/tickets/{own['ticket']}")["queue_class"] == "diamond")

            waited(moved, "the ticket did not move")
            assert ask("counter", "POST", "/v1/counters/1/next")["ticket"]["ticket"] == own["ticket"]
            ask("counter", "POST", f"/v1/tickets/{own['ticket']}/complete", counter="1", served=["cash"])
            assert ask("counter", "POST", "/v1/counters/1/next")["ticket"]["ticket"] == first["ticket"]
            waited(lambda: len(read_branch(settings, "B1").steps) == 6, "steps are not in the log")
        finally:
            behind.stop()
    logged = read_branch(settings, "B1")
    assert " ".join(step["action"] for step in logged.steps) == "issued issued reranked called completed called"
    assert logged.steps[3]["overtaken"] == ["B1-1"] and logged.steps[2]["reason"] == "queue-priority"
    told_from_the_log(settings, logged.steps[0]["day"])


def told_from_the_log(settings: Settings, today: int) -> None:
    """What the commands say of the branch; a store that has lost it gets it back."""
    env = {
        "TIDEGAUGE_BOOTSTRAP_SERVERS": settings.bootstrap_servers, "TIDEGAUGE_TOPIC_PREFIX": settings.topic_prefix,
        "TIDEGAUGE_TICKETS_URL": settings.tickets, "TIDEGAUGE_DATA_DIR": str(settings.data_dir),
    }  # fmt: skip
    with mock.patch("tidegauge.cli.servers.need_world", lambda found, *_: found):
        same = call("queue", "compare", "--json", env=env)
        assert (same.code, json.loads(same.out)) == (0, {"B1": []})
        told = json.loads(call("queue", "explain", "B1-1", "--json", env=env).out)
        assert [(by["ticket"], by["cause"]) for by in told["overtaken_by"]] == [("D002", "rise")]
        named = (date(1970, 1, 1) + timedelta(days=today)).isoformat()
        day = json.loads(call("queue", "day", "B1", named, "--json", env=env).out)
        assert [row["tickets"] for row in day["orders"]["as_it_was"]] == [1, 1, 2]
        forget(settings)
        lost = call("queue", "compare", "B1", "--json", env=env)
        assert lost.code == 1 and "last step is 6 in the log and 0 in the store" in lost.out
        dry = call("queue", "restore", "B1", "--dry-run", "--json", env=env)
        assert json.loads(dry.out)["dry_run"] is True
        assert call("queue", "restore", "B1", env=env).code == 0
        assert call("queue", "compare", "B1", env=env).code == 0
        assert call("queue", "restore", "B1", env=env).code == 1, "what is there stays"


def forget(settings: Settings) -> None:
    """The store has lost all."""
    from redis import Redis

    with Redis.from_url(settings.tickets) as client:
        for key in client.scan_iter(f"tidegauge@{settings.topic_prefix}:*"):
            client.delete(key)


@contextmanager
def serving(settings: Settings, lookup: Lookup | None = None) -> Iterator[str]:
    """The interface on a port of its own."""
    socket = listening("127.0.0.1", 0)
    running = server(application(settings, lookup), 64)
    thread = threading.Thread(target=running.run, args=([socket],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join(10)


def test_the_pages_examples_work(tickets_server: str, topic_prefix: str) -> None:
    """By curl and by Python, as docs/queue.md has them."""
    text = PAGE.read_text().partition("\n## Tickets\n")[2].partition("\n## ")[0]
    (shell,), (python,) = (re.findall(f"```{kind}\n(.*?)```", text, re.DOTALL) for kind in ("sh", "python"))
    with serving(Settings(tickets_url=tickets_server, topic_prefix=topic_prefix)) as address:
        env = {**os.environ, "TICKETS": address, "KIOSK_KEY": "tgk_kiosk", "COUNTER_KEY": "tgk_counter"}
        done = subprocess.run(["sh", "-ec", shell], env=env, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        assert '"number":"D001"' in done.stdout and '"state":"called"' in done.stdout
        issue = shell.partition("curl --fail-with-body -sS -X")[0].replace("0815", "0816").replace("mfrgg", "abcde")
        subprocess.run(["sh", "-ec", issue], env=env, capture_output=True, timeout=240, check=True)
        done = subprocess.run(
            [sys.executable, "-c", python], env=env, capture_output=True, text=True, timeout=240, check=False
        )
        assert (done.returncode, done.stdout) == (0, "now serving D002 at counter 4\n"), done.stderr


def test_the_description_is_committed() -> None:
    """docs/tickets.openapi.json is what is served; `python -m tests.queue.description` writes it."""
    assert description.FILE.read_text() == description.text()
