"""Entry point of `tidegauge`: mounts the commands lazily and turns errors into one line and an exit code.

Exit codes: 0 good, 1 failed check, 2 bad usage or input.
"""

import importlib
import importlib.util
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from tidegauge import __version__
from tidegauge.cli import COMMANDS, Entry
from tidegauge.cli.failures import DEBUG, fault, line_for
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, CommandError, error
from tidegauge.cli.packages import elsewhere, lacking, refusal

COMPLETING = "_TIDEGAUGE_COMPLETE"  # set by a shell that asks how a line could go on


class Lazy(TyperCommand):
    """Stands for a command in the list; the module behind it is imported when the command is called."""

    def __init__(self, name: str, entry: Entry) -> None:
        super().__init__(name, help=entry.help, short_help=entry.help)
        self.entry = entry

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Go on with the real command."""
        command = load_command(str(self.name), self.entry)
        if not elsewhere():  # else `deploy` is somebody else's
            from deploy.connections.caller import act_as

            act_as(self.entry.principal)
        return command.make_context(info_name, args, parent=parent, **extra)


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

app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


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
    """Run the command line. Whatever goes wrong ends in a line on stderr that says what to do, and an exit code."""
    nowhere = Path(os.devnull)
    sys.stdout = sys.stdout or nowhere.open("w", encoding="utf-8")  # a shell's `>&-`
    sys.stderr = sys.stderr or nowhere.open("w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name in a script that the locale lacks is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    try:
        _check_surroundings()
        code = app(prog_name="tidegauge", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED_CHECK)
    except (KeyboardInterrupt, typer.Abort):
        error("interrupted")
        sys.exit(130)
    except Exception as problem:  # the boundary: what gets here is said in a line
        if os.environ.get(DEBUG):
            raise
        line = line_for(problem) or fault(problem)
        error(str(line), line.hint)
        sys.exit(line.code)
    sys.exit(code if isinstance(code, int) else 0)


def _check_surroundings() -> None:
    """Refuse what no command can do anything with: settings that nothing reads, arguments that are no text."""
    for word in sys.argv[1:]:
        if any("\udc80" <= sign <= "\udcff" for sign in word):
            raise CommandError(f"argument {word!r} is no UTF-8", "write it in UTF-8, or set LC_ALL=C.UTF-8", BAD_INPUT)
    if COMPLETING in os.environ:
        return
    from deploy.settings import strangers

    for name, near in strangers(os.environ).items():
        hint = (
            f"did you mean {near}? correct the name, or unset it" if near else "unset it; docs/settings.md lists them"
        )
        raise CommandError(f"{name} is no setting", hint, BAD_INPUT)


if __name__ == "__main__":
    main()
