"""The worker's Prometheus metrics and its health, served as /metrics, /livez and /readyz on a port of their own."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from agents.engine.watch.movement import InputReport
from deploy.probes import Probes, serve_probes
from deploy.probes import health as probe

ALIVE_S_MAX = 60.0  # the event loop may be busy with a close, but not for longer
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
BYTES = tuple(4.0**k for k in range(3, 13))

# What a job may count in Outcome.counts -> the metric's help text.
JOB_COUNTS = {
    "dead_letters": "Bad records written to dead-letters.",
    "references_shown": "Customers published under their new reference in a rotation.",
    "references_retired": "Customers whose previous reference was taken back in a rotation.",
    "published_anew": "Customers published anew after a takeover.",
    "misplaced": "Bad records under another key than their customer, or on another partition than their key's.",
    "missing_journal": "Journal numbers found missing.",
    "filled_journal": "Missing journal numbers that arrived after all.",
    "duplicates": "Events dropped because they had been applied before.",
    "restatements": "Restatements published.",
    "account_owner_breaks": "Further owners of accounts that both customers were told of.",
    "tier_changes": "Tier changes published.",
    "alerts": "Alerts raised or deepened.",
    "beyond_horizon": "Postings booked before the arrival horizon.",
    "closes": "Business days closed.",
    "closes_set_aside": "Closes that do not count: their run asked for a day too far behind the last close.",
    "flows_too_old": "Postings of a flow into a month that it no longer holds: they count in no flow.",
    "marks_set_aside": "Marks of sources that do not count: their day is too far behind the last close.",
    "held": "Evaluations held because something they need is missing.",
}
# What a job may answer in Job.days -> the metric's help text. A day is shown as the instant at which it begins in UTC.
JOB_DAYS = {
    "closed_day": "The last closed business day, as the instant at which it begins in UTC.",
    "booked_day": "The newest day on which a posting is booked, likewise.",
}
DAY_S = 86_400


class WorkerMetrics:
    """All collectors of one worker; registers nothing globally."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"tidegauge_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"tidegauge_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"tidegauge_{name}", text, buckets=buckets, registry=registry)

        self.inputs = {
            name: gauge(name, text, "topic", "partition")
            for name, text in {
                "lag_offsets": "Offsets between the high watermark and what is consumed.",
                "oldest_waiting_seconds": "Age of the oldest record that is not consumed yet.",
                "still_seconds": "For how long something has waited without any movement.",
                "open_transaction_offset": "First offset of a producer's open transaction; -1: none.",
                "open_transaction_seconds": "For how long that transaction has been seen open.",
            }.items()
        }
        self.held = gauge("held_bytes", "Bytes fetched but not yet consumed.", "topic", "partition")
        self.dirty = gauge("dirty_rows", "Rows changed since the last flush.", "partition")
        self.units = gauge("partitions", "Partition units by state.", "state")
        self.waiting = gauge("registry_waits", "Partition units that wait for the schema registry.")
        self.events = counter("events", "Events consumed.", "partition")
        self.block_bytes = histogram("block_bytes", "Uncompressed size of a fetched block.", BYTES)
        self.work_s = histogram("work_seconds", "Decoding and computing of one transaction's blocks.", SECONDS)
        self.transaction_s = histogram(
            "transaction_seconds", "From the first write of a transaction to its commit.", SECONDS
        )
        self.transactions = counter("transactions", "Transactions committed.", "partition")
        self.changelog_rows = counter("changelog_rows", "Rows written to the changelog.", "partition")
        self.flushes = counter("flushes", "Fences written.", "partition")
        self.recovery_s = gauge("recovery_seconds", "Duration of the partition's last recovery.", "partition")
        self.recovery_rows = gauge(
            "recovery_rows", "Changelog rows read by the partition's last recovery.", "partition"
        )
        self.recoveries = counter("recoveries", "Recoveries finished.", "partition")
        self.overlaps = counter("block_overlaps", "Blocks handed over again, in part or whole.", "topic", "partition")
        self.gaps = counter("block_gaps", "Blocks that began behind the expected offset.", "topic", "partition")
        self.corrupt = counter(
            "corrupt_batches", "Batches refused for a wrong checksum or an unknown format.", "topic", "partition"
        )
        self.dropped = counter("dropped_states", "Units that dropped their state.", "partition", "cause")
        self.shared_accounts = gauge(
            "shared_accounts", "Accounts under several customers, by their partition.", "partition"
        )
        self.throttled = counter("throttled_seconds", "For how long a quota of the brokers has held requests back.")
        self.other = counter("counted", "Whatever else a job counts.", "partition", "what")
        self.days = {name: gauge(f"{name}_timestamp_seconds", text, "partition") for name, text in JOB_DAYS.items()}
        self.sources = gauge(
            "source_booked_day_timestamp_seconds",
            "The newest day on which a posting of the source is booked, likewise; a day that can't be counts nowhere.",
            "partition", "source",
        )  # fmt: skip
        self._sources = defaultdict[int, set[str]](set)  # shown, by partition
        self.job = {name: counter(name, text, "partition") for name, text in JOB_COUNTS.items()}

    def count(self, partition: int, counts: Mapping[str, int]) -> None:
        """Add what a job counted; what has no metric of its own goes to one that names it."""
        for name, value in counts.items():
            if value:
                (self.job[name].labels(partition) if name in self.job else self.other.labels(partition, name)).inc(
                    value
                )

    def show(self, partition: int, days: Mapping[str, int], sources: Mapping[str, int] = MappingProxyType({})) -> None:
        """Where a job stands, and up to which day it has something of its sources."""
        for source, day in sources.items():
            self.sources.labels(partition, source).set(day * DAY_S)
        self._sources[partition].update(sources)
        for name, day in days.items():
            self.days[name].labels(partition).set(day * DAY_S)

    def move(self, topic: str, partition: int, report: InputReport) -> None:
        """How an input stands."""
        at = -1 if report.open_at is None else report.open_at
        values = (report.waiting, report.oldest_s, report.still_s, at, report.open_s)
        for gauge, value in zip(self.inputs.values(), values, strict=True):
            gauge.labels(topic, partition).set(value)

    def forget(self, topics: Iterable[str], partition: int) -> None:
        """A partition is another worker's now, which tells of it."""
        for topic in topics:
            for gauge in (*self.inputs.values(), self.held):
                gauge.remove(topic, str(partition))
        for gauge in (self.dirty, *self.days.values()):
            gauge.remove(str(partition))
        for source in self._sources.pop(partition, ()):
            self.sources.remove(str(partition), source)


