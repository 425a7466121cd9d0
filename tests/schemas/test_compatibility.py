"""Avro's resolution rules, one case each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas import compatibility, registry, release
from schemas.avro_types import SchemaError, parse
from schemas.compatibility import level_of, problems, release_problems


def record(*fields: Any, name: str = "R", **more: Any) -> Any:
    return {"type": "record", "name": name, "fields": [{"name": "a", "type": "int"}, *fields], **more}


def enum(*symbols: str, **more: Any) -> Any:
    return {"type": "enum", "name": "E", "symbols": list(symbols), **more}


def f(kind: Any, **more: Any) -> Any:
    return {"name": "b", "type": kind, **more}


LIST = {"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"]}]}
GOOD = [
    (record(f("string", default="")), record(), "a field with a default may be missing"),
    (record(), record(f("string")), "a field the reader doesn't know is skipped"),
    (record(f("long")), record(f("int")), "int widens to long"),
    (record(f("bytes")), record(f("string")), "text reads as bytes"),
    (record(f(["null", "string"])), record(f("string")), "a value may become optional"),
    (
        record(f("string", aliases=["c"])),
        record({"name": "c", "type": "string"}),
        "a field may be renamed with an alias",
    ),
    (record(name="S", aliases=["R"]), record(), "a record may be renamed with an alias"),
    (record(name="x.R"), record(name="y.R"), "names are compared without namespace"),
    (record(f(enum("X", default="X"))), record(f(enum("X", "Y"))), "an unknown symbol has the default"),
    (record(f(["int", "string"])), record(f(["string"])), "a union may gain a branch"),
    (record(f({"type": "array", "items": "long"})), record(f({"type": "array", "items": "int"})), "items widen"),
    (LIST, LIST, "a recursive schema reads itself"),
]
BAD = [
    (record(f("string")), record(), "no default"),
    (record(f("int")), record(f("long")), "long read as int"),
    (record(f("string")), record(f(["null", "string"])), "null read as string"),
    (record(f(enum("X"))), record(f(enum("X", "Y"))), "symbol Y"),
    (record(name="S"), record(), "R read as S"),
    (record(f(["null", "int"])), record(f("string")), "no branch takes string"),
    (
        record(f({"type": "fixed", "name": "F", "size": 2})),
        record(f({"type": "fixed", "name": "F", "size": 3})),
        "size 3 read as 2",
    ),
    (record(f({"type": "map", "values": "int"})), record(f({"type": "map", "values": "string"})), "string read as int"),
    (record(f({"type": "map", "values": "int"})), record(f({"type": "array", "items": "int"})), "array read as map"),
]


@pytest.mark.parametrize(("reader", "writer", "rule"), GOOD, ids=lambda x: x if isinstance(x, str) else "")
def test_what_may_change(reader: Any, writer: Any, rule: str) -> None:
    """Each of these a reader can resolve."""
    assert problems(reader, writer) == [], rule


@pytest.mark.parametrize(("reader", "writer", "words"), BAD, ids=lambda x: x if isinstance(x, str) else "")
def test_what_may_not_change(reader: Any, writer: Any, words: str) -> None:
    """Each of these is named."""
    (problem,) = problems(reader, writer)
    assert words in problem


def test_full_transitive_looks_both_ways_at_every_version() -> None:
    """A new required field breaks reading the old, a dropped one without default breaks the old reader."""
    one, two = record(), record(f("string"))
    assert release_problems("r", two, [one, two]) == ["reading version 1: b: the writer lacks it and it has no default"]
    assert release_problems("r", one, [two]) == ["read by version 1: b: the writer lacks it and it has no default"]
    assert release_problems("r", record(f("string", default="")), [one]) == []


def test_a_listed_break_goes_one_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is before it need not read it, it reads all that is before; what comes behind it goes both ways again."""
    number, null, text = record(f("long")), record(f(["null", "long"], default=None)), record(f("string"))
    assert release_problems("r", null, [number]) == ["read by version 1: b: null read as long"]
    assert level_of("r") == "FULL_TRANSITIVE"
    monkeypatch.setattr(compatibility, "BREAKS", {"r": {2: "why"}})
    assert level_of("r") == "BACKWARD_TRANSITIVE"
    assert release_problems("r", null, [number]) == []
    assert release_problems("r", text, [number]) == ["reading version 1: b: long read as string"]
    assert release_problems("r", null, [number, null]) == []
    assert release_problems("r", number, [number, null]) == ["reading version 2: b: null read as long"]


@pytest.mark.parametrize(
    "schema",
    [
        None,
        5,
        {},
        "nothing",
        {"type": "record", "name": "R"},
        {"type": "array"},
        record(f(record())),
        {"type": "fixed", "name": "F", "size": -1},
    ],
)
def test_what_is_no_schema(schema: Any) -> None:
    """Anything else raises SchemaError."""
    with pytest.raises(SchemaError):
        parse(schema)


def test_release_freezes_and_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change gets the next version and id; words alone don't; an incompatible one writes nothing."""
    now: dict[str, Any] = {"r": record(), "s": record(name="S")}
    (tmp_path / "versions").mkdir()
    for name, where in (("VERSIONS", tmp_path / "versions"), ("IDS", tmp_path / "ids.json")):
        monkeypatch.setattr(release, name, where)
        monkeypatch.setattr(registry, name, where)
    monkeypatch.setattr(release, "HERE", tmp_path)
    monkeypatch.setattr(registry, "HERE", tmp_path)
    monkeypatch.setattr(registry, "released", registry.released.__wrapped__)  # read anew at each call
    monkeypatch.setattr(release, "names", lambda: tuple(now))
    monkeypatch.setattr(release, "LATER", {"late": 2})

    def save(name: str, schema: Any) -> None:
        now[name] = schema
        (tmp_path / f"{name}.avsc").write_text(json.dumps(schema))

    save("r", now["r"])
    save("s", now["s"])
    assert release.release() == ["r version 1 has id 1", "s version 1 has id 2"]
    save("r", {**record(), "doc": "Said better."})
    assert release.release() == []
    save("r", record(f("string", default="")))
    assert release.release() == ["r version 2 has id 3"]
    before = (tmp_path / "ids.json").read_text()
    save("r", record(f("string")))
    with pytest.raises(ValueError, match="r: reading version 1: b"):
        release.release()
    assert (tmp_path / "ids.json").read_text() == before
    known = registry.FileRegistry()
    assert (known.id_of("r"), known.id_of("s")) == (3, 2)
    assert known.schema(1)["doc"] == "Said better."
    assert known.schema(9) is None
    save("r", now["s"])
    del now["r"]
    save("late", record(name="L"))
    assert release.release() == ["late version 1 has id 4"]
    assert registry.FileRegistry(2).id_of("late") == 4


def test_a_later_version_is_written_when_it_is_asked_for() -> None:
    """Until TIDEGAUGE_CONTRACTS is 2 the version before it; all else is the same under both."""
    one, two = registry.file_registry(), registry.file_registry(2)
    assert (one.schema(one.id_of("standings")) or {})["fields"][-1]["name"] == "week_avgs_minor"
    assert (two.schema(two.id_of("standings")) or {})["fields"][-1]["name"] == "held"
    assert {name for name in registry.names() if one.id_of(name) != two.id_of(name)} == set(release.LATER)
