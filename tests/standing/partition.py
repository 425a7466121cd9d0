"""One partition of the standing job over a log in memory: any blocks, any interleaving, crashes, and what it published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from agents.engine.job import TP, Block
from agents.engine.record_batches import flat
from agents.offline.memory_log import MemoryLog
from agents.offline.memory_log import _batch as batch
from agents.standing.job import StandingJob
from agents.standing.model import StandingConf
from policies import load_pack
from schemas.codec.records import decode_one, encode
from schemas.registry import FileRegistry, file_registry
from schemas.topics import INPUTS

CLOSE_OUTPUTS = ("standings", "tier-changes", "restatements", "outlooks")


@cache
def conf() -> StandingConf:
    """CNY, Shanghai, the rolling-quarter pack."""
    return StandingConf("CNY", "Asia/Shanghai", load_pack("rolling-quarter-aum"), b"a key of the tests")


@cache
def layered() -> StandingConf:
    """Beside it the layers of layered-care."""
    return replace(conf(), layers=load_pack("layered-care"))


def _registry_of(record: Mapping[str, Any]) -> FileRegistry | None:
    """Facts that are texts have versions of the contract that are not written unless a bank says so."""
    return file_registry(2) if "text" in record else None


class Topics(MemoryLog):
    """A log that keeps its records, so that any block of them can be had again."""

    def __init__(self, partition: int = 0) -> None:
        super().__init__(lambda topic, record: encode(topic, dict(record), _registry_of(record)), partition)
        self.records: dict[str, list[tuple[bytes | None, bytes | None]]] = {topic: [] for topic in INPUTS}

    def append(self, topic: str, key: bytes | None, value: bytes | None) -> int:
        """A record as it is; its offset."""
        self.records[topic].append((key, value))
        self.ends[topic] = len(self.records[topic])
        return self.ends[topic] - 1

    def tell(self, steps: Iterable[Mapping[str, Any] | int | tuple[int, ...]]) -> Topics:
        """Events (with `topic`) and closes in order; a tuple is a run over several days."""
        for step in steps:
            if isinstance(step, int | tuple):
                self.close(*((step,) if isinstance(step, int) else step))
            else:
                self.record(step["topic"], {name: value for name, value in step.items() if name != "topic"})
        return self

    def block(self, topic: str, start: int, end: int) -> Block:
        """Offsets [start, end) of a topic."""
        records = self.records[topic][start:end]
        return Block(
            TP(topic, self.partition),
            start,
            end,
            [batch(start, records)] if records else [],
            sum(len(v or b"") for _, v in records),
        )


class Partition:
    """A job that is fed from the log, and everything it has published."""

    def __init__(self, log: Topics, job: StandingJob | None = None, start: Mapping[str, int] | None = None) -> None:
        self.log, self.job = log, job or StandingJob(conf())
        self.fed = dict(start) if start else dict.fromkeys(INPUTS, 0)
        self.job.begin(log.partition, dict(self.fed))
        self.published: dict[str, list[tuple[bytes, bytes]]] = defaultdict(list)
        self.rows: dict[bytes, bytes] = {}

    def feed(self, topic: str, until: int | None = None) -> None:
        """The next block of a topic up to an offset, or to its end."""
        end = min(self.log.ends[topic], self.log.ends[topic] if until is None else until)
        if end > self.fed[topic]:
            self.job.feed(self.log.block(topic, self.fed[topic], end))
            self.fed[topic] = end

    def work(self, *, live: bool = True) -> list[tuple[str, dict[str, Any]]]:
        """What the job gives now, decoded; order-sensitive rows are kept."""
        outcome, said = self.job.work(live=live), []
        for topic, pairs in outcome.outputs:
            pairs = list(flat(pairs))
            self.published[topic] += pairs
            said += [(topic, decode_one(value)) for _, value in pairs]
        self.rows |= flat(outcome.rows)
        return said

    def run(self) -> Partition:
        """Everything there is, a block a topic."""
        for topic in INPUTS:
            self.feed(topic)
        self.work()
        return self

    def of(self, topic: str, since: int = 0) -> list[dict[str, Any]]:
        """Published records of a topic, decoded; without the first ones, where somebody has seen so many."""
        return [decode_one(value) for _, value in self.published[topic][since:]]

    def closes(self) -> dict[str, list[tuple[bytes, bytes]]]:
        """What the closes have published, byte for byte; the order within a topic is of customers, not of meaning."""
        return {topic: sorted(self.published[topic]) for topic in CLOSE_OUTPUTS}


def customer(customer_id: str, **other: Any) -> dict[str, Any]:
    """A profile."""
    return {
        "topic": "customers", "event_id": f"{customer_id}-profile", "customer_id": customer_id,
        "customer_class": "personal", "branch": "B1", "rm_id": "rm-1", "relationship_since": None, "birth_date": None,
        "card_held": None, **other,
    }  # fmt: skip
