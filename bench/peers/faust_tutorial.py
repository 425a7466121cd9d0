"""J1 as Faust's tutorial teaches it: an agent, an event at a time, a Table with a changelog."""

from __future__ import annotations

import datetime as dt
import io
import sys
from pathlib import Path
from typing import Any

import fastavro
import faust

from bench.measure import stamp
from bench.peers.task import Task

WIRE_BYTES = 5
EPOCH = dt.date(1970, 1, 1).toordinal()
THRESHOLDS = (0, 10**9, 10**10, 10**11)


def build(task: Task) -> faust.App:
    """The app."""
    schema = fastavro.parse_schema(task.schema())
    app = faust.App(
        task.group,
        broker=[f"kafka://{server}" for server in task.servers.split(",")],
        store="memory://",
        topic_partitions=task.partitions,
        topic_replication_factor=1,
        web_enabled=False,
        datadir=Path(task.folder),
        consumer_auto_offset_reset="earliest",
    )
    raw = {"key_serializer": "raw", "value_serializer": "raw"}
    events = app.topic(task.topic, key_type=bytes, value_type=bytes, **raw)
    changes = app.topic(task.output, key_type=str, value_type=str, partitions=task.partitions, **raw)
    accounts = app.Table("accounts", partitions=task.partitions, key_type=str)

    @app.agent(events)
    async def process(stream: Any) -> None:
        seen = False
        async for value in stream:
            if not seen:
                seen = True
                print(stamp.line(), file=sys.__stdout__, flush=True)
            event: Any = fastavro.schemaless_reader(io.BytesIO(value[WIRE_BYTES:]), schema)
            key = event["customer_id"]
            amount = event["amount"] if event["kind"] in ("DEPOSIT", "TRANSFER_IN") else -event["amount"]
            day = event["value_date"].toordinal() - EPOCH
            row = accounts.get(key) or {"balance": 0, "integral": 0, "month": [0] * 13, "tier": 0}
            row["balance"] += amount
            row["integral"] += amount * day
            since = day - 20500
            row["month"][since // 30 % 13] += amount * (30 - since % 30)
            old, reached = row["tier"], row["integral"] // 1000
            row["tier"] = sum(reached >= threshold for threshold in THRESHOLDS)
            accounts[key] = row
            if row["tier"] != old:
                await changes.send(key=key, value=f"{key},{old},{row['tier']}")

    @app.on_before_shutdown.connect
    async def tell(*_: Any, **__: Any) -> None:
        rows = list(accounts.values())
        totals = (sum(row["balance"] for row in rows), sum(row["integral"] for row in rows))
        print(stamp.sums(*totals, sum(sum(row["month"]) for row in rows)), file=sys.__stdout__, flush=True)

    return app


if __name__ == "__main__":
    application = build(Task.given())
    sys.argv = ["tutorial", "worker", "-l", "warn", "--without-web"]
    application.main()
