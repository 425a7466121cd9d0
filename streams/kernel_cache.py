"""Where numba keeps compiled kernels: a folder of its own for every state of the sources.

Numba notices when a kernel's own file changes, but not when a file changes whose functions it has compiled in. A worker
would then compute with a mixture of versions, so the folder's name is a fingerprint of all kernels' sources.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import numba

WORDS = (
    b"njit",
    b"@compiled",
    b"intrinsic",
    b"= range(",
    b"NamedTuple",
    b"np.dtype",
)  # of sources that kernels compile in
ROOMS = ("streams", "schemas")  # kernels of bench call none of another file of bench


def use_cache() -> Path:
    """Points numba at the folder; below NUMBA_CACHE_DIR if that is set, else in the environment's own folder."""
    rooms, digest = Path(__file__).parent.parent, hashlib.blake2b(digest_size=8)
    for room in ROOMS:
        for source in sorted((rooms / room).glob("*.py")):
            text = source.read_bytes()
            if any(word in text for word in WORDS):
                digest.update(source.name.encode() + text)
    base = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(sys.prefix) / "numba")
    folder = base / digest.hexdigest()
    numba.config.CACHE_DIR = str(folder)
    return folder
