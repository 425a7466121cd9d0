"""What `tidegauge doctor` looks at: each fault that it is there for, and what it says where it may not look."""

import asyncio
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic

from agents.engine import unit as unit_module
from agents.engine.app import CHANGELOG
from agents.engine.job import Block
from agents.engine.metrics import Health, WorkerMetrics, serve_metrics
from deploy import admin, topics
from deploy.connections.clients import librdkafka
from deploy.settings import Settings
from deploy.topics import CATALOGUE
from schemas.codec.records import encode
from schemas.registry import RegistryError, registry_for
from services.views.keys import Keys, member_of, unseen_member
from tests.conftest import Kafka
from tests.engine import test_unit
from tests.engine.counter_job import CounterJob
from tests.schemas.registry_server import SHIFT, RegistryServer
from tests.twins.events import posting
from tidegauge import checks
from tidegauge.checks import CHECKS, NEED_KAFKA, CheckLine, Grade, one
from tidegauge.checks.brokers import broker_faults
from tidegauge.checks.servers import memory_finding, queue_classes, view_rows
from tidegauge.checks.sight import needed
from tidegauge.checks.topics import changelog_faults, copy_faults, topic_faults

POSTINGS = CATALOGUE[0].config()
CUSTOMERS = next(topic for topic in CATALOGUE if topic.name == "customers").config()


def test_every_check_is_there() -> None:
    """Each line of the table names a function, and no name comes twice."""
    from importlib import import_module

    assert len({name for name, _, _ in CHECKS}) == len(CHECKS)
    for _, module, function in CHECKS:
        assert callable(getattr(import_module(f"tidegauge.checks.{module}"), function))


@pytest.mark.parametrize(
    ("wanted", "changed", "said"),
    [
        (POSTINGS, {}, []),
        (POSTINGS, {"retention.ms": "-1"}, []),
        (POSTINGS, {"retention.ms": "604800000"}, ["retention.ms is 604800000, not 5356800000"]),
        (POSTINGS, {"retention.bytes": "1000000"}, ["retention.bytes is 1000000, not -1"]),
        (POSTINGS, {"cleanup.policy": "compact"}, ["cleanup.policy is compact, not delete"]),
        (POSTINGS, {"max.message.bytes": "1048588"}, ["max.message.bytes is 1048588, not 4194304"]),
        (
            POSTINGS,
            {"message.timestamp.type": "CreateTime"},
            ["message.timestamp.type is CreateTime, not LogAppendTime"],
        ),
        (CUSTOMERS, {"retention.ms": "604800000"}, []),  # nothing is deleted there
        (CUSTOMERS, {"cleanup.policy": "delete,compact"}, ["cleanup.policy is delete,compact, not compact"]),
    ],
)
def test_a_topic_may_keep_more_and_not_less(wanted: dict[str, str], changed: dict[str, str], said: list[str]) -> None:
    """What keeps or takes less than the catalogue says is wrong, whatever it is; more is not."""
    assert list(topic_faults(wanted, wanted | changed)) == said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, []),
        ({"cleanup.policy": "delete"}, ["cleanup.policy is delete"]),
        ({"cleanup.policy": "compact,delete"}, ["cleanup.policy is compact,delete"]),
        ({"min.compaction.lag.ms": "0"}, ["min.compaction.lag.ms is 0, not 300000"]),
        ({"segment.bytes": "1073741824"}, ["segment.bytes is 1073741824"]),
        ({"max.message.bytes": "100000"}, ["max.message.bytes is 100000"]),
        ({"message.timestamp.type": "CreateTime"}, ["message.timestamp.type is CreateTime"]),
    ],
)
def test_a_changelog_keeps_what_a_recovery_needs(changed: dict[str, str], said: list[str]) -> None:
    """Compacted and never deleted, in small segments, not at once."""
    found = list(
        changelog_faults(
            CHANGELOG, {**CHANGELOG, "cleanup.policy": "compact", "max.message.bytes": "4194304"} | changed
        )
    )
    assert len(found) == len(said)
    assert all(line.startswith(start) for line, start in zip(found, said, strict=True))


def partition(number: int, replicas: int, in_sync: int, leader: int = 1) -> Any:
    """As the administration client describes it."""
    return SimpleNamespace(
        id=number,
        replicas=[None] * replicas,
        isr=[None] * in_sync,
        leader=SimpleNamespace(id=leader) if leader else None,
    )


