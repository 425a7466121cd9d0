"""The failures that a command may meet, each as one line, what to do about it, and an exit code.

Classes are known by name, so that a command which needs no Kafka does not import Kafka's client to learn how it fails.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any, Final

import typer

from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, CommandError
from tidegauge.cli.packages import refusal
from tidegauge.cli.refused import refused_by_server

KAFKA_HINT: Final = "start it with `tidegauge up`, or correct TIDEGAUGE_BOOTSTRAP_SERVERS"
TOPICS_HINT: Final = "make the topics with `tidegauge topics --create`, or correct TIDEGAUGE_TOPIC_PREFIX"
REDIS_HINT: Final = "start it with `tidegauge up`, or correct TIDEGAUGE_REDIS_URL"
PACK_HINT: Final = "see docs/policies.md; `tidegauge policy list` has the packs that ship"
PROBLEMS_SHOWN: Final = 2
DEBUG: Final = "TIDEGAUGE_DEBUG"  # set to anything: tracebacks in place of lines

_BY_ERRNO: Final = {
    errno.EMFILE: "allow more open files: ulimit -n 4096",
    errno.ENFILE: "allow more open files: ulimit -n 4096",
    errno.ENOSPC: "make room on that disk, or write to another one",
    errno.ENOENT: "does the folder exist, and is the name right?",
    errno.EACCES: "choose another place, or give this user the right to it",
    errno.EPERM: "choose another place, or give this user the right to it",
    errno.EADDRINUSE: "give every process of a machine a port of its own",
}


def line_for(problem: BaseException) -> CommandError | None:
    """What to say of a failure; None for one that is no known kind, which is a fault of Tidegauge's own."""
    for kind in type(problem).__mro__:
        say = _KINDS.get(f"{kind.__module__}.{kind.__qualname__}")
        if say is not None and (line := say(problem)) is not None:
            return refused_by_server(line)
    return None


def fault(problem: BaseException) -> CommandError:
    """What to say of a failure that nobody foresaw."""
    text = " ".join(str(problem).split())
    hint = f"set {DEBUG}=1 to see where it comes from, and report it"
    return CommandError(f"unexpected {type(problem).__name__}: {text}", hint, FAILED_CHECK)


def last_line(problem: BaseException) -> CommandError:
    """What ended a process that was to run on, in one line: what, where, what to do."""
    line = line_for(problem) or fault(problem)
    if _name(problem) in _WHOLE:  # says itself what to do
        return CommandError(" ".join(str(problem).split()), code=line.code)
    return CommandError(" ".join(f"{line}: {line.hint}".split()) if line.hint else str(line), code=line.code)


def _name(problem: BaseException) -> str:
    return f"{type(problem).__module__}.{type(problem).__qualname__}"


def some(lines: list[str]) -> str:
    """The first of several problems, and how many more there are."""
    shown = lines[:PROBLEMS_SHOWN] if len(lines) <= PROBLEMS_SHOWN else lines[: PROBLEMS_SHOWN - 1]
    rest = len(lines) - len(shown)
    return "\n".join([*shown, *([f"and {rest} more problems"] if rest else [])])


def _usage(problem: Any) -> CommandError:
    path = problem.ctx.command_path if problem.ctx is not None else "tidegauge"
    return CommandError(" ".join(problem.format_message().split()), f"see `{path} --help`", BAD_INPUT)


def _setting(problem: Any) -> CommandError | None:
    if problem.title != "Settings":
        return None
    lines = [
        f"TIDEGAUGE_{'_'.join(str(part) for part in one['loc']).upper()}: {one['msg'].removeprefix('Value error, ')}"
        for one in problem.errors()
    ]
    return CommandError(some(lines), "correct the environment variable, see docs/settings.md", BAD_INPUT)


def _pack(problem: Any) -> CommandError:
    return CommandError(some([str(one) for one in problem.problems]), PACK_HINT, BAD_INPUT)


def _stack(problem: Any) -> CommandError:
    return CommandError(problem.message, problem.hint, FAILED_CHECK)


def _world(problem: Any) -> CommandError:
    return CommandError(problem.message, problem.hint, BAD_INPUT if problem.of_setting else FAILED_CHECK)


def _os(problem: Any) -> CommandError | None:
    if problem.errno is None or problem.strerror is None:
        return None
    place = "" if problem.filename is None else f"{os.fsdecode(problem.filename)}: "
    hint = _BY_ERRNO.get(problem.errno, "is the path right?" if place else "`tidegauge doctor` looks")
    return CommandError(place + problem.strerror, hint, BAD_INPUT if place else FAILED_CHECK)


