"""The closer: ends a business day by ONE transaction over all inputs (docs/architecture.md#day-close).

The transaction writes a mark into every partition of every input topic, and then close(D), with the marks' offsets as
its cut, into every partition of `business-days`; before it the days that lie between it and the last close, with the same
cut. Whatever closes days does so here, and is measured here. A partition unit that meets a mark waits until it has read
the whole cut, so every close is a function of the log alone. Transactions make marks and close appear together or not at
all, and a stable transactional id fences a second closer off.
"""

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, Message

from agents.engine.reader import LogRow, rows_to_the_end
from connectors.formats.events import CloseRecord, Record, key_of
from connectors.loading.closing_run import (
    NOTHING_KNOWN,
    RUN_DAYS_MAX,
    Closed,
    History,
    Known,
    RunPlan,
    applied,
    plan_run,
)
from connectors.loading.omissions import Omissions
from connectors.loading.publisher import PublishError, open_producer, partition_count, publish_errors
from deploy.settings import Settings
from schemas.codec.records import Encode, decode_one
from schemas.registry import Registry, registry_for
from schemas.topics import CLOSES, MARK, MARK_KEY, MARKED
from streams.calendar import DAY_MAX, DAY_MIN, date_of, shown_day
from streams.closing import NOTHING_LEFT_OUT, Run

log = logging.getLogger(__name__)

IMPORT_HEADER: Final = "import"  # on close(D): the import whose events of D stand before it
WAIT_S: Final = 30.0


class UnusualError(Exception):
    """What is asked for is beyond the ordinary, and nobody insists. `hint` says how to."""

    hint: Final = "if that is right, insist: --force --reason TEXT"


class ClosedRun(NamedTuple):
    """What a run has closed: its days, and the cut that they have in common."""

    days: range
    cut: list[dict[str, str | int]]


def wall_clock_ms() -> int:
    """Now, in ms since the epoch."""
    return time.time_ns() // 1_000_000


class CloseBook:
    """What is closed, and what a run would do. It writes nothing, and disturbs nobody who closes.

    `known` is what the workers know; without it days are measured by the last close alone.
    """

    def __init__(self, settings: Settings, known: Known = NOTHING_KNOWN) -> None:
        self._settings, self.known = settings, known
        self.history = history(settings, known.left_out)
        self.last = self.history.last

    def plan(self, day: int, *, own: bool = False) -> RunPlan:
        """What `close` would do. PublishError for a day that cannot be closed, and for too long a run.

        A day beyond those that events may have is refused: after it no other could be closed any more.
        """
        if not DAY_MIN <= day < DAY_MAX:
            raise PublishError(f"{shown_day(day)} cannot be closed: no event may be of such a day")
        plan = plan_run(day, self.last, self.known, own=own)
        if len(plan.days) > RUN_DAYS_MAX:
            reason = (
                f"{date_of(day)} is {len(plan.days)} days past the last close: one run closes up to {RUN_DAYS_MAX} days"
            )
            raise PublishError(reason, "is the day right? if it is, go there in several runs")
        return plan

    @staticmethod
    def require(plan: RunPlan, reason: str) -> None:
        """UnusualError for a run that needs a reason, and has none."""
        if plan.unusual and not reason:
            raise UnusualError("; ".join(plan.unusual))


