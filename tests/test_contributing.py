"""CONTRIBUTING.md is followed: each recipe names the files that its example is in; versions and hooks are as it says."""

import re
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.test_tidy import ROOT, name_of, tracked
from tidegauge import __version__

RECIPE = re.compile(r"^```recipe ([a-z ]+)\nexample: ([^\n]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RELEASE = re.compile(r"^## (\S+)(?: - (\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)
KINDS = {"metric", "alert kind", "topic", "connector", "scheme", "command"}
CHANGES = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
# Where a recipe has to be complete: not in prose, in tests, in what is measured, and in what was released once.
OUTSIDE = ("docs/", "tests/", "bench/", "schemas/versions/", ".")


class Recipe(NamedTuple):
    """What to touch for one more of a kind, by its latest example."""

    kind: str
    example: str
    files: tuple[str, ...]
    tests: tuple[str, ...]


def recipes() -> list[Recipe]:
    """The recipes of the page."""
    found = []
    for kind, example, body in RECIPE.findall((ROOT / "CONTRIBUTING.md").read_text()):
        lines = body.splitlines()
        tests = tuple(line.removeprefix("test: ") for line in lines if line.startswith("test: "))
        files = tuple(line.split()[0] for line in lines if not line.startswith("test: "))
        found.append(Recipe(kind, example, files, tests))
    return found


def holds(path: Path, example: str) -> bool:
    """Whether a file is about the example: by its text or by its name. Pages have it without the code's quotes."""
    word = example.split(": ")[-1].strip('"')
    if constant(example) in path.read_text():
        return True
    return re.search(rf"(?<![a-z]){re.escape(word)}s?(?![a-z])", path.read_text()) is not None or word in path.stem


def constant(example: str) -> str:
    """How the vocabulary's constant of a word is spelt; the word itself where there is none."""
    return example.upper() if "_" in example else example


def sources() -> list[Path]:
    """Code, contracts and packs."""
    kinds = {".py", ".avsc", ".yaml", ".json"}
    return [path for path in tracked() if path.suffix in kinds and not name_of(path).startswith(OUTSIDE)]


def test_there_is_a_recipe_for_each_kind() -> None:
    """What people add most often."""
    assert {recipe.kind for recipe in recipes()} == KINDS


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.kind)
def test_recipe_names_every_place(recipe: Recipe) -> None:
    """The files and tests exist, the example is in each of the files, and in no source file besides."""
    assert recipe.tests and all((ROOT / test).is_file() for test in recipe.tests), recipe.tests
    assert len(recipe.files) == len(set(recipe.files)), "a file twice"
    assert [name for name in recipe.files if not (ROOT / name).is_file()] == []
    assert [name for name in recipe.files if not holds(ROOT / name, recipe.example)] == []
    spellings = {recipe.example, constant(recipe.example)}
    found = {name_of(path) for path in sources() if any(word in path.read_text() for word in spellings)}
    assert found <= set(recipe.files)


def test_a_wrong_recipe_is_found() -> None:
    """A file that has nothing of the example, and a word that is only part of another one."""
    assert not holds(ROOT / "LICENSE", "month_to_date_avg")
    assert not holds(ROOT / "streams" / "vocabulary" / "metrics.py", "onth_to_date_avg")
    assert holds(ROOT / "streams" / "vocabulary" / "metrics.py", "month_to_date_avg")


def test_version_is_the_changelog_s() -> None:
    """Unreleased first, then the versions, newest first, each with its day; the newest is the package's own."""
    text = (ROOT / "CHANGELOG.md").read_text()
    (first, no_day), *released = RELEASE.findall(text)
    assert (first, no_day) == ("Unreleased", "")
    assert released[0][0] == __version__
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version, _ in released)
    days = [date.fromisoformat(day) for _, day in released]
    versions = [tuple(map(int, version.split("."))) for version, _ in released]
    assert days == sorted(days, reverse=True)
    assert versions == sorted(set(versions), reverse=True)
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= CHANGES


def test_hooks_are_local() -> None:
    """Hooks fetch nothing: they run what is in the project's environment."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    hooks = config["repos"][0]["hooks"]
    assert all(hook["language"] == "system" for hook in hooks)
    assert all(hook["entry"].startswith((".venv/bin/", "make ")) for hook in hooks)


def test_targets_exist() -> None:
    """Whatever the page or a hook calls by `make` is a target."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    called = set(
        re.findall(r"(?:`|^|entry: )make ([a-z-]+)", (ROOT / "CONTRIBUTING.md").read_text() + hooks, re.MULTILINE)
    )
    assert {"install", "check", "test"} <= called <= targets
