"""When did an engine begin, when was everything committed, and what did it cost in between?"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psutil
from confluent_kafka import Consumer, KafkaException, TopicPartition

from bench.measure import stamp
from deploy.connections.clients import librdkafka
from deploy.settings import Settings

POLL_S, POLL_PROCESS_S = 0.02, 0.25
STALL_S_MAX = 120.0  # without progress, then the engine is taken for dead

Process = subprocess.Popen[bytes]


@dataclass(slots=True)
class Timing:
    """One engine over one load, from the first event it saw, by its own stamp, to the last commit."""

    events: int = 0
    seconds: float = 0.0
    worked_s: float = 0.0  # the same to the last event worked on, where the engine tells; 0: it doesn't
    cpu_s: float = 0.0  # of the engine's processes, in that time
    cpu_all_s: float = 0.0  # the same with their start-up
    broker_s: float = 0.0  # CPU of the brokers, from the engine's start on; 0: nobody has looked
    rss_max: int = 0
    load: float = 0.0  # of the machine at the end
    history: list[tuple[float, int]] = field(default_factory=list)  # (seconds since 1970, events committed)

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds if self.seconds else 0.0

    @property
    def worked_rate(self) -> float:
        """Events per second until the last was worked on, the commit left out."""
        return self.events / self.worked_s if self.worked_s else 0.0

    @property
    def cpu_us(self) -> float:
        """CPU microseconds per event."""
        return 1e6 * self.cpu_s / self.events if self.events else 0.0

    @property
    def cpu_all_us(self) -> float:
        """CPU microseconds per event with the start-up."""
        return 1e6 * self.cpu_all_s / self.events if self.events else 0.0

    @property
    def broker_us(self) -> float:
        """CPU microseconds of the brokers per event."""
        return 1e6 * self.broker_s / self.events if self.events else 0.0


class Watched:
    """The processes of one engine: their CPU, their memory, the stamps they print."""

    def __init__(self, processes: Sequence[Process], said: Callable[[Process], str]) -> None:
        self.processes, self.said = processes, said
        self.looks = [psutil.Process(process.pid) for process in processes]
        self.rss_max, self.looked_at = 0, 0.0
        self.stamps: dict[int, stamp.Stamp] = {}

    def cpu(self) -> list[float]:
        """CPU seconds of each process since it began."""
        return [float(sum(look.cpu_times()[:2])) for look in self.looks]

    def ended(self) -> bool:
        """Whether one has died."""
        return any(process.poll() is not None for process in self.processes)

    def look(self, *, now: bool = False) -> None:
        """Keeps the highest sum of resident memory."""
        if now or time.monotonic() - self.looked_at > POLL_PROCESS_S:
            self.looked_at = time.monotonic()
            self.rss_max = max(self.rss_max, sum(look.memory_info().rss for look in self.looks))

    def read(self) -> None:
        """Looks for stamps that have been printed."""
        for i, process in enumerate(self.processes):
            if i not in self.stamps and (found := stamp.read(self.said(process))):
                self.stamps[i] = found

    def log(self) -> str:
        """The ends of all logs."""
        return "\n".join(self.said(process)[-3000:] for process in self.processes)


def measure(
    watched: Watched, committed: Callable[[], int], target: int, finished: Callable[[], bool] | None = None
) -> Timing:
    """Waits until `target` events are committed, or until `finished`; RuntimeError if the engine dies or stalls.

    Counts from the earliest stamp of its processes.
    """
    timing, moved_at = Timing(), time.monotonic()
    while True:
        done, now = committed(), time.time()  # in this order: the commit was not later than `now`
        if watched.ended() or time.monotonic() - moved_at > STALL_S_MAX:
            raise RuntimeError(f"{done} of {target} events, then no more:\n{watched.log()}")
        if not timing.history or done > timing.history[-1][1]:
            timing.history.append((now, done))
            moved_at = time.monotonic()
        watched.look()
        if finished() if finished else done >= target:
            break
        time.sleep(POLL_S)
    timing.cpu_all_s = sum(cpu := watched.cpu())
    timing.load = os.getloadavg()[0]
    watched.look(now=True)
    watched.read()
    if not watched.stamps:
        raise RuntimeError(f"the engine printed no stamp:\n{watched.log()}")
    began = {i: found.cpu_s for i, found in watched.stamps.items()}
    timing.events = target if finished else done
    first_s = min(found.at_s for found in watched.stamps.values())
    timing.seconds = now - first_s
    lasts = [stamp.read_last(watched.said(process)) for process in watched.processes]
    if all(lasts):
        timing.worked_s = max(last for last in lasts if last) - first_s
    timing.cpu_s = sum(seconds - began.get(i, 0.0) for i, seconds in enumerate(cpu))
    timing.rss_max = watched.rss_max
    return timing


class Probe:
    """Reads what a group has committed."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.consumer = Consumer(
            {
                **librdkafka(settings.kafka),
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
    process: Process,
    said: Callable[[Process], str],
    wait_s: float = 300.0,
) -> None:
    """Waits for a condition while an engine runs."""
    deadline = time.monotonic() + wait_s
    while not done():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not reached\n{said(process)}")
        time.sleep(POLL_S)
