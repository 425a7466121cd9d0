"""`python -m tests.kernels`: compiles what the standing job needs, if that isn't in the cache yet.

Some minutes of computing on a fresh checkout: runs that begin side by side would each do it, so who starts a worker waits
for who compiles.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import conftest  # says where the cache is, before numba is imported


@contextmanager
def alone() -> Iterator[None]:
    """Held by one process at a time of those that share a cache."""
    folder = Path(os.environ.get("NUMBA_CACHE_DIR", conftest.ROOT / ".venv"))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "tests.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def wait() -> None:
    """Returns when nobody compiles."""
    with alone():
        pass


def prepare() -> None:
    """Compiles, or finds in the cache, whatever a worker calls."""
    from agents.offline.warmup import warm_up
    from agents.standing.model import StandingConf
    from policies import load_pack

    assert conftest.ROOT
    warm_up(
        StandingConf("CNY", "Asia/Shanghai", load_pack("rolling-quarter-aum"), b"a reference key for tests, 32 bytes")
    )


if __name__ == "__main__":
    with alone():
        prepare()
