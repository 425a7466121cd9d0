"""What a partition's changelog says, without I/O: the engine's own rows, and the rows of a job in whatever format.

`@commit` holds the input offsets of the last transaction, `@fence` those for which the order-free rows are complete. A row
`@format-N` stands ahead of every row of format N: what lies ahead of it is older, and compaction keeps it in its place. So a
program that reads an older format knows of every row which it is, even when an upgrade was cut short.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from agents.engine.job import STATE_ANEW, Job, RecoveryError, Rows

FENCE, COMMIT, UPGRADE_MARK = b"@fence", b"@commit", b"@format-"
ENGINE = ord("@")  # the first byte of a key that is the engine's

log = logging.getLogger(__name__)


def format_mark(state_format: int) -> tuple[bytes, bytes]:
    """The row ahead of all rows of a format."""
    return UPGRADE_MARK + b"%d" % state_format, b"%d" % state_format


@dataclass(frozen=True, slots=True)
class Fence:
    """A point the job's order-free rows are complete for.

    `oldest`: the format of the oldest rows that still count, while an upgrade is writing them anew. The fence itself is of the
    new format from the upgrade's first transaction on: an older program has to keep off from then on.
    """

    state_format: int
    offsets: dict[str, int]
    meta: bytes
    oldest: int | None = None

    def encode(self) -> bytes:
        """As a changelog value: one line of JSON, then the job's meta."""
        head: dict[str, object] = {"format": self.state_format, "offsets": self.offsets}
        if self.oldest is not None:
            head["oldest"] = self.oldest
        return json.dumps(head).encode() + b"\n" + self.meta

    @classmethod
    def decode(cls, value: bytes) -> Fence:
        """The opposite of encode."""
        head, meta = value.split(b"\n", 1)
        fields = json.loads(head)
        return cls(fields["format"], fields["offsets"], meta, fields.get("oldest"))

    @property
    def rows_format(self) -> int:
        """The format of the oldest rows that count."""
        return self.state_format if self.oldest is None else self.oldest


def formats(job: Job) -> str:
    """The formats that a job reads, for messages."""
    return " and ".join(str(number) for number in sorted({*job.upgrades, job.state_format}))


def format_refusal(job: Job, state_format: int) -> str | None:
    """Why a program cannot read a changelog with rows of a format; None where it can."""
    if state_format > job.state_format:
        return (
            f"was written by a newer version (state format {state_format}, this one reads {formats(job)}): "
            "run the newer version"
        )
    if state_format < job.state_format and any(n not in job.upgrades for n in range(state_format, job.state_format)):
        return (
            f"has state format {state_format}, and this version reads {formats(job)}: "
            f"start a version in between first, it writes the state anew"
        )
    return None


def verdict(job: Job, fence: Fence) -> tuple[bool, str]:
    """(whether it can be read, what this program does with a changelog of that fence)."""
    for number in (fence.state_format, fence.rows_format):
        if (why := format_refusal(job, number)) is not None:
            return False, f"refuses: the changelog {why}"
    if fence.rows_format == job.state_format:
        return True, f"reads state format {job.state_format} as it is"
    return True, f"upgrades state format {fence.rows_format} to {job.state_format} at the start"


