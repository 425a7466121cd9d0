"""`tidegauge doctor`: looks at everything that can be wrong around Tidegauge, and says what to do.

What it looks at is in `tidegauge.checks`. Tidegauge's own packages are imported only when it is known that they are
Tidegauge's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import typer
from rich.markup import escape

from tidegauge.checks import CheckLine, Grade, findings, machine
from tidegauge.cli.output import FAILED_CHECK, JSON, console, emit

app = typer.Typer()

_MARKS = {
    Grade.GOOD: "[green]good  [/green]",
    Grade.WARN: "[yellow]warn  [/yellow]",
    Grade.WRONG: "[red]wrong [/red]",
    Grade.UNSEEN: "[yellow]unseen[/yellow]",
}


@app.command("doctor")
def doctor(
    data: Path | None = typer.Option(None, "--data", help="Data folder of the embedded stack."),
    as_json: bool = JSON,
) -> None:
    """Check this machine, the servers, the topics and what flows. Exit code 1 if anything is wrong."""
    found = []
    for finding in _everything(data):
        found.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        emit([{**finding._asdict(), "good": finding.good} for finding in found])
    if any(finding.grade is Grade.WRONG for finding in found):
        raise typer.Exit(FAILED_CHECK)


def _everything(data: Path | None) -> Iterator[CheckLine]:
    yield from (machine.python(), machine.libc(), machine.needed_packages())
    own = machine.own_packages()
    yield own
    if own.good:
        from deploy.settings import Settings

        yield from findings(Settings() if data is None else Settings(data_dir=data))


def _show(finding: CheckLine) -> None:
    console.print(f"{_MARKS[finding.grade]} {finding.name}: {escape(finding.found)}", soft_wrap=True, markup=True)
    if finding.hint and not finding.good:
        console.print(f"       {finding.hint}", soft_wrap=True)
