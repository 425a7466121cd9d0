"""The matrix of docs/security.md, cell by cell: action × kind × role × unit, as the one function answers it."""

import re
from itertools import product
from pathlib import Path
from typing import Final

import pytest

from services.access.decision import Action, Actor, DataKind, Resource, Role, decide_access

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "security.md"
OWN: Final = ("hq", "east", "0102")
# Of whose thing -> its unit, seen from OWN. None: there is none, or nobody knows whose it is.
UNITS: Final = {"own": OWN, "below": (*OWN, "desk"), "above": OWN[:2], "beside": ("hq", "east", "0103"),
                "other": ("hq", "west"), "none": None}  # fmt: skip
WHOSE: Final = {"own": {"own", "below"}, "all": set(UNITS)}


def written() -> dict[tuple[Action, DataKind], tuple[set[str], set[Role]]]:
    """The page's rows: action and kind -> the relations, and the roles."""
    found = {}
    text = PAGE.read_text().partition("| what | whose | who |")[2].partition("\n\n")[0]
    for line in text.strip().splitlines()[1:]:
        what, whose, who = (cell.strip() for cell in line.strip("|").split("|"))
        action, *kinds = re.findall(r"`(\w+)`", what)
        for kind in kinds:
            cell = Action(action), DataKind(kind)
            assert cell not in found, f"{cell} has two rows"
            found[cell] = WHOSE[whose], {Role(name) for name in re.findall(r"`(\w+)`", who)}
    return found


ROWS: Final = written()


def test_everything_has_a_row() -> None:
    """An action, a kind or a role that is new needs one."""
    assert {action for action, _ in ROWS} == set(Action)
    assert {kind for _, kind in ROWS} == set(DataKind)
    assert {role for _, roles in ROWS.values() for role in roles} == set(Role)


@pytest.mark.parametrize("role", Role)
def test_every_cell(role: Role) -> None:
    """What a row names is allowed, and nothing else, of whatever unit; what is denied is concealed."""
    actor = Actor("a", role, OWN)
    for action, kind, (relation, unit) in product(Action, DataKind, UNITS.items()):
        whose, roles = ROWS.get((action, kind), (set(), set()))
        found = decide_access(actor, action, Resource(kind, unit, requested_by="b"))
        assert found.allowed == (role in roles and relation in whose), (role, action, kind, relation, found)
        assert found.conceal == (not found.allowed)


@pytest.mark.parametrize("role", Role)
def test_what_is_absent_looks_like_what_is_forbidden(role: Role) -> None:
    """In every cell, whatever the action."""
    actor = Actor("a", role, OWN)
    for action, kind in product(Action, DataKind):
        absent, other = (decide_access(actor, action, Resource(kind, unit)) for unit in (None, ("hq", "west")))
        assert absent == other
