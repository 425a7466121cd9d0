"""Walks over the view's rows for ever, compares each with what the log gave, and mends what is not right.

It reads the log by a source of its own, so it finds what the writer lost, what the server evicted, and what somebody
deleted or changed. From the moment that something is wrong until a whole sweep has found and mended all of it, the view
says so: kiosks answer `degraded`. A step takes the server some 1.5 ms.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from schemas.codec.records import RecordError
from services.views.decoder import Decode
from services.views.keys import VIEW_FORMAT, Keys, digest_of_name
from services.views.projections import (
    ALERTS_PER_BRANCH_MAX,
    ALERTS_PER_CUSTOMER_MAX,
    ALERTS_PER_RM_MAX,
    PROJECTIONS,
    TopicRecord,
)
from services.views.store import Drop, LeaseLostError, Op, Put
from services.views.sweep.given import (
    HASH_FIRST,
    HASH_LAST,
    ROW_GONE,
    ROW_UNKNOWN,
    VERSION_NONE,
    GivenRow,
    RowsGiven,
    digest_of,
)
from services.views.sweep.guard import Listed, RowGuard
from services.views.writer import RecordSource

log = logging.getLogger(__name__)

ROWS_PER_S: Final = 60_000
"""How fast a sweep goes at most: two million rows, those of a million customers, in 34 s; a third of the server's time."""

STEP_ROWS: Final = 250
"""Rows of one call: about 1.5 ms during which the store serves nobody else."""

TURN_ROWS_MAX: Final = 10_000
WRONG_MAX: Final = 100_000
"""Rows found wrong that are mended together: by one reading of their partition, however they lie in it."""

MEND_TRIES: Final = 20
"""As often the log is read on where the store has got beyond what is known of it."""

SWEEP_EVERY_S: Final = 20.0
"""From the beginning of a sweep to that of the next, unless it takes longer."""

WATCH_EVERY_S: Final = 1.0
WORLD_EVERY_S: Final = 5.0
TURN_WAIT_S: Final = 0.05
"""Between turns; four times as long where nothing is to be swept."""

BUSY_RECORDS: Final = 1_000
"""As many in a turn, and the next one follows at once."""

NO_EVICTION: Final = "noeviction"
_ALERTS: Final = "rm-alerts"  # counted by nobody: lists that are full drop the rows of their oldest members


class LogSource(RecordSource, Protocol):
    """What the sweep needs of Kafka."""

    def pick(self, name: str, offsets: Sequence[int]) -> Iterator[list[TopicRecord]]:
        """The records of a partition at these offsets (rising), some at a time; what is gone is left out."""


@dataclass(slots=True)
class SweepCounts:
    """What the sweeps found, for metrics and progress."""

    rows: int = 0  # of the last whole sweep
    seconds: float = 0.0  # that it took
    sweeps: int = 0
    wrong: int = 0  # rows that were missing or changed, since the process began
    mended: int = 0
    evicted: int = 0
    trouble: dict[str, str] = field(default_factory=dict)  # topic -> why the view is not whole


