"""J1 by every engine: the same topic, one engine at a time, each result compared with the same sums."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Consumer, TopicPartition

from agents.engine.recovery import read_state
from bench.measure.arena import Arena
from bench.measure.report import OURS, Engine, Report, Table, warn
from bench.measure.timing import Timing
from bench.parts import j1
from bench.peers.peer import PEERS, Peer, run
from bench.world.data import Chunk
from bench.world.expected import Expected, Sums
from bench.world.sizes import Sizes
from deploy.connections.clients import librdkafka
from deploy.errors import StackError
from deploy.settings import Settings

CUSTOMERS = 100_000
NOTE = "exactly once; state in memory, in Kafka's changelog each second"
WORKER = ("-m", "bench.measure.stamp", "bench.parts.j1")


@dataclass(frozen=True, slots=True)
class Load:
    """A topic with so many events, and what they give."""

    settings: Settings
    events: int
    sums: Sums


def load(arena: Arena, events: int) -> Load:
    """Topic and events; the first of a longer load are those of a shorter one."""
    settings = arena.settings("j")
    arena.topics(settings, j1.TOPIC)
    expected = Expected(CUSTOMERS)

    def noted() -> Iterator[Chunk]:
        for chunk in j1.events(events, CUSTOMERS, partitions=settings.partitions):
            expected.add(chunk)
            yield chunk

    arena.load(settings, j1.TOPIC, noted())
    return Load(settings, events, expected.sums())


def ours(arena: Arena, given: Load, name: str) -> Timing:
    """One worker of the product's engine; its state is read back from its changelog."""
    settings = given.settings.model_copy(update={"group": given.settings.topic(name)})
    output = f"{name}-tiers"
    arena.topics(settings, output)
    worker = arena.start(WORKER, settings, {"BENCH_OUTPUT": output})
    timing = arena.measure(worker, settings, j1.TOPIC, given.events)
    arena.stop(worker)

    async def state() -> tuple[int, ...]:
        jobs = [await read_state(settings, j1.J1Job, p, name=j1.NAME) for p in range(settings.partitions)]
        rows = sum(job.sums.sum(0) for job in jobs)  # type: ignore[attr-defined]
        return int(rows[0]), int(rows[1]), int(rows[2:].sum())

    check(name, given, Sums(*asyncio.run(state()), *outputs(settings, output)))
    return timing


def other(arena: Arena, given: Load, peer: Peer, name: str) -> Timing:
    """One run of a peer."""
    settings = given.settings.model_copy(update={"group": given.settings.topic(name)})
    output = f"{name}-tiers"
    arena.topics(settings, output)
    timing, state = run(arena, peer, settings, j1.TOPIC, output, given.events)
    check(name, given, Sums(*state, *outputs(settings, output)))
    return timing


def check(name: str, given: Load, found: Sums) -> None:
    """AssertionError if an engine found something else."""
    assert found == given.sums, f"{name}: {found}, {given.sums} wanted"


def outputs(settings: Settings, topic: str) -> tuple[int, int]:
    """Number of a topic's committed records, and the sum of the CRC-32 of their values."""
    reader = Consumer({
        **librdkafka(settings.kafka), "group.id": f"{settings.group}-count", "enable.auto.commit": False,
        "isolation.level": "read_committed", "enable.partition.eof": True, "auto.offset.reset": "earliest",
    })  # fmt: skip
    reader.assign([TopicPartition(settings.topic(topic), p, 0) for p in range(settings.partitions)])
    found = ended = crc = 0
    while ended < settings.partitions:
        for message in reader.consume(10_000, 5.0):
            if message.error():
                ended += 1
                continue
            found, crc = found + 1, crc + zlib.crc32(message.value())
    reader.close()
    return found, crc


def part(arena: Arena, sizes: Sizes, report: Report) -> None:
    """Ours and the peers in turn, so that what else the machine does hits all of them alike."""
    loads: dict[int, Load] = {}
    engines: dict[tuple[int, str], Engine] = {}
    turn_plan = [(events, name) for events, name in plan(sizes) if ready(name, report)]
    for turn in range(sizes.runs):
        for events, name in turn_plan:
            if events not in loads:
                loads[events] = load(arena, events)
            if (events, name) not in engines:
                engines[events, name] = described(sizes, events, name, engines)
            called = f"{name}-{turn}"
            timing = (
                other(arena, loads[events], PEERS[name], called)
                if name in PEERS
                else ours(arena, loads[events], called)
            )
            engines[events, name].note_run(timing)
    report.engines += engines.values()


def ready(name: str, report: Report) -> bool:
    """Whether an engine can run here: a peer is fetched, compiled or installed; one that can't be is told of, left out."""
    try:
        if name in PEERS:
            PEERS[name].command()
    except (StackError, RuntimeError, OSError) as problem:
        row = (PEERS[name].title, " ".join(str(problem).split())[:300])
        warn(f"  {': '.join(row)}")
        report.tables.append(Table("Left out of J1:", ("engine", "why"), [row]))
        return False
    return True


def plan(sizes: Sizes) -> list[tuple[int, str]]:
    """(events, engine) of one turn, ours first for each number of events."""
    peers = [name for name, peer in PEERS.items() if not (sizes.quick and peer.slow)]
    peers = [name for name in PEERS if name in sizes.engines] if sizes.engines else peers
    each = [(events, name) for events in sizes.j1_events for name in (OURS, *(n for n in peers if not PEERS[n].size))]
    return each + [(getattr(sizes, PEERS[name].size), name) for name in peers if PEERS[name].size]


def described(sizes: Sizes, events: int, name: str, engines: dict[tuple[int, str], Engine]) -> Engine:
    """A line of the report: an engine with other numbers of events than ours is compared with our longest run."""
    compared = events if events in sizes.j1_events else max(sizes.j1_events)
    job = f"J1, {compared:,} events"
    if name not in PEERS:
        return Engine(job, OURS, NOTE)
    title = PEERS[name].title if events == compared else f"{PEERS[name].title}, {events:,} events"
    return Engine(job, title, PEERS[name].note, engines[compared, OURS])
