"""Alerts that wait for their channel let others pass: bounded, each case in its order, acknowledged in the log's order."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.notifier.turns import Turns


class Bench:
    """Events whose work waits until it is let go; `begun`, `ended` and `acknowledged` have what happened, in order."""

    def __init__(self, waiting_max: int = 64, ahead_max: int = 10_000) -> None:
        self.failures: list[BaseException] = []
        self.turns = Turns(self.failures.append, waiting_max, ahead_max)
        self.gates: dict[int, asyncio.Event] = defaultdict(asyncio.Event)
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.acknowledged: list[int] = []
        self.broken: set[int] = set()

    async def take(self, number: int, case: str, *, waits: bool, partition: int = 0) -> None:
        """The event of this number."""

        async def work(passes: Callable[[], None]) -> None:
            self.begun.append(number)
            if waits:
                passes()
                await self.gates[number].wait()
            if number in self.broken:
                raise RuntimeError(str(number))
            self.ended.append(number)

        async def acknowledge() -> None:
            self.acknowledged.append(number)

        await self.turns.take(partition, case, work, acknowledge)


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_who_waits_holds_up_nobody_but_its_case() -> None:
    """Others are done at once; the next of the same case comes after it; nothing behind it is acknowledged before it."""
    bench = Bench()
    await bench.take(0, "a", waits=True)
    await bench.take(1, "b", waits=False)
    await bench.take(2, "a", waits=False)
    await bench.take(3, "c", waits=False)
    await bench.take(4, "d", waits=False, partition=1)
    assert bench.ended == [1, 3, 4]
    assert bench.acknowledged == [4]
    bench.gates[0].set()
    await settled()
    assert bench.ended == [1, 3, 4, 0, 2]
    assert bench.acknowledged == [4, 0, 1, 2, 3]


@pytest.mark.parametrize("bound", ["waiting", "ahead"])
async def test_both_bounds_hold(bound: str) -> None:
    """With as many waiting, or as many done ahead, as may be, those behind wait until one is through."""
    bench = Bench(waiting_max=2) if bound == "waiting" else Bench(ahead_max=3)
    await bench.take(0, "a", waits=True)
    if bound == "ahead":
        await bench.take(1, "x", waits=False)
    last = asyncio.create_task(bench.take(2, "b", waits=True))
    await settled()
    assert not last.done()
    bench.gates[0].set()
    await settled()
    assert last.done()
    await bench.turns.shut()


async def test_a_failure_of_one_that_waits_is_told() -> None:
    """It ends the worker; the one before it on its partition stays unacknowledged, and so it does itself."""
    bench = Bench()
    bench.broken = {0, 2}
    await bench.take(0, "a", waits=True)
    await bench.take(1, "b", waits=False)
    with pytest.raises(RuntimeError, match="2"):
        await bench.take(2, "c", waits=False)
    bench.gates[0].set()
    await settled()
    assert [str(problem) for problem in bench.failures] == ["0"]
    assert bench.acknowledged == []


async def test_a_stop_leaves_what_waits_unacknowledged() -> None:
    """It comes again after a restart, and nobody is told of a failure."""
    bench = Bench()
    await bench.take(0, "a", waits=True)
    await bench.take(1, "a", waits=False)
    await bench.turns.shut()
    assert (bench.acknowledged, bench.failures, bench.ended) == ([], [], [])


Event = tuple[str, bool, int]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 1)), max_size=12), st.data())
def test_any_order(events: list[Event], data: st.DataObject) -> None:
    """Whichever waits end first: each case in its order, acknowledgements in the log's, and in the end everything."""
    gates = [number for number, (_, waits, _) in enumerate(events) if waits]
    asyncio.run(lived(events, data.draw(st.permutations(gates))))


async def lived(events: list[Event], opened: list[int]) -> None:
    """Feed the events, and open their gates in an order; look after each."""
    bench = Bench(waiting_max=4)

    async def feed() -> None:
        for number, (case, waits, partition) in enumerate(events):
            await bench.take(number, case, waits=waits, partition=partition)

    feeding = asyncio.create_task(feed())
    for number in opened:
        await settled()
        for partition in (0, 1):
            line = [n for n, event in enumerate(events) if event[2] == partition]
            found = [n for n in bench.acknowledged if n in line]
            assert found == line[: len(found)]
            assert set(found) <= set(bench.ended)
        bench.gates[number].set()
    await asyncio.wait_for(feeding, 5)
    await settled()
    assert sorted(bench.acknowledged) == list(range(len(events)))
    for case in "abc":
        mine = [number for number, event in enumerate(events) if event[0] == case]
        assert [number for number in bench.ended if number in mine] == mine
