"""One word, one thing: a public name is defined once, whatever the room.

Public are classes and functions without a leading underscore, and constants that another module imports. Commands are
not counted: people type their names. The benches are left out: each is a program of its own, which nothing imports.

Modules are named by nouns of the field, so that a folder's listing says what is where; this holds for benches and tests
too.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.test_tidy import MODULES, ROOT, parsed

ROOMS = ("streams", "schemas", "policies", "agents", "services", "connectors", "deploy", "tidegauge")

# Name -> why it may be defined more than once. May only shrink.
EXCEPTIONS: Final[dict[str, str]] = {
    "NULL": "one packed reference; the engine takes it from the codec, as it may not import streams",
    "REF_BITS": "as NULL",
}

# As names of modules these say nothing.
SAYS_NOTHING: Final = frozenset({"several", "special", "restless", "beside", "told", "over", "passed"})
# Stem, without `test_` -> why it may be so all the same. May only shrink.
NOUNS: Final[dict[str, str]] = {
    "closing": "the noun of bookkeeping: which closes apply",
    "contributing": "the file that the test reads",
    "leaving": "what docs/tiers.md calls it: leaving a tier",
    "overtaking": "the noun of queues: who is served before an earlier arrival",
    "ping": "a command of Redis",
    "recording": "a noun: the golden file",
    "standing": "a noun: where a customer stands",
    "ticketing": "the noun of the trade",
    "timing": "a noun: when something takes place",
}
# Module -> why it is not renamed.
NOT_RENAMED: Final[dict[str, str]] = {
    "services.queue.behind.beside": "renamed with the next change of its room",
    "services.queue.behind.following": "as services.queue.behind.beside",
    "streams.alerts.watching": "as services.queue.behind.beside",
}


class Definition(NamedTuple):
    """A public top-level name of a module."""

    module: str
    name: str
    counts: bool  # a class or a function; constants count when they are imported


def module_of(path: Path, root: Path) -> str:
    """Dotted name."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def is_command(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """True for what typer turns into a command, or runs before one."""
    called = (item.func for item in function.decorator_list if isinstance(item, ast.Call))
    return any(isinstance(item, ast.Attribute) and item.attr in {"command", "callback"} for item in called)


def definitions(module: str, tree: ast.Module) -> Iterator[Definition]:
    """The public top-level names of a module, in its order."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found = [Definition(module, node.name, True)]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found = [] if is_command(node) else [Definition(module, node.name, True)]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
            found = [Definition(module, name, False) for name in names]
        else:
            found = []
        yield from (item for item in found if not item.name.startswith("_"))


def uses(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(module, name) of what is taken from other modules, by `from module import name` or as `module.name`."""
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield node.module, alias.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield modules[node.value.id], node.attr


def doubles(root: Path, rooms: Iterable[str]) -> dict[str, list[str]]:
    """Names with more than one definition, each with its modules."""
    paths = [path for room in rooms for path in sorted((root / room).rglob("*.py"))]
    trees = {module_of(path, root): parsed(path) for path in paths}
    used = {use for tree in trees.values() for use in uses(tree)}
    found: defaultdict[str, list[Definition]] = defaultdict(list)
    for module, tree in trees.items():
        for definition in dict.fromkeys(definitions(module, tree)):
            found[definition.name].append(definition)
    return {
        name: sorted({item.module for item in items})
        for name, items in found.items()
        if len({item.module for item in items}) > 1
        and any(item.counts or (item.module, name) in used for item in items)
    }


def test_one_definition() -> None:
    """A second definition gets a more precise name, or a leading underscore if only its own module uses it."""
    found = doubles(ROOT, ROOMS)
    assert {name: modules for name, modules in found.items() if name not in EXCEPTIONS} == {}
    assert EXCEPTIONS.keys() - found.keys() == set(), "no longer double: take them off the list"
    assert all(EXCEPTIONS.values()), "an exception has a reason"


def test_what_counts(tmp_path: Path) -> None:
    """Functions, classes and imported constants count; private names, commands and a module's own constants do not."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "one" / "a.py").write_text(
        "LIMIT, OWN = 1, 2\nclass Row: ...\ndef read(): ...\ndef _help(): ...\n@app.command('list')\ndef show(): ...\n"
    )
    (tmp_path / "two" / "b.py").write_text(
        "from one import a\nLIMIT: int = a.LIMIT\nOWN = 3\nasync def read(): ...\nRow = dict\ndef _help(): ...\n"
        "@app.command('list')\ndef show(): ...\n"
    )
    both = ["one.a", "two.b"]
    assert doubles(tmp_path, ("one", "two")) == {"LIMIT": both, "Row": both, "read": both}


def is_noun(stem: str) -> bool:
    """False for a participle, and for a word that says nothing; what a test is of counts, or the last word of a name."""
    subject = stem.removeprefix("test_")
    return subject not in SAYS_NOTHING and (not subject.endswith("ing") or subject.rsplit("_", 1)[-1] in NOUNS)


def test_modules_are_named_by_nouns() -> None:
    """A participle says that something is done; a noun says what the module is about."""
    found = {module_of(path, ROOT) for path in MODULES if not is_noun(path.stem)}
    assert found == NOT_RENAMED.keys()
    last = {path.stem.rsplit("_", 1)[-1] for path in MODULES}
    assert NOUNS.keys() - last == set(), "no longer needed: take them off the list"
    assert all((NOUNS | NOT_RENAMED).values()), "an exception has a reason"


def test_what_is_no_noun() -> None:
    """Whole words are looked at, of tests as of modules."""
    assert [stem for stem in ("deciding", "test_switching", "told", "test_several") if is_noun(stem)] == []
    assert all(map(is_noun, ("close", "timing", "drawn_leaving", "test_leaving", "notice_ids", "takeover")))
