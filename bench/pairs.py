"""`python -m bench.pairs BEFORE`: is this checkout slower than another one? Both in turn, pair by pair, on one machine.

BEFORE is a checkout with an environment of its own (`git clone . DIR && make -C DIR install`). Each run is `python -m
bench --only PART --runs 1` of its checkout, in a process and on a broker of its own; the order within a pair alternates.
For every figure the ratio after/before is taken pair by pair; the bound is the upper end of a one-sided 95 % interval of
its geometric mean (Student's t of the logarithms), so it speaks of the change and not of the machine's mood.
"""

from __future__ import annotations

import argparse
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median, stdev

HERE = Path(__file__).resolve().parents[1]
RUN_S_MAX = 1200.0
# Student's t, 95 %, one-sided, by degrees of freedom; behind the table the normal distribution's.
T95 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771, 1.761, 1.753)
NORMAL95 = 1.645
# Columns of the tables that a part prints, by title, and what is compared of them.
COLUMNS = {"CPU µs an event": "CPU µs an event", "p50": "p50 ms", "p99": "p99 ms"}
FIGURE = re.compile(r"state a customer .*bytes in memory")


def figures(page: str) -> Iterator[tuple[str, float]]:
    """(name, value) of everything comparable in a part's tables."""
    header: list[str] = []
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")] if line.startswith("|") else []
        if not cells:
            header = []
        elif not header:
            header = cells
        elif header[:2] == ["figure", "value"]:
            if FIGURE.fullmatch(cells[0]):
                yield "state bytes a customer", _number(cells[1])
        else:
            for title, cell in zip(header[1:], cells[1:], strict=False):
                if title in COLUMNS and _is_number(cell):
                    yield f"{cells[0]}: {COLUMNS[title]}", _number(cell)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[\d,]+(\.\d+)?", text) is not None


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def bound(ratios: list[float]) -> float:
    """Upper end of the one-sided 95 % interval of the geometric mean; ValueError for fewer than two ratios."""
    if len(ratios) < 2:
        raise ValueError("an interval needs two pairs at least")
    logs = [math.log(ratio) for ratio in ratios]
    t = T95[len(logs) - 2] if len(logs) - 2 < len(T95) else NORMAL95
    return math.exp(mean(logs) + t * stdev(logs) / math.sqrt(len(logs)))


def run(checkout: Path, python: Path, words: list[str]) -> dict[str, float]:
    """One run of a checkout's bench. RuntimeError with its output where it fails."""
    command = [str(python), "-m", "bench", "--runs", "1", *words]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=RUN_S_MAX, check=False)
    found = dict(figures(done.stdout))
    if done.returncode or not found:
        raise RuntimeError(f"{checkout}: {' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return found


def compare(before: list[dict[str, float]], after: list[dict[str, float]]) -> list[str]:
    """The table: a row a figure that every run has."""
    rows = ["| figure | before, median | after, median | ratio, median | upper 95 % bound |", "| --- " * 5 + "|"]
    for name in before[0]:
        if not all(name in found and found[name] > 0 for found in (*before, *after)):
            continue
        ratios = [b[name] / a[name] for a, b in zip(before, after, strict=True)]
        medians = (f"{median(found[name] for found in side):,.2f}" for side in (before, after))
        rows.append(f"| {name} | {' | '.join(medians)} | {median(ratios):.3f} | {bound(ratios):.3f} |")
    return rows


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.pairs", description=__doc__)
    parser.add_argument("before", type=Path, help="the checkout to compare with")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--only", default="full", choices=("full", "latency"))
    parser.add_argument("--events", type=int, help="of a run of the full job")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    options = parser.parse_args()
    words = ["--only", options.only, *(["--quick"] if options.quick else [])]
    words += ["--events", str(options.events)] if options.events else []
    sides = {"before": options.before.resolve(), "after": HERE}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for pair in range(options.pairs):
        for name in sorted(sides, reverse=pair % 2 == 0):
            python = sides[name] / ".venv" / "bin" / "python"
            found[name].append(run(sides[name], python if python.exists() else Path(sys.executable), words))
            print(f"pair {pair + 1}, {name}: {found[name][-1]}", file=sys.stderr, flush=True)
    print("\n".join(compare(found["before"], found["after"])))


if __name__ == "__main__":
    main()
