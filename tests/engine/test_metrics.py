"""Metrics and health as they are served. That docs/metrics.md lists them: tests/docs/test_metrics.py."""

import time
from collections.abc import Iterator

import pytest

from agents.engine import metrics
from agents.engine.metrics import Health, WorkerMetrics, serve_metrics
from tests.engine.world import get


@pytest.fixture
def served() -> Iterator[tuple[WorkerMetrics, Health, int]]:
    """A server on a free port."""
    made, health = WorkerMetrics(), Health()
    server = serve_metrics(made, health, 0)
    yield made, health, server.server_port
    server.shutdown()
    server.server_close()


def test_what_a_job_counts_is_served(served: tuple[WorkerMetrics, Health, int]) -> None:
    """Names of JOB_COUNTS have metrics of their own, others share one that names them."""
    made, _, port = served
    made.count(3, {"dead_letters": 2, "something": 5, "closes": 0})
    text = get(port, "/metrics")[1]
    assert 'tidegauge_dead_letters_total{partition="3"} 2.0' in text
    assert 'tidegauge_counted_total{partition="3",what="something"} 5.0' in text


def test_days_of_a_job_are_instants(served: tuple[WorkerMetrics, Health, int]) -> None:
    """A day that is not known has no figure; a partition that went to another worker has none either."""
    made, _, port = served
    made.show(1, {"closed_day": 20_000}, {"core": 20_001, "cards": 19_000})
    text = get(port, "/metrics")[1]
    assert 'tidegauge_source_booked_day_timestamp_seconds{partition="1",source="cards"} 1.6416e+09' in text
    assert 'tidegauge_closed_day_timestamp_seconds{partition="1"} 1.728e+09' in text
    assert "tidegauge_booked_day_timestamp_seconds{" not in text
    made.forget([], 1)
    assert "timestamp_seconds{" not in get(port, "/metrics")[1]


def test_health(served: tuple[WorkerMetrics, Health, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ready only when alive and recovered; a failure is told to whoever asks."""
    _, health, port = served
    assert get(port, "/livez")[0] == 200
    assert get(port, "/readyz") == (503, "not yet\n")
    health.ready = lambda: True
    assert get(port, "/readyz") == (200, "ok\n")
    health.waiting = lambda: "partition 2 waits for the schema registry: no answer"
    assert get(port, "/readyz") == (503, "partition 2 waits for the schema registry: no answer\n")
    assert get(port, "/livez")[0] == 200
    health.waiting = lambda: ""
    health.beat_at = time.monotonic() - metrics.ALIVE_S_MAX - 1
    assert get(port, "/livez")[0] == 503
    assert get(port, "/readyz")[0] == 503
    health.beat()
    health.failure = "partition 2: lost"
    assert get(port, "/livez") == (503, "partition 2: lost\n")
    assert get(port, "/table")[0] == 404
