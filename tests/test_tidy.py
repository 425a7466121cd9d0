"""The rules of the house that a program can check: sizes, layering, what must not stand in a file."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("streams", "schemas", "policies", "agents", "services", "connectors", "deploy", "bench", "tidegauge")
MODULES = sorted(path for room in (*ROOMS, "tests") for path in (ROOT / room).rglob("*.py"))
MODULE_LINES_MAX = 500
MODULE_LINES_USUAL = 300
FUNCTION_LINES_MAX = 60
LINE_LENGTH_MAX = 130
FOLDER_MODULES_MAX = 12
# Folders of tests that hold more all the same, and why. May only shrink.
HEAPS = {
    "tests/chaos": "one program with a table of its own: what it breaks, what it feeds and what it checks, a module each",
    "tests/simulation": "one program: a stand-in for each part of Kafka, of the network and of the worker",
    "tests/twins": "a twin for each module of the domain, and nothing else",
}
# Modules of a pure domain get time and chance as arguments.
CLOCKS = {"time", "random", "secrets", "uuid", "os", "socket", "asyncio", "threading"}
CLOCK_CALLS = {"now", "utcnow", "today", "time", "monotonic", "perf_counter", "default_rng", "urandom"}
# Not domain: says where compiled kernels are kept.
IMPURE = {"cache.py"}
PURE = sorted(path for path in (ROOT / "streams").rglob("*.py") if path.name not in IMPURE)
MONEY = re.compile(r"(_minor|_fen|_nano|amount|balance|aum|rate|money)", re.IGNORECASE)


def name_of(path: Path) -> str:
    """Path below the repository."""
    return path.relative_to(ROOT).as_posix()


def tracked() -> list[Path]:
    """Files that git has or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


@cache
def parsed(path: Path) -> ast.Module:
    """The module's tree, parsed once for all tests."""
    return ast.parse(path.read_text())


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Every node of the module's tree, walked once for all tests."""
    return tuple(ast.walk(parsed(path)))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a module."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def untidy(text: str, tree: ast.Module) -> Iterator[str]:
    """What is not tidy in a module: it says what it is for, is short, and so are its functions and lines."""
    lines = text.splitlines()
    if lines and not ast.get_docstring(tree):
        yield "the first lines don't say what the module is for"
    if len(lines) > MODULE_LINES_MAX:
        yield f"{len(lines)} lines"
    yield from (f"line {number} is long" for number, line in enumerate(lines, 1) if len(line) > LINE_LENGTH_MAX)
    for function in functions(tree):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > FUNCTION_LINES_MAX:
            yield f"{function.name} has {length} lines"


def found_in(paths: Iterable[Path], look: Callable[[Path], Iterable[str]]) -> list[str]:
    """What a look finds, with the module's name. One test for all modules: thousands of tests cost more than they do."""
    return [f"{name_of(path)}: {what}" for path in paths for what in look(path)]


def test_modules_are_tidy() -> None:
    """Of every room and of the tests."""
    assert found_in(MODULES, lambda path: untidy(path.read_text(), parsed(path))) == []


def test_what_is_untidy_is_found() -> None:
    """The checks here can fail."""
    body = "\n".join(["    x = 1"] * 60)
    text = f"def f():\n{body}\n" + "#" * 131 + "\n" * 500
    said = list(untidy(text, ast.parse(text)))
    assert [words.split()[0] for words in said] == ["the", "561", "line", "f"]
    text = "import time\nnow()\nprint(0.5 / 2)\nfloat(amount_minor)\nfloat(seconds)\n"
    tree = ast.parse(text)
    assert list(impure(tree)) == ["line 1: time", "line 2: now", "line 3: print"]
    assert sorted(floating(tree)) == ["line 3", "line 3", "line 4", "line 5"]
    assert list(converted(tree)) == ["line 4: float(amount_minor)"]


def heaps(paths: Iterable[Path]) -> dict[str, int]:
    """Folders that hold more than twelve modules, and how many.

    Tests themselves are not counted, in whatever folder: each is read alone, and found by the name of what it tests. What
    they share is.
    """
    modules = (path for path in paths if path.name != "__init__.py" and not path.name.startswith("test_"))
    folders = Counter(name_of(path.parent) for path in modules)
    return {folder: count for folder, count in folders.items() if count > FOLDER_MODULES_MAX}


def test_no_folder_is_a_heap() -> None:
    """A folder holds at most twelve modules: more are two rooms."""
    assert heaps(MODULES).keys() == HEAPS.keys()
    assert all(HEAPS.values()), "an exception has a reason"
    many = [ROOT / "streams" / f"{name}.py" for name in "abcdefghijklm"]
    assert heaps([*many, ROOT / "tests" / "test_a.py"]) == {"streams": 13}
    assert heaps([*many[1:], ROOT / "streams" / "__init__.py", ROOT / "streams" / "test_a.py"]) == {}


def test_most_modules_are_short() -> None:
    """Most modules stay under 300 lines."""
    long = [name_of(path) for path in MODULES if len(path.read_text().splitlines()) > MODULE_LINES_USUAL]
    assert len(long) * 10 <= len(MODULES), long


