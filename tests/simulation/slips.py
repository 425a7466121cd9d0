"""Slips of an operator in a run: closes and marks of sources far ahead, confirmed, taken back or forgotten, among the faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from agents.engine.job import Pair
from schemas.codec.records import encode as avro
from schemas.topics import CLOSES
from streams.accounts.entries import HORIZON_DAYS
from tests.simulation.bank import Bank, Event, Feeder
from tests.simulation.log import encode
from tests.simulation.run import Simulation
from tests.standing.test_lifecycle import fact

LIMIT = 31  # calendar days, as the contract says
SOURCES = ("ebank", "cards")  # no pack waits for them
ORDINARY, FORCED, TAKEN_BACK = 1, 2, -1
FAR = (LIMIT + 1, LIMIT + 2, 60, 400)
DAY_MS = 86_400_000


class SlippingFeeder(Feeder):
    """A closer and sources that measure nothing. `last`, `complete` and `aside` are what the rule makes of it, in plain words."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.last: int | None = None
        self.end = 0  # the bank's last day
        self.complete: dict[str, int] = {}
        self.aside: dict[str, int] = {}
        self.slips: Counter[str] = Counter()

    async def feed(self, bank: Bank, seconds: float) -> None:
        """Ends with a close, whatever was confirmed: what comes behind the last one is not settled."""
        self.end = bank.last
        await super().feed(bank, seconds)

    def _day(self, partition: int, events: list[Event]) -> None:
        """Without what a confirmed run leaves beyond the horizon: there the topics' mutual order may matter."""
        first = -1 if self.last is None else self.last - HORIZON_DAYS
        moments = ((event, event.get("booked_at", event.get("cutoff_at"))) for event in events)
        super()._day(partition, [event for event, at in moments if at is None or at // DAY_MS > first])

    async def _close(self, day: int, pause: float) -> None:
        if self.last is not None and day > self.last and self.random.random() < 0.5:
            await self._slip(pause)
        for _ in range(self.random.choice((0, 1, 3))):
            self._mark(day)
        if self.last is None or day > self.last:
            await self._run(day, [day], pause)
        elif day == self.end:
            await self._run(self.last + 1, [self.last + 1], pause)

    async def _slip(self, pause: float) -> None:
        assert self.last is not None
        asked = self.last + self.random.choice(FAR)
        days = [self.last + 1, asked - 1, asked][-self.random.randint(1, 3) :]
        await self._run(asked, days, pause)
        self.slips["run aside"] += 1
        what = self.random.choice(("forgotten", "run taken back", "run confirmed"))
        if what == "run taken back":
            self._record(self.last, asked, [], "a slip", retracts=asked)
        elif what == "run confirmed" and asked <= self.last + LIMIT + 2 and not self.slips[what]:
            await self._run(asked, days, pause, "it was meant")
        else:
            return
        self.slips[what] += 1

    async def _run(self, asked: int, days: list[int], pause: float, reason: str | None = None) -> None:
        before = self.last
        cuts, cut = await self._marks(asked, pause)
        for day in days:
            self._record(day, asked, cut, reason)
        if reason is not None or before is None or asked - before <= LIMIT:
            self.last = asked
            for p in range(self.partitions):
                self.told.cuts[p] += [(day, cuts[p]) for day in days]

    def _record(self, day: int, asked: int, cut: list[Any], reason: str | None, retracts: int | None = None) -> None:
        record = {
            "business_day": day, "closed_at": 0, "cut": cut, "asked": None if retracts else asked,
            "last_closed": self.last, "force_reason": reason, "retracts": retracts,
        }  # fmt: skip
        self._everywhere(CLOSES, [(str(retracts or day).encode(), avro(CLOSES, record))])

    def _mark(self, day: int) -> None:
        source, kind = self.random.choice(SOURCES), self.random.choice((ORDINARY, ORDINARY, FORCED, TAKEN_BACK))
        since = day if self.last is None else self.last
        on = since + self.random.choice((0, 1, LIMIT, *FAR))
        if kind == TAKEN_BACK:
            on = self.aside.get(source, on)
            if self.aside.get(source) == on:
                del self.aside[source]
                self.slips["mark taken back"] += 1
        elif kind == ORDINARY and self.last is not None and on - self.last > LIMIT:
            self.aside[source] = on
            self.slips["mark aside"] += 1
        elif on > self.complete.get(source, 0):
            self.complete[source] = on
            if self.aside.get(source, on + 1) <= on:
                del self.aside[source]
                self.slips["mark confirmed"] += 1
        event = fact("@source", 1, kind, on, name="source_complete") | {"source": source}
        value = avro("facts", {name: value for name, value in event.items() if name != "topic"})
        self._everywhere("facts", [(b"@source", value)])

    def _everywhere(self, topic: str, pairs: Iterable[Pair]) -> None:
        for partition in self.random.sample(range(self.partitions), self.partitions):
            self.cluster.append(self._tp(topic, partition), encode(list(pairs)))


class Slips(Simulation):
    """A run over 1, 4 or 16 partitions, by its seed."""

    make_feeder = SlippingFeeder
    feeder: SlippingFeeder

    def __init__(self, seed: int, faults: bool = True) -> None:
        super().__init__(seed, faults, (1, 4, 1, 4, 16)[seed % 5])

    async def main(self) -> None:
        """Besides, every partition holds the marks that the rule lets count, and those that it sets aside."""
        await super().main()
        wanted = self.feeder.complete, self.feeder.aside
        for partition, job in enumerate(self.restored):
            marks = job.decider.facts.marks
            if (marks.complete, marks.aside) != wanted:
                self.fail(f"partition {partition}: marks {marks.complete}, {marks.aside} instead of {wanted}")
        for what, times in self.feeder.slips.items():
            self.network.counts[f"slip: {what}"] = times
