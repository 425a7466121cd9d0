"""What the simulated bank sent, as flat tables for the SQL oracle: raw events with the day of their arrival."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from tidegauge.demo import oracle

if TYPE_CHECKING:
    import duckdb

    from connectors.formats.events import Event

ARRIVED: Final = "arrived"
# What is kept of each topic; `day:` columns hold day numbers and become dates.
KEPT: Final[dict[str, tuple[str, ...]]] = {
    "transactions": (
        "event_id", "source", "journal_seq", "customer_id", "account_id", "asset_class", "currency", "amount_minor",
        "day:value_date", "booked_at", "nature", "reverses",
    ),
    "balances": (
        "customer_id", "account_id", "asset_class", "currency", "balance_minor", "cutoff_at", "day:business_day",
        "version", "day:opened_on", "event_id",
    ),
    "fx-rates": ("currency", "base", "rate_micro", "day:rate_date", "version", "event_id"),
    "customers": ("customer_id",),
}  # fmt: skip
_TABLES: Final = {"transactions": "raw_postings", "balances": "raw_snapshots", "fx-rates": "raw_rates"}
_NOT_RAW: Final = {"transactions": ("event_id", "nature", "reverses")}  # kept beside what the oracle's table has


def sent_table(topic: str) -> str:
    """Name of the table that holds everything sent to a topic."""
    return f"sent_{topic.replace('-', '_')}"


class Sent:
    """Collects events by column, in the order in which they were sent. For one writer."""

    def __init__(self) -> None:
        self._columns: dict[str, dict[str, list[Any]]] = {
            topic: {name: [] for name in (ARRIVED, *names)} for topic, names in KEPT.items()
        }
        self._lists = {
            topic: [(name.removeprefix("day:"), column.append) for name, column in columns.items() if name != ARRIVED]
            for topic, columns in self._columns.items()
        }

    def add(self, event: Event) -> None:
        """Keep an event that goes into its topic on business day `event.day`."""
        if event.topic in KEPT:
            self._columns[event.topic][ARRIVED].append(event.day)
            record = event.record
            for name, append in self._lists[event.topic]:
                append(record[name])

    def counts(self) -> dict[str, int]:
        """How many events each topic got."""
        return {topic: len(columns[ARRIVED]) for topic, columns in self._columns.items()}

    def load(self, con: duckdb.DuckDBPyConnection, zone: str = oracle.BANK_ZONE) -> None:
        """Make the tables `sent_*` and the oracle's empty ones."""
        oracle.create_tables(con, zone)
        for topic, columns in self._columns.items():
            arrow = pa.table({name.removeprefix("day:"): column for name, column in columns.items()})
            con.register("arriving", arrow)
            dates = [name.removeprefix("day:") for name in columns if name.startswith("day:")]
            replaced = ", ".join(f"DATE '1970-01-01' + {name}::INTEGER AS {name}" for name in dates)
            shape = f"* REPLACE ({replaced})" if replaced else "*"
            con.execute(f"CREATE OR REPLACE TABLE {sent_table(topic)} AS SELECT {shape} FROM arriving")
            con.unregister("arriving")


def known(con: duckdb.DuckDBPyConnection, day: int) -> None:
    """Fill the oracle's tables with what had arrived by the end of business day `day`."""
    for topic, table in _TABLES.items():
        left_out = ", ".join((ARRIVED, *_NOT_RAW.get(topic, ())))
        con.execute(f"DELETE FROM {table}")
        con.execute(
            f"INSERT INTO {table} BY NAME SELECT * EXCLUDE ({left_out}) FROM {sent_table(topic)} WHERE {ARRIVED} <= ?",
            [day],
        )
