"""Where numba keeps compiled kernels: a folder of its own for every state of the sources.

Numba notices when a kernel's own file changes, but not when a file changes whose functions or constants it has compiled
in. A worker would then compute with a mixture of versions, so the folder's name is a fingerprint of every source that a
kernel can be made of.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import numba

ROOMS = ("streams", "schemas")  # kernels of other rooms compile in nothing of another file but these
HOUSE = Path(__file__).parents[2]


def sources(house: Path = HOUSE) -> list[Path]:
    """Every Python source of the rooms, at any depth, sorted."""
    return sorted(path for room in ROOMS for path in (house / room).rglob("*.py"))


def sources_fingerprint(paths: Iterable[Path], house: Path = HOUSE) -> str:
    """16 hex digits that change when a byte of a source changes, or a source is moved, added or removed."""
    digest = hashlib.blake2b(digest_size=8)
    for path in paths:
        name, text = path.relative_to(house).as_posix().encode(), path.read_bytes()
        digest.update(b"%d %d " % (len(name), len(text)) + name + text)
    return digest.hexdigest()


def use_cache() -> Path:
    """Points numba at the folder; below NUMBA_CACHE_DIR if that is set, else in the environment's own folder."""
    base = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(sys.prefix) / "numba-cache")
    folder = base / sources_fingerprint(sources())
    numba.config.CACHE_DIR = str(folder)
    return folder
