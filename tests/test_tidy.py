"""The rules of the house that a program can check: sizes, layering, what must not stand in a file."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
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


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a module."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_is_tidy(path: Path) -> None:
    """A module says what it is for, is short, and so are its functions and lines."""
    text = path.read_text()
    tree = parsed(path)
    lines = text.splitlines()
    if lines:
        assert ast.get_docstring(tree), "the first lines say what a module is for"
    assert len(lines) <= MODULE_LINES_MAX
    for number, line in enumerate(lines, 1):
        assert len(line) <= LINE_LENGTH_MAX, f"line {number}"
    for function in functions(tree):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        assert length <= FUNCTION_LINES_MAX, f"{function.name} has {length} lines"


def test_no_folder_is_a_heap() -> None:
    """A folder holds at most twelve modules: more are two rooms."""
    for room in ROOMS:
        folders = Counter(path.parent for path in (ROOT / room).rglob("*.py") if path.name != "__init__.py")
        heaps = {name_of(folder): count for folder, count in folders.items() if count > FOLDER_MODULES_MAX}
        assert not heaps


def test_most_modules_are_short() -> None:
    """Most modules stay under 300 lines."""
    long = [name_of(path) for path in MODULES if len(path.read_text().splitlines()) > MODULE_LINES_USUAL]
    assert len(long) * 10 <= len(MODULES), long


@pytest.mark.parametrize("path", PURE, ids=name_of)
def test_domain_is_pure(path: Path) -> None:
    """streams/ has no clock, no chance, no file and no socket."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & CLOCKS
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in CLOCKS
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            assert called not in CLOCK_CALLS | {"open", "print", "input"}, f"line {node.lineno}: {called}"


@pytest.mark.parametrize("path", PURE, ids=name_of)
def test_no_float_near_money(path: Path) -> None:
    """No binary floating point in streams/: neither a literal, nor a type, nor the division that makes one."""
    for node in ast.walk(parsed(path)):
        line = f"line {getattr(node, 'lineno', 0)}"
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), line
        assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)), line
        named = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        assert named not in {"float", "float32", "float64", "double", "true_divide", "mean"}, line


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[-2] != "tests"], ids=name_of)
def test_no_float_conversion_of_money(path: Path) -> None:
    """Outside streams/ too, nothing that is called an amount goes through float()."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float":
            assert not MONEY.search(ast.unparse(node)), f"line {node.lineno}: {ast.unparse(node)}"


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
        calls = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
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
