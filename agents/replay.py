"""Files without a broker: events in booking order through the worker's own job, with a close after each day."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from agents.job import Block
from agents.memory_log import Encode, MemoryLog
from agents.packing import flat
from agents.standing import INPUTS, StandingConf, StandingJob

Output = Callable[[str, bytes | None, bytes | None], None]
VALUED = {"transactions": "value_date", "balances": "business_day", "fx-rates": "rate_date"}


class Arrival(NamedTuple):
    """An event in the order of arrival; record None ends the business day."""

    day: int
    topic: str
    record: dict[str, Any] | None


def replay(
    conf: StandingConf,
    arrivals: Iterable[Arrival],
    encode: Encode,
    as_of: int,
    known_by: int | None = None,
    output: Output | None = None,
) -> StandingJob:
    """The job after every close up to `as_of`, and after the events that came later but are valued up to it.

    `known_by` leaves out what arrived after that day. `output` gets every record the job publishes.
    """
    job, log = StandingJob(conf), MemoryLog(encode)
    job.begin(0, dict.fromkeys(INPUTS, 0))
    for arrival in arrivals:
        if known_by is not None and arrival.day > known_by:
            break
        if arrival.record is None:
            if arrival.day <= as_of:
                log.close(arrival.day)
                work(job, log.blocks(), output)
        elif arrival.day <= as_of or valued(arrival.topic, arrival.record) <= as_of:
            log.record(arrival.topic, arrival.record)
    work(job, log.blocks(), output)
    return job


def valued(topic: str, record: dict[str, Any]) -> int:
    """The day from which an event counts; 0 for what has none."""
    return int(record[VALUED[topic]]) if topic in VALUED else 0


def work(job: StandingJob, blocks: list[Block], output: Output | None) -> None:
    """Feeds blocks and hands on what comes of them."""
    for block in blocks:
        job.feed(block)
    outcome = job.work(live=True)
    if output is not None:
        for topic, pairs in outcome.outputs:
            for key, value in flat(pairs):
                output(topic, key, value)
