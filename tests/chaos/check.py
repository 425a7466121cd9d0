"""The independent side of a chaos run: the log read one event at a time, compared with what the workers left."""

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as TP

from agents.engine.recovery import read_state
from deploy.connections.clients import librdkafka
from tests.engine.counter_job import CUSTOMERS, THRESHOLDS, CounterJob

if TYPE_CHECKING:
    from tests.chaos.run import Run

Pair = tuple[bytes | None, bytes | None]


def read(
    kafka: str, topic: str, partition: int, isolation: str = "read_committed"
) -> list[tuple[int, bytes | None, bytes | None]]:
    """Offset, key and value of everything in a partition."""
    consumer = Consumer(
        {**librdkafka(kafka), "group.id": "check", "isolation.level": isolation, "enable.partition.eof": True,
         "enable.auto.commit": False, "log_level": 0, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 10}
    )  # fmt: skip
    consumer.assign([TP(topic, partition, 0)])
    out = []
    try:
        while True:
            for m in consumer.consume(10000, 0.05):
                if m.error():
                    return out
                out.append((m.offset(), m.key(), m.value()))
    finally:
        consumer.close()


class Reference:
    """The counter job in plain Python, one record at a time."""

    def __init__(self, run: "Run", partition: int):
        self.sums: dict[int, list[int]] = {}
        self.tiers: dict[int, list[int]] = {}
        self.outputs: dict[str, list[Pair]] = {t: [] for t in CounterJob.inputs}
        self.dead: dict[str, list[Pair]] = {t: [] for t in CounterJob.inputs}
        self.totals: dict[str, dict[int, int]] = {t: {} for t in CounterJob.inputs}  # mark -> sum of all so far
        logs = {t: read(run.settings.kafka, run.settings.topic(t), partition) for t in CounterJob.inputs}
        marks = [
            max((int.from_bytes(v[1:], "big") for _, _, v in logs[t] if v and v[:1] == b"M" and len(v) == 9), default=0)
            for t in logs
        ]
        self.closed, self.positions = min(marks), {}
        for i, topic in enumerate(CounterJob.inputs):
            self.positions[topic] = self.take(i, topic, partition, logs[topic])

    def take(self, i: int, topic: str, partition: int, log: list[tuple[int, bytes | None, bytes | None]]) -> int:
        """Consume an input up to its first mark that the other one doesn't have; gives the last offset consumed."""
        total, last = 0, -1
        for offset, key, value in log:
            value = value or b""
            if len(value) == 9 and value[:1] == b"M":
                number = int.from_bytes(value[1:], "big")
                if number > self.closed:
                    return last
                self.totals[topic].setdefault(number, total)
            elif key is not None and len(key) == 8 and len(value) == 8:
                customer, amount = int.from_bytes(key, "big"), int.from_bytes(value, "big", signed=True)
                row, tier = self.sums.setdefault(customer, [0, 0]), self.tiers.setdefault(customer, [0, 0])
                row[i], total = row[i] + amount, total + amount
                reached = sum(row[i] >= limit for limit in THRESHOLDS)
                if reached != tier[i]:
                    self.outputs[topic].append(
                        (key, b"%s/%d/%d %d>%d" % (topic.encode(), partition, offset, tier[i], reached))
                    )
                    tier[i] = reached
            else:
                self.dead[topic].append((b"%s/%d/%d" % (topic.encode(), partition, offset), value))
            last = offset
        return last

    def closes(self) -> list[Pair]:
        """What was published at each mark."""
        return [
            (b"%d" % n, b"%d %d" % (self.totals["left"][n], self.totals["right"][n])) for n in range(1, self.closed + 1)
        ]


def reachable(run: "Run") -> dict[tuple[str, int], int]:
    """Offsets that can be committed, by input and partition: below the first mark the other input lacks, no control records."""
    return {(t, p): last + 1 for p in range(run.partitions) for t, last in Reference(run, p).positions.items()}


def of(topic: str, pairs: list[Pair]) -> list[Pair]:
    """The outputs caused by one input, in order."""
    return [x for x in pairs if (x[1] or b"").startswith(topic.encode()) or (x[0] or b"").startswith(topic.encode())]


def compare(run: "Run") -> None:
    """Raise AssertionError unless state and outputs of every partition equal the reference byte for byte."""
    began, outputs, hidden, events = time.monotonic(), 0, 0, 0
    for p in range(run.partitions):
        want = Reference(run, p)
        job = asyncio.run(read_state(run.settings, lambda: CounterJob("rows_max" in run.options), p))
        assert isinstance(job, CounterJob)
        sums, tiers = np.zeros((CUSTOMERS, 2), np.int64), np.zeros((CUSTOMERS, 2), np.int8)
        for customer, row in want.sums.items():
            sums[customer], tiers[customer] = row, want.tiers[customer]
        got = {
            t: [(k, v) for _, k, v in read(run.settings.kafka, run.settings.topic(t), p)]
            for t in ("tiers", "dead", "closes")
        }
        wrong = []
        if not np.array_equal(job.sums, sums):
            wrong.append(f"{int((job.sums != sums).any(axis=1).sum())} customers' sums")
        if not np.array_equal(job.tier, tiers):
            wrong.append(f"{int((job.tier != tiers).any(axis=1).sum())} customers' tiers")
        for topic in CounterJob.inputs:
            if of(topic, got["tiers"]) != want.outputs[topic]:
                wrong.append(f"tiers from {topic}: {difference(of(topic, got['tiers']), want.outputs[topic])}")
            if of(topic, [(k, v) for k, v in got["dead"] if (k or b"").startswith(topic.encode())]) != want.dead[topic]:
                wrong.append(f"dead letters from {topic}")
            if job.positions()[topic] <= want.positions[topic]:
                wrong.append(f"position {job.positions()[topic]} of {topic}, {want.positions[topic]} was the last")
        if len(got["tiers"]) != sum(map(len, want.outputs.values())):
            wrong.append("number of tiers")
        if got["closes"] != want.closes():
            wrong.append(f"closes: {difference(got['closes'], want.closes())}")
        assert not wrong, f"partition {p}: {'; '.join(wrong)}; group {run.settings.group}, logs in {run.logs}"
        outputs, events = outputs + len(got["tiers"]), events + sum(map(len, want.sums.values()))
        hidden += len(read(run.settings.kafka, run.settings.topic("tiers"), p, "read_uncommitted")) - len(got["tiers"])
    run.say(
        f"EXACT: {outputs} outputs, {want.closed} closes, {hidden} outputs of aborted transactions hidden"
        f" ({time.monotonic() - began:.1f} s)"
    )


def difference(got: list[Pair], want: list[Pair]) -> str:
    """Where two lists part."""
    at = next((i for i, (g, w) in enumerate(zip(got, want, strict=False)) if g != w), min(len(got), len(want)))
    first = f"{got[at : at + 2]} instead of {want[at : at + 2]}"
    return f"{len(got)} instead of {len(want)}, first difference at {at}: {first}"
