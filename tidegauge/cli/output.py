"""What commands print with: results on stdout, everything else on stderr, errors with a hint and an exit code."""

import errno
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import gaierror
from typing import Any, Final

import typer
from rich.console import Console, ConsoleDimensions
from rich.markup import escape
from rich.text import Text

FAILED_CHECK = 1
BAD_INPUT = 2
NOT_LISTENING = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)
PIPE_CHARS: Final = 10_000  # of a line that no terminal has to fit in: columns are whole there

JSON = typer.Option(False, "--json", help="Print one JSON document, for machines.")


class PlainConsole(Console):
    """A console that takes nothing in a text for an instruction: what it prints has come from outside.

    Markup counts where a call asks for it (`markup=True`), with the values in it escaped. Characters that steer a terminal
    are written out everywhere, in tables too.
    """

    def __init__(self, **more: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **more)

    def render_str(self, text: str, **more: Any) -> Text:
        """A string as it is shown."""
        return super().render_str(_printable(text).expandtabs(), **more)  # a table loses what stands behind a tab


def _printable(text: str) -> str:
    """As `deploy.printable` has it; as it is where another distribution stands in our place, which is then being told."""
    try:
        from deploy.printable import printable
    except ImportError:
        return text
    return printable(text)


class Results(PlainConsole):
    """A console that cuts and wraps for a terminal only."""

    @property
    def size(self) -> ConsoleDimensions:
        """The terminal's size; into a pipe or a file, lines of any length."""
        known = super().size
        return known if self.is_terminal else ConsoleDimensions(PIPE_CHARS, known.height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size


console = Results()  # results
notes = PlainConsole(stderr=True)  # progress and errors


class CommandError(Exception):
    """A command cannot go on. `hint` says what to do; `code` is the exit code."""

    def __init__(self, message: str, hint: str = "", code: int = BAD_INPUT) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


@contextmanager
def listening_at(host: str, port: int, option: str) -> Iterator[None]:
    """A port that is taken, or an address that this machine doesn't have, is no reason for a traceback."""
    try:
        yield
    except (OSError, OverflowError) as problem:
        if isinstance(problem, OSError) and (problem.filename or not _of_an_address(problem)):
            raise
        reason = "is taken" if getattr(problem, "errno", 0) == errno.EADDRINUSE else f"can't be listened on ({problem})"
        hint = f"give every process of a machine a port of its own ({option})"
        raise CommandError(f"the port {host}:{port} {reason}", hint) from problem


def _of_an_address(problem: OSError) -> bool:
    return isinstance(problem, gaierror) or problem.errno in NOT_LISTENING


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
    line = f"[red]error:[/red] {escape(message)}" + (f"\n  {escape(hint)}" if hint else "")
    notes.print(line, soft_wrap=True, markup=True)
