"""What commands print with: results on stdout, everything else on stderr, errors with a hint and an exit code."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from socket import gaierror
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

FAILED_CHECK = 1
BAD_INPUT = 2
NOT_LISTENING = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)


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


console = PlainConsole()  # results
notes = PlainConsole(stderr=True)  # progress and errors


class CommandError(Exception):
    """A command cannot go on. `hint` says what to do; `code` is the exit code."""

    def __init__(self, message: str, hint: str = "", code: int = BAD_INPUT) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


def day_argument(text: str) -> int:
    """The day number of an argument that names a business day. CommandError if it is none, or one that workers refuse."""
    from streams.calendar import DAY_MAX, DAY_MIN, date_of, parse_day  # here, as it brings the compiler with it

    try:
        number = parse_day(text)
    except ValueError as problem:
        raise CommandError(f"{text!r} is no date such as 2026-01-31") from problem
    if not DAY_MIN <= number < DAY_MAX:
        raise CommandError(
            f"{text} is no business day: days from {date_of(DAY_MIN)} to {date_of(DAY_MAX - 1)} are taken"
        )
    return number


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


def error(message: str, hint: str = "") -> None:
    """Print an error line on stderr, and the hint below it."""
    line = f"[red]error:[/red] {escape(message)}" + (f"\n  {escape(hint)}" if hint else "")
    notes.print(line, soft_wrap=True, markup=True)
