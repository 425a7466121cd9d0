"""Some thirty seeds of the simulated engine; more by `make simulate SEEDS=2000`, one with its story by `SEED=123`."""

import asyncio
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced

from agents.engine import recovery, unit
from agents.engine.job import RecoveryError, Rejoin
from agents.engine.recovery import restore
from agents.engine.unit import PartitionUnit
from agents.standing import job
from agents.standing.intake import marks
from tests.simulation.clients import fetch
from tests.simulation.mutants import MUTANTS
from tests.simulation.pool import hunted, lean, slipped
from tests.simulation.rolling_upgrade import Rolling
from tests.simulation.run import Recorded, Simulation, engine_in, simulate
from tests.simulation.slips import Slips

SEEDS, CHUNK, WAIT_S = 28, 4, 280
SLIPPING = 10  # two of them over 16 partitions
UPGRADES = (0, 1, 2, 3, 4, 5, 6, 10)  # in 1 and 6 an older worker meets what a newer one wrote


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[int | str, Any]]:
    """What is to come of each seed and each mutant, worked out on all cores."""
    with multiprocessing.get_context("spawn").Pool(os.cpu_count() or 1) as pool:
        seeds: dict[int | str, Any] = {seed: pool.apply_async(lean, (seed,)) for seed in range(SEEDS)}
        slips: dict[int | str, Any] = {f"slips {seed}": pool.apply_async(slipped, (seed,)) for seed in range(SLIPPING)}
        yield seeds | slips | {name: pool.apply_async(hunted, (name,)) for name in MUTANTS}


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_seeds(runs: dict[int | str, Any], first: int) -> None:
    """Whatever goes wrong: nothing lost, nothing doubled, everything to the fen, and it ends."""
    for seed in range(first, first + CHUNK):
        result = runs[seed].get(WAIT_S)
        assert not result.failures, f"make simulate SEED={seed}\n" + "\n".join(result.failures)
        assert result.checks > 50


CARRIED = (
    "facts kept",
    "later pack decides",
    "tiers moved between closes",
    "products told of",
    "open cases of the twin",
)


