"""Topics of one test of the engine on a real broker, a unit without Faust, writers, and what a worker serves."""

import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from agents.engine import recovery
from agents.engine.job import RecoveryError
from agents.engine.recovery import changelog_topic, open_consumer
from agents.engine.unit import Conf, PartitionUnit
from deploy.connections.clients import librdkafka
from tests.engine.counter_job import CounterJob
from tests.engine.worker import EngineTestSettings


class World:
    """Topics of one test, a unit without Faust, and writers."""

    def __init__(self, kafka: str, name: str) -> None:
        self.settings = EngineTestSettings(kafka, f"{name}-{os.getpid()}-{time.monotonic_ns()}", 1, 1000)
        self.admin = AdminClient(librdkafka(kafka))
        self.changelog = changelog_topic(self.settings)
        topics = [self.settings.topic(t) for t in ("left", "right", "tiers", "dead", "closes")]
        made = [NewTopic(t, 1, 1) for t in topics] + [
            NewTopic(self.changelog, 1, 1, config={"cleanup.policy": "compact"})
        ]
        for future in self.admin.create_topics(made).values():
            future.result(20)
        recovery.install_blocks(self.settings, CounterJob.inputs, self.changelog)

    def write(self, topic: str, amounts: list[int], customer: int = 7, **conf: object) -> None:
        """Events of one customer."""
        out = Producer({**librdkafka(self.settings.kafka), **conf})
        for amount in amounts:
            out.produce(
                self.settings.topic(topic), amount.to_bytes(8, "big", signed=True), customer.to_bytes(8, "big"), 0
            )
        out.flush(20)

    def unit(self, job: CounterJob | None = None) -> PartitionUnit:
        """A unit of the only partition; without Faust the test hands it the blocks."""
        return PartitionUnit(Conf(self.settings, CounterJob.inputs), 0, job or CounterJob(), lambda tp, offset: None)

    async def refuses(self, message: str, job: CounterJob | None = None) -> None:
        """A unit's recovery must raise a RecoveryError with this message."""
        unit = self.unit(job)
        with pytest.raises(RecoveryError, match=message):
            await unit.recover()
        await unit.close()

    async def consume(self, unit: PartitionUnit, topic: str = "left") -> None:
        """Hand the unit all there is and commit it."""
        unit.live = True
        consumer = await open_consumer(self.settings)
        try:
            end = (await consumer.end_offsets([unit.topics[topic]]))[unit.topics[topic]]
            async for block in recovery.blocks(consumer, unit.topics[topic], unit.expected[topic], end):
                unit.put(block)
        finally:
            await consumer.stop()
        await unit.step()


def write_rows(kafka: str, changelog: str, rows: Iterable[tuple[bytes | str, bytes | str]]) -> None:
    """Put (key, value) rows on partition 0 of a changelog, in a transaction as workers do."""
    out = Producer({**librdkafka(kafka), "transactional.id": f"{changelog}-test"})
    out.init_transactions(20)
    out.begin_transaction()
    for key, value in rows:
        out.produce(changelog, value, key, 0)
    out.commit_transaction(20)


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body; status 0 while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as problem:
        return problem.code, problem.read().decode()
    except OSError:
        return 0, ""


def wait_for(condition: Callable[[], bool], limit_s: float = 60) -> None:
    """Wait until a condition holds."""
    until = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
