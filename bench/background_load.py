"""A worker that takes postings at a steady rate, beside what is measured; they leave from a process of their own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.measure.arena import Arena
from bench.parts.full import TOPIC, WORKER, opened
from bench.world import timetable
from bench.world.data import World
from bench.world.sizes import Sizes
from deploy.settings import Settings

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

EVENTS_PER_S: Final = 500
CUSTOMERS, QUICK_CUSTOMERS = 20_000, 2_000
JOIN_S: Final = 30.0
TICK_S: Final = 0.02
"""Postings leave in batches of so long, as of a producer that lingers."""


@dataclass(slots=True)
class Posting:
    """Postings that are ready to leave."""

    told: Event
    settings: Settings
    """Of the worker."""

    def begin(self) -> None:
        """Send them from now on."""
        self.told.set()


@contextmanager
def postings_beside(arena: Arena, sizes: Sizes, seconds: float) -> Iterator[Posting]:
    """A worker that runs, and postings for so many seconds."""
    world = World(
        QUICK_CUSTOMERS if sizes.quick else CUSTOMERS, int(EVENTS_PER_S * seconds), arena.stack.settings.partitions
    )
    settings = opened(arena, world)
    worker = arena.start(WORKER, settings)
    context = multiprocessing.get_context("spawn")
    told = context.Event()
    sender = context.Process(target=send_postings, args=(settings, world, told), daemon=True)
    sender.start()
    try:
        yield Posting(told, settings)
    finally:
        sender.terminate()
        sender.join(JOIN_S)
        arena.stop(worker)


def send_postings(settings: Settings, world: World, told: Event) -> None:
    """The process: all of a world's postings, on their timetable, once it is told."""
    (chunk,) = world.postings(chunk=world.events)
    lanes = timetable.lanes(chunk, 0, world.events, EVENTS_PER_S)
    told.wait()
    timetable.send(settings, TOPIC, lanes, TICK_S)
