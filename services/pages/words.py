"""The words of pages in both languages: YAML files beside the templates that use them.

A word has an English and a Chinese text with the same places. Which language a visitor has, his choice says (kept in a
cookie), else his browser, else the bank.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.resources.abc import Traversable
from string import Formatter
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from starlette.requests import Request

LANGUAGES: Final = ("zh-CN", "en")
LANGUAGE_COOKIE: Final = "tidegauge-language"
LANGUAGE_FIELD: Final = "lang"
_PREFERENCES_MAX: Final = 10
_HEADER_CHARS_MAX: Final = 200


class Wording:
    """The words of one service's pages. ValueError for a word that lacks a language, or whose places differ."""

    def __init__(self, files: Iterable[Traversable]) -> None:
        self.words: dict[str, dict[str, str]] = {}
        for file in files:
            for key, texts in yaml.safe_load(file.read_text(encoding="utf-8")).items():
                if key in self.words or set(texts) != {"en", "zh"} or _places(texts["en"]) != _places(texts["zh"]):
                    raise ValueError(f"{file.name}: {key} must be there once, in both languages, with the same places")
                self.words[key] = {"en": texts["en"], "zh-CN": texts["zh"]}

    def say(self, language: str, key: str, **given: Any) -> str:
        """A word in a language. KeyError for one that is not known."""
        text = self.words[key][language]
        return text.format(**given) if given else text


def _places(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def language_of(request: Request, default: str) -> str:
    """A visitor's language: as he chose just now or before, else as his browser wants it, else the default."""
    for chosen in (request.query_params.get(LANGUAGE_FIELD), request.cookies.get(LANGUAGE_COOKIE)):
        if chosen in LANGUAGES:
            return chosen
    wanted = request.headers.get("accept-language", "")[:_HEADER_CHARS_MAX].split(",")[:_PREFERENCES_MAX]
    return next((found for one in wanted if (found := _known(one))), default)


def _known(preference: str) -> str:
    tag = re.split(r"[-;]", preference.strip().lower(), maxsplit=1)[0]
    return {"zh": "zh-CN", "en": "en"}.get(tag, "")
