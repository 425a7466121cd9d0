"""Keeps the Redis view in step with Kafka: standings, queue-priority and rm-alerts, exactly once in effect.

Records are fetched in batches, projected to operations, and applied in chunks that carry their offsets, so the store
always knows which records it holds. There is one writer at a time: others stand by until its lease ends. Whatever goes
wrong, the writer asks the store where it stands and goes on from there (crash-only).
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from schemas.codec.records import RecordError
from services.views.decoder import Decode
from services.views.keys import VIEW_FORMAT, Keys, held_until, member_of, unseen_member
from services.views.projections import PROJECTIONS, TopicRecord
from services.views.rows import PutRows
from services.views.store import Chunk, IndexEntry, LeaseLostError, Leave, Op, ViewStore

log = logging.getLogger(__name__)

CHUNK_RECORDS_MAX: Final = 500
"""Records in one atomic call: about 2 ms during which the store serves nobody else."""

CHUNK_BYTES_MAX: Final = 1 << 18
"""Value bytes in one atomic call."""


LACKING_MAX: Final = 10_000
"""Keys remembered of a partition whose last record can't be read; with so many only a rebuild makes it fresh again."""

UNSEEN_HOLD_MS: Final = 60 * 60 * 1000
"""So long after they were written, records whose keys nobody can read hold their partition back: somebody has been told by
then, and nothing that is written once stops the look-up for ever."""

ASKED_BY_KEY: Final = "queue-priority"
"""The topic whose rows are asked for one by one, together with whether the view lacks that key."""

GATHER_S: Final = 0.05


@dataclass(slots=True)
class Fetched:
    """What came of one partition: its records, the next offset behind them, and whether nothing else lies below that."""

    records: list[TopicRecord] = field(default_factory=list)
    stop: int | None = None
    at_end: bool = False


class RecordSource(Protocol):
    """What the view writer needs of Kafka; `topic:partition` names a partition."""

    def world(self) -> dict[str, str]:
        """Identity of the log, asked now: a view of another cluster, or of a topic made anew, is worthless.

        Where it has changed, the source reads from the new one from the next `begin` on.
        """

    def begin(self, positions: dict[str, int | None]) -> None:
        """Read on from these offsets; None = from the beginning."""

    def fetch(self, timeout_s: float) -> dict[str, Fetched]:
        """Committed records that have arrived, in order of the log; empty when there are none."""

    def ends(self) -> dict[str, tuple[int, int]]:
        """First offset and end of the committed records of every partition, asked from the brokers now."""

    def fresh_ends(self) -> dict[str, int] | None:
        """Ends as of about a second ago, without waiting; None while no new answer has come."""


class Rejects(Protocol):
    """Where records go that can't be read."""

    def reject(self, record: TopicRecord, reason: str, detail: str) -> None:
        """Keep it for a person to look at."""

    def flush(self) -> None:
        """Return when all rejected records are safe."""


@dataclass(slots=True)
class WriterCounts:
    """What the writer did, for metrics and progress."""

    records: int = 0
    rejected: int = 0
    moved: int = 0
    behind: dict[str, int] = field(default_factory=dict)  # source -> offsets to go
    lacking: dict[str, int] = field(default_factory=dict)  # source -> keys whose last record can't be read
    unseen: dict[str, int] = field(default_factory=dict)  # source -> stretches of records whose keys can't be read


_InColumns = Callable[[Keys, Sequence[TopicRecord]], PutRows | None]
"""Rows of many records of a topic at once; None where they have to be projected one by one."""


def _one_by_one(_keys: Keys, _records: Sequence[TopicRecord]) -> PutRows | None:
    return None


def _evenly(rows: PutRows) -> Iterator[tuple[int, int, PutRows]]:
    """Rows cut into chunks: (first, last, the rows)."""
    for first in range(0, len(rows), CHUNK_RECORDS_MAX):
        stop = min(first + CHUNK_RECORDS_MAX, len(rows))
        yield first, stop - 1, rows.part(first, stop)


