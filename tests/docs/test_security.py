"""docs/security.md says what is: the tests and modules that it names are there, and its roles are the code's."""

import ast
import re
from pathlib import Path

from policies.lifecycle.acts import PLAYED_BY
from services.access.decision import Role

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()


def test_its_tests_and_modules_are_there() -> None:
    """Under the names that the tables of threats and requirements have."""
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 20
    for file, name in named:
        tree = ast.parse((ROOT / "tests" / file).read_text())
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        assert [node for node in tree.body if isinstance(node, kinds) and node.name == name], (file, name)
    modules = set(re.findall(r"`([\w/]+\.py)`", PAGE))
    assert [one for one in modules if not (ROOT / one).exists()] == []


def test_roles_of_packs() -> None:
    """The table of who has a role that a pack names is the code's, and of roles that there are."""
    table = PAGE.partition("| role in a pack |")[2].partition("\n\n")[0]
    rows: dict[str, tuple[str, ...]] = {}
    for line in table.splitlines()[2:-1]:
        names, roles = (re.findall(r"`([\w-]+)`", cell) for cell in line.strip("|").split("|"))
        rows |= dict.fromkeys(names, tuple(roles))
    assert rows == PLAYED_BY
    assert {role for roles in PLAYED_BY.values() for role in roles} <= set(Role)
