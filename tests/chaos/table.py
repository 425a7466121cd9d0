"""The table of a chaos run, for the terminal and for docs/guarantees.md."""

from __future__ import annotations

import datetime as dt
import os
import platform
from pathlib import Path

from tests.chaos.history import KINDS
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.system import Result

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guarantees.md"
BEGIN, END = "<!-- chaos: begin -->", "<!-- chaos: end -->"
SECURE = ", secured"  # behind a scenario's name, where it ran on a secured stack
LINES = [*SCENARIOS, *(name + SECURE for name in SCENARIOS)]  # in their order
HEAD = (
    "scenario", "seed", "faults injected", "events", "customers equal to the oracle", "outputs", "hidden",
    "longest stop", "took", "verdict",
)  # fmt: skip

MACHINE = (
    f"Python {platform.python_version()} on {os.cpu_count()} cores, which brokers, workers, the feed and the readers share"
)  # fmt: skip
LEGEND = """"Hidden" are outputs of aborted transactions: a reader of uncommitted records finds them, a reader of committed
ones does not. "Longest stop" is the longest time for which a partition's committed offset stood still while acknowledged
events waited behind it, and what is allowed; "took" includes the check."""


def cells(result: Result) -> tuple[str, ...]:
    """A line of the table."""
    verdict = "exact" if result.good else "; ".join(f"{len(found)} {kind}" for kind, found in result.findings.items())
    stop = f"{result.longest_s:.1f} s" + (f" of {result.limit_s:.0f}" if result.limit_s else "")
    return (
        result.scenario, str(result.seed), result.faults or "none", f"{result.events:,}", f"{result.customers:,}",
        f"{result.outputs:,}", f"{result.hidden:,}", stop, f"{result.seconds:.0f} s", verdict,
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


def write(results: list[Result]) -> None:
    """Put the lines between the marks of docs/guarantees.md; lines of other scenarios stay."""
    head, rest = PAGE.read_text().split(BEGIN)
    before, tail = rest.split(END)
    rows = {row[0]: row for line in before.splitlines() if len(row := parts(line)) == len(HEAD)}
    rows = {name: row for name, row in rows.items() if name in LINES} | {r.scenario: cells(r) for r in results}
    notes = dict(line[2:].split(": ", 1) for line in before.splitlines() if line.startswith("- "))
    for result in results:
        notes.pop(result.scenario, None)
        if result.notes:
            notes[result.scenario] = "; ".join(result.notes)
    ordered = [rows[name] for name in LINES if name in rows]
    table = "\n".join("| " + " | ".join(row) + " |" for row in [HEAD, tuple("---" for _ in HEAD), *ordered])
    said = "\n".join(f"- {name}: {notes[name]}" for name in LINES if name in notes)
    today = dt.datetime.now(dt.UTC).date()
    lines = [BEGIN, f"Last measured on {today}, {MACHINE}.", LEGEND, "", table, "", *([said, ""] if said else []), END]
    PAGE.write_text(head + "\n".join(lines) + tail)


def parts(line: str) -> tuple[str, ...]:
    """The cells of a line of a Markdown table."""
    return tuple(cell.strip() for cell in line.strip("|").split("|")) if line.startswith("| ") else ()
