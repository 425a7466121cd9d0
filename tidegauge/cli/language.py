"""The language that a command prints in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer

from deploy.settings import Settings
from tidegauge.cli.output import BAD_INPUT, CommandError

LANGUAGES = ("en", "zh-CN")
LANG = typer.Option("", "--lang", help="en or zh-CN (TIDEGAUGE_LANG).")


def language(given: str = "", settings: Settings | None = None) -> str:
    """The option's language, else the setting's. CommandError for one that is not known."""
    lang = given or (settings or Settings()).lang
    if lang not in LANGUAGES:
        raise CommandError(f"--lang {lang!r} is none of {', '.join(LANGUAGES)}", code=BAD_INPUT)
    return lang


def speaker(words: Mapping[str, Mapping[str, str]], lang: str) -> Callable[..., str]:
    """Says a sentence of a table by its code, with what it is filled with."""

    def say(code: str, **details: Any) -> str:
        return words[lang][code].format(**details)

    return say