class Sweeper:
    """One turn after the other: `turn()` does what is due, and returns the seconds until the next one."""

    def __init__(
        self,
        source: LogSource,
        guard: RowGuard,
        keys: Keys,
        decode: Decode,
        other_world: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source, self.guard, self.keys, self.decode, self.clock = source, guard, keys, decode, clock
        self.other_world = other_world
        self.world: dict[str, str] | None = None
        self.ledgers: dict[str, RowsGiven] = {}
        self.goals: dict[str, int] = {}  # ends of the log when it was begun: until then the ledger knows too little
        self.counts = SweepCounts()
        self.trouble: dict[str, str] | None = None  # topic -> what a whole sweep has to mend; None: not looked yet
        self.unmended: set[str] = set()  # topics in which this sweep found what it could not mend
        self.policy, self.evicted = "", ("", 0)
        self.watched_at = self.asked_at = self.began = self.stepped_at = -float("inf")
        self.checked = 0
        self.left: list[tuple[str, int]] = []  # partitions that this sweep has yet to check, from which hash on
        self.wrong: list[GivenRow] = []  # rows of the partition being checked

    def turn(self) -> float:
        """Watch the server, read the log, check rows. Raises LeaseLostError, and what the store and the source raise."""
        now = self.clock()
        if now - self.watched_at >= WATCH_EVERY_S:
            self.watched_at = now
            self._watch()
        if now - self.asked_at >= WORLD_EVERY_S or self.world is None:
            self.asked_at = now
            self._look_at_world()
        knows = all(self.ledgers[name].upto >= end for name, end in self.goals.items())
        read = self._read(0.0 if knows else TURN_WAIT_S)
        if not knows:
            return 0.0
        self._sweep()
        return 0.0 if read >= BUSY_RECORDS else TURN_WAIT_S if self.left else 4 * TURN_WAIT_S

    # -- the server, and the log

    def _watch(self) -> None:
        """What the server evicts; and say whether the view is whole."""
        run, policy, evicted = self.guard.server()
        if self.trouble is None:
            said, noted = self.guard.marked(tuple(PROJECTIONS)), self.guard.noted()
            self.trouble = {topic: "rows were missing" for topic, good in said.items() if not good}
            self.evicted = (noted.get("run", run), int(noted.get("evicted", "0")))
        seen = self.evicted[1] if self.evicted[0] == run else 0
        if evicted > seen:
            log.warning("the Redis server evicted %d keys: the view is swept anew", evicted - seen)
            self.counts.evicted += evicted - seen
            self._doubt(tuple(PROJECTIONS), "the server evicted keys")
            self.left = []
            self.began = -float("inf")
        if policy != self.policy and policy != NO_EVICTION:
            log.warning("maxmemory-policy is %s: the Redis server may evict rows of the view; set noeviction", policy)
        self.policy, self.evicted = policy, (run, evicted)
        self._mark()

    def _mark(self) -> None:
        """Tell whoever reads the view how it is."""
        trouble = dict(self.trouble or {})
        if self.policy != NO_EVICTION:
            trouble = dict.fromkeys(PROJECTIONS, f"maxmemory-policy is {self.policy}") | trouble
        self.counts.trouble = trouble
        now_ms = self.guard.mark({topic: topic not in trouble for topic in PROJECTIONS})
        counts, (run, evicted) = self.counts, self.evicted
        self.guard.note({
            "at": now_ms, "rows": counts.rows, "seconds": f"{counts.seconds:.1f}", "sweeps": counts.sweeps,
            "wrong": counts.wrong, "mended": counts.mended, "run": run, "evicted": evicted, "policy": self.policy,
            "trouble": "; ".join(f"{topic}: {why}" for topic, why in sorted(trouble.items())),
        })  # fmt: skip

    def _doubt(self, topics: Sequence[str], why: str) -> None:
        """From now on until a whole sweep: not whole."""
        assert self.trouble is not None
        self.trouble |= dict.fromkeys(topics, why)
        self._mark()

    def _look_at_world(self) -> None:
        """Begin anew where the log is another one."""
        world = self.source.world()
        if world == self.world:
            return
        if self.world is not None:
            log.warning("Kafka's cluster or topics are others than before: the view is built from them")
            self.other_world()
        ends = self.source.ends()
        self.ledgers = {name: RowsGiven() for name in ends}
        self.goals = {name: end for name, (_, end) in ends.items()}
        self.left, self.began = [], -float("inf")
        self.source.begin(dict.fromkeys(ends))
        self.world = world

    def _read(self, timeout_s: float) -> int:
        """Note what the next records give; how many they were."""
        count = 0
        for name, part in self.source.fetch(timeout_s).items():
            upto = max([part.stop or 0, *(record.offset + 1 for record in part.records[-1:])])
            self.ledgers[name].add(self._entries(part.records, self.ledgers[name]), upto)
            count += len(part.records)
        return count

    def _entries(self, records: Sequence[TopicRecord], ledger: RowsGiven) -> list[GivenRow]:
        if not records:
            return []
        topic = records[0].topic
        prefix, project = len(_row_prefix(self.keys, topic)), PROJECTIONS[topic]
        values = iter(self.decode(topic, [record.value for record in records if record.value is not None]))
        found = []
        for record in records:
            value = None if record.value is None else next(values)
            try:
                if record.lost is not None:
                    raise RecordError(record.lost.original.why)
                if isinstance(value, RecordError):
                    raise value
                row = next(iter(project(self.keys, record, value)), None)
            except ValueError:  # the writer puts it into the dead letters
                if record.key and topic != _ALERTS:
                    found.append(GivenRow(_row_of(topic, record.key), VERSION_NONE, record.offset, ROW_UNKNOWN))
                continue
            if isinstance(row, Put):
                ledger.names = tuple(row.fields)
                found.append(GivenRow(row.key.encode()[prefix:], row.version, record.offset, digest_of(row)))
            elif isinstance(row, Drop):
                found.append(GivenRow(row.key.encode()[prefix:], VERSION_NONE, record.offset, ROW_GONE))
        return found

    # -- the rows

    def _sweep(self) -> None:
        """Check as many rows as are due."""
        now = self.clock()
        if not self.left:
            again = bool(self.trouble) and not self.unmended
            if now - self.began < (WATCH_EVERY_S if again else SWEEP_EVERY_S) or not self._built():
                return
            self.left = [(name, HASH_FIRST) for name in self.ledgers]
            self.began = self.stepped_at = now
            self.checked, self.unmended, self.wrong = 0, set(), []
        due = min(TURN_ROWS_MAX, max(STEP_ROWS, int(ROWS_PER_S * (now - self.stepped_at))))
        self.stepped_at = now
        while due > 0 and self.left:
            name, after = self.left[-1]
            if after == HASH_FIRST:
                self._compare_counts(name)
            rows, last = self.ledgers[name].rows(after, STEP_ROWS)
            if not self._check(name, rows):
                return  # the store is ahead of what was read here, or at its beginning
            self.checked += len(rows)
            due -= STEP_ROWS
            self.left[-1] = (name, last)
            if last == HASH_LAST or len(self.wrong) >= WRONG_MAX:
                self._mend(name, name.rpartition(":")[0])
            if last == HASH_LAST:
                self.left.pop()
        if not self.left:
            self._swept()

    def _built(self) -> bool:
        """Whether the view is built from the log that is read here."""
        return self.guard.built_from() == {**(self.world or {}), "format": VIEW_FORMAT}

    def _swept(self) -> None:
        """The sweep is through."""
        assert self.trouble is not None
        self.counts.rows, self.counts.seconds = self.checked, self.clock() - self.began
        self.counts.sweeps += 1
        for topic in set(self.trouble) - self.unmended:
            log.warning("%s: the view is whole again", topic)
            del self.trouble[topic]
        self._mark()

    def _check(self, name: str, rows: Sequence[GivenRow]) -> bool:
        """Compare rows of a partition, and remember what is wrong; False if the store can't be judged yet."""
        bad = self._differ(name, rows)
        if bad:
            log.warning("%s: %d rows of the view are missing or changed", name, len(bad))
            self.counts.wrong += len(bad)
            self.wrong += bad
            self._doubt((name.rpartition(":")[0],), "rows were missing or changed")
        return bad is not None

    def _differ(self, name: str, rows: Sequence[GivenRow]) -> list[GivenRow] | None:
        """Those that are not in the store as they should be; None if it can't be judged yet."""
        topic, ledger = name.rpartition(":")[0], self.ledgers[name]
        if not rows:
            return []
        lists = _lists(self.keys, topic)
        keys = self.guard.check(name, ledger.upto, _row_prefix(self.keys, topic), ledger.names, lists, rows)
        return None if keys is None else [row for row in rows if row.key in set(keys)]

    def _mend(self, name: str, topic: str) -> None:
        """Write the rows found wrong anew from their records."""
        wrong, self.wrong = self.wrong, []
        at = {row.offset: row for row in wrong if row.digest != ROW_GONE}
        gone = [row for row in wrong if row.digest == ROW_GONE]
        left = [
            row for first in range(0, len(gone), STEP_ROWS) for row in self._write(name, gone[first:][:STEP_ROWS], [])
        ]
        for records in self.source.pick(name, sorted(at)) if at else ():
            values = self.decode(topic, [record.value or b"" for record in records])
            ops: list[Op] = []
            for record, value in zip(records, values, strict=True):
                if not isinstance(value, RecordError):
                    ops += PROJECTIONS[topic](self.keys, record, value)
            left += self._write(name, [at.pop(record.offset) for record in records], ops)
        left += at.values()  # the log has them no more
        self.counts.mended += len(wrong) - len(left)
        if topic == _ALERTS:  # a list that is full has no place for them
            self.ledgers[name].add([row._replace(digest=ROW_UNKNOWN) for row in left], 0)
        elif left:
            self.unmended.add(topic)

    def _write(self, name: str, rows: Sequence[GivenRow], ops: Sequence[Op]) -> list[GivenRow]:
        """Drop rows and apply `ops` in their place; those that are still wrong. What the log changed meanwhile is right."""
        ledger, prefix = self.ledgers[name], _row_prefix(self.keys, name.rpartition(":")[0])
        drops = [Drop(prefix + row.key.decode()) for row in rows]
        for _ in range(MEND_TRIES):
            changed = ledger.waiting()
            if any(row.key in changed for row in rows):
                return list(rows)  # of another record by now: the next sweep looks again
            if self.guard.mend(name, ledger.upto, [*drops, *ops]):
                return self._differ(name, rows) or []
            self._read(TURN_WAIT_S)
        return list(rows)

    def _compare_counts(self, name: str) -> None:
        """The writer's own count of the rows against the log's: they differ where rows vanished and came again."""
        topic, ledger = name.rpartition(":")[0], self.ledgers[name]
        given = ledger.totals()  # which sorts in what waits
        if topic == _ALERTS or given is None:
            return
        counted = self.guard.count(name, ledger.upto, ledger.end)
        if counted is not None and counted != given:
            log.warning("%s: the view counted %d rows (sum %d), the log gave %d (sum %d)", name, *counted, *given)
            self._doubt((topic,), "the rows' count was wrong")
            self.guard.recount(name, ledger.upto, ledger.end, given)  # each row is looked at in this sweep


def _row_prefix(keys: Keys, topic: str) -> str:
    return {"queue-priority": keys.priority(""), "standings": keys.standings, _ALERTS: keys.alert("")}[topic]


def _row_of(topic: str, key: bytes) -> bytes:
    """What the key of a row ends in that a record's key names; of one that is no text there is none, so it may stand as it is."""
    try:
        return digest_of_name(key.decode()).encode() if topic == "standings" else key
    except UnicodeDecodeError:
        return key


def _lists(keys: Keys, topic: str) -> tuple[Listed, ...]:
    """The lists that a topic's rows stand in."""
    if topic != _ALERTS:
        return ()
    return (
        Listed("customer_id", keys.alerts_of("customer"), ALERTS_PER_CUSTOMER_MAX),
        Listed("rm_id", keys.alerts_of("rm"), ALERTS_PER_RM_MAX),
        Listed("branch", keys.alerts_of("branch"), ALERTS_PER_BRANCH_MAX),
    )


def keep_sweeping(sweeper: Sweeper, stopped: threading.Event, failures: tuple[type[Exception], ...]) -> None:
    """Turn after turn until `stopped`; after a failure of a server again a second later.

    Any other exception is raised, and sets `stopped`: a writer that nobody watches is to be started again.
    """
    passing: tuple[type[Exception], ...] = (LeaseLostError, *failures)
    try:
        while not stopped.is_set():
            try:
                wait_s = sweeper.turn()
            except passing as problem:
                log.warning("the view can't be swept now: %s", problem)
                wait_s = 1.0
            if wait_s:
                stopped.wait(wait_s)
    finally:
        stopped.set()
