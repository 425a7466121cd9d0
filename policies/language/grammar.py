"""The kinds of value a pack is made of: each reads an item, noting problems, and gives its JSON Schema.

One description serves both, so the loader and the published schema cannot drift apart. `read` returns None after noting
a problem. `schema` puts named parts into `defs` and returns what stands in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

from policies.language.reader import Item
from policies.model.terms import Name

IDENTIFIER = "^[a-z][a-z0-9]*([-_][a-z0-9]+)*$"
AMOUNT = "(0|[1-9][0-9]{0,14})(\\.[0-9]{1,6})?"
OPEN_NUMBER = "open"  # the number that a bank has yet to fill in

Schema = dict[str, Any]


class Kind(Protocol):
    """A kind of value."""

    def read(self, item: Item) -> Any:
        """The value, None after a problem."""

    def schema(self, defs: Schema) -> Schema:
        """Its JSON Schema."""


def described(schema: Schema, doc: str) -> Schema:
    """The schema with its description, if it has one."""
    return {**schema, "description": doc} if doc else schema


@dataclass(frozen=True)
class Text:
    """Any text that is not empty."""

    doc: str = ""

    def read(self, item: Item) -> str | None:
        """See Kind."""
        return item.text()

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        return described({"type": "string", "minLength": 1}, self.doc)


@dataclass(frozen=True)
class Identifier:
    """A lower-case name; one of `known[of]` where `of` is given."""

    doc: str = ""
    of: str = ""

    def read(self, item: Item) -> str | None:
        """See Kind."""
        if not self.of:
            return item.identifier()
        known = item.found.known.get(self.of, ())
        return item.choice(known if isinstance(known, frozenset) else tuple(known))

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        return described({"type": "string", "pattern": IDENTIFIER}, self.doc)


@dataclass(frozen=True)
class Amount:
    """An exact decimal; None stands for a number still open where that is allowed (read with `read_open`)."""

    doc: str = ""

    def read(self, item: Item) -> Any:
        """See Kind."""
        return item.decimal()

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        defs["amount"] = {
            "description": "An exact decimal; whole in minor units of the base currency.",
            "type": "string",
            "pattern": f"^{AMOUNT}$",
        }
        return described({"$ref": "#/$defs/amount"}, self.doc)


@dataclass(frozen=True)
class Whole:
    """A whole number within bounds."""

    low: int = 0
    high: int = 10**9
    doc: str = ""
    only: tuple[int, ...] = ()

    def read(self, item: Item) -> int | None:
        """See Kind."""
        number = item.integer(self.low, self.high)
        if number is not None and self.only and number not in self.only:
            item.fail(f"must be one of {', '.join(map(str, self.only))}")
            return None
        return number

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        if self.only:
            return described({"enum": list(self.only)}, self.doc)
        return described({"type": "integer", "minimum": self.low, "maximum": self.high}, self.doc)


@dataclass(frozen=True)
class Flag:
    """true or false."""

    doc: str = ""

    def read(self, item: Item) -> bool | None:
        """See Kind."""
        return item.boolean()

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        return described({"type": "boolean"}, self.doc)


@dataclass(frozen=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]
    doc: str = ""

    def read(self, item: Item) -> str | None:
        """See Kind."""
        return item.choice(self.words)

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        return described({"enum": list(self.words)}, self.doc)


@dataclass(frozen=True)
class Day:
    """A date, written 2018-01-31."""

    doc: str = ""

    def read(self, item: Item) -> date | None:
        """See Kind."""
        text = item.text()
        try:
            return None if text is None else date.fromisoformat(text)
        except ValueError:
            item.fail(f"expected a date such as 2018-01-31, not {text!r}")
            return None

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        return described({"type": "string", "format": "date"}, self.doc)


@dataclass(frozen=True)
class Many:
    """A list, at most `most` long; members that have a `key` must differ in it, others must differ."""

    kind: Kind
    doc: str = ""
    most: int = 64
    key: str = ""

    def read(self, item: Item) -> tuple[Any, ...] | None:
        """See Kind."""
        members: list[Any] = []
        for member in item.items():
            value = self.kind.read(member)
            if value is None:
                continue
            mark = getattr(value, self.key) if self.key else value
            if mark in [getattr(m, self.key) if self.key else m for m in members]:
                member.fail(f"{mark} is given twice")
            else:
                members.append(value)
        if len(members) > self.most:
            item.fail(f"more than {self.most}")
        return tuple(members)

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        unique = {} if self.key else {"uniqueItems": True}
        items = self.kind.schema(defs)
        return described({"type": "array", "minItems": 1, "maxItems": self.most, **unique, "items": items}, self.doc)


@dataclass(frozen=True)
class Table:
    """Names chosen by the writer (or known ones, with `of`) and a value for each, at most `most` where that is given."""

    kind: Kind
    doc: str = ""
    of: str = ""
    most: int | None = None

    def read(self, item: Item) -> dict[str, Any] | None:
        """See Kind."""
        values: dict[str, Any] = {}
        known = item.found.known.get(self.of, ())
        for name, member in item.entries():
            if self.of and name not in known:
                member.fail(f"{name!r} is not one of {', '.join(sorted(known))}")
                continue
            value = self.kind.read(member)
            if value is not None:
                values[name] = value
        if not values and item.is_mapping() and not item.found.problems:
            item.fail("must not be empty")
        if self.most is not None and len(values) > self.most:
            item.fail(f"more than {self.most}")
        return values

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        most = {} if self.most is None else {"maxProperties": self.most}
        return described(
            {"type": "object", "minProperties": 1, **most, "additionalProperties": self.kind.schema(defs)}, self.doc
        )


@dataclass(frozen=True)
class ByTier:
    """A value per tier, or one value for every tier."""

    kind: Kind
    doc: str = ""

    def read(self, item: Item) -> dict[str, Any] | None:
        """See Kind."""
        tiers = item.found.known.get("tiers", ())
        if not item.is_mapping():
            value = self.kind.read(item)
            return {} if value is None else dict.fromkeys(tiers, value)
        values: dict[str, Any] = {}
        for tier, member in item.entries():
            if tier not in tiers:
                member.fail(f"{tier!r} is not a tier of this class")
            elif (value := self.kind.read(member)) is not None:
                values[tier] = value
        return values

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        one = self.kind.schema(defs)
        return described({"anyOf": [one, {"type": "object", "additionalProperties": one}]}, self.doc)


@dataclass(frozen=True)
class RecordKind:
    """A mapping with known fields, built by `build` from those that are given."""

    title: str
    build: Callable[..., Any]
    required: Mapping[str, Kind] = field(default_factory=dict)
    optional: Mapping[str, Kind] = field(default_factory=dict)
    doc: str = ""
    check: Callable[[Item, Any], None] | None = None

    def read(self, item: Item) -> Any:
        """See Kind."""
        fields = item.fields(tuple(self.required), tuple(self.optional))
        kinds = {**self.required, **self.optional}
        values = {name: kinds[name].read(member) for name, member in fields.members.items()}
        good = {name: value for name, value in values.items() if value is not None}
        if any(name not in good for name in self.required):
            return None
        value = self.build(**good)
        if self.check is not None and len(good) == len(values):
            self.check(item, value)
        return value

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        if self.title not in defs:
            defs[self.title] = {}
            kinds = {**self.required, **self.optional}
            body: Schema = {
                "type": "object",
                "additionalProperties": False,
                "required": list(self.required),
                "properties": {name: kind.schema(defs) for name, kind in kinds.items()},
            }
            defs[self.title] = described(body, self.doc)
        return {"$ref": f"#/$defs/{self.title}"}


NAME = RecordKind("name", Name, {"zh": Text(), "en": Text()}, doc="What people read.")
