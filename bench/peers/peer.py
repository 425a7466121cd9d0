"""The peers: how each is started, when it is done, what it was asked to guarantee."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec

from bench.measure import stamp
from bench.measure.arena import Arena
from bench.measure.timing import Process, Timing
from bench.peers import environment, jvm
from bench.peers.task import Task
from deploy import admin
from deploy.settings import Settings

Command = Callable[[], list[str]]


@dataclass(frozen=True, slots=True)
class Peer:
    """An engine that is not ours, with the settings that suit it best."""

    title: str
    note: str
    command: Command  # makes ready what is missing (jars, classes, an environment), then tells the command
    processes: int = 1
    more: Mapping[str, str] = field(default_factory=dict)
    size: str = ""  # field of Sizes with its number of events; empty: as many as ours
    slow: bool = False  # left out of a quick run
    # Done when the last transaction of its outputs is committed: its source keeps its offsets in the checkpoint, and the
    # group's committed ones, which every other engine is measured by, may follow seconds later.
    by_outputs: bool = False


def run(
    arena: Arena, peer: Peer, settings: Settings, topic: str, output: str, events: int
) -> tuple[Timing, tuple[int, ...]]:
    """One run: how long it took, and the sums of the state as the engine told them when it was stopped."""
    program, *arguments = peer.command()
    engine = []
    for i in range(peer.processes):
        folder = arena.folder / f"{settings.topic(output)}-{i}"  # the same job on fewer events has another prefix
        folder.mkdir()
        task = Task(
            settings.kafka, settings.topic(topic), settings.topic(output), settings.group, settings.partitions, events,
            str(folder),
        )  # fmt: skip
        engine.append(arena.start(arguments, settings, {**task.environment(), **peer.more}, program))
    done = Settled(arena, settings, output, engine) if peer.by_outputs else None
    timing = arena.measure(engine, settings, topic, events, finished=done and done.look)
    for process in engine:
        arena.stop(process)
    if done and done.ends() != done.at:
        raise RuntimeError(f"{peer.title}: outputs came after the end of the measurement")
    return timing, stamp.read_sums([arena.said(process) for process in engine])


class Settled:
    """Sees when the last event is worked on and no transaction is open on the outputs."""

    def __init__(self, arena: Arena, settings: Settings, output: str, engine: list[Process]) -> None:
        self.logs, self.client, self.at = [(arena, process) for process in engine], admin.client(settings.kafka), -1
        self.partitions = [TopicPartition(settings.topic(output), p) for p in range(settings.partitions)]

    def look(self) -> bool:
        """True once it is so."""
        if any(stamp.read_last(arena.said(process)) is None for arena, process in self.logs):
            return False
        self.at = self.ends(IsolationLevel.READ_COMMITTED)
        return self.at == self.ends()

    def ends(self, level: IsolationLevel = IsolationLevel.READ_UNCOMMITTED) -> int:
        """Sum of the outputs' ends: of all that is written, or of what readers of committed records may see."""
        wanted = {partition: OffsetSpec.latest() for partition in self.partitions}
        return sum(found.result().offset for found in self.client.list_offsets(wanted, isolation_level=level).values())


def tutorial() -> list[str]:
    """Faust is in the product's own environment."""
    return [sys.executable, "-m", "bench.peers.faust_tutorial"]


FLINK = partial(jvm.command, "flink", "FlinkPeer")
ONCE = "exactly once; state "

PEERS = {
    "flink-heap": Peer(
        "Apache Flink, heap", ONCE + "on the heap, checkpoint to local disk each second", FLINK, by_outputs=True
    ),
    "flink-rocksdb": Peer(
        "Apache Flink, RocksDB", ONCE + "in RocksDB, incremental checkpoint to local disk each second", FLINK,
        more={"BENCH_BACKEND": "rocksdb"}, slow=True, by_outputs=True,
    ),
    "kafka-streams": Peer(
        "Kafka Streams", ONCE + "in RocksDB and Kafka's changelog, commit each 100 ms",
        partial(jvm.command, "kafka-streams", "KafkaStreamsPeer"), slow=True,
    ),
    "quix": Peer(
        "Quix Streams, 2 processes", ONCE + "in RocksDB and a changelog, commit each second", environment.quix,
        processes=2, size="quix_events", slow=True,
    ),
    "faust-tutorial": Peer(
        "Faust as its tutorial shows", "at least once; state in memory and a changelog", tutorial, size="tutorial_events"
    ),
}  # fmt: skip
