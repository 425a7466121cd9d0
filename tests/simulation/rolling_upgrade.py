"""A rolling upgrade of the state's format: older workers, then older and newer ones in one group, then newer ones alone."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from agents.engine.job import RecoveryError
from agents.standing.model import StandingConf
from agents.standing.publish.claims import Claims
from schemas.registry import file_registry
from tests.simulation.loop import PROCESS
from tests.simulation.run import Recorded, Simulation
from tests.simulation.worker import Worker
from tests.standing.older import Older

ALONE = 0.3  # of the feed, before the first newer worker
OLDER_LATE = 0.2  # of the workers that start while both versions are in the group


class OlderJob(Older, Recorded):
    """The job of format 2, which knew of no claims."""

    def __init__(self, number: int, conf: StandingConf) -> None:
        super().__init__(number, conf)
        self.claims = Claims(file_registry(), self.ledger, conf.partitions, kept=False)


class Rolling(Simulation):
    """See the module. `refusals`: what older workers said when they gave up, by partition."""

    claims_once = (
        False  # where a worker is killed on the way through those that older ones did not make, they come again
    )

    def __init__(self, seed: int, faults: bool = True) -> None:
        super().__init__(seed, faults)
        self.older: set[str] = set()
        self.phase = 0  # older ones alone, both, newer ones alone
        self.refusals: list[str] = []

    def make_job(self) -> Recorded:
        """Of the version of the worker that asks."""
        process = PROCESS.get()
        if process is None or process.name not in self.older:
            return super().make_job()
        self.jobs += 1
        return OlderJob(self.jobs, self.standing)

    def start_worker(self) -> None:
        """A new process, of either version."""
        if self.phase == 0 or (self.phase == 1 and self.random.random() < OLDER_LATE):
            self.older.add(f"w{len(self.workers)}")
        super().start_worker()

    def gave_up(self, worker: Worker, problem: Exception) -> None:
        """An older one may, where a newer one has written; its process is gone then."""
        if (
            worker.name not in self.older
            or not isinstance(problem, RecoveryError)
            or "newer version" not in str(problem)
        ):
            super().gave_up(worker, problem)
        self.refusals.append(str(problem))
        self.group.leave(worker.name)
        worker.process.kill()

    async def supervise(self) -> None:
        """The upgrade, beside what else may go wrong."""
        upgrade = self.loop.create_task(self.upgrade())
        try:
            await super().supervise()
        finally:
            upgrade.cancel()

    async def upgrade(self) -> None:
        """One worker after the other."""
        await asyncio.sleep(self.feed_s * ALONE)
        self.phase = 1
        self.start_worker()
        while worker := next((one for one in self.alive() if one.name in self.older), None):
            await asyncio.sleep(self.random.uniform(0.5, self.feed_s / 6))
            if worker.process.alive:
                await self.stopped(worker)
                worker.process.kill()
            self.start_worker()
        self.phase = 2

    def fences(self) -> list[list[dict[str, Any]]]:
        """The heads of all fences that were written, by partition, in their order."""
        logs = [self.cluster.logs[tp] for tp in self.cluster.logs if tp.topic == self.conf.changelog]
        return [
            [json.loads((r.value or b"").split(b"\n")[0]) for r in log.records() if r.key == b"@fence"] for log in logs
        ]
