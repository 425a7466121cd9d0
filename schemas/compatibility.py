"""Can a reader of one schema read what a writer of another wrote, by Avro's rules? And how far each contract may change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from schemas.avro_types import MISSING, Type, parse, same_name, writer_field

_PROMOTIONS = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}
FULL, BACKWARD = "FULL_TRANSITIVE", "BACKWARD_TRANSITIVE"
_NULLS: Final = "a figure that is not known is null, where the versions before have a number that says nothing"
BREAKS: Final = {
    "standings": {5: _NULLS},
    "outlooks": {2: _NULLS},
    "rm-alerts": {3: "what an alert of the outlook has no figure for is null, where the versions before have 0 or -1"},
}
"""Versions that those before can't read, each with its reason. Every change else goes both ways."""


def level_of(name: str) -> str:
    """The level of compatibility of a contract's subject, as registries call it."""
    return BACKWARD if name in BREAKS else FULL


def release_problems(name: str, new: Any, older: Sequence[Any]) -> list[str]:
    """Why a contract's new version may not follow those before, which are given in their order; empty = it may."""
    unreadable = max((version for version in BREAKS.get(name, ()) if version <= len(older) + 1), default=1)
    found = []
    for i, other in enumerate(older, 1):
        found += [f"reading version {i}: {p}" for p in problems(new, other)]
        found += [f"read by version {i}: {p}" for p in problems(other, new)] if i >= unreadable else []
    return found


def problems(reader: Any, writer: Any) -> list[str]:
    """Why the reader's schema can't read everything of the writer's; empty = it can."""
    return _compare(parse(reader), parse(writer), "", set())


def _compare(reader: Type, writer: Type, at: str, seen: set[tuple[int, int]]) -> list[str]:
    if (id(reader), id(writer)) in seen:  # a recursive schema: compared further up
        return []
    seen = seen | {(id(reader), id(writer))}
    if writer.kind == "union":
        return [p for branch in writer.items for p in _compare(reader, branch, at, seen)]
    if reader.kind == "union":
        tries = [_compare(branch, writer, at, seen) for branch in reader.items]
        return [] if any(not t for t in tries) else [f"{at or '(top)'}: no branch takes {writer.name or writer.kind}"]
    if reader.kind != writer.kind:
        good = reader.kind in _PROMOTIONS.get(writer.kind, ())
        return [] if good else [f"{at or '(top)'}: {writer.kind} read as {reader.kind}"]
    if reader.kind in ("record", "enum", "fixed") and not same_name(writer, reader):
        return [f"{at or '(top)'}: {writer.name} read as {reader.name}"]
    if reader.kind == "fixed" and reader.size != writer.size:
        return [f"{at}: size {writer.size} read as {reader.size}"]
    if reader.kind == "enum" and reader.default is None:
        return [f"{at}: symbol {s} is unknown to the reader" for s in writer.symbols if s not in reader.symbols]
    if reader.kind in ("array", "map"):
        return _compare(reader.items[0], writer.items[0], f"{at}[]", seen)
    return _compare_fields(reader, writer, at, seen)


def _compare_fields(reader: Type, writer: Type, at: str, seen: set[tuple[int, int]]) -> list[str]:
    found = []
    for f in reader.fields:
        path = f"{at}.{f.name}".lstrip(".")
        source = writer_field(f, writer)
        if source is not None:
            found += _compare(f.type, source.type, path, seen)
        elif f.default is MISSING:
            found.append(f"{path}: the writer lacks it and it has no default")
    return found
