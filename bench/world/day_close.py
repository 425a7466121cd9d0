"""A month close of recovered states in this process, stage by stage: what computes, what encodes, what batches."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from agents.offline.warmup import warm_up
from agents.standing.decide.lifecycle import decider
from agents.standing.model import DayClose
from bench.measure.timers import Stages
from bench.parts.profile import build
from policies.compiled.program import Program


class Split(NamedTuple):
    """CPU seconds of one close of all partitions, one thread."""

    computing: float  # metrics, tiers, months opened, entries folded, breaks, late changes
    encoding: float  # standings, tier changes, queue classes and changed rows as records
    batches: float  # record batches, compressed
    records: int
    tier_changes: int


def close(jobs: list[Any], day: int) -> Split:
    """Closes `day` on every job; the jobs are at that day afterwards."""
    warm_up(jobs[0].conf)
    stages = Stages()
    for job in jobs:
        job.live = True
        for name in ("metrics", "open_day", "fold_day", "breaks", "late", "missing_numbers", "restated"):
            stages.wrap(job.ledger, name, "computing")
        stages.wrap(job.ledger, "touched", "computing")
    stages.wrap(Program, "evaluate", "computing")
    stages.wrap(decider, "close_plain", "computing")
    records = changes = 0
    encoding = 0.0
    for job in jobs:
        began = time.thread_time()
        before = stages.seconds["computing"]
        job.counts.take()
        job._close(DayClose(day, {}, 0))
        outcome = job._outcome(0, False)
        encoding += time.thread_time() - began - (stages.seconds["computing"] - before)
        records += sum(getattr(r, "records", 1) for _, out in outcome.outputs for r in out)
        changes += outcome.counts.get("tier_changes", 0)
        stages.call("batches", build, [r for _, out in outcome.outputs for r in out])
        stages.call("batches", build, list(outcome.rows))
    stages.restore()
    return Split(stages.seconds["computing"], encoding, stages.seconds["batches"], records, changes)
