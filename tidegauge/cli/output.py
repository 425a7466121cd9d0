"""What commands print with: results on stdout, everything else on stderr, errors with a hint and an exit code."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from socket import gaierror

from rich.console import Console
from rich.markup import escape

FAILED_CHECK = 1
BAD_INPUT = 2
NOT_LISTENING = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)

console = Console(highlight=False)  # results
notes = Console(stderr=True, highlight=False)  # progress and errors


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


def error(message: str, hint: str = "") -> None:
    """Print an error line on stderr, and the hint below it."""
    notes.print(f"[red]error:[/red] {escape(message)}" + (f"\n  {escape(hint)}" if hint else ""), soft_wrap=True)
