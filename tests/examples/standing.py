"""The worker's standing job behind the interface of the examples: real encoding, blocks, marks, closes and outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from agents.engine.record_batches import flat
from agents.offline.memory_log import MemoryLog
from agents.standing.job import StandingJob
from policies import ROLLING
from schemas.codec.records import decode_one, encode
from schemas.topics import INPUTS
from streams import tiers
from streams.vocabulary.metrics import COLUMNS
from tests.standing.partition import conf
from tests.twins.definitions import day_of

if TYPE_CHECKING:
    from collections.abc import Mapping

Restated = tuple[str, int, int | None, int | None, str, str]


def column(name: str) -> str:
    """month_avg[0] as month_avg_0."""
    return name.replace("[", "_").replace("]", "")


class Standing:
    """One partition fed event by event. Breaks and restatements are what the job has published."""

    def __init__(self) -> None:
        self.job = StandingJob(conf())
        self.job.begin(0, dict.fromkeys(INPUTS, 0))
        self.log = MemoryLog(lambda topic, record: encode(topic, dict(record)))
        self.breaks: dict[tuple[str, str, int, str], int] = {}
        self.said: list[Restated] = []

    def _work(self) -> tuple[list[tuple[str, dict[str, Any]]], Mapping[str, int]]:
        for block in self.log.blocks():
            self.job.feed(block)
        outcome = self.job.work(live=True)
        published = [
            (topic, decode_one(value)) for topic, pairs in outcome.outputs for _, value in flat(pairs) if value
        ]
        return published, outcome.counts

    def add(self, event: Mapping[str, Any]) -> str:
        """Feeds one event; the reason of its dead letter, if it became one."""
        self.log.record(event["topic"], {name: value for name, value in event.items() if name != "topic"})
        published, counts = self._work()
        for topic, record in published:
            if topic == "dead-letters":
                return str(record["reason"]).replace(" ", "_")
        return "duplicate" if counts.get("duplicates") else "accepted"

    def close(self, day: int) -> None:
        """Ends a day with a mark in every input, as the closer does."""
        self.log.close(day)
        self.said = []
        for topic, record in self._work()[0]:
            if topic != "restatements":
                continue
            day_restated = _day(record["restated_day"])
            if record["kind"] == "late_posting":
                values = (record["previous_minor"], record["current_minor"])
                changed = (record["previous_tier"], record["current_tier"])
                self.said.append((record["customer_id"], day_restated, *values, *changed))
            elif record["kind"].startswith("break"):
                # One day may have several cut-offs; only the id of the record tells which one is meant.
                cutoff = record["event_id"].split("/")[-2]
                key = (record["customer_id"], record["account_id"], day_restated, cutoff)
                self.breaks[key] = record["amount_minor"]

    def published(self, customer: str, as_of: int) -> dict[str, int | None]:
        """The metrics as the live query gives them."""
        slots = np.array([self.job.ledger.customer(customer)])
        found = self.job.ledger.metrics(self.job.decider.scope, as_of, slots)
        rounded = found.rounded()[0].tolist()
        by_column = {n: None if held else v for n, v, held in zip(COLUMNS, rounded, found.held[0], strict=True)}
        return {name: by_column[column(name)] for name in ROLLING if column(name) in by_column}

    def tier(self, customer: str, day: int) -> str:
        """The tier in force on a day."""
        slots = np.array([self.job.ledger.customer(customer)])
        in_force, _ = tiers.in_force(self.job.ledger.store.customers, slots, day)
        return self.job.decider.pack.tier_ids[int(in_force[0])]

    def open_breaks(self, customer: str) -> list[tuple[str, int, int]]:
        """Breaks opened and not resolved."""
        return sorted(
            (account, day, amount) for (c, account, day, _), amount in self.breaks.items() if c == customer and amount
        )

    def restated(self) -> list[Restated]:
        """What the last close restated."""
        return sorted(self.said)


def _day(value: Any) -> int:
    return value if isinstance(value, int) else day_of(value)
