"""All that the golden tests need of the program's inside: a job from settings, blocks, rows, the engine's recovery.

Whoever moves or renames these parts of the engine follows here; the recording and the tests stay as they are.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.engine import recovery
from agents.engine.changelog import Fence, format_mark, rewriting
from agents.engine.job import TP, Block
from agents.engine.record_batches import flat
from agents.engine.recovery import Restored
from agents.offline.memory_log import batch
from agents.standing.intake.facts import BANK_OPEN, NO_DATE
from agents.standing.intake.marks import COMPLETE
from agents.standing.job import StandingJob
from agents.standing.model import StandingConf
from policies import parse_pack
from schemas.codec.records import decode_one, encode
from schemas.registry import CONTRACTS, file_registry
from schemas.topics import CLOSES, INPUTS, MARK, MARK_KEY
from streams.calendar import NO_DAY

__all__ = ["CLOSES", "INPUTS", "MARK", "MARKS", "MARK_KEY", "Log", "Worker", "decode_one", "encode", "every_row"]

MARKS = [[part.decode() for part in format_mark(StandingJob.state_format)]]  # rows ahead of all others
PARTITION = 0
CHANGELOG = "golden-standing-changelog"
Pairs = list[tuple[bytes, bytes]]


def new_job(settings: dict[str, Any], contracts: int = CONTRACTS[0]) -> StandingJob:
    """A job of the recording's settings that writes these versions of the contracts."""
    packs = {name: parse_pack(text, f"{name}.yaml") for name, text in settings["packs"].items()}
    return StandingJob(
        StandingConf(
            settings["base_currency"], settings["zone"], packs["personal"], settings["reference_key"].encode(),
            layers=packs["layers"], others=(packs["corporate"],), registry=file_registry(contracts),
        )
    )  # fmt: skip


@dataclass
class Log:
    """Topics as lists of (key, value) from offset 0 on."""

    topics: dict[str, Pairs]

    def block(self, topic: str, start: int, end: int) -> Block:
        """Offsets [start, end) as the engine gets them."""
        records = [(start + i, *pair) for i, pair in enumerate(self.topics[topic][start:end])]
        size = sum(len(value or b"") for *_, value in records)
        return Block(TP(topic, PARTITION), start, end, [batch(records)] if records else [], size)


class Worker:
    """A job and its flushes, as a partition unit drives them."""

    def __init__(self, log: Log, job: StandingJob) -> None:
        self.log, self.job = log, job
        self.fed = dict(job.positions())

    @classmethod
    def fresh(cls, settings: dict[str, Any], log: Log, contracts: int = CONTRACTS[0]) -> Worker:
        """At the very beginning."""
        job = new_job(settings, contracts)
        job.begin(PARTITION, dict.fromkeys(INPUTS, 0))
        return cls(log, job)

    @classmethod
    def recovered(
        cls, settings: dict[str, Any], log: Log, changelog: list[Pairs], contracts: int = CONTRACTS[0]
    ) -> Worker:
        """From the rows of some transactions, by the engine's own recovery."""
        return cls(log, restored(settings, log, changelog, contracts)[0])

    def feed(self, ends: dict[str, int]) -> None:
        """Topics up to these offsets."""
        for topic, end in ends.items():
            if end > self.fed[topic]:
                self.job.feed(self.log.block(topic, self.fed[topic], end))
                self.fed[topic] = end

    def work(self) -> tuple[list[tuple[str, bytes, bytes | None]], Pairs]:
        """(what is published, changelog rows of the events)."""
        outcome = self.job.work(live=True)
        assert not outcome.more
        outputs = [(topic, key or b"", value) for topic, pairs in outcome.outputs for key, value in flat(pairs)]
        return outputs, [(key or b"", value) for key, value in flat(outcome.rows)]  # type: ignore[misc]

    def positions(self) -> bytes:
        """What a transaction writes as its positions."""
        return json.dumps(self.job.positions()).encode()

    def fence(self) -> bytes:
        """What a flush that begins now writes in the end."""
        return Fence(self.job.state_format, self.job.positions(), self.job.fence()).encode()

    def flush(self, rows_max: int | None) -> tuple[Pairs, bool]:
        """Changed account rows behind names that are new, and whether the flush is complete."""
        rows, complete = self.job.take_dirty(rows_max)
        return [(key or b"", value or b"") for key, value in flat(rows)], complete

    def dirty(self) -> int:
        """Account rows that wait."""
        return self.job.dirty_count()


def restored(
    settings: dict[str, Any], log: Log, changelog: list[Pairs], contracts: int = CONTRACTS[0]
) -> tuple[StandingJob, Restored]:
    """A job, and what its recovery from the rows of some transactions has found."""
    rows = [pair for transaction in changelog for pair in transaction]
    job, consumer = new_job(settings, contracts), Consumer(Log({**log.topics, CHANGELOG: rows}))
    place = TP(CHANGELOG, PARTITION)
    restoring = recovery.restore_to(Names(), job, PARTITION, consumer, place, len(rows))  # type: ignore[arg-type]
    return job, asyncio.run(restoring)


