"""`python -m tests.kernels`: compiles what the standing job needs, if that isn't in the cache yet.

A minute and a half of computing on a fresh checkout: runs that begin side by side would each do it.
"""

from tests import conftest  # says where the cache is, before numba is imported


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
    prepare()
