"""Texts of notices that a bank has written: a YAML file of those that it replaces, by language; all others stay.

Each is checked before any notice is filled with it: a text has the places of a notice and no other, so that what may not leave
the bank can't stand in one by a slip.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from string import Formatter
from typing import Any, Final, NamedTuple

import yaml

from policies.language.reader import Item, PackError, read_text
from schemas import bounds
from schemas.bounded import read_bounded
from services.notices import texts

SUBJECT_CHARS_MAX: Final = 200
BODY_CHARS_MAX: Final = 1000


class TextsError(ValueError):
    """A file of texts that may not be used: in one line, with the place of what is wrong."""


class _Rule(NamedTuple):
    """What a text may be."""

    chars_max: int
    places: frozenset[str]


_SUBJECT, _BODY = _Rule(SUBJECT_CHARS_MAX, texts.PLACES), _Rule(BODY_CHARS_MAX, texts.PLACES)
_RULES: Final[Mapping[str, _Rule]] = {
    "subjects": _SUBJECT, "bodies": _BODY, "late_subject": _Rule(SUBJECT_CHARS_MAX, frozenset()), "late_bodies": _BODY,
    "clear_subject": _SUBJECT, "clear_body": _BODY,
    "arrival_subject": _Rule(SUBJECT_CHARS_MAX, texts.ARRIVAL_PLACES),
    "arrival_body": _Rule(BODY_CHARS_MAX, texts.ARRIVAL_PLACES),
}  # fmt: skip
"""By field of `NoticeTexts`."""


def bank_texts(path: Path | None) -> Mapping[str, texts.NoticeTexts]:
    """The texts by language, with those of the file in the places of the shipped ones; None: the shipped ones.

    TextsError, TooLargeError.
    """
    if path is None:
        return texts.SHIPPED
    try:
        return replaced_texts(read_bounded(path, bounds.PACK_BYTES_MAX).decode(), str(path))
    except UnicodeDecodeError as problem:
        raise TextsError(f"{path}: is no UTF-8 text") from problem
    except OSError as problem:
        raise TextsError(f"{path}: {problem.strerror}") from problem


def replaced_texts(text: str, file: str) -> dict[str, texts.NoticeTexts]:
    """As `bank_texts`, of the text of a file. TextsError."""
    try:
        root = read_text(text, file)
        found = {}
        for locale, shipped in _known(root, texts.SHIPPED, "language"):
            values = {one.name: getattr(shipped.known, one.name) for one in fields(shipped.known)}
            for name, part in _known(shipped.item, values, "text"):
                values[name] = _replaced(part.item, part.known, _RULES[name])
            found[locale] = texts.NoticeTexts(**values)
        if root.found.problems:
            raise PackError(root.found.problems)
    except PackError as problem:
        first, *more = problem.problems
        raise TextsError(f"{first}{f' (and {len(more)} more)' if more else ''}") from problem
    return {**texts.SHIPPED, **found}


class _Part(NamedTuple):
    """A part of the file, and what is shipped in its place."""

    item: Item
    known: Any


def _known(item: Item, shipped: Mapping[str, Any], what: str) -> list[tuple[str, _Part]]:
    """The entries of a mapping that has the names of the shipped one; others are problems."""
    found = []
    for name, below in item.entries():
        if name in shipped:
            found.append((name, _Part(below, shipped[name])))
        else:
            below.fail(f"unknown {what}; known here: {', '.join(shipped)}")
    return found


def _replaced(item: Item, shipped: Any, rule: _Rule) -> Any:
    """A text, or a mapping with those in it that the file names replaced."""
    if not isinstance(shipped, str):
        what = "step" if "raised" in shipped else "kind"
        return {**shipped, **{name: _replaced(*part, rule) for name, part in _known(item, shipped, what)}}
    if not isinstance(item.node, yaml.ScalarNode):
        item.fail("expected a text; one that begins with { stands in quotes")
        return shipped
    text = str(item.node.value).rstrip("\n")
    if wrong := _fault(text, rule):
        item.fail(wrong)
    return text


def _fault(text: str, rule: _Rule) -> str:
    """What is wrong with a text; empty where nothing is."""
    if not text.strip():
        return "must not be empty"
    if len(text) > rule.chars_max:
        return f"{len(text):,} characters, at most {rule.chars_max:,} are taken"
    may_break = "\n" if rule.chars_max == BODY_CHARS_MAX else ""
    if any(unicodedata.category(one).startswith("C") and one not in may_break for one in text):
        return "holds a line break or another character that can't be shown"
    try:
        for _, name, form, conversion in Formatter().parse(text):
            if name is not None and (name not in rule.places or form or conversion):
                whole = f"{name}{f'!{conversion}' if conversion else ''}{f':{form}' if form else ''}"
                known = ", ".join(f"{{{place}}}" for place in sorted(rule.places)) or "none"
                return f"unknown placeholder {{{whole}}}; known here: {known}"
    except ValueError:
        return "a brace stands alone; {{ and }} stand for braces"
    return ""
