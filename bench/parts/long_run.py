"""A long run of one worker: most of a year of business days, each posted and closed, and what its memory does meanwhile.

State grows until every account has the 160 days of movements it keeps, so the figure is the growth behind that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from confluent_kafka import Producer

from bench.measure.arena import Arena
from bench.measure.report import Report, warn
from bench.parts.full import TOPIC
from bench.world.bank import Bank, ends
from bench.world.data import CLOSED, FIRST, Chunk, World
from bench.world.sizes import Sizes
from connectors.loading.closer import Closer
from connectors.loading.publisher import producer_config
from schemas.codec.records import encode
from streams.accounts.entries import HORIZON_DAYS, KEEP_DAYS

CUSTOMERS, DAYS, FLUSH_S_MAX = 20_000, 260, 60
SETTLED_DAYS = KEEP_DAYS + HORIZON_DAYS + 5  # from then on a day that comes is a day that goes


class Sample(NamedTuple):
    """Somewhere on the way."""

    events: int  # committed so far
    rss: int


@dataclass(slots=True)
class Run:
    """What a long run did."""

    events: int
    checked: int = 0
    samples: list[Sample] = field(default_factory=list)

    def settled(self) -> list[Sample]:
        """The samples with full state."""
        return [sample for sample in self.samples if sample.events >= self.events * SETTLED_DAYS // DAYS]

    def growth(self) -> float:
        """Bytes a million events, least squares over the settled days."""
        events, rss = np.array(self.settled(), np.int64).T
        return float(np.polyfit(events / 1e6, rss, 1)[0])


def run(arena: Arena, events: int, days: int = DAYS) -> Run:
    """Postings and a close a day, each day taken before the next; every customer compared with plain sums at the end."""
    world = World(CUSTOMERS, events - events % days, days=days)
    found, a_day = Run(world.events), world.events // days
    with Bank(arena, world, "long") as bank:
        bank.load(world.prelude(), ready=bank.start)
        closer, producer = Closer(bank.settings, encode), Producer(producer_config(bank.settings))
        closer.close(CLOSED)
        base, closed = ends(bank.probe), bank.settings.partitions  # closes of all partitions so far
        for i, chunk in enumerate(world.postings(a_day)):
            bank.noted(chunk)
            send(producer, bank.settings.topic(TOPIC), chunk)
            closer.close(FIRST + i)
            closed += bank.settings.partitions
            bank.wait("a day's close", lambda target=closed: bank.metric("closes_total") >= target)  # type: ignore[misc]
            found.samples.append(Sample(bank.probe.committed() - base, bank.rss()))
        closer.shut()
        bank.stop()
        found.checked = bank.check(bank.states(), FIRST + days - 1)
    return found


def send(producer: Producer, topic: str, chunk: Chunk) -> None:
    """The records of a chunk, safe at the broker."""
    values, keys, width = chunk.values.tobytes(), chunk.keys.tobytes(), chunk.keys.shape[1]
    starts, ends_ = [0, *chunk.ends.tolist()], chunk.ends.tolist()
    for i, (first, end, partition) in enumerate(zip(starts, ends_, chunk.partition.tolist(), strict=False)):
        producer.produce(topic, values[first:end], keys[i * width : (i + 1) * width], partition)
    assert producer.flush(FLUSH_S_MAX) == 0


def part(arena: Arena, sizes: Sizes, report: Report) -> None:
    """Of `python -m bench`."""
    found = run(arena, sizes.long_events)
    settled, peak = found.settled(), max(sample.rss for sample in found.samples)
    report.figures += [
        (
            f"long run of {found.events:,} events over {DAYS} closed days: memory at the end, MB",
            f"{settled[-1].rss / 1e6:,.0f}",
        ),
        (
            f"… of them {len(settled):,} days where the state has its full size, MB at the first of these days, and at most ever",
            f"{settled[0].rss / 1e6:,.0f}, {peak / 1e6:,.0f}",
        ),
        ("… growth from there, MB a million events", f"{found.growth() / 1e6:,.2f}"),
    ]
    warn(f"  {found.events:,} events, {settled[0].rss / 1e6:,.0f} to {settled[-1].rss / 1e6:,.0f} MB")