class ViewWriter:
    """Applies the topics' records to the store: `settle` first and after every failure, then `step` for ever.

    While the store applies what came last, the next records are fetched and decoded; at most one call is in flight.
    """

    def __init__(
        self,
        source: RecordSource,
        store: ViewStore,
        keys: Keys,
        decode: Decode,
        rejects: Rejects,
        token: str,
        clock: Callable[[], float] = time.monotonic,
        in_columns: _InColumns = _one_by_one,
        now_ms: Callable[[], float] = lambda: 1000 * time.time(),
    ) -> None:
        self.in_columns, self.now_ms = in_columns, now_ms
        self.source, self.store, self.keys = source, store, keys
        self.decode, self.rejects, self.token, self.clock = decode, rejects, token, clock
        self.held: dict[str, int | None] = {}  # next record that the store expects of a partition; None = the first
        self.next: dict[str, int | None] = {}  # the same, behind what is in flight
        self.lacking: dict[str, set[str]] = {}  # keys (`member_of`) whose last record can't be read
        self.unseen: dict[str, dict[str, int]] = {}  # what stands there for records with unknown keys, and until when
        self.ended: dict[str, int] = {}  # partitions read to their end, and that end
        self.flight: tuple[list[Chunk], Future[list[bool]]] | None = None
        self.hand = ThreadPoolExecutor(1, "view")
        self.targets: dict[str, tuple[int, float]] = {}  # ends that the brokers named, and when: fresh when reached
        self.counts = WriterCounts()
        self.unsure = False

    def settle(self) -> bool:
        """Take the lease and go to where the store stands; False while another writer is alive.

        A view of another cluster, of another format, or of a topic that was made anew is wiped.
        """
        self._forget()
        if not self.store.take(self.token):
            return False
        self._stand()
        return True

    def step(self, timeout_s: float = 0.2, gather_s: float = 0.0) -> int:
        """Fetch once, and apply; returns the records fetched. Raises LeaseLostError, and whatever the store raises.

        While the store is busy, records are gathered for `gather_s`: full batches are cheaper, waiting costs latency.

        An error may belong to the step before. A store that stands elsewhere is read again from where it stands.
        """
        if self.unsure:
            self._forget()
            self._stand()
            return 0
        fetched = self.source.fetch(gather_s if self.flight else timeout_s)
        chunks = [chunk for name, part in fetched.items() for chunk in self._chunks(name, part)]
        self.rejects.flush()  # before the offsets pass the rejected records
        for name, part in fetched.items():
            if part.at_end and part.stop is not None:
                self.ended[name] = part.stop
            elif part.records:
                self.ended.pop(name, None)
        if not (self._land() and self._freshness()):
            self.counts.moved += 1
            self._stand()
            return 0
        if chunks:
            self.flight = chunks, self.hand.submit(self.store.apply, self.token, chunks)
        return sum(len(part.records) for part in fetched.values())

    def doubt(self) -> None:
        """The log may be another one: with the next step the writer looks where it stands. Any thread may call it."""
        self.unsure = True

    def close(self) -> None:
        """Wait for what is in flight and give the lease back; raises what the store raises."""
        self._forget()
        self.hand.shutdown()
        self.store.release(self.token)

    def caught_up(self, ends: dict[str, int]) -> bool:
        """True when all that was committed below `ends` has been applied."""
        return all(self.behind(name, end) == 0 for name, end in ends.items())

    def _stand(self) -> None:
        """Go to where the store stands; wipe it first if it was built from something else."""
        mine = self.source.world() | {"format": VIEW_FORMAT}
        ends, positions, known = self.source.ends(), self.store.positions(), self.store.meta()
        beyond = [name for name, offset in positions.items() if name in ends and offset > ends[name][1]]
        other = sorted(name for name in known.keys() | mine if known.get(name) != mine.get(name))
        # Without its place, or without what it was built from, rows may stand there that this log never gave.
        if (positions or known) and (other or beyond or not positions):
            if other or beyond:
                log.warning("the view is of another log (%s): built again", ", ".join([*other, *beyond]))
            self.store.wipe(self.token)
            positions = {}
        self.unsure = False
        self.store.begin(mine, list(ends))
        self.held = {name: positions.get(name) for name in ends}
        self.lacking, self.unseen = {}, {}
        for name, members in self.store.lacking(list(ends)).items():
            self.unseen[name] = {one: until for one in members if (until := held_until(one)) is not None}
            self.lacking[name] = members - self.unseen[name].keys()
        self.next, self.ended, self.targets = dict(self.held), {}, {}
        self.source.begin(self.next)

    def _forget(self) -> None:
        """Wait for the call in flight; what became of it, the store knows."""
        if self.flight is not None:
            self.flight[1].exception()
            self.flight = None

    def _land(self) -> bool:
        """Wait for the call in flight; False if the store turned out to stand elsewhere."""
        if self.flight is None:
            return True
        (chunks, answers), self.flight = self.flight, None
        for chunk, done in zip(chunks, answers.result(), strict=True):
            if not done:
                return False
            self.held[chunk.source] = chunk.stop
        return True

    def _chunks(self, name: str, part: Fetched) -> Iterator[Chunk]:
        """Cut a partition's records into chunks; each begins where the one before ended."""
        start = self.next[name]
        # The source may go back a little: what the store has counts once.
        records = part.records if start is None else [record for record in part.records if record.offset >= start]
        if not records:
            return
        self.counts.records += len(records)
        one_by_one = self.lacking[name] or any(record.lost for record in records)
        rows = None if one_by_one else self.in_columns(self.keys, records)
        for _, last, ops in self._in_turn(name, records) if rows is None else _evenly(rows):
            yield Chunk(name, start, records[last].end, ops)
            start = records[last].end
        self.next[name] = start

    def _in_turn(self, name: str, records: Sequence[TopicRecord]) -> Iterator[tuple[int, int, Sequence[Op]]]:
        """Chunks of records projected one by one: (first, last, operations)."""
        ops: list[Op] = []
        first = size = 0
        for i, (record, found) in enumerate(zip(records, self._project(name, records), strict=True)):
            ops += found
            size += len(record.value or b"")
            if i - first + 1 >= CHUNK_RECORDS_MAX or size >= CHUNK_BYTES_MAX or i + 1 == len(records):
                yield first, i, ops
                first, ops, size = i + 1, [], 0

    def _project(self, name: str, records: Sequence[TopicRecord]) -> Iterator[Sequence[Op]]:
        """Operations of each record of a partition.

        One that can't be read is kept as a dead letter, and its key is lacking until a later record of it can be read.
        """
        project = PROJECTIONS[records[0].topic]
        decoded = iter(self.decode(records[0].topic, [record.value for record in records if record.value is not None]))
        for record in records:
            value = None if record.value is None else next(decoded)
            try:
                if record.lost is not None:
                    raise RecordError(record.lost.original.why)
                if isinstance(value, RecordError):
                    raise value
                yield [*project(self.keys, record, value), *self._mended(name, record)]
            except ValueError as problem:  # RecordError too; a registry that is down is no reason to drop a record
                self.counts.rejected += 1
                self.rejects.reject(record, "unreadable", str(problem))
                yield self._lacked(name, record)

    def _lacked(self, name: str, record: TopicRecord) -> list[Op]:
        """The view lacks the record: it has the row of an older one, or none.

        Where nobody can read the keys either, as in the rest of a damaged batch, it may lack anybody's.
        """
        if record.lost is not None and record.lost.original.last is not None:
            until = round(record.lost.at or self.now_ms()) + UNSEEN_HOLD_MS
            text = "%s, offsets %d to %d can't be read, nor whose they are: not fresh for an hour, see dead-letters"
            log.warning(text, name, record.offset, record.lost.last)
            member = unseen_member(record.offset, until)
            self.unseen[name][member] = until
        elif key := _text(record.key):
            if not self.lacking[name]:
                text = "%s, offset %d can't be read: its key is not shown until it can be, see dead-letters"
                log.warning(text, name, record.offset)
            member = member_of(key)
            self.lacking[name].add(member)
        else:  # nobody's row: each is under a key
            return []
        return [IndexEntry(self.keys.lacking(name), record.offset, member, LACKING_MAX)]

    def _mended(self, name: str, record: TopicRecord) -> list[Op]:
        """The record takes the place of one that could not be read, if there was one."""
        lacking = self.lacking[name]
        if not lacking or len(lacking) >= LACKING_MAX or (member := member_of(_text(record.key))) not in lacking:
            return []
        lacking.discard(member)
        return [Leave(self.keys.lacking(name), member)]

    def _freshness(self) -> bool:
        """Mark the partitions fresh that have reached an end which the brokers named; False if the store moved."""
        now = self.clock()
        if (ends := self.source.fresh_ends()) is not None:
            self.counts.behind = {name: self.behind(name, end) for name, end in ends.items()}
            self.targets = {name: (end, now) for name, end in ends.items()} | self.targets
            self.counts.lacking = {name: len(keys) for name, keys in self.lacking.items()}
            self.counts.unseen = {name: len(found) for name, found in self.unseen.items()}
        for name in self.lacking:
            if self._held_back(name):
                self.targets.pop(name, None)
        reached = {name: at for name, (end, at) in self.targets.items() if not self.behind(name, end)}
        if not reached:
            return ends is None or self.store.mark_fresh(self.token, {})  # which keeps the lease
        for name in reached:
            del self.targets[name]
        return self.store.mark_fresh(
            self.token, {name: (self.held[name], round(1000 * (now - at))) for name, at in reached.items()}
        )

    def _held_back(self, name: str) -> bool:
        """Whether a partition is not fresh for what it lacks.

        Who reads queue classes asks for a key, and sees whether it is lacking (services.queue.lookup): one bad record
        degrades the answers about one customer. With too many to remember nobody knows which; nor with records whose
        keys can't be read, for UNSEEN_HOLD_MS.
        """
        if len(self.lacking[name]) >= (LACKING_MAX if name.startswith(f"{ASKED_BY_KEY}:") else 1):
            return True
        unseen = self.unseen[name]
        return bool(unseen) and max(unseen.values()) > self.now_ms()

    def complete(self, names: Iterable[str]) -> list[str]:
        """Those of the partitions that may be marked fresh."""
        return [name for name in names if not self._held_back(name)]

    def behind(self, name: str, end: int) -> int:
        """Offsets of a partition from what has been applied to `end`."""
        held = self.held[name]
        at_end = self.ended.get(name, 0) if held == self.next[name] else 0
        return max(0, end - max(held or 0, at_end))