@dataclass(slots=True)
class Changelog:
    """The rows of one partition on their way into a job, block by block in log order.

    outdated: the last rows of an older format by key, as they are in the job's; those that stand in the job's format behind
    them are not among them. marked: the mark of the job's format has been met.
    """

    job: Job
    name: str  # of topic and partition, for messages
    fence: Fence | None = None
    committed: dict[str, int] | None = None
    rows: int = 0
    outdated: dict[bytes, bytes | None] = field(default_factory=dict)
    state_format: int = field(init=False)  # of the rows that come next
    marked: bool = False

    def __post_init__(self) -> None:
        self.state_format = self.job.unmarked_format

    def take(self, rows: Rows) -> None:
        """The next rows. Raises RecoveryError where a newer version has written."""
        engine = rows.raw[rows.key] == ENGINE
        places, start = np.flatnonzero(engine), 0
        for place, (key, value) in zip(places.tolist(), rows.take(engine), strict=True):
            if key == FENCE:
                self.fence = Fence.decode(value or b"")
            elif key == COMMIT:
                self.committed = json.loads(value or b"")
            elif key.startswith(UPGRADE_MARK):
                self._load(rows, engine, start, place)
                start = place + 1
                self._mark(int(value or b""))
        self._load(rows, engine, start, len(rows))

    def _mark(self, state_format: int) -> None:
        if state_format > self.job.state_format:
            raise RecoveryError(f"{self.name} {format_refusal(self.job, state_format)}")
        self.state_format, self.marked = state_format, state_format == self.job.state_format

    def _load(self, rows: Rows, engine: np.ndarray[tuple[int], np.dtype[np.bool_]], start: int, stop: int) -> None:
        """The job's own among rows [start, stop), which are all of one format."""
        given = rows.take(np.flatnonzero(~engine[start:stop]) + start)
        if not len(given):
            return
        self.rows += len(given)
        if self.state_format == self.job.state_format:
            self._given(given)
            for key, _ in given if self.outdated else ():
                self.outdated.pop(key, None)
        elif format_refusal(self.job, self.state_format) is None:
            given = upgraded(self.job, given, self.state_format)
            self._given(given)
            self.outdated |= dict(given)
        # Else: a format that is no longer read. Its rows were written anew long ago, or the fence says that they were not.

    def _given(self, rows: Rows) -> None:
        """Hands rows to the job."""
        try:
            self.job.load(rows)
        except (ValueError, KeyError, TypeError, IndexError) as problem:
            raise RecoveryError(
                f"{self.name} holds a row that no worker wrote ({problem}): "
                f"take the right to write there from whoever did; {STATE_ANEW}"
            ) from problem

    def usable_fence(self) -> Fence | None:
        """The last fence with its meta as the job's format has it. Raises RecoveryError where it cannot be read."""
        fence = self.fence
        if fence is None:
            if self.rows or self.committed:
                raise RecoveryError(f"{self.name} holds rows but no fence: was it cut? {STATE_ANEW}")
            return None
        for number in (fence.state_format, fence.rows_format):
            if (why := format_refusal(self.job, number)) is not None:
                raise RecoveryError(f"{self.name} {why}")
        meta = fence.meta
        for number in range(fence.state_format, self.job.state_format):
            meta = self.job.upgrades[number].meta(meta)
        oldest = fence.rows_format if fence.rows_format < self.job.state_format else None
        return Fence(self.job.state_format, fence.offsets, meta, oldest)


def upgraded(job: Job, rows: Rows, state_format: int) -> Rows:
    """Rows of an older format in the job's."""
    for number in range(state_format, job.state_format):
        changes = job.upgrades[number].rows
        kinds = np.frombuffer(b"".join(changes), np.uint8)
        if len(kinds) and np.isin(rows.raw[rows.key], kinds).any():
            rows = Rows.of([(key, _changed(changes.get(key[:1]), value)) for key, value in rows])
    return rows


def _changed(change: Callable[[bytes], bytes] | None, value: bytes | None) -> bytes | None:
    return value if change is None or value is None else change(value)


def rewriting(
    found: Changelog, fence: Fence, positions: dict[str, int], bytes_max: int
) -> Iterator[Sequence[tuple[bytes, bytes | None]]]:
    """The rows of the transactions that write a changelog anew, after its `fence` as it was found, up to `positions`.

    The last fence says that nothing old is left that counts. The mark is written once: written again, compaction would leave
    it behind rows of its format.
    """
    text = "%s: state format %d becomes %d: %d rows are written anew, and older versions can read it no more"
    log.warning(text, found.name, fence.rows_format, fence.state_format, len(found.outdated))
    part: list[tuple[bytes, bytes | None]] = [] if found.marked else [format_mark(fence.state_format)]
    size = 0
    commit = COMMIT, json.dumps(positions).encode()
    for key, value in found.outdated.items():
        if value is None:  # it was deleted, and stays so
            continue
        if size > bytes_max:
            yield [*part, (FENCE, fence.encode()), commit]
            part, size = [], 0
        part.append((key, value))
        size += len(key) + len(value)
    yield [*part, (FENCE, replace(fence, oldest=None).encode()), commit]
