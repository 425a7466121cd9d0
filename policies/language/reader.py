"""Read YAML into nodes that know their file, line and field, and gather every problem instead of stopping at the first.

All scalars stay text, without the guesses of YAML 1.1 (`no` is not false, `1:30` is not 90), so a threshold is read
exactly as written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

import yaml
from yaml.composer import Composer

from policies.model.figures import Figures
from schemas import bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

T = TypeVar("T")

DEPTH_MAX = 32

_IDENTIFIER = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,6})?")
_SIGNED = re.compile(rf"-?{_DECIMAL.pattern}")
_INTEGER = re.compile(r"0|[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a pack: where (file, 1-based line, field path) and what."""

    file: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}"
        return f"{where}: {self.field}: {self.message}" if self.field else f"{where}: {self.message}"


class PackError(ValueError):
    """A pack that may not be used; `problems` holds all that was found, in the order of the lines."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.file, p.line, p.field)))
        super().__init__("\n".join(str(p) for p in self.problems))


class _Bounded(Composer):
    """Only composes; values are interpreted by us. Aliases are refused: with them a small file grows without bound."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[attr-defined]  # of the parser beside it
        if self.check_event(yaml.AliasEvent):  # type: ignore[attr-defined]
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=mark)
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {DEPTH_MAX}", problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class PlainNodes(_Bounded, yaml.SafeLoader):
    """By PyYAML's own parser, whose words for what is wrong are the ones that people read."""


def root_node(text: str) -> yaml.Node | None:
    """The root node; None of an empty text. Raises YAMLError.

    By PyYAML's own parser: libyaml reads some texts with stray indicators otherwise, and a pack must be the same everywhere.
    """
    return PlainNodes(text).get_single_node()


@dataclass(slots=True)
class Findings:
    """The file being read, the problems met so far, and the names that later parts may refer to, by kind.

    `taken`: an earlier version has taken the pack, so what only later ones refuse is let pass.
    """

    file: str
    taken: bool = False
    problems: list[Problem] = field(default_factory=list)
    idle: list[Problem] = field(default_factory=list)  # settings that change nothing; the pack is good all the same
    known: dict[str, Collection[str]] = field(default_factory=dict)
    figures: Figures = field(default_factory=Figures)

    def add(self, line: int, path: str, message: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(self.file, line, path, message))


