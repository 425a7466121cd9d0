"""Canonical files out: what `canonical` reads, one file a topic, with the arrival day of every line."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

from connectors.formats.events import Event, Record
from connectors.formats.fields import calendar_date
from connectors.formats.layout import ARRIVES, FIELDS, INSTANTS, MONEY
from streams.calendar import date_of

FORMATS: Final = ("ndjson", "csv", "parquet")
_DATES: Final = {
    topic: [field.name for field in fields if field.parse is calendar_date] for topic, fields in FIELDS.items()
}


def row(event: Event) -> Record:
    """A record as a canonical line: dates and instants as ISO text, no nulls, and `arrives` where the day is known."""
    out = {name: value for name, value in event.record.items() if value is not None}
    for name in _DATES[event.topic]:
        if name in out:
            out[name] = date_of(out[name]).isoformat()
    if event.topic in INSTANTS:
        name = INSTANTS[event.topic]
        seconds, ms = divmod(out[name], 1000)
        moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=ms * 1000)
        out[name] = moment.isoformat(timespec="milliseconds")
    if event.day:
        out[ARRIVES] = date_of(event.day).isoformat()
    return out


def csv_columns(topic: str) -> list[str]:
    """Column names of a topic's CSV file."""
    names = [field.name for field in FIELDS[topic]]
    names += [MONEY[topic].minor] if topic in MONEY else []
    names += [INSTANTS[topic]] if topic in INSTANTS else []
    return [*names, ARRIVES]


def write_files(events: Iterable[Event], folder: Path, form: str) -> dict[str, int]:
    """Write `TOPIC.FORM` files into a folder (made if need be) and return the number of lines of each topic."""
    if form not in FORMATS:
        raise ValueError(f"{form!r} is none of {', '.join(FORMATS)}")
    folder.mkdir(parents=True, exist_ok=True)
    return _parquet(events, folder) if form == "parquet" else _text(events, folder, form)


def _text(events: Iterable[Event], folder: Path, form: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    streams: dict[str, TextIO] = {}
    writers: dict[str, Any] = {}
    try:
        for event in events:
            topic = event.topic
            if topic not in streams:
                streams[topic] = (folder / f"{topic}.{form}").open("w", encoding="utf-8", newline="")
                counts[topic] = 0
                if form == "csv":
                    writers[topic] = csv.DictWriter(streams[topic], csv_columns(topic), lineterminator="\n")
                    writers[topic].writeheader()
            counts[topic] += 1
            if form == "csv":
                writers[topic].writerow(_cells(row(event)))
            else:
                streams[topic].write(json.dumps(row(event), ensure_ascii=False, separators=(",", ":")) + "\n")
    finally:
        for stream in streams.values():
            stream.close()
    return counts


def _cells(record: Record) -> Record:
    """Booleans and maps as their JSON text."""
    return {
        name: json.dumps(value, ensure_ascii=False) if isinstance(value, bool | dict) else value
        for name, value in record.items()
    }


def _parquet(events: Iterable[Event], folder: Path) -> dict[str, int]:
    import pyarrow as pa  # here, as only this format needs it and it takes a while to load
    import pyarrow.parquet as pq

    rows: defaultdict[str, list[Record]] = defaultdict(list)
    for event in events:
        rows[event.topic].append(dict.fromkeys(csv_columns(event.topic)) | row(event))
    for topic, found in rows.items():
        for record in found:
            if "details" in record:
                record["details"] = json.dumps(record["details"], ensure_ascii=False)
        pq.write_table(pa.Table.from_pylist(found), folder / f"{topic}.parquet")
    return {topic: len(found) for topic, found in rows.items()}
