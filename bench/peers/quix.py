"""J1 as Quix Streams' documentation writes it: a data frame, a stateful step an event, RocksDB and a changelog."""

from __future__ import annotations

import datetime as dt
from typing import Any

from quixstreams import Application
from quixstreams.models.serializers.avro import AvroDeserializer

from bench.measure import stamp
from bench.peers.task import Task

WIRE_BYTES = 5
COMMIT_S = 1.0
EPOCH = dt.date(1970, 1, 1).toordinal()
THRESHOLDS = (0, 10**9, 10**10, 10**11)


class FramedDeserializer(AvroDeserializer):
    """Avro behind the five bytes that name its schema, which is known here."""

    def __call__(self, value: bytes, ctx: Any) -> Any:
        """The record."""
        return super().__call__(value[WIRE_BYTES:], ctx)


class Job:
    """The step, and totals of the state beside it."""

    def __init__(self) -> None:
        self.seen, self.totals = False, [0, 0, 0]

    def step(self, event: dict[str, Any], state: Any) -> str | None:
        """One event; the change of tier, if there is one."""
        if not self.seen:
            self.seen = True
            print(stamp.line(), flush=True)
        key = event["customer_id"]
        amount = event["amount"] if event["kind"] in ("DEPOSIT", "TRANSFER_IN") else -event["amount"]
        day = event["value_date"].toordinal() - EPOCH
        row = state.get("account") or {"balance": 0, "integral": 0, "month": [0] * 13, "tier": 0}
        since = day - 20500
        added = (amount, amount * day, amount * (30 - since % 30))
        row["balance"] += added[0]
        row["integral"] += added[1]
        row["month"][since // 30 % 13] += added[2]
        old, reached = row["tier"], row["integral"] // 1000
        row["tier"] = sum(reached >= threshold for threshold in THRESHOLDS)
        state.set("account", row)
        self.totals = [total + part for total, part in zip(self.totals, added, strict=True)]
        return f"{key},{old},{row['tier']}" if row["tier"] != old else None


def main(task: Task) -> None:
    """Runs until it is stopped."""
    app = Application(
        task.servers,
        consumer_group=task.group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        state_dir=task.folder,
        commit_interval=COMMIT_S,
        loglevel="WARNING",
    )
    events = app.topic(task.topic, key_deserializer="str", value_deserializer=FramedDeserializer(schema=task.schema()))
    changes = app.topic(task.output, key_serializer="str", value_serializer="str")
    job = Job()
    frame = app.dataframe(events).apply(job.step, stateful=True)
    frame.filter(lambda change: change is not None).to_topic(changes)
    app.run()
    print(stamp.sums(*job.totals), flush=True)


if __name__ == "__main__":
    main(Task.given())
