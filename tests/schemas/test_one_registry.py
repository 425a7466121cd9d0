"""Every process has one registry and gives it to whatever reads or writes values; no part takes the files' ids by itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("agents", "connectors", "services", "tidegauge")
PLACE = {"decode_one": 1, "Reader": 1, "encode": 2, "Writer": 1}  # where each takes the registry
CODECS = ("schemas.codec.records", "schemas.codec.blocks", "schemas.codec.encoder")


def calls() -> Iterator[tuple[str, ast.Call, int]]:
    """Where the product calls the codec, and the place of the registry among the arguments."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            text = path.read_text()
            if not any(f"from {module} import" in text for module in CODECS):
                continue  # to parse all rooms takes seconds, at every collection
            tree = ast.parse(text)
            known = {
                alias.name
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) and node.module in CODECS
                for alias in node.names
            }
            for node in ast.walk(tree):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                    continue
                args = node.args
                if node.func.id == "partial" and isinstance(args[0], ast.Name) and args[0].id in known & PLACE.keys():
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node, PLACE[args[0].id] + 1
                elif node.func.id in known & PLACE.keys():
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node, PLACE[node.func.id]


CALLS = list(calls())


def test_the_calls_are_found() -> None:
    """Else the next test would hold of nothing."""
    assert len(CALLS) > 20


@pytest.mark.parametrize(("where", "call", "place"), CALLS, ids=[where for where, *_ in CALLS])
def test_a_registry_is_given(where: str, call: ast.Call, place: int) -> None:
    """An argument is there for it: without one the codec takes the ids of the files, beside whatever registry is set."""
    given = len(call.args) > place or any(keyword.arg == "registry" for keyword in call.keywords)
    assert given, f"{where} reads or writes by the ids of the files"


def test_nobody_asks_the_files() -> None:
    """The files are the registry only where the settings name none; `registry_for` decides."""
    paths = [path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "file_registry" in path.read_text()]
    by_hand = "agents/standing/publish/publisher.py"  # a configuration made without settings
    scored = "tidegauge/evaluation/run.py"  # files alone, and with all that a step can say, whatever the bank publishes
    warmed = "agents/offline/warmup.py"  # kernels are compiled by records that no topic has
    assert {str(path.relative_to(ROOT)) for path in paths} == {by_hand, scored, warmed}
