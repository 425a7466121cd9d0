"""What every partition has to know, into all of them in one transaction: packs, marks of sources, the bank's calendar."""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Final

from connectors.formats.events import Fact, InputError, Record, key_of
from connectors.loading.closer import WAIT_S
from connectors.loading.publisher import open_producer, partition_count, publish_errors
from deploy.settings import Settings
from schemas import bounds
from schemas.bounded import read_bounded
from schemas.codec.records import Encode
from streams.calendar import date_of, day_of
from streams.closing import MARK_ORDINARY

FACTS: Final = "facts"
FORCED_HEADER: Final = "forced"  # why a record was sent that is beyond the ordinary
STATES: Final = {"open": 1, "closed": 0}


def broadcast(settings: Settings, encode: Encode, topic: str, records: Iterable[Record], reason: str = "") -> None:
    """Sends records to all partitions of a topic or to none. PublishError when Kafka fails or another one has taken over.

    A `reason` says why they were forced, and goes with each as a header.
    """
    headers: list[tuple[str, str | bytes | None]] = [(FORCED_HEADER, reason.encode())] if reason else []
    producer = open_producer(settings, f"{settings.topic_prefix}tidegauge-{topic}")
    partitions = partition_count(producer, settings, (topic,))
    try:
        with publish_errors("not taken"):
            producer.init_transactions(WAIT_S)
            producer.begin_transaction()
            for record in records:
                value, key = encode(topic, record), key_of(topic, record).encode()
                for partition in range(partitions):
                    producer.produce(settings.topic(topic), value, key, partition, headers=headers)
            producer.commit_transaction(WAIT_S)
    finally:
        producer.close()


def complete(source: str, day: int, kind: int = MARK_ORDINARY) -> Fact:
    """The mark of a source that has sent everything up to a day; for every partition. `kind`: see streams.closing."""
    return Fact(
        event_id=f"{source}/complete/{date_of(day)}", customer_id="@source", name="source_complete", value=kind,
        as_of=day, source=source,
    )  # fmt: skip


def bank_open(day: int, is_open: bool) -> Fact:
    """Whether the bank is open on a day; for every partition."""
    return Fact(
        event_id=f"calendar/{date_of(day)}/{int(is_open)}", customer_id="@calendar", name="bank_open", value=int(is_open),
        as_of=day, source="calendar",
    )  # fmt: skip


def read_calendar(path: Path) -> Iterator[Fact]:
    """The days of a calendar file, CSV with the columns date and bank (open or closed). InputError names the line."""
    try:
        text = read_bounded(path, bounds.SMALL_FILE_BYTES_MAX, "split it by years").decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise InputError(str(path), 0, None, f"no UTF-8 at byte {problem.start + 1}: save it as UTF-8") from problem
    try:
        yield from _days(path, text)
    except csv.Error as problem:
        raise InputError(str(path), 0, None, f"no CSV: {problem}") from problem


def _days(path: Path, text: str) -> Iterator[Fact]:
    """The days of a calendar's text."""
    rows = csv.DictReader(io.StringIO(text, newline=""))
    if rows.fieldnames != ["date", "bank"]:
        raise InputError(str(path), 1, None, "the columns have to be date,bank")
    empty = True
    for row in rows:
        empty = False
        line = rows.line_num
        try:
            day = day_of(date.fromisoformat(row["date"] or ""))
        except ValueError as problem:
            raise InputError(str(path), line, "date", f"{row['date']!r} is no date such as 2026-10-01") from problem
        if row["bank"] not in STATES:
            raise InputError(str(path), line, "bank", f"{row['bank']!r} is neither open nor closed")
        yield bank_open(day, row["bank"] == "open")
    if empty:
        raise InputError(str(path), 0, None, "holds no days")
