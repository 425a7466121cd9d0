"""The view writer's Prometheus metrics, read from its counts when they are asked for."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from deploy.probes import health, serve_probes
from services.views.projections import PROJECTIONS

if TYPE_CHECKING:
    from services.views.sweep.sweeper import SweepCounts
    from services.views.writer import ViewWriter


class ViewMetrics(Collector):
    """What a writer has done and how far it is behind."""

    def __init__(self, writer: "ViewWriter", swept: "SweepCounts | None" = None) -> None:
        self.writer, self.swept = writer, swept

    def collect(self) -> Iterator[Metric]:
        """The families, made anew each time."""
        counts = self.writer.counts
        yield CounterMetricFamily("tidegauge_view_records", "Records fetched for the view.", counts.records)
        yield CounterMetricFamily("tidegauge_view_rejected", "Records that could not be read.", counts.rejected)
        yield CounterMetricFamily("tidegauge_view_moved", "Times the store stood elsewhere than thought.", counts.moved)
        lacking = GaugeMetricFamily(
            "tidegauge_view_lacking", "Keys whose last record could not be read.", labels=["topic", "partition"]
        )
        for source, keys in dict(counts.lacking).items():
            topic, _, partition = source.rpartition(":")
            lacking.add_metric([topic, partition], keys)
        yield lacking
        unseen = GaugeMetricFamily(
            "tidegauge_view_unseen",
            "Stretches of records that could not be read, nor whose they are.",
            labels=["topic", "partition"],
        )
        for source, stretches in dict(counts.unseen).items():
            topic, _, partition = source.rpartition(":")
            unseen.add_metric([topic, partition], stretches)
        yield unseen
        behind = GaugeMetricFamily(
            "tidegauge_view_behind", "Offsets to go, as of about a second ago.", labels=["topic", "partition"]
        )
        for source, offsets in dict(counts.behind).items():
            topic, _, partition = source.rpartition(":")
            behind.add_metric([topic, partition], offsets)
        yield behind
        if self.swept is not None:
            yield from _of_sweeps(self.swept)


def _of_sweeps(swept: "SweepCounts") -> Iterator[Metric]:
    """What the sweeps over the rows found."""
    yield GaugeMetricFamily("tidegauge_view_rows", "Rows that the last sweep looked at.", swept.rows)
    yield GaugeMetricFamily(
        "tidegauge_view_sweep_seconds", "How long the last sweep over the rows took.", swept.seconds
    )
    yield CounterMetricFamily("tidegauge_view_wrong_rows", "Rows found missing or changed.", swept.wrong)
    yield CounterMetricFamily("tidegauge_view_mended_rows", "Rows written anew from their records.", swept.mended)
    yield CounterMetricFamily("tidegauge_view_evicted_keys", "Keys that the server evicted meanwhile.", swept.evicted)
    whole = GaugeMetricFamily(
        "tidegauge_view_whole", "1 while no row of the topic is known to be missing, else 0.", labels=["topic"]
    )
    trouble = dict(swept.trouble)
    for topic in PROJECTIONS:
        whole.add_metric([topic], 0 if topic in trouble else 1)
    yield whole


def serve_view_metrics(writer: "ViewWriter", swept: "SweepCounts", port: int, host: str = "127.0.0.1") -> None:
    """Serve metrics and health from a thread until the process ends; OSError if the port is taken."""
    registry = CollectorRegistry()
    registry.register(ViewMetrics(writer, swept))
    good = health(lambda: "")  # a writer that can't write waits: it is no better when started again
    metrics = lambda: (200, generate_latest(registry), CONTENT_TYPE_LATEST)  # noqa: E731
    serve_probes({"/metrics": metrics, "/livez": good, "/readyz": good}, host, port)
