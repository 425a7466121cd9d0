"""The steps of a trial's two sides, with the instants of what caused them, and what was published beside them."""

from __future__ import annotations

from typing import Any

from agents.engine.job import Block
from agents.offline.replay import Trial
from agents.standing.model import StandingConf
from schemas.codec.blocks import log_entries
from schemas.codec.records import RecordError, decode_one
from streams.alerts.lifecycle import RAISED
from tidegauge.evaluation.steps import ScoredStep, scored_step

_INSTANTS = {"transactions": "booked_at", "crm-actions": "at"}  # of what may cause a step, by topic


class WatchedTrial:
    """A trial whose alerts are kept: `steps` under the running pack and under the other one."""

    def __init__(self, trial: Trial, conf: StandingConf) -> None:
        self.trial, self.registry, self.zone = trial, conf.registry, conf.zone
        self.steps: tuple[list[ScoredStep], list[ScoredStep]] = ([], [])
        self.branches: dict[str, str] = {}
        self._booked: tuple[list[Block], dict[str, int]] = ([], {})
        trial.watch = (self._taker(0), self._taker(1))

    def _taker(self, side: int) -> Any:
        def take(_topic: str, _key: bytes | None, value: bytes | None) -> None:
            if value is not None:
                alert = decode_one(value, self.registry, name="rm-alerts")
                self.branches[alert["customer_id"]] = alert["branch"]
                self.steps[side].append(scored_step(alert, self._instants(), self.zone))

        return take

    def _instants(self) -> dict[str, int]:
        """When the postings of the blocks that are being worked on were booked; read once, where an alert comes of them."""
        if self._booked[0] is not self.trial.blocks:
            booked: dict[str, int] = {}
            for block in self.trial.blocks:
                for topic, instant in _INSTANTS.items():
                    if block.tp.topic.endswith(topic):
                        booked |= self._of(block, topic, instant)
            self._booked = (self.trial.blocks, booked)
        return self._booked[1]

    def _of(self, block: Block, topic: str, instant: str) -> dict[str, int]:
        found = {}
        for entry in log_entries(block.batches, block.start, block.end):
            try:
                record = decode_one(entry.value or b"", self.registry, name=topic)
            except RecordError:
                continue  # a mark, or what the job puts aside
            found[record["event_id"]] = record[instant]
        return found

    def published(self, first: int) -> dict[str, bool]:
        """By the id of every case that was published as raised from a day on: whether the running packs raise it again."""
        again, found = {step.case_id for step in self.steps[0] if step.step == RAISED}, {}
        for value in self.trial.published:
            try:
                alert = decode_one(value, self.registry, name="rm-alerts")
            except RecordError:
                continue  # none of ours
            if alert["status"] == RAISED and alert["raised_day"] >= first:
                found[alert["alert_id"]] = alert["alert_id"] in again
        return found
