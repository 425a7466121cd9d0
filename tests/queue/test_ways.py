"""The three ways to a class, as docs/queue.md shows them: each program is taken out of the page and run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import date
from urllib.parse import urlsplit

import pytest
from confluent_kafka import Producer
from redis import Redis, ResponseError

from deploy.connections.clients import librdkafka
from deploy.security.principals import BY_NAME, redis_acl
from deploy.settings import Settings
from schemas.codec.records import encode
from services.assembly import new_lookup
from services.views.keys import Keys
from streams.calendar import day_of
from tests.queue.test_service import PAGE, serving

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SCHEMAS = PAGE.parents[1] / "schemas"
RUN_S = 240
VIP, ENDED, ORDINARY = "v" * 26, "e" * 26, "o" * 26


def ran(name: str, *words: str, **env: str) -> str:
    """What the page's program of this name prints."""
    (text,) = re.findall(rf"^```python {name}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", text, *words], env={**os.environ, **env}, capture_output=True, text=True,
        timeout=RUN_S, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_table_from_the_topic(make_topics: Callable[..., Settings]) -> None:
    """The highest version of each reference, and none of one that has ended."""
    settings = make_topics("queue-priority")
    producer = Producer(librdkafka(settings.kafka))
    for reference, queue_class, version in (
        (VIP, "gold", 1),
        (ENDED, "gold", 1),
        (VIP, "diamond", 3),
        (VIP, "ordinary", 2),
    ):
        record = {
            "customer_ref": reference, "queue_class": queue_class, "vip_area": queue_class == "diamond", "valid_until": None,
            "as_of": day_of(date(2026, 3, 2)), "version": version,
        }  # fmt: skip
        producer.produce(settings.topic("queue-priority"), encode("queue-priority", record), reference, 0)
    producer.produce(settings.topic("queue-priority"), None, ENDED, 0)
    assert producer.flush(20) == 0
    found = ran("table", settings.kafka, settings.topic("queue-priority"), str(SCHEMAS))
    assert json.loads(found) == {VIP: ["diamond", True, None]}


@pytest.fixture
def view(redis_server: str, topic_prefix: str) -> Keys:
    """A view that is fresh and knows a VIP, and one whose class has ended."""
    keys = Keys.of(topic_prefix)
    with Redis.from_url(redis_server) as client:
        client.hset(keys.fresh("queue-priority"), "queue-priority:0", str(time.time_ns() // 1_000_000 + 3_600_000))
        row = {"version": "1", "queue_class": "diamond", "vip_area": "1", "valid_until": ""}
        client.hset(keys.priority(VIP), mapping=row)
        client.hset(keys.priority(ENDED), mapping={**row, "valid_until": "2026-01-01"})
    return keys


def test_rows_of_the_view(redis_server: str, view: Keys) -> None:
    """As the user whom `tidegauge security acls reader` prints: he reads named keys, and lists and writes nothing."""
    name, word = f"reader-{uuid.uuid4().hex[:10]}", uuid.uuid4().hex
    with Redis.from_url(redis_server) as client:
        client.execute_command(
            "ACL", "SETUSER", name, "on", f">{word}", *redis_acl(BY_NAME["reader"], view.prefix).split(" ")
        )
        try:
            url = f"redis://{name}:{word}@{urlsplit(redis_server).netloc.rpartition('@')[2]}/0"
            told = [ran("rows", url, view.prefix, reference) for reference in (VIP, ENDED, ORDINARY)]
            assert told == ["diamond", "ordinary", "ordinary"]
            client.zadd(view.lacking("queue-priority:0"), {VIP: 1})
            assert ran("rows", url, view.prefix, VIP) == "ordinary, degraded"
            client.delete(view.fresh("queue-priority"))
            assert ran("rows", url, view.prefix, ORDINARY) == "ordinary, degraded"
            with Redis.from_url(url) as reader:
                for asked in (
                    reader.scan,
                    reader.keys,
                    reader.randomkey,
                    reader.dbsize,
                    lambda: reader.hset(view.priority(VIP), "x", "y"),
                ):
                    with pytest.raises(ResponseError, match=r"(?i)permission"):
                        asked()
        finally:
            client.execute_command("ACL", "DELUSER", name)


def test_the_look_up_is_asked(redis_server: str, tickets_server: str, topic_prefix: str, view: Keys) -> None:
    """Its class; that of everybody where nobody answers."""
    settings = Settings(tickets_url=tickets_server, redis_url=redis_server, topic_prefix=topic_prefix)
    with serving(settings, new_lookup(settings)) as address:
        where = address.removeprefix("http://")
        told = [ran("look", reference, LOOKUP=where, KEY="tgk_kiosk") for reference in (VIP, ENDED)]
    assert told == ["diamond", "ordinary"]
    assert ran("look", VIP, LOOKUP=where, KEY="tgk_kiosk") == "ordinary", "nobody is there any more"
