"""The bench's table, ratios first, its page in docs/ and its plot."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE, PLOT = "benchmarks.md", "benchmarks.svg"
VERSIONS = ("faust-streaming", "aiokafka", "confluent-kafka", "numba", "numpy", "fastavro")
AIMS = {"tutorial": 60, "full": 150_000}


@dataclass(slots=True)
class Engine:
    """Rates and costs of one engine over several runs."""

    name: str
    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    note: str = ""

    @property
    def rate(self) -> float:
        """Median events per second."""
        return median(self.rates)


@dataclass(slots=True)
class Report:
    """Everything a run has found."""

    command: str
    engines: list[Engine] = field(default_factory=list)
    figures: list[tuple[str, str]] = field(default_factory=list)
    latency: list[tuple[str, ...]] = field(default_factory=list)

    def markdown(self) -> str:
        """The page."""
        base = min(self.engines, key=lambda engine: engine.rate)
        lines = [
            "# Benchmarks", "", (f"Written by `{self.command}`. {machine()} The broker runs on the same machine, so read "
            "the ratios; absolute figures move with the machine and what else it does."), "",
            "| engine and job | ratio | events/s, median | each run | CPU µs an event | |",
            "| --- | --- | --- | --- | --- | --- |",
        ]  # fmt: skip
        for engine in sorted(self.engines, key=lambda e: -e.rate):
            runs = " ".join(f"{rate:,.0f}" for rate in engine.rates)
            lines.append(
                f"| {engine.name} | {engine.rate / base.rate:,.0f} × | {engine.rate:,.0f} | {runs} "
                f"| {median(engine.cpu_us):,.1f} | {engine.note} |"
            )
        if self.figures:
            lines += [
                "",
                "| figure | value |",
                "| --- | --- |",
                *(f"| {name} | {value} |" for name, value in self.figures),
            ]
        if self.latency:
            lines += [
                "", "Open loop, from the timetable to a `read_committed` reader of the alert, ms:", "",
                "| events/s | p50 | p99 | p99.9 | alerts | missing |", "| --- | --- | --- | --- | --- | --- |",
                *("| " + " | ".join(row) + " |" for row in self.latency),
            ]  # fmt: skip
        return "\n".join(lines) + "\n"

    def write(self) -> None:
        """docs/benchmarks.md and its plot."""
        plot(self.engines, DOCS / PLOT)
        (DOCS / PAGE).write_text(self.markdown() + f"\n![Events per second]({PLOT})\n\n{HOW}")


HOW = """## How it is measured

- `make bench-quick` takes three minutes and prints; `make bench` repeats more, on more events, and writes this page.
  `python -m bench.profile` gives CPU nanoseconds an event of every stage of the full job, without a broker.
- Every run has a broker of its own on free ports, an own prefix and own groups; all engines of a job read one topic.
- Events per second: from the first block a worker has worked on to the commit of the last event. For Faust, which has no
  blocks, from the first commit seen. CPU is the worker's process in the same time; the broker's is not in it.
- J1, the peers' job: balance, integral, 13 month sums and a tier by customer, changes out. Sum and number of changes
  are compared with the known ones. The tutorial engine is Faust as its documentation writes it, on the first events.
- J2 is the whole job on a month of postings with two accounts a customer, after opening credits and a month close that
  gave the tiers. Every customer's figures are compared with sums by numpy over all events.
- Latency is open loop: a posting counts from when it was due, whether or not the producer could send it then.
"""


def machine() -> str:
    """Cores, memory, versions and the load."""
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    return (
        f"{os.cpu_count()} cores of {_cpu()}, {psutil.virtual_memory().total >> 30} GiB, {platform.system()} "
        f"{platform.machine()}, Python {platform.python_version()}, {versions}; load at the end {os.getloadavg()[0]:.1f}."
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or "an unknown processor"


def plot(engines: list[Engine], path: Path) -> None:
    """A bar an engine, on a logarithmic axis."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "bench"  # the same figures give the same file
    from matplotlib import pyplot as plt

    shown = sorted(engines, key=lambda engine: engine.rate)
    figure, axes = plt.subplots(figsize=(7, 0.6 * len(shown) + 1), layout="constrained")
    bars = axes.barh([engine.name for engine in shown], [engine.rate for engine in shown], color="#2b6ca3")
    axes.bar_label(bars, labels=[f"{engine.rate:,.0f}" for engine in shown], padding=3)
    axes.set_xscale("log")
    axes.set_xlabel("events per second")
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def warn(text: str) -> None:
    """To standard error."""
    sys.stderr.write(text + "\n")