def _text(problem: Any) -> CommandError:
    where = f"at byte {problem.start + 1}"
    return CommandError(f"text that is no UTF-8 ({where}: {problem.reason})", "save it as UTF-8", BAD_INPUT)


def _lines(hint: str, code: int) -> Callable[[Any], CommandError]:
    """Its own text, with the hint that it brings or this one."""
    return lambda problem: CommandError(" ".join(str(problem).split()), getattr(problem, "hint", "") or hint, code)


def _server(name: str, hint: str) -> Callable[[Any], CommandError]:
    def line(problem: Any) -> CommandError:
        cause = problem.args[0] if problem.args else problem
        text = cause.str() if hasattr(cause, "str") else str(problem)
        return CommandError(f"{name} failed: {' '.join(text.split())}", hint, FAILED_CHECK)

    return line


def _database(problem: Any) -> CommandError:
    from deploy.connections.diagnosis import why_database_refuses

    return CommandError(*why_database_refuses(problem), FAILED_CHECK)


_WHOLE: Final = ("agents.engine.job.FatalError", "agents.engine.job.RecoveryError")

_KINDS: Final[dict[str, Callable[[Any], CommandError | None]]] = {
    "tidegauge.cli.output.CommandError": lambda problem: problem,
    f"{typer.BadParameter.__module__}.UsageError": _usage,  # of the click that typer brings along
    "pydantic_core._pydantic_core.ValidationError": _setting,
    "policies.language.reader.PackError": _pack,
    "policies.cases.facts.FactError": _lines("see docs/policies.md, facts", BAD_INPUT),
    "connectors.formats.events.InputError": _lines("see docs/formats.md", BAD_INPUT),
    "schemas.bounded.TooLargeError": _lines("split it", BAD_INPUT),
    "agents.offline.standings.AsOfError": _lines("choose another --as-of", BAD_INPUT),
    "deploy.connections.wire.AccessError": lambda problem: CommandError(problem.message, problem.hint, BAD_INPUT),
    "deploy.errors.KeyLostError": lambda problem: CommandError(problem.message, problem.hint, BAD_INPUT),
    "tidegauge.world.check.WorldError": _world,
    "deploy.errors.StackError": _stack,
    "services.access.writer.NoTopicError": _lines(TOPICS_HINT, FAILED_CHECK),
    "services.access.writer.NotWrittenError": _lines(KAFKA_HINT, FAILED_CHECK),
    "connectors.loading.publisher.PublishError": _lines(KAFKA_HINT, FAILED_CHECK),
    "connectors.loading.closer.UnusualError": _lines("", FAILED_CHECK),
    "schemas.registry.UnregisteredError": _lines("run `tidegauge schemas register`", FAILED_CHECK),
    "schemas.registry.RegistryError": _lines(
        "is TIDEGAUGE_SCHEMA_REGISTRY_URL right? `tidegauge schemas check` looks", FAILED_CHECK
    ),
    "agents.engine.job.FatalError": _lines("`tidegauge doctor` looks", FAILED_CHECK),
    "agents.engine.job.RecoveryError": _lines("is a worker running? `tidegauge doctor` looks", FAILED_CHECK),
    "agents.engine.job.Rejoin": _lines("try again; `tidegauge doctor` looks", FAILED_CHECK),
    "services.views.store.LeaseLostError": _lines("another `tidegauge views` writes the view: try again", FAILED_CHECK),
    "cimpl.KafkaException": _server("Kafka", KAFKA_HINT),
    "aiokafka.errors.KafkaError": _server("Kafka", KAFKA_HINT),
    "redis.exceptions.RedisError": _server("Redis", REDIS_HINT),
    "psycopg.Error": _database,
    "services.database.migrations.MigrationError": _lines("", FAILED_CHECK),
    "services.readmodel.store.NoReaderRoleError": _lines("", FAILED_CHECK),
    "builtins.UnicodeDecodeError": _text,
    "builtins.UnicodeEncodeError": _text,
    "builtins.OSError": _os,
    "builtins.RecursionError": lambda _: CommandError("the input is nested too deeply", "flatten it", BAD_INPUT),
    "builtins.MemoryError": lambda _: CommandError("not enough memory", "split the input, or use a larger machine", 1),
    "builtins.ImportError": lambda _: refusal(),
}
"""What is said of each class, by its full name; None passes the failure on to the class's parents."""
