"""What the engine uses of aiokafka's producer and consumer, over the simulated network and cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced
from aiokafka.producer.message_accumulator import BatchBuilder

from agents.engine.job import TP, Block
from agents.engine.record_batches import COMPRESS
from agents.engine.transport import take_block
from tests.simulation.broker import Cluster
from tests.simulation.loop import PROCESS, SimLoop
from tests.simulation.network import Network

POLL_S = 0.02


def no_quota() -> Any:
    """What the engine listens to for quotas. Nothing is sent by way of it: no quota holds anybody back here."""
    return SimpleNamespace(send=None)


class World:
    """What every client needs. `names`: Kafka's name of a topic -> the name in the catalogue."""

    isolation = "read_committed"  # of the workers' own consumers

    def __init__(self, loop: SimLoop, cluster: Cluster, network: Network, names: Mapping[str, str]) -> None:
        self.loop, self.cluster, self.network, self.names = loop, cluster, network, names


class Producer:
    """AIOKafkaProducer with a transactional id."""

    def __init__(
        self, world: World, *, transactional_id: str, compression_type: str | None = None, **conf: Any
    ) -> None:
        self.world, self.id, self.epoch = world, transactional_id, -1
        self.timeout_s = conf["transaction_timeout_ms"] / 1000
        self.compression, self.batch_bytes_max = COMPRESS[compression_type][0], conf["max_batch_size"]
        process = PROCESS.get()
        self.job = process and process.made  # the unit is made right after its job
        self.sequence = 0
        self.open = False
        self.transaction = 0  # of the id, counted by the coordinator
        self.failure: KafkaError | None = None  # fenced: for good
        self.sending: dict[TopicPartition, Any] = {}
        self.background: list[Any] = []
        self.client = no_quota()

    def _sent(self, coro: Any) -> Any:
        """As aiokafka's sender task does it: who waits for the answer may give up, the request goes on."""
        task = self.world.loop.create_task(coro)
        self.background.append(task)
        return task

    async def _call(self, kind: str, apply: Any) -> Any:
        if self.failure is not None:
            raise self.failure
        try:
            return await self.world.network.call(kind, apply)
        except ProducerFenced as problem:
            self.failure = problem
            raise

    async def start(self) -> None:
        """InitProducerId: fences whoever had the id."""
        cluster = self.world.cluster
        _, self.epoch = await self._call("init", lambda: cluster.init_producer(self.id, self.timeout_s))
        self.transaction = cluster.ended(self.id)

    async def stop(self) -> None:
        """Nothing is told to the brokers; what is on its way arrives."""
        for task in self.background:
            task.cancel()
        if not self.world.loop.over:
            await asyncio.sleep(0.001)

    def create_batch(self) -> BatchBuilder:
        """aiokafka's own."""
        return BatchBuilder(self.batch_bytes_max, self.compression, is_transactional=1)

    async def begin_transaction(self) -> None:
        """Local, as in aiokafka."""
        if self.failure is not None:
            raise self.failure
        if self.open:
            raise IllegalOperation("a transaction is open")
        self.open, self.sending, self.background = True, {}, []

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> Any:
        """The future of the batch; batches of one partition go one after the other."""
        if not self.open:
            raise IllegalOperation("no transaction is open")
        tp = TopicPartition(topic, partition)
        self.sequence += 1
        task = self.sending[tp] = self._sent(self._produce(tp, batch, self.sending.get(tp)))
        return asyncio.shield(task)

    async def _produce(self, tp: TopicPartition, batch: Any, before: Any) -> None:
        if before is not None:
            await before
        producer = self.world.cluster.ids[self.id].producer
        batch._set_producer_state(producer, self.epoch, self.sequence)
        raw, transaction = bytes(batch._build()), self.transaction
        await self._call("produce", lambda: self.world.cluster.produce(self.id, self.epoch, transaction, tp, raw))

    async def send_offsets_to_transaction(self, offsets: Mapping[TopicPartition, int], group: str) -> None:
        """AddOffsetsToTxn and TxnOffsetCommit."""
        transaction, cluster = self.transaction, self.world.cluster
        add = partial(cluster.add_offsets, self.id, self.epoch, transaction, group, dict(offsets))
        await asyncio.shield(self._sent(self._call("offsets", add)))

    async def commit_transaction(self) -> None:
        """EndTxn, after everything sent has arrived."""
        await asyncio.shield(self._sent(self._end(True)))

    async def abort_transaction(self) -> None:
        """EndTxn."""
        await asyncio.shield(self._sent(self._end(False)))

    async def _end(self, commit: bool) -> None:
        if not self.open:
            raise IllegalOperation("no transaction is open")
        for task in self.sending.values():
            await task
        transaction, note = self.transaction, self.job and (self.job, len(self.job.calls))
        await self._call("end", lambda: self.world.cluster.end(self.id, self.epoch, transaction, commit, note))
        self.open, self.transaction = False, transaction + 1


class Consumer:
    """AIOKafkaConsumer outside of a group: what recovery uses."""

    def __init__(self, world: World, *, group_id: str | None = None, isolation_level: str, **conf: Any) -> None:
        self.world, self.group, self.committed_only = world, group_id, isolation_level == "read_committed"
        self.bytes_max = conf.get("max_partition_fetch_bytes", 1 << 20)
        self.assigned: list[TopicPartition] = []
        self.position: dict[TopicPartition, int] = {}
        self._fetcher = SimpleNamespace()

    async def start(self) -> None:
        """Nothing to do."""
        await self.world.network.call("metadata", lambda: None)

    async def stop(self) -> None:
        """Nothing to do."""
        if not self.world.loop.over:
            await asyncio.sleep(0.001)

    def assign(self, partitions: list[TopicPartition]) -> None:
        """By hand."""
        self.assigned = partitions

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Where the next fetch begins."""
        self.position[tp] = offset

    async def getmany(self, tp: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Block]]:
        """A block, or nothing after the time."""
        block = await fetch(self.world, tp, self.position[tp], self.bytes_max, self.committed_only)
        if block is None:
            await asyncio.sleep(min(POLL_S, timeout_ms / 1000))
            return {}
        self.position[tp] = block.end
        return {tp: [block]}

    async def beginning_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Log start offsets."""
        return await self.world.network.call("list", lambda: {tp: self.world.cluster.logs[tp].start for tp in tps})

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Last stable offsets, of a committed-only consumer."""
        logs = self.world.cluster.logs
        return await self.world.network.call(
            "list", lambda: {tp: logs[tp].stable if self.committed_only else logs[tp].end for tp in tps}
        )

    async def committed(self, tp: TopicPartition) -> int | None:
        """The group's offset, as far as its transaction's marker has been written."""
        return await self.world.network.call("read offset", lambda: self.world.cluster.offsets.get((self.group, tp)))


async def fetch(world: World, tp: TopicPartition, offset: int, bytes_max: int, committed: bool) -> Block | None:
    """A block from an offset on by the engine's own reader; None if there is nothing yet."""
    cluster = world.cluster
    raw, aborted = await world.network.call("fetch", lambda: cluster.fetch(tp, offset, bytes_max, committed))
    if not raw:
        return None
    return take_block(TP(world.names[tp.topic], tp.partition), raw, offset, aborted, committed=committed)
