"""Calls `tidegauge` as a shell does, but in this process: words and environment in, exit code and both streams out."""

import importlib.util
import io
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from unittest import mock

from tidegauge.cli import COMMANDS
from tidegauge.cli.main import load_command, main

# Nothing answers there.
NOWHERE = {
    "TIDEGAUGE_BOOTSTRAP_SERVERS": "127.0.0.1:1", "TIDEGAUGE_REDIS_URL": "redis://127.0.0.1:1/0",
    "TIDEGAUGE_DATABASE_URL": "postgresql://127.0.0.1:1/nowhere",
}  # fmt: skip


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that can be called, by the words that call it."""
    for name, entry in COMMANDS.items():
        if importlib.util.find_spec(f"tidegauge.cli.{entry.module}") is None:
            continue  # tests/test_docs.py complains of it
        command = load_command(name, entry)
        if entry.group:
            if command.invoke_without_command:
                yield name, command
            yield from ((f"{name} {sub}", part) for sub, part in command.commands.items())
        else:
            yield name, command


def options(command: Any) -> set[str]:
    """The options of a command."""
    return {
        name
        for param in command.params
        if param.param_type_name == "option" and param.name != "help"
        for name in (*param.opts, *param.secondary_opts)
    }


class Called(NamedTuple):
    """What came of a call."""

    code: int
    out: str
    err: str


def call(*words: str, env: Mapping[str, str] | None = None, encoding: str = "utf-8") -> Called:
    """Run a command. Of the settings only those in `env` are set; whatever escapes from `main` escapes from here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGAUGE_")}
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n") for _ in range(2))
    code = 0
    with (
        mock.patch.dict(os.environ, kept | dict(env or {}), clear=True),
        mock.patch.multiple(sys, argv=["tidegauge", *words], stdout=out, stderr=err),
        mock.patch.object(threading, "excepthook", threading.excepthook),  # a command that has ended hears no thread
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode(encoding))
    return Called(code, *texts)
