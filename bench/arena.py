"""A broker for one bench run, and what is asked of it: topics, bulk loads, committed offsets, bytes on disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import psutil
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import NewTopic

from bench.data import Chunk
from connectors.publisher import producer_config
from deploy import admin, processes, topics
from deploy.settings import Settings
from deploy.stack import Stack

ROOT = Path(__file__).resolve().parent.parent
POLL_S, POLL_PROCESS_S = 0.02, 0.25
STALL_S_MAX = 120.0  # without progress, then the engine is taken for dead
PRODUCED_BEFORE_POLL = 10_000


@dataclass(slots=True)
class Timing:
    """One engine over one load: what was committed when, and what it cost."""

    events: int = 0
    seconds: float = 0.0  # from the first block worked on (other engines: their first commit) to the last commit
    cpu_s: float = 0.0  # of the process, in that time
    rss_max: int = 0
    load: float = 0.0  # of the machine at the end
    history: list[tuple[float, int]] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds if self.seconds else 0.0

    @property
    def cpu_us(self) -> float:
        """CPU microseconds per event."""
        return 1e6 * self.cpu_s / self.events if self.events else 0.0


class Arena:
    """An embedded broker on free ports with topics of its own; everything it started ends with it."""

    def __init__(self, partitions: int = 4, heap_mb: int = 1024) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tidegauge-bench-"))
        given = Settings(partitions=partitions, kafka_heap_mb=heap_mb, reference_key="bench")
        self.stack = Stack(self.folder, given, with_redis=False, with_topics=False, any_ports=True, tether=True)
        self.runs = 0
        self.engines: list[subprocess.Popen[bytes]] = []

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
            "partitions": self.stack.settings.partitions, "reference_key": "bench", "data_dir": self.folder, "metrics_port": 0,
        }  # fmt: skip
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

    def with_metrics(self, settings: Settings) -> Settings:
        """The same with a free port for the worker's metrics."""
        return settings.model_copy(update={"metrics_port": processes.free_row(1)})

    # -- engines

    def start(
        self, command: Iterable[str], settings: Settings, more: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Starts an engine with the settings in its environment."""
        names = (
            "bootstrap_servers", "topic_prefix", "group", "partitions", "data_dir", "metrics_port", "flush_interval_s",
        )  # fmt: skip
        environment = {f"TIDEGAUGE_{name.upper()}": str(getattr(settings, name)) for name in names}
        environment |= {"TIDEGAUGE_REFERENCE_KEY": "bench", "PYTHONPATH": str(ROOT), **(more or {})}
        log = (self.folder / f"engine-{len(self.engines)}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )
        log.close()
        self.engines.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes], wait_s: float = 60.0) -> None:
        """Ends an engine as an operator would."""
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def said(self, process: subprocess.Popen[bytes]) -> str:
        """The end of an engine's log."""
        return (self.folder / f"engine-{self.engines.index(process)}.log").read_text(errors="replace")[-3000:]

    def measure(
        self, process: subprocess.Popen[bytes], settings: Settings, topic: str, target: int, start: int = 0
    ) -> Timing:
        """Waits until the group has committed `target` events from `start` on; RuntimeError if it dies or stalls."""
        probe = Probe(settings, topic)
        watched, timing = psutil.Process(process.pid), Timing()
        moved_at, looked_at = time.monotonic(), 0.0
        first = cpu = None
        own = bool(settings.metrics_port)
        try:
            while True:
                now, done = time.monotonic(), max(0, probe.committed() - start)
                if process.poll() is not None or now - moved_at > STALL_S_MAX:
                    raise RuntimeError(f"{done} of {target} events, then no more:\n{self.said(process)}")
                if not timing.history or done > timing.history[-1][1]:
                    timing.history.append((now, done))
                    moved_at = now
                if first is None and (worked(settings.metrics_port) if own else done):
                    first, cpu = (time.monotonic(), 0 if own else done), _cpu(watched)
                if now - looked_at > POLL_PROCESS_S:
                    timing.rss_max, looked_at = max(timing.rss_max, watched.memory_info().rss), now
                if first is not None and done >= target:
                    break
                time.sleep(POLL_S)
            assert first is not None
            assert cpu is not None
            if first[1] == done:  # all in one commit, as in a test: from the start, then
                first = timing.history[0]
            timing.seconds, timing.events = now - first[0], done - first[1]
            timing.cpu_s, timing.load = _cpu(watched) - cpu, os.getloadavg()[0]
            timing.rss_max = max(timing.rss_max, watched.memory_info().rss)
            return timing
        finally:
            probe.close()

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


class Probe:
    """Reads what a group has committed."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.consumer = Consumer(
            {
                "bootstrap.servers": settings.kafka,
                "group.id": settings.group,
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        self.known = 0
        self.partitions = [TopicPartition(settings.topic(topic), p) for p in range(settings.partitions)]

    def committed(self) -> int:
        """Sum over the partitions; what it was where the coordinator has no answer now."""
        with contextlib.suppress(KafkaException):
            self.known = sum(max(0, p.offset) for p in self.consumer.committed(self.partitions, 20))
        return self.known

    def ends(self) -> int:
        """Sum of the ends."""
        return sum(self.consumer.get_watermark_offsets(p, 20)[1] for p in self.partitions)

    def close(self) -> None:
        """Lets go."""
        self.consumer.close()


def wait_for(
    what: str,
    done: Callable[[], bool],
    process: subprocess.Popen[bytes],
    said: Callable[..., str],
    wait_s: float = 300.0,
) -> None:
    """Waits for a condition while an engine runs."""
    deadline = time.monotonic() + wait_s
    while not done():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not reached\n{said(process)}")
        time.sleep(POLL_S)


def _drain(producer: Producer) -> None:
    producer.poll(0)
    while len(producer) > 150_000:
        producer.poll(0.05)


def worked(port: int) -> bool:
    """Whether a worker has worked on a block yet, by its own metrics."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return False
    return any(line.startswith("tidegauge_work_seconds_count") and float(line.split()[-1]) > 0 for line in lines)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
