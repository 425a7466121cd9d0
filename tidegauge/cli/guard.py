"""The frame of commands that change what others rely on: show it first, refuse what is beyond the ordinary, take a reason."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import typer

from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, CommandError, console, emit

DRY_RUN = typer.Option(False, "--dry-run", help="Show what it would do, and do nothing.")
FORCE = typer.Option(False, "--force", help="Do it although it is beyond the ordinary; needs --reason.")
FORCE_REASON = typer.Option("", "--reason", help="Why it is forced: kept in what is written, else in the log line.")
REASON_CHARS_MAX: Final = 200
INSIST: Final = "look with --dry-run; if it is right, insist: --force {option} TEXT"

log = logging.getLogger(__name__)


class Intent(NamedTuple):
    """What a command is about to do: a line each for people, fields for machines; and what of it is beyond the ordinary."""

    command: str
    lines: Sequence[str]
    fields: dict[str, Any]
    unusual: Sequence[str] = ()


def reason_given(reason: str, *, force: bool, option: str = "--reason") -> str:
    """Why the command is forced, "" where it is not. CommandError where one is given without the other."""
    text = " ".join(reason.split())
    if force != bool(text):
        said = f"--force needs {option}" if force else f"{option} goes with --force"
        raise CommandError(said, f"such as --force {option} 'the bank was shut for renovation'", BAD_INPUT)
    if len(text) > REASON_CHARS_MAX:
        raise CommandError(f"the reason has {len(text)} characters", f"up to {REASON_CHARS_MAX} are kept", BAD_INPUT)
    return text


def goes_on(intent: Intent, reason: str, *, dry_run: bool, as_json: bool, option: str = "--reason") -> bool:
    """Whether to do it. A dry run shows it; what is beyond the ordinary is refused with exit code 1 without a reason."""
    if dry_run:
        if as_json:
            emit({"dry_run": True, **intent.fields, "unusual": list(intent.unusual)})
        else:
            for line in intent.lines:
                console.print(f"would {line}", soft_wrap=True)
            for line in intent.unusual:
                console.print(f"needs --force: {line}", soft_wrap=True)
        return False
    if intent.unusual and not reason:
        raise CommandError("; ".join(intent.unusual), INSIST.format(option=option), FAILED_CHECK)
    if intent.unusual:
        log.warning("%s forced (%s): %s", intent.command, "; ".join(intent.unusual), reason)
    return True