@pytest.mark.parametrize(
    ("parts", "in_sync_min", "brokers", "wrong", "odd"),
    [
        ([partition(0, 3, 3)], 2, 3, [], []),
        ([partition(0, 1, 1)], 1, 1, [], []),
        ([partition(0, 1, 1)], 1, 3, [], ["t has one copy on 3 brokers: it is lost with a disk"]),
        ([partition(0, 3, 2)], 2, 3, [], ["t/0: 2 of 3 copies in sync"]),
        ([partition(0, 3, 1)], 2, 3, ["t/0: 1 of 3 copies in sync, min.insync.replicas is 2"], []),
        ([partition(0, 1, 1)], 2, 1, ["t/0: 1 of 1 copies in sync, min.insync.replicas is 2"], []),
        ([partition(0, 3, 3), partition(1, 3, 1, leader=0)], 1, 3, ["t/1 has no leader"], []),
    ],
)
def test_copies(parts: list[Any], in_sync_min: int, brokers: int, wrong: list[str], odd: list[str]) -> None:
    """What stops a topic is wrong, what endangers it is a warning."""
    assert copy_faults("t", parts, in_sync_min, brokers) == (wrong, odd)


def test_brokers_under_which_no_worker_works() -> None:
    """Transactions as long as a worker's, sessions as short, and no topics by mistake."""
    good = {
        "transaction.max.timeout.ms": "900000",
        "group.min.session.timeout.ms": "6000",
        "auto.create.topics.enable": "false",
    }
    assert broker_faults({"1": good, "2": {}}) == ([], [])
    wrong, odd = broker_faults({
        "1": good | {"transaction.max.timeout.ms": "10000", "group.min.session.timeout.ms": "10000"},
        "2": good | {"auto.create.topics.enable": "true"},
    })  # fmt: skip
    assert wrong == [
        "broker 1: transaction.max.timeout.ms is 10000, workers need 30000 or more",
        "broker 1: group.min.session.timeout.ms is 10000, workers need 6000 or less",
    ]
    assert odd == ["broker 2 creates a topic for whoever misspells one (auto.create.topics.enable)"]


@pytest.mark.parametrize(
    ("info", "grade"),
    [
        ({"maxmemory_policy": "noeviction", "maxmemory": 0, "evicted_keys": 0}, Grade.GOOD),
        ({"maxmemory_policy": "noeviction", "maxmemory": 1 << 30, "evicted_keys": 0}, Grade.GOOD),
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": 1 << 30, "evicted_keys": 0}, Grade.WRONG),
        ({"maxmemory_policy": "volatile-ttl", "maxmemory": 1 << 30, "evicted_keys": 0}, Grade.WRONG),
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": 0, "evicted_keys": 0}, Grade.WARN),
        ({"maxmemory_policy": "noeviction", "maxmemory": 1 << 30, "evicted_keys": 25}, Grade.WRONG),
        ({"maxmemory": 0}, Grade.UNSEEN),
    ],
)
def test_a_redis_that_forgets(info: dict[str, Any], grade: Grade) -> None:
    """By INFO: what it would evict, and what it has evicted."""
    assert memory_finding(info).grade is grade


