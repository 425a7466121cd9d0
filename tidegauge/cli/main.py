"""Entry point of `tidegauge`: mounts the commands lazily and turns errors into one line and an exit code.

Exit codes: 0 good, 1 failed check, 2 bad usage or input.
"""

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError
from typer.core import TyperCommand, TyperGroup

from tidegauge import __version__
from tidegauge.cli import COMMANDS, Entry
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, CommandError, error
from tidegauge.cli.packages import elsewhere, lacking, refusal


class Lazy(TyperCommand):
    """Stands for a command in the list; the module behind it is imported when the command is called."""

    def __init__(self, name: str, entry: Entry) -> None:
        super().__init__(name, help=entry.help, short_help=entry.help)
        self.entry = entry

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Go on with the real command."""
        return load_command(str(self.name), self.entry).make_context(info_name, args, parent=parent, **extra)


def load_command(name: str, entry: Entry) -> Any:
    """Import the command's module and return its click command; raises CommandError when a part is missing or foreign."""
    if name != "doctor" and elsewhere() and (foreign := refusal()):  # `doctor` lists it among its findings
        raise foreign
    if lack := lacking(entry.extra):
        raise CommandError(f"`{name}` {lack}")
    try:
        module = importlib.import_module(f"tidegauge.cli.{entry.module}")
    except ImportError as problem:
        missing = CommandError(f"`{name}` cannot start: {problem}", hint="run `make install` and try again")
        raise refusal() or missing from problem
    group = typer.main.get_group(module.app)
    return group if entry.group else group.commands[name]


class Commands(TyperGroup):
    """The commands of the table whose module exists, in the table's order."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of the table."""
        return [name for name, entry in COMMANDS.items() if importlib.util.find_spec(f"tidegauge.cli.{entry.module}")]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in for the command; None if there is none of that name."""
        return Lazy(cmd_name, COMMANDS[cmd_name]) if cmd_name in self.list_commands(ctx) else None


# Compiled kernels live in the virtual environment, wherever the command is called from. Numba reads this when imported.
if sys.prefix != sys.base_prefix:
    os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(sys.prefix) / "numba-cache"))

app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        typer.echo(f"tidegauge {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=show_version, is_eager=True, help="Show the version."),
) -> None:
    """Exact rolling AUM, tiers, alerts and queue classes of a bank's VIP customers, from its postings."""


def main() -> None:
    """Run the command line; a CommandError ends in one line on stderr and its exit code."""
    try:
        app()
    except CommandError as problem:
        error(str(problem), problem.hint)
        sys.exit(problem.code)
    except ValidationError as problem:
        if problem.title != "Settings":
            raise
        for one in problem.errors():
            error(
                f"TIDEGAUGE_{'_'.join(str(part) for part in one['loc']).upper()}: {one['msg']}", "see docs/settings.md"
            )
        sys.exit(BAD_INPUT)
    except ValueError as problem:
        from policies.language.reader import PackError  # only now: a command that reads no pack starts without it

        if not isinstance(problem, PackError):
            raise
        error(str(problem), "see docs/policies.md")
        sys.exit(BAD_INPUT)
    except RuntimeError as problem:
        from schemas.registry import RegistryError, UnregisteredError

        if not isinstance(problem, RegistryError):
            raise
        unknown = isinstance(problem, UnregisteredError)
        error(str(problem), "run `tidegauge schemas register`" if unknown else "`tidegauge schemas check` looks")
        sys.exit(FAILED_CHECK)
    except ImportError:
        if (foreign := refusal()) is None:
            raise
        error(str(foreign), foreign.hint)
        sys.exit(foreign.code)
    except Exception as problem:
        from deploy.errors import StackError  # only now: that it is ours has been looked at

        if not isinstance(problem, StackError):
            raise
        error(problem.message, problem.hint)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        error("interrupted")
        sys.exit(130)


if __name__ == "__main__":
    main()
