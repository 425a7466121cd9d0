"""The same targets under libFuzzer, by way of atheris, where that is installed: there are wheels for Linux on x86-64 only."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

INPUT_BYTES_MAX = 1 << 12
RUN_S_MAX = 10
INSTRUMENTED = ["schemas", "agents.engine", "connectors.formats", "tidegauge.letters", "tidegauge.world.identity"]


def installed() -> bool:
    """Whether atheris can be imported."""
    return importlib.util.find_spec("atheris") is not None


def folder_of(found: Path) -> Path:
    """Where libFuzzer keeps its corpus, a file an input; what it failed at begins with `bad-`."""
    return found.with_suffix(".inputs")


def fuzz(seconds: float, seed: int, found: Path, memory_mb: int) -> None:
    """Fuzz, and end the process: with 0 where nothing was found. To be called before anything of the product is imported."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        from tests.fuzz import guided, targets
    targets.shrink()
    guided.interpret()
    names, folder = sorted(targets.TARGETS), folder_of(found)
    folder.mkdir()
    for number, (name, data) in enumerate(guided.corpus()):
        (folder / f"{number:06}").write_bytes(bytes([names.index(name)]) + data)

    def run(data: bytes) -> None:
        if data:
            with np.errstate(over="ignore"):
                targets.TARGETS[names[data[0] % len(names)]](data[1:])

    options = {
        "max_total_time": int(seconds), "seed": seed, "max_len": INPUT_BYTES_MAX, "timeout": RUN_S_MAX,
        "rss_limit_mb": memory_mb, "artifact_prefix": f"{folder}/bad-", "print_final_stats": 1, "verbosity": 0,
    }  # fmt: skip
    atheris.Setup(["fuzz", *(f"-{name}={value}" for name, value in options.items()), str(folder)], run)
    atheris.Fuzz()


def gathered(found: Path) -> list[tuple[str, bytes]]:
    """The inputs of the corpus as targets and their bytes; those that failed where there are any."""
    from tests.fuzz import targets

    names, files = sorted(targets.TARGETS), sorted(folder_of(found).iterdir())
    bad: list[Any] = [file for file in files if file.name.startswith("bad-")]
    inputs = [file.read_bytes() for file in bad or files]
    return [(names[data[0] % len(names)], data[1:]) for data in inputs if data]
