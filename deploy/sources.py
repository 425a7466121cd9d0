"""Where the values of settings come from: a variable, and for secrets also a file or a command that prints them.

`TIDEGAUGE_KAFKA_PASSWORD` is the password itself, `…_FILE` a file that holds it, `…_COMMAND` a command that prints it, such
as of a vault. A secret never stands among the words of a command line, which everybody on the machine can read.
"""

import os
import shlex
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from deploy.errors import KeyLostError
from schemas import bounds
from schemas.bounded import TooLargeError, read_bounded

PREFIX: Final = "TIDEGAUGE_"
SECRET_ENDS: Final = ("_FILE", "_COMMAND")
COMMAND_S_MAX: Final = 15.0
WITH_PASSWORDS: Final = ("redis_url", "tickets_url", "database_url")
"""Settings that may have a password in them beside what else they are."""


def secret_names(fields: Mapping[str, FieldInfo]) -> tuple[str, ...]:
    """The settings that are secrets, or may hold one."""
    return tuple(
        name
        for name, field in fields.items()
        if name in WITH_PASSWORDS or SecretStr in (field.annotation, *get_args(field.annotation))
    )


def variables(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The variables that set something: upper-case name -> the name as it is spelt, and the value."""
    return {name.upper(): (name, value) for name, value in environment.items() if name.upper().startswith(PREFIX)}


def ways(name: str, environment: Mapping[str, str]) -> list[str]:
    """The variables that say what a setting is, as they are spelt; more than one is a fault for a secret."""
    given = variables(environment)
    return [given[key][0] for end in ("", *SECRET_ENDS) if (key := f"{PREFIX}{name.upper()}{end}") in given]


class Secrets(PydanticBaseSettingsSource):
    """Secrets from files and commands, where a variable names one."""

    def __init__(self, settings: type[BaseSettings], environment: Mapping[str, str] | None = None) -> None:
        super().__init__(settings)
        self._environment = os.environ if environment is None else environment

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The value of a field; None where neither a file nor a command gives it. KeyLostError."""
        found = ways(field_name, self._environment)
        if len(found) > 1:
            raise KeyLostError(f"{' and '.join(found)} are both set", "set one of them")
        given = variables(self._environment)
        for name in found:
            value = given[name.upper()][1]
            if name.upper().endswith(SECRET_ENDS[0]):
                return _of_file(name, Path(value)), field_name, False
            if name.upper().endswith(SECRET_ENDS[1]):
                return _of_command(name, value), field_name, False
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """What files and commands give. KeyLostError for one that gives nothing."""
        fields = self.settings_cls.model_fields
        found = {name: self.get_field_value(fields[name], name)[0] for name in secret_names(fields)}
        return {name: value for name, value in found.items() if value is not None}


def _of_file(name: str, path: Path) -> str:
    try:
        text = read_bounded(path, bounds.KEY_FILE_BYTES_MAX).decode().rstrip("\r\n")
    except TooLargeError as problem:
        raise KeyLostError(f"{name}: {problem}", problem.hint) from problem
    except UnicodeDecodeError as problem:
        raise KeyLostError(f"{name}: {path} is no text") from problem
    except OSError as problem:
        raise KeyLostError(
            f"{name}: {path}: {problem.strerror}", "is the path right, and may this user read it?"
        ) from problem
    if not text:
        raise KeyLostError(f"{name}: {path} is empty")
    return text


@cache  # a process asks its vault once
def _of_command(name: str, command: str) -> str:
    """The first output of a command. What it says on stderr goes where ours goes; nothing of it gets into a message."""
    try:
        words = shlex.split(command)
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            try:
                said, _ = process.communicate(timeout=COMMAND_S_MAX)
            except subprocess.TimeoutExpired as problem:
                process.kill()
                raise KeyLostError(f"{name}: the command gave no answer within {COMMAND_S_MAX:.0f} s") from problem
        text = said.decode().rstrip("\r\n")
    except (OSError, ValueError, IndexError) as problem:  # ValueError: quotes that don't end, or no text
        reason = getattr(problem, "strerror", None) or type(problem).__name__
        raise KeyLostError(f"{name}: the command cannot be run: {reason}", "it is run without a shell") from problem
    if process.returncode or not text or len(said) > bounds.KEY_FILE_BYTES_MAX:
        raise KeyLostError(f"{name}: the command ended with {process.returncode} and gave {len(said)} bytes, no secret")
    return text