class Health:
    """Alive: the event loop turns. Ready: the worker has its assignment, every unit of it has recovered, and what waits moves.

    failure, cause: why the worker has given up. stuck: why it is not ready although it lives.
    """

    def __init__(self) -> None:
        self.beat_at = time.monotonic()
        self.failure = ""
        self.cause: Exception | None = None
        self.ready: Callable[[], bool] = lambda: False
        self.stuck: Callable[[], str] = lambda: ""
        self.waiting: Callable[[], str] = lambda: ""

    def beat(self) -> None:
        """Called by the event loop every second."""
        self.beat_at = time.monotonic()

    def alive(self) -> bool:
        """False when the loop stands still or the worker has given up."""
        return not self.failure and time.monotonic() - self.beat_at < ALIVE_S_MAX


def serve_metrics(
    metrics: WorkerMetrics,
    health: Health,
    port: int,
    host: str = "127.0.0.1",
    about: Callable[[], Mapping[str, object]] = dict,
) -> Probes:
    """Serve until shutdown() of what is returned. Port 0 takes a free one; OSError if the port is taken.

    about: which worker it is, for `/worker`.
    """

    def problem(*, ready: bool) -> str:
        waits = (health.waiting() or health.stuck()) if ready else ""
        good = health.alive() and not waits and (not ready or health.ready())
        return "" if good else health.failure or waits or "not yet"

    routes = {
        "/metrics": lambda: (200, generate_latest(metrics.registry), CONTENT_TYPE_LATEST),
        "/worker": lambda: (200, json.dumps(about()).encode(), "application/json"),
        "/livez": probe(partial(problem, ready=False)),
        "/readyz": probe(partial(problem, ready=True)),
    }
    return serve_probes(routes, host, port)
