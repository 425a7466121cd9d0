"""The native part of `@confluentinc/kafka-javascript`, compiled from the package's own source.

npm fetches it from a host of its own; here it is built against the librdkafka that Python's client brings.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import confluent_kafka

PACKAGE: Final = Path("@confluentinc", "kafka-javascript")
WHEEL: Final = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
BUILD_S: Final = 240


def build(packages: Path) -> None:
    """Compiles it into the package's place among installed packages (`node_modules`)."""
    package = packages / PACKAGE
    target = package / "build" / "Release"
    target.mkdir(parents=True, exist_ok=True)
    (library,) = WHEEL.glob("librdkafka-*")
    interface = package / "deps" / "librdkafka"
    (interface / "config.h").touch()  # what a build of the library itself would write
    sources = [_together(package / "src", "*.cc", target), _together(interface / "src-cpp", "*.cpp", target)]
    headers = [_headers(), packages / "nan", package, interface / "src", interface / "src-cpp"]
    command = [
        "g++", "-std=c++20", "-O0", "-w", "-fPIC", "-shared", "-DNODE_GYP_MODULE_NAME=confluent_kafka_javascript",
        *(f"-I{folder}" for folder in headers), *map(str, sources), str(library), f"-Wl,-rpath,{library.parent}",
        "-o", str(target / "confluent-kafka-javascript.node"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def _together(folder: Path, pattern: str, target: Path) -> Path:
    """One source file that has all of a folder's, what the others use first: the headers, most of the work, are read once."""
    file, found = (
        target / f"{folder.name}.cpp",
        sorted(folder.glob(pattern), key=lambda path: (path.stem != "common", path)),
    )
    file.write_text("".join(f'#include "{source}"\n' for source in found))
    return file


def _headers() -> Path:
    """Node's headers, which its distributions have beside its program."""
    command = ["node", "-p", "require('path').resolve(process.execPath, '../../include/node')"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
    assert (Path(found) / "node.h").exists(), f"Node's headers are not in {found}"
    return Path(found)
