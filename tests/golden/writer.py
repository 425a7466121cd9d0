"""The bank lived once, transaction by transaction, as a partition unit would: the recording."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.golden import reversals
from tests.golden.bank import FIRST, SEED, Bank, pack_text
from tests.golden.engine import CLOSES, INPUTS, MARK, MARK_KEY, MARKS, Log, Worker, encode, every_row
from tests.golden.recording import FILE, REVERSALS, Recording, Step
from tests.twins.events import day

# Ids of the contracts of inputs that have a newer version since: the bank goes on writing by these.
OF_THEN: dict[str, str | int] = {CLOSES: 3, "policies": 11}
PARTS = (1, 2, 4)  # rows of a part of a flush
# Recoveries are tried behind the first torn flush after these closes, and at the end. Some changes wait for a source in
# March and May; packs are announced and not yet in force in February, March, May and June.
AHEAD = 3  # transactions behind the last fence
CLOSED = ("2024-01-25", "2024-02-22", "2024-03-02", "2024-04-07", "2024-04-30", "2024-06-12")


class Kind(NamedTuple):
    """A recording that can be made: its bank, and the closes after which recoveries are tried."""

    bank: Callable[[], Bank]
    closed: Sequence[str]


MADE: dict[Path, Kind] = {FILE: Kind(Bank, CLOSED), REVERSALS: Kind(reversals.BankOfReversals, reversals.CLOSED)}


def settings() -> dict[str, Any]:
    """Of the job."""
    packs = {"personal": pack_text("harbour"), "corporate": pack_text("firms"), "layers": pack_text("care")}
    return {
        "base_currency": "CNY",
        "zone": "Asia/Shanghai",
        "reference_key": "a key of the tests",
        "packs": packs,
        "mark": MARKS,
    }


def recorded(file: Path) -> Recording:
    """A whole recording. The same at every call."""
    kind = MADE[file]
    found = Recording(settings(), {topic: [] for topic in INPUTS})
    chance, log = random.Random(SEED + 1), Log(found.inputs)
    worker = Worker.fresh(found.settings, log)
    writer = Writer(found, worker, chance)
    writer.step({})
    for at, events in kind.bank().days():
        for event in events:
            topic = event["topic"]
            value = encode(OF_THEN.get(topic, topic), {name: part for name, part in event.items() if name != "topic"})
            found.inputs[topic].append((str(event.get("customer_id", "")).encode(), value))
            if chance.randrange(7) == 0:
                writer.step(some(found, worker, chance))
        if at % 11 == 0:
            found.inputs["transactions"].append((b"P02", b"\0\0\0\0\x13broken"))
        close(found, at)
        if chance.randrange(3):
            writer.step(some(found, worker, chance))
    writer.step({topic: len(records) for topic, records in found.inputs.items()})
    for cut in cuts(found, kind.closed):
        found.states[cut] = state(found, cut)
    return found


def close(found: Recording, at: int) -> None:
    """Ends a day as the closer does: a mark into every input, then the close with their offsets."""
    mark = encode(MARK, {"business_day": at})
    cut = [
        {"topic": topic, "partition": 0, "offset": len(records)}
        for topic, records in found.inputs.items() if topic != CLOSES
    ]  # fmt: skip
    for topic, records in found.inputs.items():
        if topic != CLOSES:
            records.append((MARK_KEY, mark))
    record = encode(OF_THEN[CLOSES], {"business_day": at, "closed_at": 0, "cut": cut})
    found.inputs[CLOSES].append((b"", record))


def some(found: Recording, worker: Worker, chance: random.Random) -> dict[str, int]:
    """Ends of some of the topics: one may run ahead of another, over a mark too."""
    ends = {}
    for topic, records in found.inputs.items():
        if chance.randrange(3) and len(records) > worker.fed[topic]:
            ends[topic] = chance.randrange(worker.fed[topic], len(records)) + 1
    return ends


class Writer:
    """Transactions as a unit makes them: rows at once, flushes in parts, a fence with the last part."""

    def __init__(self, found: Recording, worker: Worker, chance: random.Random) -> None:
        self.found, self.worker, self.chance = found, worker, chance
        self.fence: bytes | None = None  # of the flush that is going on
        self.begun = False

    def step(self, ends: dict[str, int]) -> None:
        """Feeds, works and writes."""
        worker = self.worker
        worker.feed(ends)
        outputs, rows = worker.work()
        flushed: list[tuple[bytes, bytes | None]] = []
        began = fenced = None
        if self.fence is None and (not self.begun or self.chance.randrange(12) == 0):
            began = self.fence = worker.fence()
        if self.fence is not None:
            part, complete = worker.flush(self.chance.choice(PARTS) if self.begun else None)
            flushed, self.begun = [*part], True
            if complete:
                fenced, self.fence = self.fence, None
        written = bool(outputs or rows or flushed or fenced)
        positions = worker.positions() if written else None
        self.found.steps.append(Step(ends, outputs, rows, flushed, began, fenced, positions))


def cuts(found: Recording, closes: Sequence[str]) -> list[int]:
    """Steps to recover behind: in the middle of flushes, some transactions behind the last fence."""
    closed, fenced, torn, last = FIRST - 1, 0, list[tuple[int, int]](), 0
    for i, step in enumerate(found.steps):
        closed = next((json.loads(value or b"")["closed"] for key, value in step.rows if key == b"p"), closed)
        fenced = i if step.fenced is not None else fenced
        if step.flushed and i - fenced > AHEAD:
            torn.append((closed, i))
        last = i if step.positions is not None else last
    return [*(next(i for on, i in torn if on >= day(text)) for text in closes), last]


def state(found: Recording, cut: int) -> dict[bytes, bytes]:
    """The state of a job that has lived up to a cut, as rows."""
    worker = Worker.fresh(found.settings, Log(found.inputs))
    for step in found.steps[: cut + 1]:
        worker.feed(step.fed)
        worker.work()
    return every_row(worker.job)
