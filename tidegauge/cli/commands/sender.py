"""Commands that this process sends through the door itself: an act on a case, and `tidegauge commands send` of a file."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import TimeoutError as WaitedTooLongError
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer

from deploy.connections.caller import call_id
from deploy.settings import Settings
from schemas import bounds
from schemas.bounded import read_bounded
from tidegauge.cli.actor import AS, actor_of
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, JSON, CommandError, console, emit, notes
from tidegauge.cli.servers import need_redis, need_world

if TYPE_CHECKING:
    from services.access.decision import Actor
    from services.commands.door import CommandDoor, Written

_WAIT_S: Final = 5.0
_WAIT_FILE_S: Final = 30.0
_WINDOW: Final = 256
"""Commands of a file that wait for their results at once."""

_BEGIN_S: Final = 120.0
_UNFIT, _NOT_KNOWN = "unfit", "not_known"
_GOOD: Final = "applied"


class SentCommand(NamedTuple):
    """What became of a command: applied, refused, pending, unfit, or not_known. why: a code, or what is wrong with it."""

    state: str
    command_id: str = ""
    why: str = ""


def result_of(door: CommandDoor, written: Written, wait_s: float) -> SentCommand:
    """What the worker says, or that it has not said anything in time."""
    result = written.result
    if result is None:
        assert written.waiter is not None
        try:
            result = written.waiter.result(wait_s)
        except WaitedTooLongError:
            return SentCommand("pending", written.command_id)
        finally:
            door.log.forget(written.command_id, written.waiter)
    return SentCommand(result["outcome"], written.command_id, result["reason"] or "")


def send_commands(
    path: Path = typer.Argument(..., help="Commands, a line of JSON each: `command`, and the fields of its body."),
    actor: str = AS,
    as_json: bool = JSON,
) -> None:
    """Send a file of commands, each decided, stamped and answered as if it came alone; again is harmless.

    The report says what became of each line that was not applied. Exit code 1 if there is one.
    """
    from services.commands.bootstrap import open_door

    settings = Settings()
    who = actor_of(settings, actor)
    lines = command_lines(path)
    need_redis(settings)
    settings = need_world(settings)
    with open_door(settings) as opened:
        if not opened.follower.wait_ready(_BEGIN_S):
            raise CommandError(f"the customers can't be read within {_BEGIN_S:.0f} s", "is Kafka busy?", FAILED_CHECK)
        found = list(_sent(opened.door, who, lines))
    others = [(number, one) for number, one in enumerate(found, 1) if one.state != _GOOD]
    counts = {state: sum(1 for one in found if one.state == state) for state in sorted({one.state for one in found})}
    if as_json:
        emit({"counts": counts, "others": [{"line": number, **one._asdict()} for number, one in others]})
    else:
        for number, one in others:
            console.print(
                f"line {number}: {one.state}{f': {one.why}' if one.why else ''}", soft_wrap=True, markup=False
            )
        notes.print(", ".join(f"{count} {state}" for state, count in counts.items()) or "no commands", soft_wrap=True)
    if others:
        raise typer.Exit(FAILED_CHECK)


def command_lines(path: Path) -> list[str]:
    """The lines of a file, within bounds. CommandError, TooLargeError, OSError."""
    lines = read_bounded(path, bounds.COMMANDS_FILE_BYTES_MAX).decode(errors="replace").splitlines()
    if len(lines) > bounds.COMMAND_LINES_MAX:
        raise CommandError(f"{path} has more than {bounds.COMMAND_LINES_MAX:,} lines", "split it", BAD_INPUT)
    return lines


def _sent(door: CommandDoor, who: Actor, lines: list[str]) -> Iterator[SentCommand]:
    """What became of each line, in their order; some wait while the next are sent."""
    waiting: deque[SentCommand | Written] = deque()
    for number, line in enumerate(lines, 1):
        waiting.append(_taken(door, who, number, line))
        if len(waiting) == _WINDOW:
            yield _ended(door, waiting.popleft())
    while waiting:
        yield _ended(door, waiting.popleft())


def _ended(door: CommandDoor, one: SentCommand | Written) -> SentCommand:
    return one if isinstance(one, SentCommand) else result_of(door, one, _WAIT_FILE_S)


def _taken(door: CommandDoor, who: Actor, number: int, line: str) -> SentCommand | Written:
    from pydantic import ValidationError

    from services.commands.definitions import COMMANDS_TAKEN, body_of
    from services.commands.door import NotKnownError, UnfitError
    from services.commands.store import OtherBodyError

    try:
        given: dict[str, Any] = dict(json.loads(line))
        name, key = str(given.pop("command")), given.pop("key", None)
        if name not in COMMANDS_TAKEN:
            return SentCommand(_UNFIT, why="there is no such command")
        body = body_of(name).model_validate(given)
        same = hashlib.sha256(f"{number} {line.strip()}".encode(errors="replace")).hexdigest()
        return door.take(who, name, body, str(key or f"line-{same}"), uuid.uuid4().hex)
    except ValidationError as problem:
        return SentCommand(_UNFIT, why=", ".join(sorted({".".join(map(str, one["loc"])) for one in problem.errors()})))
    except UnfitError as problem:
        return SentCommand(_UNFIT, why=str(problem))
    except OtherBodyError:
        return SentCommand(_UNFIT, why="its key was used with another body")
    except (ValueError, TypeError, KeyError, RecursionError):
        return SentCommand(_UNFIT, why="it is no JSON object with `command`")
    except NotKnownError:
        return SentCommand(_NOT_KNOWN, why="no such customer or case is known to this actor")


def act_on_case(settings: Settings, who: Actor, name: str, fields: dict[str, Any]) -> SentCommand:
    """One act on a case: through the door. NotKnownError."""
    from services.commands.bootstrap import open_door
    from services.commands.definitions import body_of

    with open_door(need_world(settings), customers=False) as opened:
        told = opened.door.case_of(fields["case"])
        fields["step"] = fields["step"] or (told["told_step"] if told is not None else None)
        body = body_of(name).model_validate({key: value for key, value in fields.items() if value not in ("", None)})
        return result_of(opened.door, opened.door.take(who, name, body, "by hand", call_id()), _WAIT_S)
