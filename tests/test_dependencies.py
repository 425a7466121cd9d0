"""pyproject.toml declares what is imported, in the group that imports it, and nothing else."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.test_tidy import ROOT, nodes
from tidegauge.cli import COMMANDS
from tidegauge.cli.packages import EXTRAS, TOP_LEVEL

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# Which modules need an extra; all others are of the core.
NEEDS = {
    "dev": re.compile(r"(tests|bench)/"),
    "demo": re.compile(r"tidegauge/demo/"),
    "embedded": re.compile(r"deploy/embedded/"),
}
GROUPS = ("core", "embedded", "demo", "dev")  # each holds those before it
# Imported by none of our modules, and why they are there.
NOT_IMPORTED = {
    "django-htmx": "services/pages/site.py serves a file of it",
    "httptools": "uvicorn parses requests with it (services/queue/server.py)",
    "tzdata": "read by zoneinfo",
    "import-linter": "tests/test_tidy.py runs it",
    "mypy": "tests/test_tidy.py runs it",
    "ruff": "tests/test_tidy.py runs it",
    "pytest-asyncio": "a plug-in of pytest",
    "pytest-timeout": "a plug-in of pytest",
}
# The environment of a peer in the benchmarks is its own (bench/peers/environment.py).
OTHER_ENVIRONMENTS = {"quixstreams"}
STUBS = "types-"


def normal(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> dict[str, set[str]]:
    """Distributions that each group declares."""
    project = PYPROJECT["project"]
    lists = {"core": project["dependencies"], **project["optional-dependencies"]}
    found = {
        group: {normal(re.split(r"[\[<>=!~; ]", entry, maxsplit=1)[0]) for entry in entries}
        for group, entries in lists.items()
    }
    return {group: names - {"tidegauge"} for group, names in found.items()}


def modules() -> Iterator[tuple[str, str]]:
    """Path and group of every module."""
    for room in (*TOP_LEVEL, "tests"):
        for path in sorted((ROOT / room).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            yield name, next((group for group, pattern in NEEDS.items() if pattern.match(name)), "core")


def imports(path: Path) -> set[str]:
    """Top-level packages that a module imports, wherever in it."""
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - set(TOP_LEVEL) - {"tests"} - OTHER_ENVIRONMENTS


@pytest.fixture(scope="module")
def imported() -> dict[str, dict[str, set[str]]]:
    """The packages that each group's modules import, and the modules: group, package, modules."""
    found: dict[str, dict[str, set[str]]] = {group: {} for group in GROUPS}
    for name, group in modules():
        for package in imports(ROOT / name):
            found[group].setdefault(package, set()).add(name)
    return found


@cache
def owners() -> dict[str, set[str]]:
    """The distributions that install each package of the environment."""
    return {package: {normal(name) for name in names} for package, names in packages_distributions().items()}


def distributions(packages: Iterable[str]) -> set[str]:
    """The distributions that install the packages."""
    return {owner for package in packages for owner in owners().get(package, {f"(nothing installs {package})"})}


def test_all_that_is_imported_is_declared(imported: dict[str, dict[str, set[str]]]) -> None:
    """A group's modules import what the group or those below it declare; the core's lazy imports may be of an extra."""
    by_group = declared()
    for place, group in enumerate(GROUPS):
        within = ("core", "embedded", "demo") if group == "core" else GROUPS[: place + 1]
        known = set().union(*(by_group[below] for below in within))
        for package, where in imported[group].items():
            assert distributions([package]) <= known, f"{package}, imported by {sorted(where)}, is not declared"


def test_all_that_is_declared_is_imported(imported: dict[str, dict[str, set[str]]]) -> None:
    """Every dependency is imported in the modules that its group serves; the few others have a reason."""
    by_group = declared()
    everywhere = distributions({package for group in GROUPS for package in imported[group]})
    for group in GROUPS:
        used = distributions(imported[group])
        for name in by_group[group] - NOT_IMPORTED.keys():
            if name.startswith(STUBS):
                assert name.removeprefix(STUBS) in everywhere, f"{name}: no such package is imported"
            else:
                assert name in used, f"{name} is declared in {group}, whose modules don't import it"
    stale = NOT_IMPORTED.keys() - set().union(*by_group.values())
    assert not stale, f"no longer declared: {stale}"
    assert not NOT_IMPORTED.keys() & everywhere, "imported by now: their reasons are stale"


@pytest.mark.slow
def test_the_core_starts_without_the_extras() -> None:
    """Every module of the core can be imported where only the core is installed, in an interpreter of its own."""
    by_group = declared()
    extras = by_group["embedded"] | by_group["demo"] | by_group["dev"]
    blocked = {package for package, found in owners().items() if found <= extras}
    assert {"jgo", "duckdb", "psutil", "hypothesis"} <= blocked
    core = [name for name, group in modules() if group == "core" and not name.endswith("__main__.py")]
    names = [name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in core]
    code = f"""
import importlib, importlib.abc, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(blocked)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
for name in {names!r}:
    try:
        importlib.import_module(name)
    except ImportError as problem:
        sys.exit(f"{{name}}: {{problem}}")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_commands_ask_for_the_extras_that_exist(imported: dict[str, dict[str, set[str]]]) -> None:
    """What commands look for before they start is what the extra's modules import and the core does not declare."""
    core = declared()["core"]

    def more(group: str) -> set[str]:
        return {package for package in imported[group] if not distributions([package]) <= core}

    assert set(EXTRAS["embedded"]) == more("embedded")
    assert set(EXTRAS["demo"]) == more("embedded") | more("demo")
    assert {entry.extra for entry in COMMANDS.values()} - {""} == EXTRAS.keys()


def test_the_core_lock_is_part_of_the_lock() -> None:
    """Production runs the versions that were tested: requirements-core.lock holds nothing that requirements.lock lacks."""
    whole, core = (
        set(re.findall(r"^[a-z].*==.*(?:\n    --hash.*)+", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "requirements-core.lock")
    )
    assert core
    assert core < whole
    names = {normal(entry.partition("==")[0]) for entry in core}
    by_group = declared()
    assert by_group["core"] <= names
    assert not names & (by_group["embedded"] | by_group["demo"] | by_group["dev"])


def test_rooms_are_all_packages() -> None:
    """The names that `tidegauge doctor` looks after are those that Tidegauge installs."""
    assert {f"{room}*" for room in TOP_LEVEL} == set(PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"])
