"""A shadow beside the owning workers, and a takeover, on a real broker: nothing published twice, no version goes back."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupState

from agents.engine import recovery
from agents.engine.record_batches import flat
from agents.standing.job import StandingJob
from agents.standing.publish.versions import epoch_of
from connectors.formats.events import Event
from connectors.loading.publisher import EventPublisher
from deploy import admin
from schemas.codec.records import decode_one, encode
from schemas.registry import registry_for
from tests.chaos.check import read
from tests.integration.live import Live, doubled
from tests.standing.partition import Partition, Topics, customer
from tests.twins.events import day, posting
from tidegauge.bootstrap import STANDING, standing_conf
from tidegauge.world.check import check_world
from tidegauge.world.epochs import VERSIONED_TOPICS
from tidegauge.world.found import USES_SHADOW

pytestmark = [pytest.mark.integration, pytest.mark.system, pytest.mark.slow]

CUSTOMERS = 60
SHADOW = "second"
FIRST, WRONG, SECOND = "2026-03-31", "2026-09-30", "2026-04-15"
FIRST_DAY = day(FIRST)
WHOSE = {"standings": "customer_id", "outlooks": "customer_id", "queue-priority": "customer_ref"}
ONCE = ("tier-changes", "rm-alerts", "restatements")


def told(live: Live, records: list[dict[str, Any]]) -> None:
    """Events into the topics."""
    publisher = EventPublisher(live.settings, encode)
    try:
        for record in records:
            publisher.send(Event(0, record["topic"], {k: v for k, v in record.items() if k != "topic"}))
        publisher.flush()
    finally:
        publisher.close()


def closed(live: Live, day_: str) -> None:
    """A close of the command's, whatever speaks against it."""
    live.command("close", day_, "--force", "--reason", "a test of the bank")


def records(live: Live, topic: str, prefix: str = "") -> Iterator[dict[str, Any]]:
    """Committed records in the order of each partition, of the owner's topics or of those under a prefix."""
    name = f"{prefix}{topic}" if prefix else live.settings.topic(topic)
    for partition in range(live.settings.partitions):
        for _, _, value in read(live.settings.kafka, name, partition):
            if value is not None:
                yield decode_one(value, registry_for(live.settings), name=topic)


def ends(live: Live) -> dict[str, int]:
    """How many records the owner's topics have."""
    return {topic: sum(1 for _ in records(live, topic)) for topic in (*WHOSE, *ONCE)}


def last(found: Iterator[dict[str, Any]], topic: str) -> dict[str, dict[str, Any]]:
    """The last record of each key."""
    return {record[WHOSE[topic]]: record for record in found}


def replayed(live: Live, steps: list[dict[str, Any] | int], topic: str) -> dict[str, dict[str, Any]]:
    """What a job gives that reads the same in one partition."""
    one = Partition(Topics().tell(steps), StandingJob(replace(standing_conf(live.settings), partitions=1))).run()
    found = {key.decode(): decode_one(value, name=topic) for key, value in flat(one.published[topic])}
    return {record[WHOSE[topic]]: record for record in found.values()}


