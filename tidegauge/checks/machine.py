"""Checks of this machine: Python, libraries, packages, disk, the embedded Kafka's jars."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from tidegauge.checks import CheckLine, Grade, grade_of
from tidegauge.cli import packages

if TYPE_CHECKING:
    from deploy.settings import Settings

NEEDED: Final = (
    "faust-streaming",
    "aiokafka",
    "confluent-kafka",
    "fastavro",
    "numba",
    "numpy",
    "redis",
    "prometheus-client",
)
GLIBC_MIN: Final = (2, 28)


def python() -> CheckLine:
    """Its version."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    wrong = not (3, 11) <= sys.version_info < (3, 15)
    return CheckLine("python", grade_of(wrong), f"{version} on {platform.machine()}", "use 3.11 to 3.14")


def libc() -> CheckLine:
    """Whether there are wheels for it."""
    name, version = platform.libc_ver()
    if name != "glibc":
        wrong = sys.platform != "darwin"
        return CheckLine("libc", grade_of(wrong), name or platform.system(), "there are no numba wheels for it")
    parts = tuple(int(part) for part in version.split(".")[:2])
    return CheckLine("libc", grade_of(parts < GLIBC_MIN), f"glibc {version}", "glibc 2.28 or newer is needed")


def needed_packages() -> CheckLine:
    """Those of others that everything needs."""
    found, missing = [], []
    for name in NEEDED:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    text = f"missing: {', '.join(missing)}" if missing else ", ".join(found)
    return CheckLine("packages", grade_of(missing), text, "run `make install`")


def own_packages() -> CheckLine:
    """Whether Tidegauge's names are Tidegauge's."""
    found = packages.foreign()
    text = "; ".join(str(one) for one in found) or f"all {len(packages.TOP_LEVEL)} in {packages.ROOT}"
    return CheckLine("own packages", grade_of(found), text, packages.way_out(found) if found else "")


def disk(settings: Settings) -> Iterator[CheckLine]:
    """Room in the data folder."""
    from deploy.settings import DISK_FREE_MIN_BYTES

    folder = settings.data_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{free >> 30} GB free at {folder}"
    yield CheckLine("disk", grade_of(free < DISK_FREE_MIN_BYTES), text, "use a folder on another disk")


def kafka_jars(settings: Settings) -> Iterator[CheckLine]:
    """Of the embedded Kafka, where that is used."""
    name = "kafka jars"
    if settings.external:
        yield CheckLine(name, Grade.GOOD, "not needed: TIDEGAUGE_BOOTSTRAP_SERVERS is set")
        return
    if lack := packages.lacking("embedded"):
        yield CheckLine(name, Grade.WRONG, f"the embedded Kafka {lack}", "or set TIDEGAUGE_BOOTSTRAP_SERVERS to yours")
        return
    from deploy.embedded import jars

    paths = jars.class_path(settings.home(), settings.maven_mirror)
    home = settings.home()
    yield CheckLine(name, Grade.GOOD, f"of {home}" if home else f"{len(paths)} jars, as pinned")