def upgraded(settings: dict[str, Any], log: Log, changelog: list[Pairs], bytes_max: int) -> list[Pairs]:
    """The transactions that an upgrade of a changelog writes."""
    job, found = restored(settings, log, changelog)
    assert found.fence is not None
    return [[*rows] for rows in rewriting(found.changelog, found.fence, job.positions(), bytes_max)]  # type: ignore[misc]


class Names:
    """What recovery asks of the settings."""

    def topic(self, name: str) -> str:
        """Topics are called as in the catalogue."""
        return name


@dataclass
class Consumer:
    """What recovery asks of its consumer, answered from a log; several blocks, so that later rows meet earlier ones."""

    log: Log
    place: int = 0

    async def beginning_offsets(self, tps: Sequence[TP]) -> dict[TP, int]:
        """Nothing has been cut."""
        return dict.fromkeys(tps, 0)

    async def end_offsets(self, tps: Sequence[TP]) -> dict[Any, int]:
        """Everything is there."""
        return {tp: len(self.log.topics.get(tp.topic, [])) for tp in tps}

    def assign(self, _tps: Sequence[TP]) -> None:
        """By hand."""

    def seek(self, _tp: TP, offset: int) -> None:
        """Where the next block begins."""
        self.place = offset

    async def getmany(self, tp: TP, timeout_ms: int) -> dict[TP, list[Block]]:
        """A third of the topic, or what is left."""
        end = min(self.place + len(self.log.topics[tp.topic]) // 3 + 1, len(self.log.topics[tp.topic]))
        block, self.place = self.log.block(tp.topic, self.place, end), end
        return {tp: [block]}


# -- a state as rows


def account_rows(job: StandingJob, keys: Collection[bytes] | None = None) -> dict[bytes, bytes]:
    """Account rows and names as a flush would write them: all, or those of some keys. The dirty marks stay."""
    ledger = job.ledger
    slots = np.arange(ledger.columns.account_count)
    key_of = {slot: b"a" + ledger.account_id(slot).encode() for slot in slots.tolist()}
    if keys is not None:
        slots = np.array([slot for slot, key in key_of.items() if key in keys], np.int64)
    buffer, ends = ledger.encode(slots)
    starts = [0, *ends.tolist()]
    rows = {
        key_of[slot]: buffer[a:b].tobytes() for slot, a, b in zip(slots.tolist(), starts, ends.tolist(), strict=False)
    }
    names = {b"n": json.dumps(ledger.dictionaries()).encode()}
    return rows | (names if keys is None or b"n" in keys else {})


def every_row(job: StandingJob) -> dict[bytes, bytes]:
    """The whole state as the rows that would be written if everything had just changed. The job is used up by it."""
    ledger, decider = job.ledger, job.decider
    everyone = range(ledger.columns.customer_count)
    decider.take_rows()
    decider.profiles._changed.update(everyone)
    for lifecycle in (decider.lifecycle, decider.layers.lifecycle):
        if lifecycle is not None:
            lifecycle.columns.mark_changed(everyone)
    decider.outlook_alerts._changed.update(everyone)
    counts = decider.transaction_counts
    counts._changed.update(counts.held)
    rows = dict(flat(decider.take_rows())) | account_rows(job) | facts(job)
    decider.outlooks._reserve(len(everyone))
    told = decider.outlooks._published
    rows |= {b"o" + ledger.customer_id(slot).encode(): told[slot].tobytes() for slot in everyone}
    added = decider.packs.book.packs[len(job.conf.packs()) :]
    rows |= {f"k{number:06}".encode(): pack.body.encode() for number, pack in enumerate(added, len(job.conf.packs()))}
    rows[b"p"] = json.dumps({"closed": ledger.closed, "first_month": decider.first_months}).encode()
    return {key or b"": value or b"" for key, value in rows.items()} | {b"@fence": job.fence()}


def facts(job: StandingJob) -> dict[bytes, bytes]:
    """Facts, dates, marks of sources and the calendar, which are written only when they come."""
    known, name_of = job.decider.facts, job.ledger.customer_id
    rows = {
        f"f{name}/{name_of(slot)}": f"{known.values[name][slot]} {known.days[name][slot]} {event_id}"
        for name, ids in known.event_ids.items() for slot, event_id in ids.items() if known.days[name][slot] != NO_DAY
    }  # fmt: skip
    rows |= {f"f{COMPLETE}/{source}": str(on) for source, on in known.marks.complete.items()}
    rows |= {f"f{BANK_OPEN}/{on}": str(int(opened)) for on, opened in known.calendar.items()}
    dates = {
        slot: known.dates[slot].tolist() for slot in range(min(len(known.dates), job.ledger.columns.customer_count))
    }
    rows |= {f"d{name_of(slot)}": f"{a} {b}" for slot, (a, b) in dates.items() if (a, b) != (NO_DATE, NO_DATE)}
    return {key.encode(): value.encode() for key, value in rows.items()}
