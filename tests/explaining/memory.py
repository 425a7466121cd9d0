"""A partition of the tests as the log that `explain` reads."""

from __future__ import annotations

from typing import Any

from agents.engine.job import Block
from agents.offline.memory_log import batch
from schemas.codec.records import encode
from schemas.registry import CONTRACTS, file_registry
from schemas.topics import INPUTS
from tests.standing.partition import Partition, Topics
from tidegauge.explanation.log import OUTPUTS, Log, own


class Stamped(Topics):
    """A log that stamps its records as a broker would: one after the other, whatever the topic."""

    def __init__(self) -> None:
        super().__init__()
        self.stamps: dict[tuple[str, int], int] = {}

    def append(self, topic: str, key: bytes, value: bytes) -> int:
        """A record as it is; its offset."""
        offset = super().append(topic, key, value)
        self.stamps[topic, offset] = len(self.stamps) + 1
        return offset

    def block(self, topic: str, start: int, end: int) -> Block:
        """Offsets [start, end) of a topic, a batch each."""
        plain = super().block(topic, start, end)
        records = enumerate(self.records[topic][start:end], start)
        batches = [batch([(at, key, value)], self.stamps[topic, at]) for at, (key, value) in records]
        return Block(plain.tp, start, end, batches, sum(map(len, batches)))


def log_of(partition: Partition, customer_id: str) -> Log:
    """The customer's part of everything that was fed and published."""
    log = Log(customer_id, 0, dict.fromkeys(INPUTS, 0))
    for topic, end in partition.log.ends.items():
        half = end // 2
        blocks = [partition.log.block(topic, 0, half), partition.log.block(topic, half, end)]
        log.inputs[topic] = [own(block, customer_id) for block in blocks if block.end > block.start]
    for topic in OUTPUTS:
        for key, value in partition.published[topic]:
            if key == customer_id.encode():
                log.tell(topic, value, None)
    return log


def altered(log: Log, at: int, **fields: Any) -> Log:
    """The log with a published record that says something else."""
    told = log.told[at]
    other = Log(log.customer_id, log.partition, log.first, log.inputs, log.told[:at])
    other.tell(told.topic, encode(told.topic, told.record | fields, file_registry(CONTRACTS[-1])), None)
    other.told += log.told[at + 1 :]
    return other
