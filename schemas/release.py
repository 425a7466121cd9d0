"""`python -m schemas.release`: freezes changed contracts, if compatible, as versions with ids of their own.

A version stands by itself: the types that several contracts have in common (`shared/`) are put in. Registries, readers and
code of ours use that form, out of `versions/`. Tools that make code take the sources, each type of which is defined once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from schemas.compatibility import release_problems
from schemas.registry import HERE, IDS, VERSIONS, fingerprint, names

LATER: Final = {"standings": 2, "outlooks": 2, "rm-alerts": 2, "tier-changes": 2, "facts": 2, "crm-actions": 2}
"""Of these a new version is written only from that TIDEGAUGE_CONTRACTS on, so that all who read it know it by then."""

SHARED: Final = HERE / "shared"
_TYPES: Final = ("type", "items", "values")  # keys behind which a type stands


def release() -> list[str]:
    """Writes versions and ids; answers a line for each, or raises ValueError with what is incompatible."""
    released = json.loads(IDS.read_text()) if IDS.exists() else []
    said, bad, texts = [], [], {name: built(name, HERE) for name in names()}
    for name, text in texts.items():
        mine = sorted((r for r in released if r["name"] == name), key=lambda r: r["version"])
        mark = fingerprint(json.loads(text))
        if not (mine and mine[-1]["sha256"] == mark):
            older = [json.loads((VERSIONS / f"{name}-{r['version']}.avsc").read_text()) for r in mine]
            bad += [f"{name}: {problem}" for problem in release_problems(name, json.loads(text), older)]
            new = {
                "id": 1 + max((r["id"] for r in released), default=0),
                "name": name,
                "version": len(mine) + 1,
                "sha256": mark,
                **({"contracts": LATER[name]} if name in LATER else {}),
            }
            released.append(new)
            said.append(f"{name} version {new['version']} has id {new['id']}")
    if bad:
        raise ValueError("\n".join(bad))
    for name, text in texts.items():  # words may change within a version
        version = max(r["version"] for r in released if r["name"] == name)
        (VERSIONS / f"{name}-{version}.avsc").write_text(text)
    IDS.write_text("[\n" + ",\n".join("  " + json.dumps(r) for r in released) + "\n]\n")
    return said


def built(name: str, sources: Path = HERE) -> str:
    """The text of a contract in which no other file is named. Its first use of a shared type has the definition."""
    text = (sources / f"{name}.avsc").read_text()
    schema, shared = json.loads(text), shared_types()
    whole = _whole(schema, schema.get("namespace", ""), shared)
    return text if whole == schema else _printed(whole)


def shared_types() -> dict[str, Any]:
    """The shared types by their names."""
    return {schema["name"]: schema for path in SHARED.glob("*.avsc") for schema in [json.loads(path.read_text())]}


def _whole(schema: Any, namespace: str, left: dict[str, Any]) -> Any:
    """The type with those of `left` put in, each of which is defined once."""
    if isinstance(schema, list):
        return [_whole(branch, namespace, left) for branch in schema]
    if isinstance(schema, str):
        return _whole(_inner(left.pop(schema), namespace), namespace, left) if schema in left else schema
    fields = {"fields": [_whole(field, namespace, left) for field in schema["fields"]]} if "fields" in schema else {}
    return {key: _whole(value, namespace, left) if key in _TYPES else value for key, value in schema.items()} | fields


def _inner(schema: dict[str, Any], namespace: str) -> dict[str, Any]:
    """The type as it is written within a record of that namespace."""
    return {key: value for key, value in schema.items() if (key, value) != ("namespace", namespace)}


def _printed(schema: dict[str, Any]) -> str:
    """A record with a line for each field."""
    head = json.dumps({key: value for key, value in schema.items() if key != "fields"}, ensure_ascii=False)
    lines = ",\n".join(f"    {json.dumps(field, ensure_ascii=False)}" for field in schema["fields"])
    return f'{head[:-1]},\n  "fields": [\n{lines}\n  ]\n}}\n'


if __name__ == "__main__":
    try:
        for line in release():
            print(line)  # noqa: T201  a command
    except ValueError as error:
        sys.exit(str(error))
