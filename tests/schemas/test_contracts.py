"""The committed contracts: complete, classified, and never changed behind a reader's back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.avro_types import parse
from schemas.codec.encoder import Writer
from schemas.codec.program import check_reader
from schemas.compatibility import full_problems
from schemas.registry import IDS, VERSIONS, contract, fingerprint, names
from schemas.topics import MARK, TOPICS

RELEASED = json.loads(IDS.read_text())


def fields(schema: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a schema, nested ones too."""
    if isinstance(schema, list):
        for branch in schema:
            yield from fields(branch, at)
    elif isinstance(schema, dict):
        for f in schema.get("fields", ()):
            yield f"{at}.{f['name']}", f
            yield from fields(f["type"], f"{at}.{f['name']}")
        for key in ("type", "items", "values"):
            yield from fields(schema.get(key), at)


def test_every_topic_has_a_contract() -> None:
    """There is one file a topic, and one for close marks."""
    assert set(names()) == {*TOPICS, MARK}


@pytest.mark.parametrize("name", names())
def test_every_field_says_what_it_is_and_how_confidential(name: str) -> None:
    """Record and fields have a doc, fields a classification C1 or C2; C3 is never accepted."""
    assert contract(name)["doc"].endswith(".")
    assert contract(name)["namespace"] == "tidegauge"
    for path, f in fields(contract(name), name):
        assert f.get("doc", "").strip(), path
        assert f.get("classification") in ("C1", "C2"), path


@pytest.mark.parametrize("name", names())
def test_money_is_a_long_of_minor_units(name: str) -> None:
    """No contract holds a floating-point number or a decimal; a field in minor units is a long."""
    text = json.dumps(contract(name))
    assert not any(word in text for word in ('"float"', '"double"', '"decimal"'))
    for path, f in fields(contract(name), name):
        if path.endswith("_minor"):
            assert f["type"] in ("long", ["null", "long"], {"type": "array", "items": "long"}), path


@pytest.mark.parametrize("name", names())
def test_optional_fields_default_to_null(name: str) -> None:
    """Null comes first and is the default, so that an older writer may lack the field."""
    for path, f in fields(contract(name), name):
        if isinstance(f["type"], list):
            assert f["type"][0] == "null", path
            assert f.get("default", "missing") is None, path


@pytest.mark.parametrize("name", names())
def test_the_contract_in_work_is_the_newest_release(name: str) -> None:
    """A changed contract needs a version and an id of its own: `python -m schemas.release`."""
    newest = max((r for r in RELEASED if r["name"] == name), key=lambda r: r["version"])
    assert (VERSIONS / f"{name}-{newest['version']}.avsc").read_text() == json_file(name)


def json_file(name: str) -> str:
    return (VERSIONS.parent / f"{name}.avsc").read_text()


@pytest.mark.parametrize("released", RELEASED, ids=lambda r: f"{r['name']}-{r['version']}")
def test_a_released_version_never_changes(released: dict[str, Any]) -> None:
    """What is in force under an id stays as it was; words and classification may be bettered."""
    path = VERSIONS / f"{released['name']}-{released['version']}.avsc"
    assert fingerprint(json.loads(path.read_text())) == released["sha256"]


def test_ids_are_unique_and_versions_without_holes() -> None:
    """One id is one schema, for ever."""
    assert len({r["id"] for r in RELEASED}) == len(RELEASED)
    for name in names():
        versions = sorted(r["version"] for r in RELEASED if r["name"] == name)
        assert versions == list(range(1, len(versions) + 1))
    assert len(list(VERSIONS.glob("*.avsc"))) == len(RELEASED)


@pytest.mark.parametrize("name", names())
def test_versions_are_fully_compatible(name: str) -> None:
    """FULL_TRANSITIVE: every version reads every other."""
    versions = [
        json.loads((VERSIONS / f"{name}-{r['version']}.avsc").read_text()) for r in RELEASED if r["name"] == name
    ]
    for schema in versions:
        assert full_problems(schema, versions) == []


@pytest.mark.parametrize("name", names())
def test_every_contract_fits_columns(name: str) -> None:
    """Block reader and bulk writer can hold every contract."""
    check_reader(parse(contract(name)))
    assert Writer(name).width == len(contract(name)["fields"])
