"""The table of a chaos run, for the terminal and for docs/guarantees.md."""

from __future__ import annotations

import datetime as dt
import os
import platform
from pathlib import Path

from tests.chaos.history import KINDS
from tests.chaos.system import Result

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guarantees.md"
BEGIN, END = "<!-- chaos: begin -->", "<!-- chaos: end -->"
HEAD = (
    "scenario", "seed", "faults injected", "events", "customers equal to the oracle", "outputs", "hidden",
    "longest stop", "verdict",
)  # fmt: skip


def cells(result: Result) -> tuple[str, ...]:
    """A line of the table."""
    verdict = "exact" if result.good else "; ".join(f"{len(found)} {kind}" for kind, found in result.findings.items())
    return (
        result.scenario, str(result.seed), result.faults or "none", f"{result.events:,}", f"{result.customers:,}",
        f"{result.outputs:,}", f"{result.hidden:,}", f"{result.longest_s:.1f} s", verdict,
    )  # fmt: skip


def text(results: list[Result], seconds: float) -> str:
    """The table in columns."""
    rows = [HEAD, *map(cells, results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    good = sum(result.good for result in results)
    notes = [f"{result.scenario}: {note}" for result in results for note in result.notes]
    said = f"{good} of {len(results)} scenarios exact in {seconds / 60:.1f} minutes; looked for: {', '.join(KINDS)}."
    return "\n".join([*lines, "", *notes, said])


def write(results: list[Result], seconds: float) -> None:
    """Put the table between the marks of docs/guarantees.md."""
    head, rest = PAGE.read_text().split(BEGIN)
    tail = rest.split(END)[1]
    rows = [HEAD, tuple("---" for _ in HEAD), *map(cells, results)]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    notes = "\n".join(f"- {result.scenario}: {note}" for result in results for note in result.notes)
    today = dt.datetime.now(dt.UTC).date()
    said = (
        f"Measured on {today}, {os.cpu_count()} cores with brokers and workers on the same machine, "
        f'Python {platform.python_version()}, {seconds / 60:.1f} minutes in all. "Hidden": outputs of aborted '
        'transactions that a reader of uncommitted records finds and a reader of committed ones does not. "Longest '
        "stop\": the longest time for which a partition's committed offset stood still while acknowledged events "
        "waited behind it."
    )  # fmt: skip
    parts = [BEGIN, said, "", table, "", *([notes, ""] if notes else []), END]
    PAGE.write_text(head + "\n".join(parts) + tail)