@dataclass(frozen=True, slots=True)
class Item:
    """A YAML node with its field path; reading methods return None after noting a problem."""

    node: yaml.Node
    path: str
    found: Findings

    @property
    def line(self) -> int:
        """The 1-based line the node starts on."""
        return int(self.node.start_mark.line) + 1

    def fail(self, message: str) -> None:
        """Note a problem with this node."""
        self.found.add(self.line, self.path, message)

    def fail_if_new(self, message: str) -> None:
        """Note a problem that earlier versions did not see: a pack that one of them has taken stays readable."""
        if not self.found.taken:
            self.fail(message)

    def note_idle(self, why: str) -> None:
        """Note that the setting changes nothing."""
        self.found.idle.append(Problem(self.found.file, self.line, self.path, f"idle: {why}"))

    def all(self) -> Iterator[Item]:
        """The node and everything below it, of a document without problems."""
        yield self
        below: list[Item] = []
        if isinstance(self.node, yaml.SequenceNode):
            below = self.items()
        elif self.is_mapping():
            below = [item for _, item in self.entries()]
        for item in below:
            yield from item.all()

    def is_mapping(self) -> bool:
        """Whether the node has fields."""
        return isinstance(self.node, yaml.MappingNode)

    def text(self) -> str | None:
        """A non-empty scalar as written."""
        if not isinstance(self.node, yaml.ScalarNode):
            self.fail("expected a single value")
            return None
        value = str(self.node.value).strip()
        if not value:
            self.fail("must not be empty")
            return None
        return value

    def _matching(self, pattern: re.Pattern[str], expected: str) -> str | None:
        value = self.text()
        if value is not None and not pattern.fullmatch(value):
            self.fail(f"expected {expected}, not {value!r}")
            return None
        return value

    def identifier(self) -> str | None:
        """A lower-case name of letters, digits, `-` and `_`."""
        return self._matching(_IDENTIFIER, "a lower-case name such as gold or hq-vip")

    def decimal(self) -> Decimal | None:
        """A non-negative plain decimal, at most 15 digits before and 6 after the point."""
        value = self._matching(_DECIMAL, 'a plain decimal such as "100000.00"')
        return None if value is None else Decimal(value)

    def signed(self) -> Decimal | None:
        """A plain decimal that may be below 0."""
        value = self._matching(_SIGNED, 'a plain decimal such as "-0.5"')
        return None if value is None else Decimal(value)

    def integer(self, minimum: int = 0, maximum: int = 10**9) -> int | None:
        """A plain integer in [minimum, maximum]."""
        value = self._matching(_INTEGER, "a plain whole number")
        if value is None:
            return None
        number = int(value)
        if not minimum <= number <= maximum:
            self.fail(f"must be from {minimum} to {maximum}, not {number}")
            return None
        return number

    def boolean(self) -> bool | None:
        """`true` or `false`, nothing else."""
        value = self.choice(("true", "false"))
        return None if value is None else value == "true"

    def choice(self, allowed: tuple[str, ...] | frozenset[str]) -> str | None:
        """One of the allowed words."""
        value = self.text()
        if value is not None and value not in allowed:
            words = sorted(allowed) if isinstance(allowed, frozenset) else allowed
            self.fail(f"{value!r} is not one of {', '.join(words)}")
            return None
        return value

    def items(self) -> list[Item]:
        """The members of a non-empty list."""
        if not isinstance(self.node, yaml.SequenceNode):
            self.fail("expected a list")
            return []
        if not self.node.value:
            self.fail("must not be empty")
        return [Item(node, f"{self.path}[{i}]", self.found) for i, node in enumerate(self.node.value)]

    def entries(self) -> Iterator[tuple[str, Item]]:
        """The entries of a mapping; a key that comes twice is a problem."""
        if not isinstance(self.node, yaml.MappingNode):
            self.fail("expected a mapping")
            return
        seen: set[str] = set()
        for key_node, value_node in self.node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else ""
            path = f"{self.path}.{key}" if self.path else key
            if not key or key in seen:
                message = "given twice" if key else "a key must be a word"
                self.found.add(int(key_node.start_mark.line) + 1, path, message)
                continue
            seen.add(key)
            yield key, Item(value_node, path, self.found)

    def fields(self, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> Fields:
        """A mapping with known fields; unknown and missing ones are problems."""
        members: dict[str, Item] = {}
        for key, item in self.entries():
            if key in required or key in optional:
                members[key] = item
            else:
                item.fail(f"unknown field; known here: {', '.join(required + optional)}")
        for key in required:
            if key not in members and self.is_mapping():
                self.fail(f"field {key} is missing")
        return Fields(members)


@dataclass(frozen=True, slots=True)
class Fields:
    """The known members of a mapping."""

    members: dict[str, Item]

    def read(self, name: str, reader: Callable[[Item], T | None], default: T) -> T:
        """The member read by `reader`; the default when it is absent or bad (a bad one has been noted)."""
        item = self.members.get(name)
        if item is None:
            return default
        value = reader(item)
        return default if value is None else value

    def get(self, name: str) -> Item | None:
        """The member itself, None when it is absent."""
        return self.members.get(name)


def read_text(text: str, file: str, *, taken: bool = False) -> Item:
    """Compose one YAML document; `taken` as in Findings.

    Raises PackError when it is no YAML, too large, empty, or uses anchors.
    """
    found = Findings(file, taken)
    if (size := len(text.encode())) > bounds.PACK_BYTES_MAX:
        found.add(1, "", f"{size:,} bytes, at most {bounds.PACK_BYTES_MAX:,} are taken")
        raise PackError(found.problems)
    try:
        node = root_node(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        found.add(1 if mark is None else int(mark.line) + 1, "", error.problem or "is not YAML")
        raise PackError(found.problems) from error
    except yaml.YAMLError as error:
        found.add(1, "", str(error).splitlines()[0])
        raise PackError(found.problems) from error
    if node is None:
        found.add(1, "", "is empty")
        raise PackError(found.problems)
    return Item(node, "", found)
