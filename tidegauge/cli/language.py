"""The language that a command prints in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer

from deploy.settings import Settings
from tidegauge.cli.choices import Lang

LANG = typer.Option(None, "--lang", help="Language (TIDEGAUGE_LANG).")


def language(given: Lang | None = None, settings: Settings | None = None) -> str:
    """The option's language, else the setting's."""
    return str(given or (settings or Settings()).lang)


def speaker(words: Mapping[str, Mapping[str, str]], lang: str) -> Callable[..., str]:
    """Says a sentence of a table by its code, with what it is filled with."""

    def say(code: str, **details: Any) -> str:
        return words[lang][code].format(**details)

    return say
