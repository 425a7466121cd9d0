"""The comparison of two checkouts: what it reads of a run's page, and the bound it gives."""

import math

import pytest

from bench.measure.report import Engine, Report, Table
from bench.measure.timing import Timing
from bench.pairs import bound, compare, figures


def page() -> str:
    """What a run prints."""
    report = Report("make bench")
    report.engines.append(Engine("J2, the full job", "Tidegauge, 100,000 customers"))
    report.engines[0].timings.append(Timing(events=1000, seconds=1.0, cpu_s=0.00125))
    report.figures.append(("state a customer with two accounts and 40 postings, bytes in memory", "2,913"))
    report.figures.append(("start and recovery to first commit, s", "4.0"))
    report.tables.append(Table("Open loop:", ("events/s", "p50", "p99", "missing"), [("1,000", "18", "29", "0")]))
    return report.markdown()


def test_what_is_read_of_a_page():
    """CPU an event, bytes of state, latency; nothing else."""
    assert dict(figures(page())) == {
        "Tidegauge, 100,000 customers: CPU µs an event": 1.25,
        "state bytes a customer": 2913.0,
        "1,000: p50 ms": 18.0,
        "1,000: p99 ms": 29.0,
    }


def test_bound_is_that_of_the_table():
    """Worked by hand: logs 0, 0.02, 0.04; mean 0.02, deviation 0.02, t(2) = 2.920."""
    want = math.exp(0.02 + 2.920 * 0.02 / math.sqrt(3))
    assert bound([1.0, math.exp(0.02), math.exp(0.04)]) == pytest.approx(want)
    with pytest.raises(ValueError, match="two pairs"):
        bound([1.0])


def test_ratio_is_taken_pair_by_pair():
    """A machine that slows down for both sides changes no ratio."""
    before = [{"x": 1.0, "only here": 1.0}, {"x": 2.0}]
    rows = compare(before, [{"x": 1.1}, {"x": 2.2}])
    assert len(rows) == 3
    assert rows[2].endswith("| 1.100 | 1.100 |")
