"""What commands print with: results on stdout, everything else on stderr, errors with a hint and an exit code."""

from rich.console import Console

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


def error(message: str, hint: str = "") -> None:
    """Print an error line on stderr, and the hint below it."""
    notes.print(f"[red]error:[/red] {message}" + (f"\n  {hint}" if hint else ""), soft_wrap=True)
