"""Packs that take effect live: everybody is decided anew at one close. CPU of computing, stage by stage, and through a worker.

Four packs take effect on four days in turn, first on recovered states in this process, then in a real worker from the
same beginning. They move some, everybody by the bulk paths, everybody by criteria of several metrics, and everybody who
has no card.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from agents.offline.warmup import warm_up
from agents.standing.decide.lifecycle.changeover import Changeover
from agents.standing.model import DayClose
from bench.measure.arena import Arena
from bench.measure.report import Report, Table, warn
from bench.measure.timers import Stages
from bench.parts.profile import build
from bench.world.bank import Bank, customers_of
from bench.world.data import CLOSED, World
from bench.world.sizes import Sizes
from bench.world.sums import standings_by_numpy
from connectors.loading import packs
from policies import load_pack, parse_pack
from policies.lifecycle.state import day_number
from schemas.codec.records import encode
from streams.calendar import date_of

STAGES = {
    "metrics": "metrics of everybody",
    "decide": "tiers decided, the old pack's left",
    "changes": "tier changes with their evidence, encoded",
    "queue": "queue classes, computed and encoded",
    "standings": "standings, encoded",
    "outlooks": "outlooks, computed and encoded",
    "rows": "changelog rows",
    "rest": "the pack itself, the day, and what lies between",
}
REEVALUATION = ("metrics", "decide", "queue", "rest")
EVERYBODY = 1  # of the switches: the one whose tiers are compared with plain sums


class Switch(NamedTuple):
    """A pack and the day from which it is in force."""

    name: str
    day: int  # whose close it takes effect with
    text: str

    @property
    def record(self) -> dict[str, Any]:
        """Of the topic of packs."""
        pack = parse_pack(self.text)
        return {
            "pack_id": pack.id, "version": pack.version, "effective_from": day_number(pack.effective_from),
            "body": self.text, "customer_class": next(iter(pack.classes)),
        }  # fmt: skip


@dataclass(slots=True)
class Took:
    """One switch: CPU seconds by stage over all partitions, one thread; and seconds from the close to its commit."""

    name: str
    stages: dict[str, float] = field(default_factory=dict)
    batches: float = 0.0
    tier_changes: int = 0
    queue_classes: int = 0
    worker_s: float = 0.0
    work_s: float = 0.0

    @property
    def reevaluation(self) -> float:
        """Everybody under the new pack, without the records that tell of it."""
        return sum(self.stages[name] for name in REEVALUATION)


def switches() -> Iterator[Switch]:
    """In the order in which they take effect."""
    for k, (name, pack, version, changes) in enumerate(
        (
            ("a version with half the amounts", "rolling-quarter-aum", 2, {"100000": "50000", "500000": "250000"}),
            ("another pack, everybody moves", "abcd-layers", 1, {"10000": "0.01"}),
            ("several metrics, everybody moves", "deposit-or-loan", 1, {"5000000": "0.01"}),
            ("by cards, nobody has one", "prior-month-aum", 1, {}),
        )
    ):
        day, text = CLOSED + 1 + k, load_pack(pack).body
        for old, new in changes.items():
            text = re.sub(rf'"{old}(\.00)?"', f'"{new}"', text, count=1)
        for key, value in (("version", version), ("effective_from", date_of(day + 1))):
            text = re.sub(rf"^{key}: .*$", f"{key}: {value}", text, count=1, flags=re.MULTILINE)
        yield Switch(name, day, text)


def part(arena: Arena, sizes: Sizes, report: Report) -> None:
    """Of `python -m bench`."""
    customers = sizes.lives[-1]
    found = run(arena, customers)
    title = f"{customers:,} customers with two accounts each; CPU seconds of one thread where nothing else is said:"
    table = Table(title, ("", *(took.name for took in found)))
    table.rows += [(text, *(f"{took.stages[name]:.2f}" for took in found)) for name, text in STAGES.items()]
    table.rows += [
        ("**everybody decided anew**, without the records of it", *(f"**{t.reevaluation:.2f}**" for t in found)),
        ("… with everything that is published and kept", *(f"{sum(t.stages.values()):.2f}" for t in found)),
        ("batching and compressing", *(f"{took.batches:.2f}" for took in found)),
        ("tier changes", *(f"{took.tier_changes:,}" for took in found)),
        ("queue classes that are other ones", *(f"{took.queue_classes:,}" for took in found)),
        ("in a worker: from the close to its commit, seconds", *(f"{took.worker_s:.1f}" for took in found)),
        ("… of them in the job", *(f"{took.work_s:.1f}" for took in found)),
    ]
    report.tables.append(table)


def run(arena: Arena, customers: int) -> list[Took]:
    """All switches, both ways; AssertionError where a tier differs from plain sums."""
    world = World(customers, customers)
    with Bank(arena, world, "switch") as bank:
        bank.load(world.prelude(), ready=bank.start)
        bank.close(CLOSED)
        bank.stop()
        jobs = bank.states()
        warm_up(jobs[0].conf)
        found = []
        for k, switch in enumerate(switches()):
            found.append(computed(jobs, switch))
            warn(f"  {found[-1]}")
            if k == EVERYBODY:
                warn(f"  {check(bank, jobs, switch):,} tiers compared with plain sums")
        del jobs
        bank.start()
        for switch, took in zip(switches(), found, strict=True):
            packs.send(bank.settings, encode, switch.record)
            seconds = bank.close(switch.day)
            took.worker_s, took.work_s = seconds["all"], seconds["work"]
            warn(f"  {took.name}: {took.worker_s:.1f} s from the close to its commit")
    return found


def computed(jobs: list[Any], switch: Switch) -> Took:
    """A switch on every job, stage by stage; the jobs are under the new pack afterwards."""
    took, stages = Took(switch.name), Stages()
    stages.wrap(Changeover, "close", "decide")
    for job in jobs:
        job.live = True
        wraps = (
            (job.ledger, "metrics", "metrics"), (job.publisher, "tier_changes", "changes"),
            (job.publisher, "standings", "standings"), (job.publisher, "queue_changes", "queue"),
            (job.profiles, "requeue_all", "queue"), (job.decider, "_foresee", "outlooks"),
            (job.decider, "take_rows", "rows"),
        )  # fmt: skip
        for owner, name, stage in wraps:
            stages.wrap(owner, name, stage)
    for job in jobs:
        job.counts.take()
        stages.call("rest", _switch, job, switch)
        outcome = stages.call("rest", job._outcome, 0, False)
        took.tier_changes += outcome.counts["tier_changes"]
        took.queue_classes += sum(
            getattr(r, "records", 1) for topic, out in outcome.outputs if topic == "queue-priority" for r in out
        )
        began = time.thread_time()
        build([r for _, out in outcome.outputs for r in out])
        build(list(outcome.rows))
        took.batches += time.thread_time() - began
    stages.restore()
    took.stages = {name: stages.seconds[name] for name in STAGES}
    return took


def _switch(job: Any, switch: Switch) -> None:
    taken = job.decider.packs.take(switch.record, job.ledger.closed)
    assert not isinstance(taken, list), taken
    job.decider.know(taken)
    job._close(DayClose(switch.day, {}, 0))


def check(bank: Bank, jobs: list[Any], switch: Switch) -> int:
    """Compares everybody's tier under a pack of minimums of the assets with plain sums; how many."""
    aum = standings_by_numpy(bank.world, bank.moves, switch.day)["aum"]
    tiers = parse_pack(switch.text).classes["personal"].tiers
    minimums = np.array([int(tier.when.value * 100) for tier in tiers[1:]])
    for job in jobs:
        numbers = customers_of(job)
        mine = job.ledger.store.customers["tier"][: len(numbers), 0]
        different = np.flatnonzero(mine != np.searchsorted(minimums, aum[numbers], "right"))
        assert not len(different), f"{len(different)} tiers differ"
    return bank.world.customers
