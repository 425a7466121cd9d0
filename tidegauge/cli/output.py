"""What commands print with: results on stdout, everything else on stderr, errors with a hint and an exit code."""

import errno
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console, ConsoleDimensions
from rich.markup import escape

FAILED_CHECK = 1
BAD_INPUT = 2
PIPE_CHARS: Final = 10_000  # of a line that no terminal has to fit in: columns are whole there

JSON = typer.Option(False, "--json", help="Print one JSON document, for machines.")


class Results(Console):
    """A console that cuts and wraps for a terminal only."""

    @property
    def size(self) -> ConsoleDimensions:
        """The terminal's size; into a pipe or a file, lines of any length."""
        known = super().size
        return known if self.is_terminal else ConsoleDimensions(PIPE_CHARS, known.height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size


console = Results(highlight=False)  # results
notes = Console(stderr=True, highlight=False)  # progress and errors


class CommandError(Exception):
    """A command cannot go on. `hint` says what to do; `code` is the exit code."""

    def __init__(self, message: str, hint: str = "", code: int = BAD_INPUT) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


@contextmanager
def metrics_at(port: int) -> Iterator[None]:
    """A second process on a machine finds the port taken, which is no reason for a traceback."""
    try:
        yield
    except OSError as problem:
        if problem.errno != errno.EADDRINUSE:
            raise
        hint = "give every process of a machine a port of its own (--metrics-port), or 0 for no metrics"
        raise CommandError(f"the port for metrics, {port}, is taken", hint) from problem


def check_folder(out: Path | None) -> None:
    """CommandError where a file cannot be made, asked before its contents are computed."""
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        reason = "is a folder" if out.is_dir() else "its folder is not there"
        raise CommandError(f"{out}: {reason}", "give a file in a folder that exists", BAD_INPUT)


def emit(value: dict[str, Any] | list[Any]) -> None:
    """Print a result for machines: one JSON document, an array or an object. Non-ASCII as it is where UTF-8 is spoken."""
    typer.echo(document(value, sys.stdout.encoding))


def document(value: dict[str, Any] | list[Any], encoding: str | None) -> str:
    """A JSON document that an encoding can hold."""
    unicode = (encoding or "").lower().replace("-", "") == "utf8"
    return json.dumps(value, ensure_ascii=not unicode, indent=1)


def error(message: str, hint: str = "") -> None:
    """Print an error line on stderr, and the hint below it."""
    notes.print(f"[red]error:[/red] {escape(message)}" + (f"\n  {escape(hint)}" if hint else ""), soft_wrap=True)