def _text(key: bytes | None) -> str:
    """A key as text; empty for none, and for one that is no text and so nobody's."""
    try:
        return (key or b"").decode()
    except UnicodeDecodeError:
        return ""


def keep_going(
    settle: Callable[[], bool],
    step: Callable[[], object],
    stopped: Callable[[float], bool],
    passing: tuple[type[Exception], ...],
    what: str,
) -> None:
    """`settle`, then `step` after `step`, until `stopped(seconds to wait)` says so; after a failure that passes, settle again.

    The waits double up to 5 s. settle: False where it is to be tried again. Any other exception ends it.
    """
    settled, wait_s = False, 0.1
    while not stopped(0.0):
        try:
            if not settled and not (settled := settle()):
                stopped(1.0)
                continue
            step()
            wait_s = 0.1
        except passing as problem:
            log.warning("%s can't be written: %s; again in %.1f s", what, problem, wait_s)
            settled = False
            stopped(wait_s)
            wait_s = min(wait_s * 2, 5.0)


def keep(
    writer: ViewWriter,
    stopped: Callable[[float], bool],
    failures: tuple[type[Exception], ...],
) -> None:
    """Run the writer as `keep_going` does. When the process is started again it goes on from what is stored."""
    keep_going(writer.settle, writer.step, stopped, (LeaseLostError, *failures), "the view")
    with suppress(*failures):  # else the lease ends by itself
        writer.close()


def rebuild(writer: ViewWriter, progress: Callable[[str, int, int], None]) -> int:
    """Replace whoever writes, wipe the view, and build it from what Kafka holds now; returns the records read.

    `progress(stage, done, total)`: stage "wiping" counts rows (total 0, unknown), "building" counts offsets.
    """
    writer.store.take(writer.token, force=True)
    writer.store.wipe(writer.token, lambda gone: progress("wiping", gone, 0))
    if not writer.settle():
        raise LeaseLostError("another rebuild has taken over")
    ranges = writer.source.ends()
    ends = {name: end for name, (_, end) in ranges.items()}
    total = sum(end - low for low, end in ranges.values())
    records = 0
    while not writer.caught_up(ends):
        records += writer.step(gather_s=GATHER_S)
        progress("building", total - sum(writer.behind(name, end) for name, end in ends.items()), total)
    writer.store.mark_fresh(writer.token, {name: (writer.held[name], 0) for name in writer.complete(ends)})
    writer.close()
    return records
