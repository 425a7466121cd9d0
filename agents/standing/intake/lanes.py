"""Inputs of a partition as lanes, and the barrier that day closes put across them (docs/architecture.md#day-close).

The closer writes a mark into every input and close(D) with the marks' offsets into business-days. A lane stops at the
mark; when close(D) has been read and every lane of its cut has reached it, D is closed and all go on. So what a close
sees depends on the log alone (Chandy and Lamport, 1985). Where compaction has removed a mark, the offset stands for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from agents.engine.job import Block, Rejoin
from agents.standing.intake.placement import Placement
from schemas.codec.blocks import Columns, Reader, decode
from schemas.codec.records import RecordError
from schemas.codec.status import Status
from schemas.topics import CLOSES
from schemas.validation.columns import InputCheck
from streams.calendar import day_taken
from streams.fields import BAD_DATE, DELETION

# What was booked stays booked: a deletion of it is a dead letter that says what to do instead.
# So is what the closer and the activation have said: the log alone is what a state is built anew from.
KEPT: Final = {
    "transactions": "postings are not deleted: send one that reverses it, with `reverses`",
    "balances": "balances are not deleted: send it anew with a higher version, and reverse postings",
    "facts": "facts are not deleted: send what holds now, with a later `as_of`",
    "crm-actions": "acts are not deleted: send the one that takes it back",
    "policies": "a pack is not deleted: write its record again; `tidegauge policy retract` takes a pack back",
    CLOSES: "a close is not deleted: write its record again, or no state can be built anew",
}
NO_RATE_KEY: Final = "the key names no rate: it is CURRENCY/BASE/DAY/VERSION, the day as a number"
# What went wrong in reading a record, and the record itself says better than its status.
UNFIT: Final = (Status.UNKNOWN_SCHEMA, Status.INCOMPATIBLE, Status.BAD_UNION, Status.BAD_ENUM, Status.BAD_SCALE)
_DAY = 0  # column of the business day in close-mark and business-days


@dataclass(slots=True)
class DecodedBlock:
    """A decoded block; rows before `at` are consumed. plain: it came without marks and bad rows, as most do.

    latest: the row booked last of those that are good and lie right, in a block of postings; else -1.
    """

    columns: Columns
    end: int
    size: int
    latest: int = -1
    plain: bool = False
    at: int = 0


@dataclass(slots=True)
class Lane:
    """One input topic of the partition: what was fed and not yet consumed."""

    topic: str
    reader: Reader
    placement: Placement
    check: InputCheck | None = None  # where the kernel that takes the records does not judge them itself
    fed: int = 0  # next offset to feed
    chunks: deque[DecodedBlock] = field(default_factory=deque)

    def feed(self, block: Block, stop: int | None) -> DecodedBlock | None:
        """Decodes a block's records in [fed, min(end, stop)): what is new of it. Rejoin if it starts behind that."""
        if block.start > self.fed:
            raise Rejoin(f"{block.tp}: block starts at {block.start}, expected {self.fed}")
        end = block.end if stop is None else min(block.end, stop)
        if end <= self.fed:
            return None
        columns = decode(block.batches, self.reader, self.fed, end, block.lost)
        latest = self.placement.check(columns)
        if self.check is not None:
            self.check.judge(columns.raw, columns.data, columns.status, columns.field)
        fed = DecodedBlock(columns, end, block.size, latest, not np.count_nonzero(columns.status))
        if not fed.plain:
            self._mark(columns)
        self.chunks.append(fed)
        self.fed = end
        return fed

    def _mark(self, columns: Columns) -> None:
        """Deletions of what is kept, and marks of days that no close ever comes for, are bad rows."""
        if self.topic in KEPT:
            columns.status[columns.status == Status.TOMBSTONE] = DELETION
        marks = np.flatnonzero(columns.status == Status.MARK)
        if len(marks):  # the topic would wait at such a mark for good
            absurd = marks[~day_taken(columns.data[marks, _DAY])]
            columns.status[absurd], columns.field[absurd] = BAD_DATE, -1

    def record(self, columns: Columns, i: int) -> dict[str, Any] | None:
        """Good row i as a record; None, and the row is bad, where a part that columns don't hold is not taken."""
        try:
            return self.reader.record(columns, i)
        except RecordError as problem:
            columns.status[i], columns.field[i] = Status.BAD_UNION, self.reader.index.get(problem.field, -1)
            return None

    def detail(self, columns: Columns, i: int) -> str:
        """What is to be said of bad row i beside its reason: what was wanted and found, or what to do; perhaps nothing."""
        if columns.status[i] == DELETION:
            return KEPT.get(self.topic, NO_RATE_KEY)
        if columns.status[i] in UNFIT:
            return self.reader.why(columns, i)
        return self.placement.detail(columns, i)

    @property
    def position(self) -> int:
        """Everything below has been consumed."""
        for chunk in self.chunks:
            if chunk.at < chunk.columns.n:
                return int(chunk.columns.offset[chunk.at])
        return self.fed

    @property
    def held(self) -> int:
        """Bytes not yet consumed."""
        return sum(chunk.size for chunk in self.chunks)

    def segments(self, closed: int, cut: int | None) -> Iterator[tuple[Columns, int, int]]:
        """(columns, first, last) of what may be consumed now: up to a mark of an open day, or up to the cut."""
        while self.chunks:
            chunk = self.chunks[0]
            first, last = chunk.at, self._stop(chunk, closed, cut)
            chunk.at = last
            if last > first:
                yield chunk.columns, first, last
            if last < chunk.columns.n:
                return
            self.chunks.popleft()

    @staticmethod
    def _stop(chunk: DecodedBlock, closed: int, cut: int | None) -> int:
        columns = chunk.columns
        if cut is not None:  # a mark below it is of a closed day, or of a run that was set aside and is compacted away
            return max(chunk.at, int(np.searchsorted(columns.offset, cut)))
        if chunk.plain:
            return columns.n
        marks = np.flatnonzero(columns.status[chunk.at :] == Status.MARK) + chunk.at
        later = marks[columns.data[marks, _DAY] > closed]
        return int(later[0]) if len(later) else columns.n

    def pass_mark(self, cut: int) -> None:
        """Steps over the mark that stands next at a cut: its close does not count."""
        for chunk in self.chunks:
            if chunk.at < chunk.columns.n:
                at = chunk.at
                chunk.at += bool(chunk.columns.offset[at] == cut and chunk.columns.status[at] == Status.MARK)
                return

    def at_cut(self, cut: int, *, mark: bool) -> bool:
        """Whether everything below the cut has been consumed and, where its mark is waited for, the cut itself has been fed."""
        return self.position >= cut and (self.fed > cut or not mark)
