"""J1 as Faust's tutorial teaches it: an agent, an event at a time, a Table with a changelog."""

from __future__ import annotations

import datetime as dt
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import fastavro
import faust

from bench.j1 import SCHEMA, TOPIC
from deploy.settings import Settings

WIRE_BYTES = 5
OUTPUT = "tutorial-tiers"
EPOCH = dt.date(1970, 1, 1).toordinal()
THRESHOLDS = (0, 10**9, 10**10, 10**11)


def build(settings: Settings) -> faust.App:
    """The app."""
    schema = fastavro.parse_schema(SCHEMA)
    app = faust.App(
        settings.group,
        broker=[f"kafka://{server}" for server in settings.kafka.split(",")],
        store="memory://",
        topic_partitions=settings.partitions,
        topic_replication_factor=1,
        web_enabled=False,
        datadir=Path(tempfile.mkdtemp(prefix="faust-tutorial-")),
        consumer_auto_offset_reset="earliest",
    )
    raw = {"key_serializer": "raw", "value_serializer": "raw"}
    events = app.topic(settings.topic(TOPIC), key_type=bytes, value_type=bytes, **raw)
    changes = app.topic(settings.topic(OUTPUT), key_type=str, value_type=str, partitions=settings.partitions, **raw)
    accounts = app.Table("accounts", partitions=settings.partitions, key_type=str)

    @app.agent(events)
    async def process(stream: Any) -> None:
        async for value in stream:
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

    return app


if __name__ == "__main__":
    application = build(Settings())
    sys.argv = ["tutorial", "worker", "-l", "warn", "--without-web"]
    application.main()
