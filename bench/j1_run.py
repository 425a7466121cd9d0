"""J1 through the product's engine and through the Faust tutorial idiom, on the same topic in the same run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from confluent_kafka import Consumer, TopicPartition

from agents.recovery import read_state
from bench import j1
from bench.arena import Arena, Timing
from bench.peers.faust_tutorial import OUTPUT
from deploy.settings import Settings

WORKER = ("-m", "bench.j1")
TUTORIAL = ("-m", "bench.peers.faust_tutorial")


@dataclass(slots=True)
class Result:
    """Our engine over all events, and plain Faust over the first of them."""

    ours: Timing
    changes: int
    balance: int


def load(arena: Arena, events: int, customers: int = 100_000) -> Settings:
    """Topics and events."""
    settings = arena.settings("j")
    arena.topics(settings, j1.TOPIC, j1.OUTPUT)
    arena.load(settings, j1.TOPIC, j1.events(events, customers, partitions=settings.partitions))
    return settings


def ours(arena: Arena, settings: Settings, events: int) -> Result:
    """One worker of the product's engine, its state and outputs summed up."""
    settings = arena.with_metrics(settings)
    worker = arena.start(WORKER, settings)
    timing = arena.measure(worker, settings, j1.TOPIC, events)
    arena.stop(worker)

    async def balance() -> int:
        jobs = [await read_state(settings, j1.J1Job, p, name=j1.NAME) for p in range(settings.partitions)]
        return sum(int(job.sums[:, 0].sum()) for job in jobs)  # type: ignore[attr-defined]

    return Result(timing, count(settings, j1.OUTPUT), asyncio.run(balance()))


def tutorial(arena: Arena, settings: Settings, events: int) -> Timing:
    """Plain Faust from the start of the topic, in a group of its own, until it has committed so many events."""
    mine = settings.model_copy(update={"group": f"{settings.group}-tutorial"})
    arena.topics(settings, OUTPUT)
    worker = arena.start(TUTORIAL, mine)
    timing = arena.measure(worker, mine, j1.TOPIC, events)
    arena.stop(worker, 20)
    return timing


def count(settings: Settings, topic: str) -> int:
    """Committed records of a topic."""
    reader = Consumer({
        "bootstrap.servers": settings.kafka, "group.id": f"{settings.group}-count", "enable.auto.commit": False,
        "isolation.level": "read_committed", "enable.partition.eof": True, "auto.offset.reset": "earliest",
    })  # fmt: skip
    reader.assign([TopicPartition(settings.topic(topic), p, 0) for p in range(settings.partitions)])
    found = ended = 0
    while ended < settings.partitions:
        for message in reader.consume(10_000, 5.0):
            found, ended = (found, ended + 1) if message.error() else (found + 1, ended)
    reader.close()
    return found
