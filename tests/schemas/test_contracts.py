"""The committed contracts: complete, classified, and never changed behind a reader's back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.avro_types import parse
from schemas.codec.encoder import Writer
from schemas.codec.program import check_reader
from schemas.compatibility import BREAKS, problems, release_problems
from schemas.registry import CONTRACTS, HERE, IDS, VERSIONS, contract, file_registry, fingerprint, names
from schemas.release import SHARED, built, shared_types
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
            kind = f["type"]["items"] if isinstance(f["type"], dict) else f["type"]
            assert kind in ("long", ["null", "long"]), path


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
    assert (VERSIONS / f"{name}-{newest['version']}.avsc").read_text() == built(name)


def definitions(schema: Any) -> Iterator[str]:
    """Names of the types that a schema defines."""
    if isinstance(schema, list):
        for part in schema:
            yield from definitions(part)
    elif isinstance(schema, dict):
        if schema.get("type") in ("record", "enum", "fixed"):
            yield schema["name"]
        for key in ("type", "items", "values", "fields"):
            yield from definitions(schema.get(key))


def test_every_type_is_defined_once() -> None:
    """So that all sources can be taken together; what several contracts name stands in `shared/`, and is used."""
    sources = [json.loads(path.read_text()) for path in (*HERE.glob("*.avsc"), *SHARED.glob("*.avsc"))]
    found = [name for schema in sources for name in definitions(schema)]
    assert len(found) == len(set(found))
    for name in shared_types():
        assert sum(f'"{name}"' in path.read_text() for path in HERE.glob("*.avsc")) > 1, name


@pytest.mark.parametrize("name", names())
def test_the_built_form_stands_by_itself(name: str) -> None:
    """It names no other file's type, each of its own once, and says what the source says."""
    whole = json.loads(built(name))
    parse(whole)
    source = json.loads((HERE / f"{name}.avsc").read_text())
    assert [f["name"] for f in whole["fields"]] == [f["name"] for f in source["fields"]]
    assert whole.keys() == source.keys()


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


def versions_of(name: str) -> list[Any]:
    """Every released version, oldest first."""
    return [json.loads((VERSIONS / f"{name}-{r['version']}.avsc").read_text()) for r in RELEASED if r["name"] == name]


@pytest.mark.parametrize("name", names())
def test_versions_are_compatible(name: str) -> None:
    """Every version reads every older one, and is read by it but across a break that is listed."""
    versions = versions_of(name)
    for place, schema in enumerate(versions):
        assert release_problems(name, schema, versions[:place]) == []


@pytest.mark.parametrize(("name", "version"), [(name, version) for name in BREAKS for version in BREAKS[name]])
def test_a_listed_break_is_one(name: str, version: int) -> None:
    """It has a reason, those before can't read it, and it is written only where it is asked for."""
    versions = versions_of(name)
    assert BREAKS[name][version]
    assert problems(versions[version - 2], versions[version - 1])
    [released] = (r for r in RELEASED if (r["name"], r["version"]) == (name, version))
    assert released["contracts"] > CONTRACTS[0]


@pytest.mark.parametrize("name", names())
def test_every_contract_fits_columns(name: str) -> None:
    """Block reader and bulk writer can hold every contract."""
    check_reader(parse(contract(name)))
    for contracts in CONTRACTS:
        assert Writer(name, file_registry(contracts)).width == len(contract(name, contracts)["fields"])
