"""What differs between two packs, field by field, and what stands in the way of putting one into force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from policies.model.terms import AnyOf, AtLeast, Criterion, Limit, Not

if TYPE_CHECKING:
    from policies.model.pack import Pack

LEFT_OUT = frozenset({"body", "customer_class"})
# Fields that say which version it is and how it came in; a supplement differs from its base in them.
HEAD = frozenset({"id", "version", "effective_from", "name", "basis", "readings", "applies_to", "supplement", "edited_by",
                  "branches", "supersedes"})  # fmt: skip
SIGNS = {"minimum": "≥", "above": ">", "below": "<", "at_most": "≤", "one_of": "="}


@dataclass(frozen=True, slots=True)
class Change:
    """One field: its path, and its value in either pack (None: not there)."""

    path: str
    old: str | None
    new: str | None


def criterion_text(criterion: Criterion | None) -> str:
    """A criterion on one line."""
    if criterion is None:
        return "-"
    if isinstance(criterion, Limit):
        return limit_text(criterion)
    if isinstance(criterion, Not):
        return f"not {criterion_text(criterion.part)}"
    if isinstance(criterion, AtLeast):
        return f"at least {criterion.needed} of ({'; '.join(criterion_text(part) for part in criterion.parts)})"
    word = " or " if isinstance(criterion, AnyOf) else " and "
    return "(" + word.join(criterion_text(part) for part in criterion.parts) + ")"


def limit_text(limit: Limit) -> str:
    """A limit on one line."""
    where = f"({limit.scope})" if limit.scope else ""
    return f"{limit.metric}{where} {SIGNS[limit.operator]} {bound_text(limit)}"


def bound_text(limit: Limit) -> str:
    """What a limit compares with: a number with its currency where it has one of its own, or texts."""
    if limit.texts:
        return " / ".join(limit.texts)
    number = "open" if limit.value is None else f"{limit.value:f}"
    return number if limit.currency is None else f"{number} {limit.currency}"


def flattened(value: Any, path: str = "") -> dict[str, str]:
    """Dotted paths and texts; members of lists go by their id where they have one."""
    if isinstance(value, Criterion):
        return {path: criterion_text(value)}
    found: dict[str, str] = {}
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            if field.name not in LEFT_OUT and not (path and field.name == "id"):
                found |= flattened(getattr(value, field.name), f"{path}.{field.name}" if path else field.name)
    elif isinstance(value, Mapping):
        for key, member in value.items():
            found |= flattened(member, f"{path}.{key}")
    elif isinstance(value, tuple) and value and hasattr(value[0], "id"):
        for place, member in enumerate(value):
            found |= {f"{path}.{member.id}.place": str(place)} | flattened(member, f"{path}.{member.id}")
    elif isinstance(value, tuple) and value and is_dataclass(value[0]):
        for place, member in enumerate(value):
            found |= flattened(member, f"{path}.{place}")
    elif isinstance(value, tuple | frozenset) and value:
        found[path] = ", ".join(sorted(map(str, value)) if isinstance(value, frozenset) else map(str, value))
    elif value is not None and value not in ("", ()):
        found[path] = f"{value:f}" if isinstance(value, Decimal) else str(value)
    return found


def differences(old: Pack, new: Pack) -> list[Change]:
    """Every field in which two packs differ, in the order of their paths."""
    before, after = flattened(old), flattened(new)
    return [
        Change(path, before.get(path), after.get(path))
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]


def locked_changes(base: Pack, supplement: Pack) -> list[Change]:
    """What a branch's supplement changes although the base does not let branches set it (R-067)."""
    allowed = base.branches.may_set if base.branches is not None else ()
    return [
        change
        for change in differences(base, supplement)
        if change.path.split(".")[0] not in HEAD
        and not any(change.path == path or change.path.startswith(f"{path}.") for path in allowed)
    ]


def obstacles(pack: Pack, base: Pack | None = None, day: date | None = None) -> list[str]:
    """Why a pack may not be put into force on `day`: open numbers, a supplement that is locked out, unfiled or unapproved.

    `base` is the pack that a supplement names.
    """
    found = [f"{place} is still open: fill the number in" for place in pack.open_numbers()]
    supplement = pack.supplement
    if supplement is None:
        return found
    if base is None or base.id != supplement.base or base.branches is None:
        return [*found, f"a supplement needs its base {supplement.base}, and leave to add to it"]
    found += [f"{change.path} is locked by {base.id}" for change in locked_changes(base, pack)]
    if supplement.filed_on is None or (day is not None and supplement.filed_on > day):
        found.append(f"not yet filed with {base.branches.file_with}")
    if base.branches.approval_by is not None and supplement.approved_by is None:
        found.append(f"not yet approved by {base.branches.approval_by}")
    return found