def impure(tree: ast.Module) -> Iterator[str]:
    """Clocks, chance, files and sockets."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"line {node.lineno}: {name}" for name in named if name.split(".")[0] in CLOCKS)
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in CLOCK_CALLS | {"open", "print", "input"}:
                yield f"line {node.lineno}: {called}"


def test_domain_is_pure() -> None:
    """streams/ has no clock, no chance, no file and no socket."""
    assert found_in(PURE, lambda path: impure(parsed(path))) == []


def floating(tree: ast.Module) -> Iterator[str]:
    """Binary floating point: literals, types, and the division that makes one."""
    for node in ast.walk(tree):
        named = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
        divided = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
        if literal or divided or named in {"float", "float32", "float64", "double", "true_divide", "mean"}:
            yield f"line {getattr(node, 'lineno', 0)}"


def test_no_float_near_money() -> None:
    """No binary floating point in streams/."""
    assert found_in(PURE, lambda path: floating(parsed(path))) == []


def converted(tree: ast.Module) -> Iterator[str]:
    """Calls of float() with something that is called an amount."""
    for node in ast.walk(tree):
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float"
        if called and MONEY.search(text := ast.unparse(node)):
            yield f"line {getattr(node, 'lineno', 0)}: {text}"


def test_no_float_conversion_of_money() -> None:
    """Outside streams/ too, nothing that is called an amount goes through float()."""
    paths = [path for path in MODULES if path.parts[-2] != "tests"]
    assert found_in(paths, lambda path: converted(parsed(path))) == []


def test_no_machine_paths() -> None:
    """No file names a path of the machine that it was written on."""
    forbidden = re.compile(rb"(?<![\w.])/(?:work|root|home|Users)/|/tmp/(?!\{)")
    for path in tracked():
        if path.name != Path(__file__).name and path.suffix not in {".png", ".lock"}:
            found = forbidden.search(path.read_bytes())
            assert not found, f"{name_of(path)}: {found and found.group()!r}"


def test_locks_name_no_hosts() -> None:
    """The lock files work with any index or mirror: they hold names, versions and hashes, and no address."""
    locks = [path for path in tracked() if path.suffix == ".lock"]
    assert len(locks) >= 2
    for path in locks:
        text = path.read_text()
        assert "://" not in text, path.name
        pinned = [line for line in text.splitlines() if re.match(r"[a-z]", line, re.IGNORECASE)]
        assert pinned and "sha256:" in text
        assert all("==" in line or "sha256:" in line for line in pinned), path.name


def test_no_print_left() -> None:
    """Only command lines, benches and modules that can be run print; everything else logs."""
    for path in MODULES:
        if (
            path.parts[len(ROOT.parts)] in {"bench", "tidegauge", "tests"}
            or '__name__ == "__main__"' in path.read_text()
        ):
            continue
        calls = [node for node in nodes(path) if isinstance(node, ast.Call)]
        assert not [node.lineno for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"], path


def run(*command: str) -> None:
    """Run a checker of the environment; its output is the failure."""
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_import_rules() -> None:
    """Who may import what (docs/architecture.md#the-rooms; pyproject.toml has the contracts)."""
    run("-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache")


@pytest.mark.slow
def test_ruff() -> None:
    """ruff finds nothing; every exception has its reason in pyproject.toml."""
    run("-m", "ruff", "check", "--no-cache", ".")


@pytest.mark.slow
def test_mypy() -> None:
    """Every room but bench is strictly typed; an exception has its reason in pyproject.toml, or beside its line."""
    run("-m", "mypy", "--no-error-summary")


def test_rooms_are_marked_as_typed() -> None:
    """Each room has its `py.typed`, and a wheel takes it along: other programs' type checkers read the annotations."""
    assert [room for room in ROOMS if not (ROOT / room / "py.typed").is_file()] == []
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert "py.typed" in settings["setuptools"]["package-data"]["*"]
    assert sorted(settings["mypy"]["packages"]) == sorted(set(ROOMS) - {"bench"})


# Attributes that only their own rooms look through, and those rooms.
INNER = {
    "store": ("streams/",),  # of a ledger
    "columns": ("streams/", "agents/standing/decide/lifecycle/"),  # of a ledger, of a lifecycle
    "measures": ("agents/standing/decide/lifecycle/",),
}
OWNERS = {"ledger", "_ledger", "lifecycle", "_lifecycle"}
# What may be asked all the same: how much there is.
ASKED = {"account_count"}


def reached_into(tree: ast.AST, name: str) -> Iterator[str]:
    """Where a module looks into the inside of a ledger or a lifecycle instead of asking: `ledger.store.accounts`."""
    rooms = {attribute for attribute, mine in INNER.items() if not name.startswith(mine)}
    outer = {id(node.value): node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or node.attr not in rooms:
            continue
        owner = getattr(node.value, "attr", getattr(node.value, "id", ""))
        if owner in OWNERS and outer.get(id(node)) not in ASKED:
            yield f"line {node.lineno}: {ast.unparse(node)}"


def test_others_ask() -> None:
    """The arrays of a ledger and the columns of a lifecycle are their own rooms' business; benches and tests may look."""
    others = [path for path in MODULES if path.relative_to(ROOT).parts[0] not in ("bench", "tests")]
    assert found_in(others, lambda path: reached_into(parsed(path), name_of(path))) == []
    text = "self.ledger.store.accounts\nledger.columns.account_count\nm = a.lifecycle.columns\nstore.columns\n"
    assert sorted(reached_into(ast.parse(text), "agents/a.py")) == [
        "line 1: self.ledger.store",
        "line 3: a.lifecycle.columns",
    ]
    assert list(reached_into(ast.parse(text), "streams/a.py")) == []
