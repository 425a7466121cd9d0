"""Keeps the read model in step with Kafka, each record once: rows and the offsets behind them leave in one transaction.

Whatever goes wrong, the projector asks the store where it stands and goes on from there. There may be several: whose offsets
are not those of the store has been overtaken, and writes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from schemas.codec.records import RecordError, decode_one
from schemas.registry import Registry
from schemas.topics import MARK_KEY
from schemas.validation.profiles import PROFILES_TOPIC, ProfileCheck, SentProfile
from services.readmodel.rows import RowChange, changes_of
from services.views.projections import TopicRecord
from services.views.writer import RecordSource, Rejects, keep_going

log = logging.getLogger(__name__)

RECORDS_MAX: Final = 5_000
"""In one transaction."""

FETCH_S: Final = 0.2
SWITCHES_MAX: Final = 100
"""A rebuild that is overtaken so often by who writes meanwhile gives up."""

Moved = dict[str, tuple[int | None, int]]
"""By `topic:partition`: the next offset before, None where nothing was read, and behind."""


class OvertakenError(Exception):
    """The store is not where this projector has left it: another one has written, or the tables have been built anew."""


class OtherLogError(Exception):
    """The tables are of another log, or of another form: they have to be built anew."""


class ReadStore(Protocol):
    """Where rows are kept. Each call is one transaction: all of it, or nothing."""

    def settle(self, world: Mapping[str, str]) -> dict[str, int | None]:
        """The next offset of each partition. OtherLogError where the rows are of another log than `world`."""

    def apply(self, changes: Sequence[RowChange], moved: Moved) -> None:
        """Put rows and offsets. OvertakenError where the offsets before are others: then nothing is put."""

    def note_behind(self, behind: Mapping[str, int]) -> None:
        """By topic, how many offsets are still to come, as of now."""


class NextStore(ReadStore, Protocol):
    """Rows that are built beside those that are read."""

    def take_over(self) -> bool:
        """Put these rows in the place of the others; False if those have got further."""


class RowBatch(NamedTuple):
    """What goes into one transaction."""

    changes: list[RowChange]
    moved: Moved
    records: int


class Projector:
    """`settle` first and after every failure, then `step` for ever."""

    def __init__(self, source: RecordSource, store: ReadStore, registry: Registry, rejects: Rejects) -> None:
        self.source, self.store, self.registry, self.rejects = source, store, registry, rejects
        self.next: dict[str, int | None] = {}
        self.profiles = ProfileCheck(1)  # until it is settled how many partitions there are
        self.rejected = 0

    def settle(self) -> None:
        """Go on where the store stands. OtherLogError."""
        self.next = self.store.settle(self.source.world())
        self.profiles = ProfileCheck(sum(name.partition(":")[0] == PROFILES_TOPIC for name in self.source.ends()))
        self.source.begin(dict(self.next))

    def step(self) -> int:
        """Take what has come; returns how many records."""
        records = 0
        for part in self._parts():
            self.rejects.flush()
            self.store.apply(part.changes, part.moved)
            self.next |= {name: behind for name, (_, behind) in part.moved.items()}
            records += part.records
        if (ends := self.source.fresh_ends()) is not None:
            self.store.note_behind(self._behind(ends))
        return records

    def caught_up(self, ends: Mapping[str, int]) -> bool:
        """Whether every partition has been read so far."""
        return all((self.next.get(name) or 0) >= end for name, end in ends.items())

    def _behind(self, ends: Mapping[str, int]) -> dict[str, int]:
        found: dict[str, int] = {}
        for name, end in ends.items():
            topic = name.partition(":")[0]
            found[topic] = found.get(topic, 0) + max(0, end - (self.next.get(name) or 0))
        return found

    def _parts(self) -> Iterator[RowBatch]:
        """What has come, in transactions of bounded size."""
        part = RowBatch([], {}, 0)
        for name, fetched in self.source.fetch(FETCH_S).items():
            before, rest = self.next.get(name), fetched.records
            while rest or fetched.stop is not None:
                room = RECORDS_MAX - part.records
                taken, rest = rest[:room], rest[room:]
                end = taken[-1].end if rest or fetched.stop is None else fetched.stop
                changes = self._changes(taken)
                if end != before:
                    part.moved[name] = part.moved.get(name, (before, 0))[0], end
                part = RowBatch(part.changes + changes, part.moved, part.records + len(taken))
                if part.records >= RECORDS_MAX:
                    yield part
                    part, before = RowBatch([], {}, 0), end
                if not rest:
                    break
        if part.moved:
            yield part

    def _changes(self, taken: Sequence[TopicRecord]) -> list[RowChange]:
        """What records of a partition change; marks of closes nothing, and profiles that the workers refuse neither."""
        read = [one for record in taken if record.key != MARK_KEY and (one := self._read(record)) is not None]
        if taken and taken[0].topic == PROFILES_TOPIC:
            sent = [SentProfile(record.key, record.partition, value) for record, value in read]
            read = [one for one, counts in zip(read, self.profiles.taken(sent), strict=True) if counts]
        changes: list[RowChange] = []
        for record, value in read:
            try:
                changes += changes_of(record, value)
            except ValueError as problem:
                self._reject(record, problem)
        return changes

    def _read(self, record: TopicRecord) -> tuple[TopicRecord, dict[str, Any] | None] | None:
        """A record with its value; None for one that can't be read: it changes nothing, and somebody is told."""
        try:
            if record.lost is not None:
                raise RecordError("is not handed on")
            return record, None if record.value is None else decode_one(record.value, self.registry, name=record.topic)
        except RecordError as problem:
            self._reject(record, problem)
            return None

    def _reject(self, record: TopicRecord, problem: ValueError) -> None:
        self.rejected += 1
        if record.topic != PROFILES_TOPIC:  # what is wrong with an input the workers say
            self.rejects.reject(record, "unreadable", str(problem))


def keep_projecting(
    projector: Projector, rebuilt: Callable[[], object], stopped: Callable[[float], bool],
    failures: tuple[type[Exception], ...],
) -> None:  # fmt: skip
    """Run as `keep_going` does; what is of another log is built anew by `rebuilt`."""

    def settle() -> bool:
        try:
            projector.settle()
        except OtherLogError as problem:
            log.warning("%s: it is built anew", problem)
            rebuilt()
            projector.settle()
        return True

    keep_going(settle, projector.step, stopped, (OvertakenError, *failures), "the read model")


def build_anew(projector: Projector, store: NextStore, progress: Callable[[int, int], None]) -> int:
    """Build the rows beside those that are read, and put them in their place; returns the records read.

    progress(done, total): offsets. OvertakenError where whoever writes meanwhile is always further.
    """
    projector.settle()
    ranges = projector.source.ends()
    total = sum(end - low for low, end in ranges.values())
    records, ends = 0, {name: end for name, (_, end) in ranges.items()}
    for _ in range(SWITCHES_MAX):
        while not projector.caught_up(ends):
            records += projector.step()
            left = sum(max(0, end - (projector.next.get(name) or 0)) for name, end in ends.items())
            progress(total - min(left, total), total)
        if store.take_over():
            return records
        ends = {name: end for name, (_, end) in projector.source.ends().items()}
    raise OvertakenError("others write faster than this reads")
