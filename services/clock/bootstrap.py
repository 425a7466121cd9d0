"""Opens the clock of cases on the servers of the settings: what `tidegauge commands clock` runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from policies.language.loader import load_pack
from schemas.registry import registry_for
from services.access.writer import wall_ms
from services.clock.clock import CLOCK_TOPICS, CaseClock, through
from services.commands.bootstrap import open_door
from services.views.kafka_source import KafkaSource

if TYPE_CHECKING:
    from deploy.settings import Settings
    from services.views.kafka_source import NewReader


@contextmanager
def open_clock(
    settings: Settings, new_reader: NewReader, told: Callable[[], Mapping[int, bool]]
) -> Iterator[CaseClock]:
    """The clock, begun, until the block ends. told: see CaseClock. KafkaException, RedisError where a server gives no answer."""
    with open_door(settings, customers=False) as opened:
        source = KafkaSource(settings.kafka, CLOCK_TOPICS, new_reader, settings.topic_prefix)
        try:
            clock = CaseClock(source, registry_for(settings), through(opened.door), wall_ms, told, settings.zone)
            for name in settings.pack.split(","):
                clock.know(load_pack(name.strip()))
            clock.begin()
            yield clock
        finally:
            source.close()
