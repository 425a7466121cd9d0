"""The engine on a real broker: what recovery accepts and refuses, every kind of source, health, the closed web port."""

import asyncio
import os
import signal
from typing import Any

import numpy as np
import psutil
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as TP
from confluent_kafka.admin import NewTopic

from agents.engine import recovery
from agents.engine import unit as unit_module
from agents.engine.job import RecoveryError
from agents.engine.recovery import open_consumer, read_state
from agents.engine.unit import Conf, PartitionUnit
from deploy.connections.clients import librdkafka
from tests.chaos.check import read
from tests.engine.counter_job import CounterJob, NewerCounterJob
from tests.engine.worker import EngineTestSettings
from tests.engine.world import World, get, wait_for

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_sources_of_every_codec(world: World, codec: str) -> None:
    """What a producer compresses, however, arrives as the same events."""
    world.write("left", list(range(200)), **{"compression.type": codec, "linger.ms": 50})
    unit = world.unit()
    await unit.recover()
    await world.consume(unit)
    await unit.close()
    assert unit.job.sums[7, 0] == sum(range(200))
    assert unit.committed["left"] == 200


async def test_aborted_source_transactions_count_never(world: World) -> None:
    """An aborted transaction in the source is passed over; its markers move the position."""
    out = Producer({**librdkafka(world.settings.kafka), "transactional.id": world.settings.group})
    out.init_transactions(20)
    for amount, commit in ((1, True), (10, False), (100, True), (1000, False)):
        out.begin_transaction()
        for _ in range(5):
            out.produce(world.settings.topic("left"), amount.to_bytes(8, "big"), (7).to_bytes(8, "big"), 0)
        out.commit_transaction(20) if commit else (out.flush(20), out.abort_transaction(20))
    unit = world.unit()
    await unit.recover()
    await world.consume(unit)
    await unit.close()
    assert unit.job.sums[7, 0] == 5 + 500
    assert unit.committed["left"] == 24  # twenty events and four markers


async def test_a_successor_stands_where_the_last_commit_stood(world: World) -> None:
    """Rows, fence, replay of [F, C): the successor's state is the predecessor's, and the predecessor is fenced."""
    world.write("left", [600] * 3)
    first = world.unit()
    await first.recover()
    await world.consume(first)
    world.write("left", [9000, -8000])  # tier up and down: committed without a flush
    await world.consume(first)
    assert first.fenced != first.positions
    second = world.unit()
    found = await second.recover()
    assert (found.fence.offsets["left"], found.replayed) == (3, 2)
    assert np.array_equal(second.job.sums, first.job.sums)
    assert np.array_equal(second.job.tier, first.job.tier)
    world.write("left", [10**6])
    with pytest.raises(Exception, match=r"(?i)fenced|epoch"):
        await world.consume(first)
    await world.consume(second)
    await first.close()
    await second.close()
    outputs = [v for _, _, v in read(world.settings.kafka, world.settings.topic("tiers"), 0)]
    assert outputs == [b"left/0/1 0>1", b"left/0/3 1>2", b"left/0/4 2>1", b"left/0/5 1>4"]


async def test_a_reader_fences_nobody(world: World) -> None:
    """read_state sees the last committed transaction and leaves the worker alone, as often as it likes."""
    world.write("left", [600] * 3)
    unit = world.unit()
    await unit.recover()
    for amounts in ([9000], [200000, 1]):
        await world.consume(unit)
        seen = await read_state(world.settings, CounterJob, 0)
        assert np.array_equal(seen.sums, unit.job.sums)
        assert np.array_equal(seen.tier, unit.job.tier)
        assert seen.positions() == unit.positions
        world.write("left", amounts)
    unit.flush_at = 0.0
    await world.consume(unit)
    await unit.close()


async def test_reading_where_no_worker_ran_is_refused(world: World) -> None:
    """Without a changelog there is nothing to read, and the message says so."""
    nobody = EngineTestSettings(world.settings.kafka, "nobody", 1)
    with pytest.raises(RecoveryError, match="no topic nobody-standing-changelog"):
        await read_state(nobody, CounterJob, 0)


async def test_an_error_at_once_is_not_hidden_by_the_end_of_the_consumer(world: World) -> None:
    """aiokafka's `stop` raises CancelledError when a task of the consumer was cancelled before it began."""
    consumer = await open_consumer(world.settings)
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the error is raised where nothing has been awaited
        try:
            raise ZeroDivisionError
        finally:
            await consumer.stop()


async def test_a_source_that_no_longer_has_the_fence_is_refused(world: World) -> None:
    """The replay needs [F, C); when retention took F, recovery names the partition and the offsets."""
    world.write("left", [600] * 3)
    unit = world.unit()
    await unit.recover()
    await world.consume(unit)
    world.write("left", [9000, 1])
    await world.consume(unit)
    await unit.close()
    topic = world.settings.topic("left")
    for future in world.admin.delete_records([TP(topic, 0, 4)]).values():
        future.result(20)
    await world.refuses(rf"partition 0: topic {topic} holds offsets 4 to 5, but .* 3 to 5")


