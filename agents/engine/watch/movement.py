"""Whether the inputs of a worker move, by what is seen of them once a second. Pure: the clock is given.

What waits is measured to the high watermark. The last stable offset stands still under a transaction that somebody has
left open, and a worker that has read up to there seems to have read everything.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

STUCK_S: Final = 30.0
"""Something waits and nothing moves for so long: not ready."""

MARKS_MAX: Final = 32
"""Watermarks kept of an input, to say since when its oldest record waits."""

REASONS_MAX: Final = 3


class InputSeen(NamedTuple):
    """One input of a partition at a look. None: the brokers have not said yet.

    position: everything below is counted. read: everything below is in memory. high, stable: high watermark and last
    stable offset. answered: changes with every answer of the brokers to a fetch.
    """

    position: int
    read: int
    high: int | None
    stable: int | None
    answered: int | None


class InputReport(NamedTuple):
    """How an input stands. Times in seconds.

    waiting: offsets up to the high watermark. oldest_s: age of the oldest record not yet counted, 0.0 without one.
    still_s: for how long something has waited without movement. open_at: first offset of the oldest open transaction,
    and open_s since when it has been seen to stand there.
    """

    waiting: int
    oldest_s: float
    still_s: float
    open_at: int | None
    open_s: float


@dataclass(slots=True)
class _Input:
    """What is remembered of an input."""

    seen: InputSeen
    moved_at: float
    heard_at: float
    open_since: float | None = None
    backlog: int = 0  # below: was there before this worker looked; when it came, only the brokers know
    appended: float | None = None  # age of the oldest record of the backlog when it was asked for, minus that moment
    marks: deque[tuple[float, int]] = field(default_factory=deque)  # (seen at, high watermark), each above the last

    def look(self, now: float, seen: InputSeen, working: bool) -> None:
        waited, before, self.seen = self.waiting, self.seen, seen
        if working or seen.position != before.position or not waited:
            self.moved_at = now
        if seen.answered != before.answered or seen.read > seen.position:  # what is full is not asked for
            self.heard_at = now
        if seen.high is not None and seen.high > max(
            seen.position, self.backlog, self.marks[-1][1] if self.marks else 0
        ):
            if len(self.marks) == MARKS_MAX:  # the first says the age, those in between only make it finer
                del self.marks[MARKS_MAX // 2]
            self.marks.append((now, seen.high))
        while self.marks and self.marks[0][1] <= seen.position:
            self.marks.popleft()
        if not self.open:
            self.open_since = None
        elif self.open_since is None or seen.stable != before.stable:
            self.open_since = now

    @property
    def waiting(self) -> int:
        """Offsets not counted yet."""
        return max(0, (self.seen.high or 0) - self.seen.position)

    @property
    def open(self) -> bool:
        """Whether a transaction is open somewhere behind the last stable offset."""
        return self.seen.stable is not None and self.seen.high is not None and self.seen.stable < self.seen.high

    @property
    def held(self) -> bool:
        """Whether what waits is in memory: then it is the job that waits, as it does at a close mark."""
        return self.seen.read > self.seen.position

    def oldest_s(self, now: float) -> float:
        """Age of the oldest record not counted."""
        if not self.waiting:
            return 0.0
        if self.seen.position < self.backlog and self.appended is not None:
            return now + self.appended
        return now - self.marks[0][0] if self.marks else now - self.moved_at


class Movement:
    """The inputs of a worker's partitions, by (catalogue name of the topic, partition)."""

    def __init__(self) -> None:
        self._inputs: dict[tuple[str, int], _Input] = {}

    def look(self, now: float, partition: int, seen: Mapping[str, InputSeen], *, working: bool) -> None:
        """What is seen of a partition now; `working`: the job computes, as at a large close, and may take its time."""
        for topic, one in seen.items():
            known = self._inputs.get((topic, partition))
            if known is None:
                known = self._inputs[topic, partition] = _Input(one, now, now, backlog=one.high or 0)
            if known.seen.high is None:
                known.backlog = one.high or 0
            if one.high is None:  # after a rebalance the client knows nothing; what was there is there
                one = one._replace(high=known.seen.high, stable=known.seen.stable)  # noqa: PLW2901
            known.look(now, one, working)

    def forget(self, partition: int) -> None:
        """The partition is another worker's now."""
        for place in [place for place in self._inputs if place[1] == partition]:
            del self._inputs[place]

    def reports(self, now: float) -> Iterator[tuple[str, int, InputReport]]:
        """(topic, partition, report) of every input."""
        for (topic, partition), known in self._inputs.items():
            opened = known.open_since
            yield topic, partition, InputReport(
                known.waiting, known.oldest_s(now), now - known.moved_at if known.waiting else 0.0,
                known.seen.stable if opened is not None else None, 0.0 if opened is None else now - opened,
            )  # fmt: skip

    def unknown_ages(self) -> list[tuple[str, int, int]]:
        """(topic, partition, offset) of records that were there before this worker: their age has to be asked for."""
        return [
            (topic, partition, known.seen.position)
            for (topic, partition), known in self._inputs.items()
            if known.waiting and known.seen.position < known.backlog
        ]

    def told(self, now: float, topic: str, partition: int, age_s: float) -> None:
        """How old the record is that was asked for."""
        if (known := self._inputs.get((topic, partition))) is not None:
            known.appended = max(0.0, age_s) - now

    def trouble(self, now: float) -> str:
        """Why the worker is not ready: something waits and nothing moves. Empty while all is well."""
        moved: dict[int, float] = {}
        for (_, partition), known in self._inputs.items():
            moved[partition] = max(moved.get(partition, known.moved_at), known.moved_at)
        # What is held waits for another input of its partition, and what can't be read is why: causes are said first.
        inputs = sorted(self._inputs.items(), key=lambda one: (one[1].held, not one[1].open, one[0]))
        found = [
            reason
            for (topic, partition), known in inputs
            if (reason := _reason(f"{topic}/{partition}", now, known, moved[partition]))
        ]
        more = [f"and {len(found) - REASONS_MAX} more inputs"] if len(found) > REASONS_MAX else []
        return "; ".join([*found[:REASONS_MAX], *more])


def _reason(name: str, now: float, known: _Input, partition_moved_at: float) -> str:
    # An input that the job holds back waits for the others of its partition: as long as one of them moves, it is in turn.
    still_s = now - (partition_moved_at if known.held else known.moved_at)
    if known.waiting and still_s >= STUCK_S:
        if known.open and not known.held:
            return (
                f"{name}: a producer has left a transaction open at offset {known.seen.stable}, "
                f"nothing behind it can be read; {known.waiting} offsets have waited for {still_s:.0f} s"
            )
        return f"{name}: {known.waiting} offsets wait, and nothing has moved for {still_s:.0f} s"
    if now - known.heard_at >= STUCK_S:
        return f"{name}: the brokers have answered no fetch for {now - known.heard_at:.0f} s"
    return ""
