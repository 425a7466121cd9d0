"""References move to another key on the real stack: a worker killed on the way, both known meanwhile, the old ones taken back."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest
from pydantic import SecretStr

from connectors.formats.events import Event
from connectors.loading.closer import Closer
from connectors.loading.publisher import EventPublisher
from schemas.codec.records import encode
from streams.reference import customer_ref
from tests.chaos.check import read
from tests.integration.live import Live
from tests.standing.partition import customer
from tests.twins.events import day, posting
from tidegauge.checks.state import references

pytestmark = [pytest.mark.integration, pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(600)]
OLD, NEW = "a reference key for tests, 32 bytes long", "the reference key to come, 32 bytes !"
CUSTOMERS = 18_000  # more than one transaction moves, in either partition
CLOSED = day("2026-03-31")


def told(live: Live, records: list[dict[str, Any]], closed: int) -> None:
    """Events and a close into the topics."""
    publisher, closer = EventPublisher(live.settings, encode), Closer(live.settings, encode)
    try:
        for record in records:
            publisher.send(Event(0, record["topic"], {k: v for k, v in record.items() if k != "topic"}))
        publisher.flush()
        closer.close(closed, reason="a month later")
    finally:
        publisher.close()
        closer.shut()


def queue(live: Live) -> tuple[dict[str, bytes], Counter[str]]:
    """What stays of `queue-priority`, and how many records each reference has."""
    last: dict[str, bytes | None] = {}
    counts: Counter[str] = Counter()
    for partition in range(live.settings.partitions):
        for _, key, value in read(live.settings.kafka, live.settings.topic("queue-priority"), partition):
            last[(key or b"").decode()] = value
            counts[(key or b"").decode()] += 1
    return {key: value for key, value in last.items() if value is not None}, counts


def with_keys(live: Live, **keys: Any) -> None:
    """Workers of these keys from now on."""
    live.stop()
    live.settings = live.settings.model_copy(update=keys)
    if "reference_key" in keys:
        live.command("world", "adopt", "--reason", "another reference key")
    live.start()


def said(live: Live, words: str) -> bool:
    """Whether `tidegauge doctor` says so of every partition."""
    (line,) = references(live.settings)
    found = line.found
    return words in found and found.startswith(f"{live.settings.partitions} of ")


def test_references_move(make_live: Any, redis_server: str) -> None:
    """Each new reference is published once over a kill -9; kiosks are answered by both keys, then by the new one alone."""
    live = make_live(redis_url=redis_server, partitions=2)
    names = [f"C{n:05}" for n in range(CUSTOMERS)]
    rich = [posting(1, 90_000_000, "2026-01-01", customer=one, account=f"A{one}") for one in names]
    live.start()
    told(live, [*map(customer, names), *rich], CLOSED)
    live.wait(lambda: len(queue(live)[1]) == CUSTOMERS, "the queue classes")
    old, new = ({customer_ref(key.encode(), one) for one in names} for key in (OLD, NEW))
    assert queue(live)[0].keys() == old

    with_keys(live, reference_key=SecretStr(NEW), reference_key_previous=SecretStr(OLD), alert_key=SecretStr(OLD))
    live.wait(lambda: len(queue(live)[1]) > CUSTOMERS, "the first new references")
    live.kill(random.Random(1))
    live.wait(lambda: said(live, "both are published"), "both references")
    kept, counts = queue(live)
    assert kept.keys() == old | new
    assert {counts[ref] for ref in new} == {1}

    live.command("rebuild")
    for ref in (customer_ref(OLD.encode(), names[0]), customer_ref(NEW.encode(), names[0])):
        answer = json.loads(live.command("queue", "lookup", "--ref", ref, "--json"))
        assert (answer["queue_class"], answer["degraded"]) == ("platinum", False)

    with_keys(live, reference_key_retire=True)
    live.wait(lambda: said(live, "finished"), "the end of the old references")
    kept, counts = queue(live)
    assert kept.keys() == new
    assert {counts[ref] for ref in old} == {2}

    with_keys(live, reference_key_previous=None, reference_key_retire=False)
    told(
        live,
        [posting(1, 90_000_000, "2026-01-01", day("2026-04-01"), customer="late", account="late")],
        day("2026-04-30"),
    )
    late = customer_ref(NEW.encode(), "late")
    live.wait(lambda: late in queue(live)[0], "a customer who comes later")
    assert queue(live)[0].keys() == new | {late}