async def test_an_upgrade_writes_the_state_anew_and_keeps_older_versions_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut short after its first transaction, too: the older version refuses, the newer one goes on."""
    for customer in (7, 8, 9):
        world.write("left", [600], customer)
    older = world.unit()
    await older.recover()
    await world.consume(older)
    await older.close()
    monkeypatch.setattr(unit_module, "TRANSACTION_BYTES_MAX", 0)  # a transaction a row
    cut = world.unit(NewerCounterJob())
    transact, done = cut.transact, []

    async def once(*args: Any) -> None:
        if done:
            raise TimeoutError
        done.append(await transact(*args))

    monkeypatch.setattr(cut, "transact", once)
    with pytest.raises(TimeoutError):
        await cut.recover()
    await cut.close()
    newer_wrote = (
        rf"partition 0: topic {world.changelog} was written by a newer version \(state format 2, this one reads 1\)"
    )
    await world.refuses(newer_wrote)
    newer = world.unit(NewerCounterJob())
    await newer.recover()
    assert newer.job.sums[[7, 8, 9], 0].tolist() == [600] * 3
    world.write("left", [5000], 8)
    await world.consume(newer)
    await newer.close()
    await world.refuses(newer_wrote)
    states = await recovery.fences(world.settings, 1, "standing")
    assert [fence and (fence.state_format, fence.oldest) for fence in states] == [(2, None)]
    again = world.unit(NewerCounterJob())
    await again.recover()
    await again.close()
    assert again.job.sums[[7, 8, 9], 0].tolist() == [600, 5600, 600]


async def test_offsets_without_a_state_are_refused(world: World) -> None:
    """Committed offsets and an empty changelog: the state is lost, and going on would hide it."""
    world.write("left", [600])
    consumer = Consumer({**librdkafka(world.settings.kafka), "group.id": world.settings.group})
    consumer.commit(offsets=[TP(world.settings.topic("left"), 0, 1)], asynchronous=False)
    consumer.close()
    await world.refuses("committed 1 .* is empty")


async def test_the_changelog_counts_where_the_group_differs(world: World) -> None:
    """Group offsets set by hand don't move the state."""
    world.write("left", [600] * 3)
    unit = world.unit()
    await unit.recover()
    await world.consume(unit)
    await unit.close()
    consumer = Consumer({**librdkafka(world.settings.kafka), "group.id": world.settings.group})
    consumer.commit(offsets=[TP(world.settings.topic("left"), 0, 1)], asynchronous=False)
    consumer.close()
    successor = world.unit()
    await successor.recover()
    await successor.close()
    assert successor.fed["left"] == 3


async def test_a_large_record_passes(world: World) -> None:
    """A record bigger than a batch goes out in a batch of its own."""
    config = {"max.message.bytes": str(4 << 20)}
    for name in ("left", "dead"):
        topic = world.settings.topic(name) + "-big"
        world.admin.create_topics([NewTopic(topic, 1, 1, config=config)])[topic].result(20)
    settings = BigTopics(world.settings.kafka, world.settings.group, 1, 1000)
    recovery.install_blocks(settings, CounterJob.inputs, world.changelog)
    out = Producer({**librdkafka(settings.kafka), "message.max.bytes": 4 << 20})
    value = os.urandom(2 << 20)
    out.produce(settings.topic("left"), value, b"k" * 8, 0)
    out.flush(20)
    unit = PartitionUnit(Conf(settings, CounterJob.inputs), 0, CounterJob(), lambda tp, offset: None)
    await unit.recover()
    await world.consume(unit)
    await unit.close()
    assert [v for _, _, v in read(settings.kafka, settings.topic("dead"), 0)] == [value]


class BigTopics(EngineTestSettings):
    """Two topics take large records."""

    def topic(self, name: str) -> str:
        """With a suffix for the large ones."""
        return super().topic(name) + ("-big" if name in ("left", "dead") else "")


# -- a worker as a process


def test_a_worker_is_ready_after_recovery_and_opens_no_other_port(world: World, worker) -> None:
    """/readyz turns 200 when the units have recovered; metrics count events; Faust's web server stays closed."""
    world.write("left", [600] * 50)
    process, port = worker(world)
    wait_for(lambda: get(port, "/readyz")[0] == 200)
    wait_for(lambda: 'tidegauge_events_total{partition="0"} 50.0' in get(port, "/metrics")[1])
    assert get(port, "/livez") == (200, "ok\n")
    wait_for(lambda: 'tidegauge_lag_offsets{partition="0",topic="left"} 0.0' in get(port, "/metrics")[1])
    # Knock at every port: Faust's own web server, which serves tables to anybody, would be another one.
    listening = [c.laddr.port for c in psutil.Process(process.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert listening == [port]
    process.send_signal(signal.SIGTERM)
    assert process.wait(240) == 0
    state = asyncio.run(read_state(world.settings, CounterJob, 0))
    assert state.sums[7, 0] == 30000


def test_a_damaged_fetch_is_fetched_again(world: World, worker) -> None:
    """A wrong checksum on the wire is counted and read again; nothing is lost."""
    world.write("left", [600] * 50)
    _, port = worker(world, broken="corrupt 2")
    wait_for(lambda: 'tidegauge_events_total{partition="0"} 50.0' in get(port, "/metrics")[1])
    assert 'tidegauge_corrupt_batches_total{partition="0",topic="left"} 2.0' in get(port, "/metrics")[1]
