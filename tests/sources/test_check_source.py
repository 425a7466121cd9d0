"""`tidegauge check-source` on a real broker: the traps of a first producer are each named, and a good one is let in."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer

from deploy.connections.clients import librdkafka
from deploy.settings import Settings
from schemas.codec.records import encode
from tests.cli.invocation import Called, call
from tests.schemas.helpers import posting_value
from tidegauge.demo.processes import environment

pytestmark = pytest.mark.integration
NAMES = [f"C{number:07}" for number in range(40)]


def value(name: str, number: int, source: str, **other: Any) -> bytes:
    """A posting that is right but for what is said."""
    right = {
        "customer_id": name,
        "account_id": f"{name}-1",
        "source": source,
        "value_date": 20_500,
        "amount_minor": 12_345,
    }
    return posting_value(number, **right | {"booked_at": 20_500 * 86_400_000} | other)


def write(settings: Settings, topic: str, sent: list[tuple[bytes | None, bytes | None]], **config: Any) -> None:
    """Send with librdkafka, with whatever partitioner it has by default."""
    producer = Producer({**librdkafka(settings.kafka), **config})
    for key, content in sent:
        producer.produce(settings.topic(topic), content, key)
    assert producer.flush(20) == 0


def checked(settings: Settings, *words: str) -> Called:
    """The command's end."""
    return call("check-source", *words, env=environment(settings))


def findings(done: Called) -> dict[str, dict[str, Any]]:
    """What it says for machines, by code."""
    assert done.code == 1, done
    return {one["code"]: one for one in json.loads(done.out)["findings"]}


def test_the_traps_of_a_first_producer(settings: Settings, make_topics: Callable[..., Settings]) -> None:
    """CRC32, null keys, a tombstone and a journal from 0 are named; nothing personal is said; a good source passes."""
    make_topics()
    traps = [(name.encode(), value(name, number, "first")) for name in NAMES for number in (0, 1)]
    write(settings, "transactions", [*traps, (None, value("C1", 1, "first")), (NAMES[0].encode(), None), (b"x", b"{}")])
    good = [(name.encode(), value(name, number, "second")) for name in NAMES for number in (1, 2)]
    write(settings, "transactions", good, partitioner="murmur2_random")

    done = checked(settings, "--topic", "transactions", "--source", "first", "--json")
    found = findings(done)
    assert found.keys() == {"no_key", "partition_crc32", "unreadable", "tombstone", "number_low"}
    counts = {code: one["count"] for code, one in found.items()}
    assert (counts["no_key"], counts["tombstone"], counts["number_low"]) == (1, 1, len(NAMES))
    assert "murmur2_random" in found["partition_crc32"]["hint"]
    assert found["unreadable"]["found"].endswith("wrong magic byte")
    assert all(place.startswith("transactions/") for one in found.values() for place in one["places"])
    for name in (*NAMES, "12345"):
        assert name not in done.out

    spoken = checked(settings, "--topic", "transactions", "--source", "first", "--lang", "zh-CN")
    assert (spoken.code, "没有键" in spoken.out) == (1, True)
    few = json.loads(checked(settings, "--topic", "transactions", "--limit", "8", "--json").out)
    assert (few["whole"], few["records"] <= 8) == (False, True)

    assert findings(checked(settings, "--topic", "facts", "--json")).keys() == {"no_records"}
    fact = {
        "event_id": "f",
        "customer_id": "C1",
        "name": "loan_balance",
        "value": 1,
        "as_of": 20_500,
        "source": "loans",
    }
    write(settings, "facts", [(b"C1", encode("facts", fact))], partitioner="murmur2_random")
    clean = checked(settings, "--topic", "facts", "--source", "loans", "--json")
    said = {"topic": "facts", "source": "loans", "records": 1, "whole": True, "findings": []}
    assert (clean.code, json.loads(clean.out)) == (0, said)
    assert checked(settings, "--topic", "transactions", "--as", "kiosk:hq").code == 2
    assert checked(settings, "--topic", "customers", "--source", "cif").code == 2
