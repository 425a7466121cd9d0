"""What commands print with: results on stdout, everything else on stderr, errors with a hint and an exit code."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

FAILED_CHECK = 1
BAD_INPUT = 2

console = Console(highlight=False)  # results
notes = Console(stderr=True, highlight=False)  # progress and errors


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
def metrics_at(port: int) -> Iterator[None]:
    """A second process on a machine finds the port taken, which is no reason for a traceback."""
    try:
        yield
    except OSError as problem:
        if problem.errno != errno.EADDRINUSE:
            raise
        hint = "give every process of a machine a port of its own (--metrics-port), or 0 for no metrics"
        raise CommandError(f"the port for metrics, {port}, is taken", hint) from problem


def error(message: str, hint: str = "") -> None:
    """Print an error line on stderr, and the hint below it."""
    notes.print(f"[red]error:[/red] {escape(message)}" + (f"\n  {escape(hint)}" if hint else ""), soft_wrap=True)