@pytest.mark.parametrize(
    "problem",
    [
        KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)),
        KafkaException(KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED)),
        KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)),
        redis.exceptions.NoPermissionError("this user has no permissions to run the 'info' command"),
    ],
)
def test_what_may_not_be_seen_is_not_good(problem: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under least rights a check says that it may not look: neither good nor wrong."""

    def refused(_: Settings) -> Iterator[CheckLine]:
        raise problem
        yield

    monkeypatch.setattr("tidegauge.checks.servers.redis_memory", refused)
    (found,) = one(Settings(), "redis memory", "servers", "redis_memory")
    assert (found.grade, found.good) == (Grade.UNSEEN, False)
    assert found.found.startswith("not allowed to see: ")


@pytest.mark.parametrize("said", [[], [Grade.GOOD], [Grade.WARN], [Grade.GOOD, Grade.WRONG]])
def test_nothing_is_good_of_topics_that_are_hidden(said: list[Grade], monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers name no topic that one may not describe: what was found in the others is told, and never that all is good."""

    def found(_: Settings) -> Iterator[CheckLine]:
        yield from (CheckLine("copies", grade, "of those that I see") for grade in said)

    monkeypatch.setattr("tidegauge.checks.topics.copies", found)
    monkeypatch.setattr("tidegauge.checks.sight.not_seen", lambda _, check: ["transactions"] * (check == "copies"))
    lines = list(one(Settings(), "copies", "topics", "copies"))
    assert [line.grade for line in lines] == [
        Grade.WRONG if grade is Grade.WRONG else Grade.UNSEEN for grade in said or [Grade.GOOD]
    ]
    for line in lines:
        assert ("not allowed to see: transactions" in line.found) == (line.grade is Grade.UNSEEN)


def test_what_checks_have_to_see_is_of_checks() -> None:
    """Every check of the topics names them: but for those of brokers, and the one of topics that are missing."""
    of_topics = {name for name, module, _ in CHECKS if module in NEED_KAFKA} - {"kafka", "brokers", "topics"}
    assert set(needed(Settings())) == of_topics


@pytest.mark.slow
def test_a_server_that_is_away_is_wrong() -> None:
    """Not unseen, and no traceback."""
    (found,) = one(Settings(bootstrap_servers="127.0.0.1:1"), "kafka", "brokers", "reachable")
    assert found.grade is Grade.WRONG
    assert "no Kafka answers at 127.0.0.1:1" in found.found


async def test_a_worker_that_waits_for_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the registry answers 503 for one new id, the worker and the doctor name the partition; then it goes on."""
    monkeypatch.setattr(unit_module, "AIOKafkaProducer", test_unit.Producer)
    monkeypatch.setattr(unit_module, "REGISTRY_WAIT_S", 0.01)
    with RegistryServer() as registry:
        known = registry_for(Settings(schema_registry_url=registry.url))

        class OfANewSchema(CounterJob):
            def feed(self, block: Block, stop: int | None = None) -> None:
                known.schema(SHIFT)
                super().feed(block, stop)

        class HeldUnit(test_unit.Unit):
            is_held = asyncio.Event()

            async def hold(self, problem: RegistryError) -> None:
                self.is_held.set()
                await super().hold(problem)

        unit, health = HeldUnit(OfANewSchema()), Health()
        health.ready, health.waiting = lambda: True, lambda: unit.waiting
        about = {"pid": 77, "group": "g", "member": "m", "state": "working", "partitions": [3], "unflushed": []}
        server = serve_metrics(WorkerMetrics(), health, 0, about=lambda: about)
        settings = Settings(metrics_port=server.server_port)

        async def found() -> CheckLine:
            ((name, module, function),) = [check for check in CHECKS if check[0] == "worker"]
            (line,) = await asyncio.to_thread(lambda: list(one(settings, name, module, function)))
            return line

        try:
            assert (await found())[1:3] == (Grade.GOOD, "process 77 of group g is ready")
            registry.status = 503
            unit.put(test_unit.events("left", 0, [500]))
            step = asyncio.create_task(unit.step())
            await unit.is_held.wait()
            line = await found()
            assert line.grade is Grade.WRONG
            assert line.found.startswith(
                "process 77 of group g is not ready: partition 3 waits for the schema registry: "
            )
            assert "registry back" in line.hint
            registry.status = 200
            await step
            assert (await found()).good
            health.ready = lambda: False  # as while it recovers
            assert (await found()).grade is Grade.WARN
        finally:
            server.shutdown()
            server.server_close()
        assert "none answers" in (await found()).found


@pytest.mark.integration
def test_what_people_do_to_topics(kafka: Kafka, settings: Settings) -> None:
    """Each on a real broker, one after the other: all good, then named."""
    settings = settings.model_copy(update={"partitions": 1})
    topics.create(settings)
    client = admin.client(settings.kafka)
    changelog = f"{settings.topic_prefix}{settings.group}-standing-changelog"
    made = NewTopic(changelog, 1, 1, config={**CHANGELOG, "cleanup.policy": "compact"})
    client.create_topics([made])[changelog].result(20)

    def found(name: str) -> CheckLine:
        ((_, module, function),) = [check for check in CHECKS if check[0] == name]
        return next(one(settings, name, module, function))

    def change(topic: str, name: str, value: str) -> None:
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        resource.add_incremental_config(ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET))
        for future in client.incremental_alter_configs([resource]).values():
            future.result(20)

    def send(key: bytes, value: bytes | None, topic: str = "policies") -> None:
        producer = Producer(librdkafka(settings.kafka))
        producer.produce(settings.topic(topic), value, key, 0)
        assert producer.flush(20) == 0

    watched = (
        "kafka", "brokers", "topics", "topic settings", "copies", "changelog", "open transactions", "waiting", "deletions",
        "accounts",
    )  # fmt: skip
    assert [line for line in map(found, watched) if not line.good] == []
    change(settings.topic("transactions"), "retention.ms", "604800000")
    assert f"{settings.topic('transactions')}: retention.ms is 604800000" in found("topic settings").found
    change(settings.topic("standings"), "min.insync.replicas", "2")
    assert f"{settings.topic('standings')}/0: 1 of 1 copies in sync" in found("copies").found
    change(changelog, "cleanup.policy", "compact,delete")
    assert "rows of idle customers would be deleted" in found("changelog").found
    for name in ("C1", "C2"):
        record = {key: value for key, value in posting(1, 100, "2026-01-01", customer=name).items() if key != "topic"}
        send(name.encode(), encode("transactions", record), "transactions")
    shared = found("accounts")
    assert (shared.grade, shared.found) == (
        Grade.WARN, "under more than one customer: transactions: 1, such as at 0/1",
    )  # fmt: skip
    send(b"p/2", b"a pack")
    send(b"p/2", None)
    gone = found("deletions")
    assert (gone.grade, gone.found) == (Grade.WRONG, "deleted: policies 'p/2' in 1 partitions")
    send(b"p/2", b"a pack")
    assert found("deletions").good
    client.create_partitions([NewPartitions(settings.topic("balances"), 3)])[settings.topic("balances")].result(20)
    raised = found("topics")
    assert f"{settings.topic('balances')} has 3" in raised.found
    assert "workers end at it" in raised.hint
    assert {found(name).grade for name in ("topic settings", "copies", "changelog", "topics")} == {Grade.WRONG}
    assert checks.listed(["a", "b", "c", "d", "e"]) == "a; b; c; and 2 more"


@pytest.mark.integration
def test_the_view_is_looked_at(redis_server: str) -> None:
    """Where one was built it must have been watched; where none is, nobody need miss it."""
    settings = Settings(redis_url=f"{redis_server.rpartition('/')[0]}/13", topic_prefix="checks-")
    client, keys = redis.Redis.from_url(settings.redis), Keys.of("checks-")
    client.delete(keys.meta, keys.sweep)
    assert [line.grade for line in view_rows(settings)] == [Grade.GOOD]
    client.hset(keys.meta, "format", "2")
    (line,) = view_rows(settings)
    assert (line.grade, line.hint) == (Grade.WRONG, "start `tidegauge views`")
    client.delete(keys.meta)


@pytest.mark.integration
def test_queue_classes_that_cannot_be_read(redis_server: str) -> None:
    """Customers are counted; records that may be anybody's are wrong while look-ups are degraded for them, then a warning."""
    settings = Settings(redis_url=f"{redis_server.rpartition('/')[0]}/13", topic_prefix="checks-")
    client, place = redis.Redis.from_url(settings.redis), Keys.of("checks-").lacking("queue-priority:1")
    now_ms = round(1000 * time.time())
    cases: list[tuple[list[str], list[tuple[Grade, str]]]] = [
        ([], [(Grade.GOOD, "can be read")]),
        (["a", member_of("?1:2")], [(Grade.WRONG, "of 2 customers")]),
        ([unseen_member(3, now_ms + 60_000)], [(Grade.WRONG, "`degraded` until")]),
        (["a", unseen_member(3, now_ms - 1)], [(Grade.WRONG, "of 1 customers"), (Grade.WARN, "1 stretches")]),
    ]
    for members, wanted in cases:
        client.delete(place)
        if members:
            client.zadd(place, dict.fromkeys(members, 1))
        found = list(queue_classes(settings))
        assert [(line.grade, said in line.found) for line, (_, said) in zip(found, wanted, strict=True)] == [
            (grade, True) for grade, _ in wanted
        ]
    client.delete(place)
