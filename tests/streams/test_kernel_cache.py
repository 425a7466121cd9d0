"""Compiled kernels are kept under a fingerprint of every source that they can be made of."""

import ast
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.kernels.cache import HOUSE, ROOMS, sources, sources_fingerprint

HOUSE_ROOMS = ("agents", "policies", "services", "connectors", "tidegauge", "bench")


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The two rooms again, to be damaged."""
    house = tmp_path_factory.mktemp("house")
    for path in sources():
        target = house / path.relative_to(HOUSE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return house


def test_every_source_of_both_rooms_counts(copy):
    """Constants too: `schemas/codec/status.py` and `streams/tiers.py` hold no kernel and are compiled into some."""
    names = {path.relative_to(HOUSE).as_posix() for path in sources()}
    assert {"schemas/codec/status.py", "streams/tiers.py"} <= names
    assert names == {p.relative_to(HOUSE).as_posix() for room in ROOMS for p in (HOUSE / room).rglob("*.py")}
    assert sources_fingerprint(sources(copy), copy) == sources_fingerprint(sources())


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_changed_byte_changes_the_fingerprint(copy, data):
    """Whatever byte of whatever source is changed."""
    before = sources_fingerprint(sources(copy), copy)
    path = data.draw(st.sampled_from(sources(copy)))
    text = path.read_bytes()
    at = data.draw(st.integers(0, len(text) - 1)) if text else 0
    other = bytes([text[at] ^ data.draw(st.integers(1, 255))]) if text else b"#"
    path.write_bytes(text[:at] + other + text[at + 1 :])
    try:
        assert sources_fingerprint(sources(copy), copy) != before
    finally:
        path.write_bytes(text)


def test_a_moved_source_changes_the_fingerprint(copy):
    """The same bytes under another name are another state of the sources."""
    before, path = sources_fingerprint(sources(copy), copy), copy / "streams" / "tiers.py"
    moved = path.rename(path.with_name("ranks.py"))
    try:
        assert sources_fingerprint(sources(copy), copy) != before
    finally:
        moved.rename(path)


def kernels(path: Path) -> list[ast.FunctionDef]:
    """Functions of a module that numba compiles and keeps."""
    text = path.read_text()
    if "njit" not in text and "compiled" not in text:  # to parse all rooms takes seconds, at every collection
        return []
    tree = ast.parse(text)
    return [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
        and any("njit" in ast.unparse(decorator) or "compiled" in ast.unparse(decorator) for decorator in node.decorator_list)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [p for room in HOUSE_ROOMS for p in sorted((HOUSE / room).rglob("*.py")) if kernels(p)],
    ids=lambda p: p.stem,
)
def test_kernels_elsewhere_compile_in_nothing_else(path):
    """A kernel outside the two rooms takes names from its own file, from them and from libraries only."""
    imported = {
        alias.asname or alias.name: node.module
        for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }  # fmt: skip
    for kernel in kernels(path):
        used = {node.id for node in ast.walk(kernel) if isinstance(node, ast.Name)}
        rooms = {(imported[name] or "").split(".")[0] for name in used & imported.keys()}
        assert not rooms & set(HOUSE_ROOMS), f"{kernel.name} takes a name from {rooms & set(HOUSE_ROOMS)}"
