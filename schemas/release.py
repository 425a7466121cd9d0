"""`python -m schemas.release`: freezes changed contracts, if compatible, as versions with ids of their own."""

from __future__ import annotations

import json
import sys
from typing import Final

from schemas.building import built
from schemas.compatibility import release_problems
from schemas.registry import HERE, IDS, VERSIONS, fingerprint, names

LATER: Final = {"standings": 2, "outlooks": 2, "rm-alerts": 2, "tier-changes": 2, "facts": 2}
"""Of these a new version is written only from that TIDEGAUGE_CONTRACTS on, so that all who read it know it by then."""


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


if __name__ == "__main__":
    try:
        for line in release():
            print(line)  # noqa: T201  a command
    except ValueError as error:
        sys.exit(str(error))
