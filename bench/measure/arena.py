"""A broker for one bench run, and what is asked of it: topics, bulk loads, committed offsets, bytes on disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import psutil
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from bench.measure.timing import Probe, Process, Timing, Watched, measure
from bench.measure.wire import access, grant, in_environment
from bench.world.data import Chunk
from connectors.loading.publisher import producer_config
from deploy import admin, topics
from deploy.embedded.stack import Stack
from deploy.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PRODUCED_BEFORE_POLL = 10_000
KEY = "the reference key of the benchmarks"


class Arena:
    """An embedded broker on free ports with topics of its own; everything it started ends with it.

    quick: False for one whose JVM compiles in full, as a secured one's does.
    """

    def __init__(
        self, partitions: int = 4, heap_mb: int = 1024, *, secure: bool = False, quick: bool = True
    ) -> None:  # fmt: skip
        self.folder = Path(tempfile.mkdtemp(prefix="tidegauge-bench-"))
        given = Settings(partitions=partitions, kafka_heap_mb=heap_mb, reference_key=KEY)
        self.stack = Stack(
            self.folder, given, with_redis=False, with_topics=False, any_ports=True, tether=True, secure=secure
        )
        self.stack.quick = self.stack.quick and quick
        self.runs = 0
        self.engines: list[Process] = []

    def __enter__(self) -> Arena:
        self.stack.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.engines:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.stack.stop()
        if error is None:
            shutil.rmtree(self.folder)

    def settings(self, name: str, **more: object) -> Settings:
        """Settings of a run: a prefix and a group that no other run has."""
        self.runs += 1
        prefix = f"{name}{self.runs}."
        common = {
            "bootstrap_servers": self.stack.bootstrap_servers, "topic_prefix": prefix, "group": f"{prefix}group",
            "partitions": self.stack.settings.partitions, "reference_key": KEY, "data_dir": self.folder, "metrics_port": 0,
            **access(self.stack),
        }  # fmt: skip
        grant(self.stack, prefix, f"{prefix}group")
        return Settings(**{**common, **more})

    def topics(self, settings: Settings, *names: str) -> None:
        """Creates topics: those of the catalogue without names, plain ones otherwise."""
        if not names:
            topics.create(settings)
            return
        made = [NewTopic(settings.topic(name), settings.partitions, 1) for name in names]
        administrator = admin.client(settings.kafka)  # a name: its futures die with it
        for done in administrator.create_topics(made).values():
            done.result(20)

    # -- engines

    def start(
        self,
        command: Iterable[str],
        settings: Settings,
        more: Mapping[str, str] | None = None,
        program: str | Path = sys.executable,
    ) -> Process:
        """Starts an engine, in Python if not said otherwise, with the settings in its environment."""
        names = (
            "bootstrap_servers", "topic_prefix", "group", "partitions", "data_dir", "metrics_port", "flush_interval_s",
        )  # fmt: skip
        environment = {f"TIDEGAUGE_{name.upper()}": str(getattr(settings, name)) for name in names}
        environment |= {
            "TIDEGAUGE_REFERENCE_KEY": KEY,
            "PYTHONPATH": str(ROOT),
            **in_environment(access(self.stack, "worker")),
        }
        environment |= more or {}
        log = (self.folder / f"engine-{len(self.engines)}.log").open("wb")
        process = subprocess.Popen(
            [str(program), *command],
            env={**os.environ, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )
        log.close()
        self.engines.append(process)
        return process

    def stop(self, process: Process, wait_s: float = 60.0) -> None:
        """Ends an engine as an operator would."""
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def said(self, process: Process) -> str:
        """An engine's log."""
        return (self.folder / f"engine-{self.engines.index(process)}.log").read_text(errors="replace")

    def measure(
        self,
        engine: Process | Sequence[Process],
        settings: Settings,
        topic: str,
        target: int,
        start: int = 0,
        finished: Callable[[], bool] | None = None,
    ) -> Timing:
        """Waits until the group has committed `target` events from `start` on; see bench.measure.timing.measure."""
        probe = Probe(settings, topic)
        processes, before = [engine] if isinstance(engine, subprocess.Popen) else engine, self.broker_cpu()
        try:
            found = measure(Watched(processes, self.said), lambda: max(0, probe.committed() - start), target, finished)
        finally:
            probe.close()
        found.broker_s = self.broker_cpu() - before
        return found

    def broker_cpu(self) -> float:
        """CPU seconds of the brokers since they began."""
        found = [psutil.Process(entry.pid) for entry in self.stack.running()]
        return float(sum(sum(process.cpu_times()[:2]) for process in found))

    # -- data

    def load(self, settings: Settings, topic: str, chunks: Iterable[Chunk], limit: int | None = None) -> int:
        """Produces chunks; how many events."""
        producer = Producer(producer_config(settings) | {"linger.ms": 20})
        failed: list[object] = []

        def delivered(problem: object, _message: object) -> None:
            if problem is not None:
                failed.append(problem)

        name, count = settings.topic(topic), 0
        for chunk in chunks:
            values, keys, ends = chunk.values.tobytes(), chunk.keys, chunk.ends.tolist()
            width, key_bytes, at = keys.shape[1], keys.tobytes(), 0
            for i, (end, partition) in enumerate(zip(ends, chunk.partition.tolist(), strict=True)):
                if count == limit:
                    break
                if count % PRODUCED_BEFORE_POLL == 0:
                    _drain(producer)
                producer.produce(name, values[at:end], key_bytes[i * width : (i + 1) * width], partition, delivered)
                at, count = end, count + 1
        producer.flush(120)
        if failed:
            raise RuntimeError(f"not taken: {failed[0]}")
        return count

    def disk_bytes(self, topic: str) -> int:
        """Bytes of a topic's segments on the broker's disk."""
        found = self.folder.rglob("*.log")
        return sum(path.stat().st_size for path in found if path.parent.name.rpartition("-")[0] == topic)


def _drain(producer: Producer) -> None:
    producer.poll(0)
    while len(producer) > 150_000:
        producer.poll(0.05)
