"""The jars of Apache Kafka: which (kafka-jars.lock beside this file, each with its SHA-256), from where, and the class path.

Order of sources: KAFKA_HOME if set, the local Maven cache, then a Maven repository (a mirror, if
the setting names one).
"""

import fcntl
import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from jgo.maven import MavenContext

from deploy.errors import StackError
from schemas import bounds
from schemas.bounded import read_bounded

LOCK_FILE = Path(__file__).with_name("kafka-jars.lock")
ROOTS = (
    "org.apache.kafka:kafka_2.13:4.1.1",
    # As in Kafka's own distribution. `!`: what it manages must not set the versions of the others.
    "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3!",
)
TIMEOUT_S = 60
CHUNK_BYTES = 1 << 20
SAY_EVERY = 10  # jars between two words about the download
INSTEAD_OF_KAFKA = (
    "or KAFKA_HOME to an unpacked Kafka distribution, or TIDEGAUGE_BOOTSTRAP_SERVERS to brokers that run already"
)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Jar:
    """A jar that is pinned: group:artifact:version and the SHA-256 of its bytes."""

    coordinate: str
    sha256: str


def locked(lock: Path = LOCK_FILE) -> list[Jar]:
    """The pinned jars, as a lock file lists them."""
    jars = []
    for line in read_bounded(lock, bounds.SMALL_FILE_BYTES_MAX).decode().splitlines():
        if line and not line.startswith("#"):
            coordinate, digest = line.split()
            jars.append(Jar(coordinate, digest.removeprefix("sha256:")))
    return jars


def class_path(kafka_home: Path | None, mirror: str | None, say: Say | None = None) -> list[Path]:
    """Paths of the jars to run Kafka with, each verified; raises StackError naming what is missing and what to do."""
    return home_jars(kafka_home) if kafka_home is not None else fetched(LOCK_FILE, mirror, say)


def fetched(
    lock: Path, mirror: str | None, say: Say | None = None, *, only: str = "", instead: str = INSTEAD_OF_KAFKA
) -> list[Path]:
    """Paths of a lock file's jars, each verified; raises StackError naming what is missing and what to do.

    only: of its jars, the one of this artifact. instead: which settings make them needless.
    """
    context = MavenContext(timeout=TIMEOUT_S, remote_repos={"mirror": mirror.rstrip("/")} if mirror else None)
    jars = [jar for jar in locked(lock) if not only or f":{only}:" in jar.coordinate]
    paths = []
    with one_at_a_time(context.repo_cache):
        missing = [jar for jar in jars if not _cached(context, jar)]
        for jar in jars:
            if say is not None and jar in missing and missing.index(jar) % SAY_EVERY == 0:
                say(f"fetching jars ({lock.stem}): {missing.index(jar)} of {len(missing)}")
            paths.append(_fetch(context, jar, lock.name, instead))
    return paths


def home_jars(kafka_home: Path) -> list[Path]:
    """The jars of an unpacked distribution; raises StackError if there is none in the folder."""
    jars = sorted((kafka_home / "libs").glob("*.jar"))
    if not any(jar.name.startswith("kafka_2.") for jar in jars):
        raise StackError(f"KAFKA_HOME={kafka_home} holds no Kafka (libs/kafka_2.*.jar)", "unset it or correct it")
    return jars


def _cached(context: MavenContext, jar: Jar) -> bool:
    """True if the local Maven cache has a file for the jar."""
    path = context.create_dependency(jar.coordinate).artifact.cached_path
    return path is not None and path.exists()


def _fetch(context: MavenContext, jar: Jar, lock: str, instead: str) -> Path:
    """One jar from the cache or the repository. A cached file that is damaged is fetched once more."""
    artifact = context.create_dependency(jar.coordinate).artifact
    for _ in range(2):
        try:
            path = Path(artifact.resolve())
        except (requests.RequestException, RuntimeError, OSError) as problem:
            raise StackError(
                f"{jar.coordinate} cannot be fetched: {problem}",
                f"set TIDEGAUGE_MAVEN_MIRROR to a Maven repository that this machine reaches, {instead}",
            ) from problem
        if sha256(path) == jar.sha256:
            return path
        path.unlink()
    raise StackError(f"{jar.coordinate}: what the repository sent is not what {lock} pins", "use another mirror")


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold a lock: two processes that fetch or unpack the same jar would write into each other's files."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".tidegauge.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_lock(lock: Path = LOCK_FILE, roots: Iterable[str] = ROOTS, by: str = "deploy.embedded.jars") -> None:
    """Resolve the roots anew and rewrite their lock file: `python -m deploy.embedded.jars`, after a change of version."""
    context = MavenContext(timeout=TIMEOUT_S)
    given, more = context.resolver.resolve([context.create_dependency(root) for root in roots])
    lines = [
        f"{found.groupId}:{found.artifactId}:{found.version} sha256:{sha256(Path(found.artifact.resolve()))}"
        for found in sorted({*given, *more}, key=lambda found: (found.groupId, found.artifactId))
    ]
    lock.write_text(f"# {lock.stem}. Written by `python -m {by}`.\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    write_lock()
