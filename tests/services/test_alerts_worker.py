"""The alerts agent in a real Faust worker, on a real Kafka, with a webhook that listens."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

import psutil
import pytest
from confluent_kafka import Producer

from agents.engine.reader import LogReader
from deploy.connections.clients import librdkafka
from deploy.settings import Settings
from schemas.codec.records import decode_one, encode
from schemas.registry import file_registry
from services.notices.channels import waiting_notices
from services.views.kafka_source import KafkaSource
from services.views.keys import Keys
from tests.services.test_notices import ALERT

pytestmark = pytest.mark.integration

WAIT_S = 240
SECOND = file_registry(contracts=2)


class Hook:
    """A webhook on a free port; `posts` has what came, as (idempotency key, body)."""

    def __init__(self) -> None:
        posts: Queue[tuple[str, dict[str, Any]]] = Queue()
        self.broken, self.refused = False, ""  # whether it takes nothing, or nothing of an alert
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                taken = not hook.broken and body["alert_id"] != hook.refused
                if taken:
                    posts.put((self.headers["Idempotency-Key"], body))
                self.send_response(204 if taken else 503)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.posts = posts
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    threading.Thread(target=hook.server.serve_forever, daemon=True).start()
    yield hook
    hook.server.shutdown()
    hook.server.server_close()


Start = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def start(make_topics: Callable[..., Settings], hook: Hook, redis_url: str, redis_client: Any) -> Iterator[Start]:
    """Starts `tidegauge notices`; what still runs at the end is killed."""
    settings = make_topics()
    environment = os.environ | {
        "TIDEGAUGE_BOOTSTRAP_SERVERS": settings.kafka,
        "TIDEGAUGE_TOPIC_PREFIX": settings.topic_prefix,
        "TIDEGAUGE_GROUP": settings.group,
        "TIDEGAUGE_REDIS_URL": redis_url,
        "TIDEGAUGE_WEBHOOK_URL": hook.url,
        "TIDEGAUGE_REFERENCE_KEY": "a reference key for tests, 32 bytes long",
        "TIDEGAUGE_DATA_DIR": str(settings.data_dir),
        "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0",  # a locale that lacks the notices' script
    }  # fmt: skip
    running: list[subprocess.Popen[bytes]] = []

    def begin() -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "tidegauge.cli.main", "notices"]
        running.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.wait()


def produce(settings: Settings, values: list[bytes], *, commit: bool) -> None:
    producer = Producer({**librdkafka(settings.kafka), "transactional.id": f"{settings.topic_prefix}test"})
    producer.init_transactions()
    producer.begin_transaction()
    for value in values:
        producer.produce(settings.topic("rm-alerts"), value, key=ALERT["customer_id"])
    producer.commit_transaction() if commit else producer.abort_transaction()


def read(settings: Settings, topic: str, count: int) -> list[dict[str, Any]]:
    """The first `count` events of a topic, each once."""
    source = KafkaSource(settings.kafka, [topic], LogReader, settings.topic_prefix)
    source.begin({})
    found: dict[Any, dict[str, Any]] = {}
    while len(found) < count:
        for part in source.fetch(1.0).values():
            for record in part.records:
                event = decode_one(record.value or b"", name=topic)
                found.setdefault(event.get("event_id", (record.partition, record.offset)), event)
    source.close()
    return list(found.values())


def test_committed_alerts_become_notices_once(start: Start, hook: Hook, settings: Settings, redis_client: Any) -> None:
    """Aborted alerts tell nobody; a committed one goes out once on each channel, also after a kill and a restart, and
    when the webhook is down for longer than a delivery; a damaged record ends in the dead letters and the next one is
    told; no port is open. The locale is ASCII."""
    worker = start()
    produce(settings, [encode("rm-alerts", ALERT | {"event_id": "aborted"}, SECOND)], commit=False)
    produce(settings, [encode("rm-alerts", ALERT, SECOND), b"damaged"], commit=True)
    key, body = hook.posts.get(timeout=WAIT_S)
    assert (body["alert_id"], body["status"], body["notice_id"]) == ("alert-1", "raised", key)
    assert [(letter["offset"] > 0, letter["original"]) for letter in read(settings, "dead-letters", 1)] == [
        (True, b"damaged")
    ]
    assert [c for c in psutil.Process(worker.pid).net_connections() if c.status == psutil.CONN_LISTEN] == []

    worker.kill()  # before Faust's timer commits: the alert comes again
    worker.wait()
    worker, hook.broken = start(), True
    produce(settings, [encode("rm-alerts", ALERT | {"status": "deepened", "event_id": "event-2"}, SECOND)], commit=True)
    keys, until = Keys.of(settings.topic_prefix), time.monotonic() + WAIT_S
    while not waiting_notices(redis_client, keys):  # tried four times
        assert time.monotonic() < until
        time.sleep(0.1)
    hook.refused = ALERT["alert_id"]  # nobody takes it; others pass
    produce(
        settings,
        [encode("rm-alerts", ALERT | {"alert_id": "alert-2", "event_id": "event-3", "rule": "drip"}, SECOND)],
        commit=True,
    )
    hook.broken = False
    _, body = hook.posts.get(timeout=WAIT_S)
    assert (body["alert_id"], body["status"]) == ("alert-2", "raised")
    assert len(waiting_notices(redis_client, keys)) == 1
    hook.refused = ""
    _, body = hook.posts.get(timeout=WAIT_S)
    assert (body["alert_id"], body["status"]) == ("alert-1", "deepened")
    assert hook.posts.empty()
    notices = read(settings, "notices", 6)
    assert waiting_notices(redis_client, keys) == {}
    assert {(notice["channel"], notice["status"]) for notice in notices} == {("console", "sent"), ("webhook", "sent")}
    assert len({notice["notice_id"] for notice in notices}) == 6

    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=WAIT_S) == 0
