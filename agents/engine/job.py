"""What the block engine drives: the Job protocol, the blocks a job is fed, the outcome it hands back. No I/O."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from agents.engine.record_batches import Packed
from schemas.codec.batches import Lost

STATE_ANEW: Final = "`tidegauge world rebuild` lets workers build it from the log, and says what is published again"
"""What to do where a state is lost."""

Pair = tuple[bytes | None, bytes | None]  # key, value of one record


class TP(NamedTuple):
    """A topic (name as in the catalogue, without any prefix) and a partition index."""

    topic: str
    partition: int


class Rejoin(Exception):
    """A unit cannot go on from its memory; its partition starts again from what is committed."""


class FatalError(RuntimeError):
    """What ends a worker: it comes back however often it is tried. The message says what, where, and what to do."""


class RecoveryError(FatalError):
    """A partition's state cannot be restored from Kafka; the message names the partition and says what to do."""


@dataclass(slots=True)
class Block:
    """Everything of one partition in offsets [start, end).

    `batches` are uncompressed, committed v2 record batches in offset order, perhaps none: a fetch of control records
    only still moves the position. The first batch may hold records below `start`; batch checksums are not kept up.
    `lost` is what was left out of them, being beyond the bounds or not to be unpacked.
    """

    tp: TP
    start: int
    end: int
    batches: Sequence[bytes | memoryview]
    size: int  # bytes of all batches
    lost: Sequence[Lost] = ()


@dataclass(slots=True)
class Outcome:
    """What one `work` gave: visible in one transaction with the job's positions, or not at all."""

    outputs: Sequence[
        tuple[str, Sequence[Pair | Packed]]
    ] = ()  # (topic, records in order), to the unit's own partition
    rows: Sequence[Pair | Packed] = ()  # order-sensitive changelog rows; value None deletes
    events: int = 0  # events consumed
    more: bool = False  # work again at once: it stopped so that the transaction stays small
    counts: Mapping[str, int] = field(default_factory=dict)  # added to the metric of that name after the commit


@dataclass(slots=True)
class Rows:
    """Changelog rows in log order: key i is raw[key[i]:key_end[i]], value i likewise; value -1 for a deleted row.

    Iterating gives (key, value) pairs; a job for which that is too slow reads the columns.
    """

    raw: NDArray[np.uint8]
    key: NDArray[np.int64]
    key_end: NDArray[np.int64]
    value: NDArray[np.int64]
    value_end: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.key)

    def __iter__(self) -> Iterator[tuple[bytes, bytes | None]]:
        places = (column.tolist() for column in (self.key, self.key_end, self.value, self.value_end))
        for key, key_end, value, value_end in zip(*places, strict=True):
            yield self.raw[key:key_end].tobytes(), None if value < 0 else self.raw[value:value_end].tobytes()

    def take(self, chosen: NDArray[Any]) -> "Rows":
        """Some of the rows: by a mask or by their places."""
        columns = (column[chosen] for column in (self.key, self.key_end, self.value, self.value_end))
        return Rows(self.raw, *columns)

    @classmethod
    def of(cls, pairs: Iterable[tuple[bytes, bytes | None]]) -> "Rows":
        """From pairs."""
        given = list(pairs)
        parts = [part for key, value in given for part in (key, value or b"")]
        bounds = np.concatenate([[0], np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)))])
        value = np.where([value is None for _, value in given], -1, bounds[1:-1:2]) if given else bounds[:0]
        raw = np.frombuffer(b"".join(parts), np.uint8)
        return cls(raw, bounds[:-1:2], bounds[1::2], value.astype(np.int64), bounds[2::2])


@dataclass(frozen=True, slots=True)
class Upgrade:
    """How rows and fences of one state format read in the next.

    rows: by the first byte of a key, the value for the value of before. Kinds that are not named stay as they are. Keys stay,
    too: while rows are written anew, a row that became two could be cut in half. meta: the same of a fence's meta.
    """

    rows: Mapping[bytes, Callable[[bytes], bytes]]
    meta: Callable[[bytes], bytes]


class Job(Protocol):
    """The state of one partition index and what its events do to it: pure, synchronous, driven by one caller.

    The engine never repairs a job: after any failure the instance is dropped and a new one is restored.
    Keys of changelog rows must not begin with `@`: those belong to the engine.
    """

    @property
    def inputs(self) -> tuple[str, ...]:
        """The topics it reads."""

    @property
    def state_format(self) -> int:
        """The format that is written. It stands in every fence; older programs refuse it."""

    @property
    def upgrades(self) -> Mapping[int, Upgrade]:
        """From each older format that is still read to the next one."""

    @property
    def unmarked_format(self) -> int:
        """The format of rows ahead of every mark: of changelogs from before there were marks."""

    @property
    def idempotent(self) -> bool:
        """True: applying an event again changes nothing, so a flush may spread over transactions."""

    def begin(self, partition: int, positions: dict[str, int]) -> None:
        """Called once, after load and load_fence: the next offset expected of every input."""

    def feed(self, block: Block, stop: int | None = None) -> None:
        """Take a block's records in [next expected, min(end, stop)); raises Rejoin when the block starts later."""

    def held_bytes(self, topic: str) -> int:
        """Bytes fed but not yet consumed."""

    def work(self, live: bool) -> Outcome:
        """Consume all that can be; in a replay (live False) the outcome is dropped, order-sensitive state stays."""

    def has_own_work(self) -> bool:
        """Whether `work` is to be called after a recovery though nothing comes."""

    def days(self) -> Mapping[str, int]:
        """Where it stands, for metrics: days by the names of JOB_DAYS, those that are known."""

    def source_days(self) -> Mapping[str, int]:
        """For metrics: by what sends to it, the newest day of which it has something. At most some hundreds."""

    def positions(self) -> dict[str, int]:
        """Per input: everything below has been consumed. These are committed."""

    def dirty_count(self) -> int:
        """Order-free rows changed since they were last taken."""

    def take_dirty(self, rows_max: int | None) -> tuple[Sequence[Pair | Packed], bool]:
        """Up to rows_max changed rows (None: all), and whether all that were dirty when this flush began are out."""

    def take_elsewhere(self) -> Sequence[tuple[TP, Sequence[Pair | Packed]]]:
        """Records for partitions that need not be its own, and leave with the rows taken last: (place, records in order)."""

    def fence(self) -> bytes:
        """What the job wants to find again beside the fence's offsets; opaque to the engine."""

    def load(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Changelog rows in log order, as Rows or as pairs; called several times, on other threads."""

    def load_fence(self, meta: bytes) -> None:
        """The last fence's meta; not called when there is none."""
