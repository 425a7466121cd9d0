"""What every connector yields: events by topic, in the Avro contracts' own field names, and the errors of bad input.

Units: money is int minor units of the record's currency, days are days since 1970-01-01, instants are milliseconds
since the epoch, UTC. Records are plain dicts, as the Avro writer takes them; the TypedDicts say what is in them.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, TypedDict

from schemas import bounds
from schemas.letters import Original
from schemas.topics import KEYED

Record = dict[str, Any]


class Posting(TypedDict):
    """Record of `transactions`: one posting, its amount signed."""

    event_id: str
    source: str
    journal_seq: int
    customer_id: str
    account_id: str
    asset_class: str
    currency: str
    amount_minor: int
    value_date: int
    booked_at: int
    nature: str
    customer_initiated: bool
    branch: str
    channel: str | None
    counterparty_bank: str | None
    counterparty_ref: str | None
    reverses: str | None


class Snapshot(TypedDict):
    """Record of `balances`: the booked balance of an account at a cut-off instant."""

    event_id: str
    source: str
    customer_id: str
    account_id: str
    asset_class: str
    currency: str
    balance_minor: int
    cutoff_at: int
    business_day: int
    version: int
    opened_on: int | None
    branch: str


class Customer(TypedDict):
    """Record of `customers`: the profile as it is now."""

    event_id: str
    customer_id: str
    customer_class: str
    branch: str
    rm_id: str | None
    relationship_since: int | None
    birth_date: int | None
    card_held: str | None


class Fact(TypedDict):
    """Record of `facts`: a named number about a customer as of a day."""

    event_id: str
    customer_id: str
    name: str
    value: int
    as_of: int
    source: str


class Rate(TypedDict):
    """Record of `fx-rates`: base units for one unit of the currency, in millionths."""

    event_id: str
    currency: str
    base: str
    rate_micro: int
    rate_date: int
    version: int
    source: str


class CloseRecord(TypedDict):
    """Record of `business-days`: a closed day with the position of its mark in every input topic and partition."""

    business_day: int
    closed_at: int
    cut: list[dict[str, str | int]]
    asked: int | None
    last_closed: int | None
    force_reason: str | None
    retracts: int | None


class Event(NamedTuple):
    """One record on its way into `topic`; `day` is the business day on which it arrives."""

    day: int
    topic: str
    record: Record


class DayEnd(NamedTuple):
    """Stands behind the last event that arrives on `day`: the day can be closed."""

    day: int


class InputError(Exception):
    """A piece of input that cannot be taken: which file, line and field, and why. Bad usage or input exits with 2.

    `line` counts from 1 (0: the file as a whole); `original` is what a dead letter keeps of the line as it stood in the
    file, if there was one.
    """

    exit_code: Final = 2

    def __init__(self, file: str, line: int, field: str | None, reason: str, original: bytes | Original = b"") -> None:
        super().__init__(file, line, field, reason)
        self.file = file
        self.line = line
        self.field = field
        self.reason = reason
        self.original = original if isinstance(original, Original) else Original.of(original)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.field}: {self.reason}" if self.field else f"{place}: {self.reason}"


SPLIT: Final = "split it by business days"  # a file that is too large
Report = Callable[[InputError], None]  # what a reader does with a bad line before it goes on with the next


def held(events: Iterable[Event], path: Path, before: int = 0) -> Iterator[Event]:
    """Events that are going to be held in memory, beside `before` others; InputError where they are too many."""
    for count, event in enumerate(events, before + 1):
        if count > bounds.EVENTS_MAX:
            reason = f"more than {bounds.EVENTS_MAX:,} events, which are all held in memory: {SPLIT}"
            raise InputError(str(path), 0, None, reason)
        yield event


def refuse(problem: InputError) -> None:
    """The strictest Report: stop at the first bad line."""
    raise problem


def key_of(topic: str, record: Record) -> str:
    """The Kafka key of a record: the customer; of broadcast topics what identifies the version, for compaction."""
    if topic in KEYED:
        return str(record["customer_id"])
    if topic == "fx-rates":
        return f"{record['currency']}/{record['base']}/{record['rate_date']}/{record['version']}"
    if topic == "policies":
        return f"{record['pack_id']}/{record['version']}" + "/retract" * bool(record.get("retracted"))
    raise ValueError(f"no input topic: {topic}")


def events_only(stream: Iterator[Event | DayEnd]) -> Iterator[Event]:
    """Leave the day ends out."""
    return (item for item in stream if isinstance(item, Event))