class Closer(CloseBook):
    """Closes days, each once. PublishError when Kafka fails or another closer has taken over."""

    def __init__(
        self,
        settings: Settings,
        encode: Encode,
        clock_ms: Callable[[], int] = wall_clock_ms,
        known: Known = NOTHING_KNOWN,
    ) -> None:
        self._encode = encode
        self._clock_ms = clock_ms
        self._failed: list[KafkaError] = []
        self._producer = open_producer(settings, f"{settings.topic_prefix}tidegauge-closer")
        self._partitions = partition_count(self._producer, settings, (*MARKED, CLOSES))
        with publish_errors("cannot start closing days"):
            self._producer.init_transactions(WAIT_S)  # fences an older closer; its open transaction is ended
        super().__init__(settings, known)  # only now: nothing is closed behind it any more

    def close(self, day: int, source: str | None = None, *, own: bool = False, reason: str = "") -> ClosedRun | None:
        """Close a day and those between it and the last close; None if it or a later day is closed already.

        Everything that belongs to the days has to be in the topics before. `source` names an import (IMPORT_HEADER), `own`
        says that the day is one of its own. UnusualError for what needs a `reason`, and has none.
        """
        plan = self.plan(day, own=own)
        if not plan.days:
            return None
        self.require(plan, reason)
        with publish_errors(f"cannot close {date_of(day)}"):
            self._producer.begin_transaction()
            cut = self._marks(day)
            runs = Closed(day, source, day, plan.last, reason if plan.unusual else None)
            for each in plan.days:
                self._write(runs._replace(day=each), cut)
            self._flush()
            self._producer.commit_transaction(WAIT_S)
        self.last = day
        self.history.applied.extend(runs._replace(day=each) for each in plan.days)
        return ClosedRun(plan.days, cut)

    def retract(self, asked: int, reason: str) -> None:
        """Take back the runs that asked for a day and were set aside. It closes nothing, and has a key of its own."""
        with publish_errors(f"cannot take {date_of(asked)} back"):
            self._producer.begin_transaction()
            self._write(Closed(self.last or DAY_MIN, None, None, None, reason, asked), [])
            self._flush()
            self._producer.commit_transaction(WAIT_S)
        self.history.aside.remove(asked)

    def tell(self, topic: str, record: Record) -> None:
        """Send a record to all partitions between two closes: no close begins while it is sent, in no partition."""
        value, key = self._encode(topic, record), key_of(topic, record).encode()
        with publish_errors("not taken"):
            self._producer.begin_transaction()
            for partition in range(self._partitions):
                self._producer.produce(self._settings.topic(topic), value, key, partition, self._delivered)
            self._flush()
            self._producer.commit_transaction(WAIT_S)

    def shut(self) -> None:
        """Let go of the connections."""
        with warnings.catch_warnings():  # of a transaction that another closer has ended already
            warnings.simplefilter("ignore", RuntimeWarning)
            self._producer.close()

    def _marks(self, day: int) -> list[dict[str, str | int]]:
        """A mark into every partition of every input; their offsets, which are the cut."""
        offsets: dict[tuple[str, int], int] = {}

        def delivered(problem: KafkaError | None, message: Message) -> None:
            if problem is not None:
                self._failed.append(problem)
            else:
                offsets[message.topic() or "", message.partition() or 0] = message.offset() or 0

        mark = self._encode(MARK, {"business_day": day})
        places = [(topic, partition) for topic in MARKED for partition in range(self._partitions)]
        for topic, partition in places:
            self._producer.produce(self._settings.topic(topic), mark, MARK_KEY, partition, delivered)
        self._flush()
        return [
            {"topic": topic, "partition": partition, "offset": offsets[self._settings.topic(topic), partition]}
            for topic, partition in places
        ]

    def _write(self, closed: Closed, cut: list[dict[str, str | int]]) -> None:
        """A record into every partition of `business-days`."""
        record: CloseRecord = {
            "business_day": closed.day, "closed_at": self._clock_ms(), "cut": cut, "asked": closed.asked,
            "last_closed": closed.last_closed, "force_reason": closed.force_reason, "retracts": closed.retracts,
        }  # fmt: skip
        value, key = self._encode(CLOSES, dict(record)), _key_of(closed)
        headers: list[tuple[str, str | bytes | None]] = []
        if closed.source:
            headers.append((IMPORT_HEADER, closed.source.encode()))
        for partition in range(self._partitions):
            self._producer.produce(
                self._settings.topic(CLOSES), value, key, partition, on_delivery=self._delivered, headers=headers
            )

    def _delivered(self, problem: KafkaError | None, _message: Message) -> None:
        if problem is not None:
            self._failed.append(problem)

    def _flush(self) -> None:
        waiting = self._producer.flush(WAIT_S)
        if self._failed or waiting:
            failed, self._failed = self._failed, []
            self._producer.abort_transaction(WAIT_S)
            raise PublishError(f"the marks were not taken: {failed[0].str() if failed else 'no answer'}")


def history(settings: Settings, left_out: frozenset[Run] = NOTHING_LEFT_OUT) -> History:
    """What the closes in the log have come to; `left_out` don't count. Errors as of `all_closes`."""
    return applied(all_closes(settings), left_out)


def all_closes(settings: Settings) -> list[Closed]:
    """Every close in the log, and what takes some back (they are few: a record a day, kept for 15 months).

    What is no close is passed over. PublishError when Kafka fails, RegistryError when the schema registry does.
    """
    registry = registry_for(settings)
    with publish_errors(f"cannot read {settings.topic(CLOSES)}"):
        return list(_closes(settings, registry))


def _closes(settings: Settings, registry: Registry) -> Iterator[Closed]:
    """Those that are closes, in the order of the log."""
    foreign = Omissions()
    for row in rows_to_the_end(settings.kafka, settings.topic(CLOSES)):
        try:
            yield _closed(row, registry)
        except ValueError as why:  # RecordError too
            foreign.add(row.offset, why)
    foreign.tell(log, settings.topic(CLOSES), "no close")


def _closed(row: LogRow, registry: Registry) -> Closed:
    """The close in a record; ValueError where it is none: a value or a key of others, a day that never can be closed."""
    record, source = decode_one(row.value or b"", registry, name=CLOSES), row.headers.get(IMPORT_HEADER)
    closed = Closed(
        record["business_day"], None if source is None else source.decode(errors="replace"),
        *(record[name] for name in ("asked", "last_closed", "force_reason", "retracts")),
    )  # fmt: skip
    if not DAY_MIN <= closed.day < DAY_MAX or row.key != _key_of(closed):
        raise ValueError(f"key {row.key!r} with day {closed.day}")
    return closed


def _key_of(closed: Closed) -> bytes:
    day = shown_day(closed.day if closed.retracts is None else closed.retracts)
    return (day if closed.retracts is None else f"retract/{day}").encode()
