"""What a worker asks the brokers now and then, beside its work: whether its topics are still there, how old its backlog is."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as Place

from agents.engine.recovery import EngineSettings
from agents.engine.watch.brokers import TopicsWatch, append_times
from agents.engine.watch.movement import Movement

ROUND_S: Final = 15.0

log = logging.getLogger(__name__)


class Rounds:
    """Asks in a thread; an answer that does not come is none, and the next round asks again."""

    def __init__(self, settings: EngineSettings, movement: Movement, wanted: Mapping[str, str]) -> None:
        self.settings, self.movement = settings, movement
        self.topics = TopicsWatch(settings.kafka, settings.partitions, wanted)

    async def go(self) -> str:
        """One round. What the worker has to end for, and what to do; empty while nothing is wrong."""
        try:
            await self._ages()
            return await asyncio.to_thread(self.topics.look)
        except (KafkaException, TimeoutError) as problem:
            log.info("the brokers were asked in vain: %s", problem)
            return ""

    async def _ages(self) -> None:
        """How old what was there before this worker is; what came later it has seen come."""
        asked = {
            (self.settings.topic(name), part): (name, offset) for name, part, offset in self.movement.unknown_ages()
        }
        if not asked:
            return
        places = [Place(topic, partition, offset) for (topic, partition), (_, offset) in asked.items()]
        times = await asyncio.to_thread(append_times, self.settings.kafka, places)
        for (topic, partition), appended_ms in times.items():
            age_s = time.time() - appended_ms / 1000
            self.movement.told(time.monotonic(), asked[topic, partition][0], partition, age_s)