@pytest.mark.slow
def test_seeds_carry_facts_packs_and_cases(runs: dict[int | str, Any]) -> None:
    """Facts, a pack that is activated, tiers between closes, alerts out of facts, and cases that the slow twin leaves open."""
    met = Counter[str]()
    for seed in range(SEEDS):
        met.update(runs[seed].get(WAIT_S).faults)
    assert [what for what in CARRIED if met[what] < SEEDS // 6] == []


@pytest.mark.slow
def test_a_seed_replays() -> None:
    """The same seed gives the same run, step for step."""
    one, other = simulate(7), simulate(7)
    assert one.trace == other.trace
    assert (one.fingerprint, one.steps, one.seconds) == (other.fingerprint, other.steps, other.seconds)
    assert simulate(8).fingerprint != one.fingerprint


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_engine_is_noticed(runs: dict[int | str, Any], name: str) -> None:
    """With one guarantee taken away the seeds fail; `python -m tests.simulation --mutants` says by which."""
    found, seed, said = runs[name].get(WAIT_S)
    assert (found, seed is not None) == (name, True), said


@pytest.mark.slow
def test_a_rolling_upgrade() -> None:
    """Both versions in the group, and faults: nothing is lost or doubled, no partition goes back, the older ones say why."""
    refusals: list[str] = []
    for seed in UPGRADES:
        rolling: list[Rolling] = []

        def kind(number: int, faults: bool, made: list[Rolling] = rolling) -> Rolling:
            made.append(Rolling(number, faults))
            return made[0]

        result = simulate(seed, kind=kind)
        assert not result.failures, f"seed {seed}\n" + "\n".join(result.failures)
        assert result.checks > 50
        for heads in rolling[0].fences():
            formats = [head["format"] for head in heads]
            assert formats == sorted(formats)
            assert heads[-1]["format"] == 3
            assert "oldest" not in heads[-1]
        refusals += rolling[0].refusals
    assert refusals
    assert {"written by a newer version (state format 3, this one reads 2): run the newer version"} == {
        text.partition(" was ")[2] for text in refusals
    }


SLIPS = ("run aside", "run taken back", "run confirmed", "mark aside", "mark taken back", "mark confirmed")


@pytest.mark.slow
def test_slips_of_an_operator(runs: dict[int | str, Any]) -> None:
    """Closes and marks far ahead, among the faults, over 1, 4 and 16 partitions: the rule in plain words gives the same."""
    met = Counter[str]()
    for seed in range(SLIPPING):
        result = runs[f"slips {seed}"].get(WAIT_S)
        assert not result.failures, f"seed {seed} of Slips\n" + "\n".join(result.failures)
        assert result.checks > 25
        met.update(result.faults)
    assert [what for what in SLIPS if not met[f"slip: {what}"]] == []


@pytest.mark.slow
@pytest.mark.parametrize("where", [job, marks])
def test_a_worker_without_the_second_lock_is_noticed(where: Any) -> None:
    """Neither closes nor marks may count however far ahead they are."""
    with mock.patch.object(where, "is_set_aside", return_value=False):
        assert any(simulate(seed, kind=Slips).failures for seed in (0, 2, 5))


class Peaceful(Simulation):
    """A run without faults, and then a scene of its own."""

    def __init__(self, seed: int = 3) -> None:
        super().__init__(seed, faults=False)

    def unit(self, partition: int) -> PartitionUnit:
        """A unit that belongs to no worker."""
        return PartitionUnit(self.conf, partition, self.make_job(), lambda tp, offset: None)

    def play(self) -> None:
        """The scene; what it raises is the test's."""
        with engine_in(self):
            self.loop.drive(self.main())


class SourceGone(Peaceful):
    """The source is cut behind what the state needs."""

    async def main(self) -> None:
        """The beginning of a topic moves on behind the committed offset."""
        await super().main()
        tp = TopicPartition("transactions", 1)
        self.feeder._write(1, "transactions", list(self.feeder.told.events[tp].values())[:2], in_transaction=False)
        self.cluster.logs[tp].start = self.cluster.logs[tp].end
        with pytest.raises(RecoveryError, match=r"partition 1: topic transactions holds offsets .* no longer has them"):
            await self.restore(1)


def test_a_source_that_was_cut_is_refused() -> None:
    """Retention beyond the fence: the unit refuses to start and names the partition; the others do start."""
    SourceGone().play()


class Overtaken(Peaceful):
    """While a unit recovers, a successor takes over, works and commits."""

    async def main(self) -> None:
        """The successor commits when the first has read the empty changelog."""
        await self.feeder.feed(self.bank, 1.0)
        await asyncio.sleep(5)
        first, second = self.unit(0), self.unit(0)

        async def interrupted(*args):  # type: ignore[no-untyped-def]
            found = await restore(*args)
            if args[1] is first.job:
                running = self.loop.create_task(second.run())
                await asyncio.sleep(2)
                assert second.live
                for topic in second.topics:
                    await self.hand_over(second, topic)
                await asyncio.sleep(2)
                assert second.fenced is not None
                running.cancel()
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(unit, "restore", interrupted)
            await first.recover()  # a changelog that looks lost would be a RecoveryError, and the end of the worker
        first.live = True
        await self.hand_over(first, "transactions")
        with pytest.raises(ProducerFenced):
            await first.step()

    async def hand_over(self, to: PartitionUnit, topic: str) -> None:
        """What is there."""
        block = await fetch(self.world, to.topics[topic], 0, 1 << 20, True)
        assert block is not None
        to.put(block)


def test_a_zombie_that_is_overtaken_in_its_recovery_is_no_lost_changelog() -> None:
    """It must be fenced with its first transaction, not end its worker with `the state is lost`."""
    Overtaken().play()


class CompactedUnderneath(Overtaken):
    """While a unit reads the changelog, a successor takes over and commits, and compaction takes the older rows."""

    async def main(self) -> None:
        """The fence below the end that was asked for is gone."""
        await self.feeder.feed(self.bank, 1.0)
        await asyncio.sleep(5)
        await self.lead(self.unit(0))
        first, read = self.unit(0), recovery.load_changelog
        assert self.cluster.logs[self.changelog].stable

        async def interrupted(*args):  # type: ignore[no-untyped-def]
            if args[1] is first.job:
                await self.lead(self.unit(0))
                log = self.cluster.logs[self.changelog]
                assert log.stable > args[3]
                log.compact(log.end)
            return await read(*args)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(recovery, "load_changelog", interrupted)
            with pytest.raises(Rejoin, match=r"written while it was read: .* no fence"):
                await first.recover()

    @property
    def changelog(self) -> TopicPartition:
        """Of partition 0."""
        return TopicPartition(self.conf.changelog, 0)

    async def lead(self, unit: PartitionUnit) -> None:
        """A unit recovers, takes what there is next, writes a fence, and is seen no more."""
        running = self.loop.create_task(unit.run())
        await asyncio.sleep(2)
        for topic in ("transactions", "fx-rates"):
            block = await fetch(self.world, unit.topics[topic], unit.expected[topic], 1, True)
            assert block is not None
            unit.put(block)
        await asyncio.sleep(2)
        running.cancel()


def test_a_changelog_that_is_compacted_while_it_is_read_is_not_cut() -> None:
    """It is read again after a rebalance; with `was it cut?` the worker would end."""
    CompactedUnderneath().play()


class DiesInItsStop(Peaceful):
    """A worker is killed while it stops."""

    async def main(self) -> None:
        """Whoever waits for its end goes on."""
        self.start_worker()
        await self.feeder.feed(self.bank, 1.0)
        worker = self.workers[0]
        while True:
            await asyncio.sleep(0.01)
            if any(unit.unwritten() for unit, _ in worker.table.units.values()):
                break
        worker.process.dies_at = worker.process.steps + 3
        await self.stopped(worker)
        assert not worker.process.alive
        assert worker.table.units


def test_a_worker_that_is_killed_in_its_clean_stop_is_not_waited_for() -> None:
    """No callback of it runs any more, so its stop is never done."""
    DiesInItsStop().play()


class Calmed(Peaceful):
    """Everything that strikes later is armed."""

    async def main(self) -> None:
        """And then disarmed."""
        self.start_worker()
        await asyncio.sleep(0.01)
        for fault in ("kill at any step", "kill at a request", "give up", "hand over", "freeze"):
            self.faults.kinds()[fault]()
        process = self.workers[0].process
        assert process.frozen
        assert process.dies_at > 0
        self.faults.calm()
        assert not (self.network.kills or self.network.failures or self.faults.odd)
        assert (process.dies_at, process.frozen) == (-1, False)


def test_calm_leaves_nothing_armed() -> None:
    """A kill drawn for a later step must not strike when everything has become quiet."""
    Calmed().play()


def test_the_job_that_is_checked_against_is_the_real_one() -> None:
    """The recording job changes nothing but its notes."""
    assert set(vars(Recorded)) - {"__module__", "__doc__", "__init__"} == {"feed", "work"}