def test_a_shadow_takes_over(make_live: Any, redis_server: str) -> None:
    """It leaves a wrong close out and writes nothing of the owner's. Then owners end, a sleeping one too; all is told anew."""
    live: Live = make_live(redis_url=redis_server, partitions=2, shadow=SHADOW)
    prefix = f"{live.settings.topic_prefix}shadow-{SHADOW}-"
    names = [f"C{n:03}" for n in range(CUSTOMERS)]
    steps = [
        *map(customer, names),
        *(posting(1, 90_000_000, "2026-01-01", customer=one, account=f"A{one}") for one in names[::2]),
    ]
    live.start()
    told(live, steps)
    closed(live, FIRST)
    closed(live, WRONG)
    live.wait(lambda: as_of(live) == {day(WRONG): CUSTOMERS // 2}, "the owner's standings")
    shadow = live.begin("worker", "--metrics-port", "0", "--shadow", SHADOW, "--without-close", WRONG)
    live.wait(
        lambda: there(live, prefix) and as_of(live, prefix) == {day(FIRST): CUSTOMERS // 2}, "the shadow's standings"
    )
    before, epoch = ends(live), check_world(live.settings, USES_SHADOW).epoch

    refused = live.begin("world", "takeover", SHADOW, "--reason", "a wrong close")
    assert refused.wait(240) == 1 and f"workers of group {SHADOW} are running" in live.said()
    shadow.send_signal(signal.SIGTERM)
    assert shadow.wait(240) == 0, live.said()
    planned = json.loads(live.command("world", "takeover", SHADOW, "--reason", "a wrong close", "--dry-run", "--json"))
    assert (planned["dry_run"], planned["unusual"], planned["epoch"]) == (True, [], epoch + 1)
    assert any(WRONG in step for step in planned["steps"]), planned
    assert ends(live) == before

    live.start()
    live.wait(lambda: members(live) == 2, "the second owner")
    owner, sleeper = live.workers
    live.workers.clear()
    sleeper.send_signal(signal.SIGSTOP)
    try:
        assert f"TIDEGAUGE_GROUP={SHADOW}" in live.command("world", "takeover", SHADOW, "--reason", "a wrong close")
        more = [posting(2, 5_000_000, FIRST_DAY + 1, customer=one, account=f"A{one}") for one in names[::2]]
        told(live, more)
        assert owner.wait(240) in (1, 2), live.said()
        live.settings = live.settings.model_copy(update={"group": SHADOW})
        live.start()
        live.wait(lambda: anew(live, epoch + 1), "everybody anew")
    finally:
        sleeper.send_signal(signal.SIGCONT)
    assert sleeper.wait(240) in (1, 2), live.said()
    lines = [log.read_text().splitlines() for log in live.logs.glob("*.log")]
    assert sum(f"group {SHADOW} owns the outputs now" in one[-1] for one in lines if one) == 2, live.said()

    closed(live, SECOND)
    live.wait(lambda: last_closed(live) == [day(SECOND)] * live.settings.partitions, "the last close")
    live.stop()
    no_version_goes_back(live, epoch + 1)
    for topic in ONCE:
        assert not doubled(list(records(live, topic))), topic
    days = range(FIRST_DAY + 1, day(SECOND) + 1)
    right = replayed(live, [*steps, FIRST_DAY, *more, *days], "standings")
    assert differences(last(records(live, "standings"), "standings"), right) == []


def differences(found: dict[str, dict[str, Any]], right: dict[str, dict[str, Any]]) -> list[Any]:
    """Where records differ, but in their versions."""
    assert found.keys() == right.keys()
    return [
        (whose, name, value, right[whose][name])
        for whose, record in found.items()
        for name, value in record.items()
        if value != right[whose][name] and name != "source_seq"
    ]


def no_version_goes_back(live: Live, epoch: int) -> None:
    """In the order of the log the versions of each key rise, and the last ones are of the epoch."""
    for topic in WHOSE:
        seen: dict[str, int] = {}
        for record in records(live, topic):
            whose, version = record[WHOSE[topic]], record[VERSIONED_TOPICS[topic]]
            assert version >= seen.get(whose, 0), topic
            seen[whose] = version
        assert {epoch_of(version) for version in seen.values()} == {epoch}, topic


def last_closed(live: Live) -> list[int]:
    """The last day that the group's workers have closed, as of their last flushes."""
    fences = asyncio.run(recovery.fences(live.settings, live.settings.partitions, STANDING))
    return [json.loads(fence.meta)["closed"] for fence in fences if fence is not None]


def as_of(live: Live, prefix: str = "") -> dict[int, int]:
    """How many customers' last standings are of a day."""
    return Counter(record["as_of"] for record in last(records(live, "standings", prefix), "standings").values())


def members(live: Live) -> int:
    """How many workers are in the owners' group, once it is at rest."""
    client = admin.client(live.settings.kafka)
    found = client.describe_consumer_groups([live.settings.group], request_timeout=10.0)[live.settings.group].result(20)
    return len(found.members) if found.state == ConsumerGroupState.STABLE else 0


def there(live: Live, prefix: str) -> bool:
    """Whether the shadow's topics were made."""
    return f"{prefix}standings" in admin.client(live.settings.kafka).list_topics(timeout=10).topics


def anew(live: Live, epoch: int) -> bool:
    """Whether every customer's queue class is of the epoch."""
    found = last(records(live, "queue-priority"), "queue-priority").values()
    return len(found) == CUSTOMERS and all(epoch_of(record["version"]) == epoch for record in found)
