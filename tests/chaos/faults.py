"""The faults, each a seeded story on one Run. `seconds` is how long events flow; Run.finish compares."""

import signal
import time
from collections.abc import Callable

from tests.chaos.run import Run

RATE = 2000  # events/s


def plain(run: Run, seconds: float = 6) -> None:
    """No fault: the yardstick."""
    run.feed(seconds, RATE, run.rng.choice(["none", "gzip", "snappy", "lz4", "zstd"]))
    run.start()
    run.finish()


def kill(run: Run, seconds: float = 60) -> None:
    """kill -9 of a random one of two workers, at random points, restarted at once."""
    run.feed(seconds, RATE, "gzip")
    run.start(), run.start()
    run.wait_committed(1)
    until = time.monotonic() + seconds * 0.8
    while time.monotonic() < until:
        time.sleep(run.rng.uniform(0.5, 6))
        pid = run.rng.choice(list(run.workers))
        run.signal(pid, signal.SIGKILL)
        run.say("kill -9", pid, "committed", run.committed())
        run.start()
    run.finish()


def scale(run: Run, seconds: float = 45) -> None:
    """1 -> 3 -> 1 workers under load, by SIGTERM."""
    run.feed(seconds, RATE, "lz4")
    run.start()
    run.wait_committed(1)
    time.sleep(seconds * 0.1)
    more = [run.start(), run.start()]
    time.sleep(seconds * 0.35)
    for pid in more:
        run.say("SIGTERM", pid, "committed", run.committed())
        run.signal(pid, signal.SIGTERM)
        time.sleep(run.rng.uniform(1, 4))
    run.finish()


def zombie(run: Run, seconds: float = 45) -> None:
    """SIGSTOP beyond the session timeout, then CONT, both workers in turn."""
    run.feed(seconds, RATE, "snappy")
    pids = [run.start(), run.start()]
    run.wait_committed(1)
    for pid in pids[: 1 if seconds < 30 else 2]:
        time.sleep(run.rng.uniform(1, 4))
        run.say("SIGSTOP", pid, "committed", run.committed())
        run.signal(pid, signal.SIGSTOP)
        time.sleep(run.rng.uniform(7, 12))
        run.say("SIGCONT", pid, "committed", run.committed())
        run.signal(pid, signal.SIGCONT)
        time.sleep(2)
    run.finish()


def parts(run: Run, seconds: float = 40) -> None:
    """As kill, with flushes that spread over transactions (an idempotent job)."""
    run.options["rows_max"] = 20
    kill(run, seconds)


def broker(run: Run, seconds: float = 40, restart: Callable[[], None] | None = None) -> None:
    """kill -9 of the broker and a restart, under load; `restart` does both."""
    assert restart is not None
    run.feed(seconds, RATE, "zstd", aborts=False)
    run.start(), run.start()
    run.wait_committed(1)
    for _ in range(1 if seconds < 30 else 3):
        time.sleep(run.rng.uniform(2, 6))
        run.say("kill -9 of the broker; committed", run.committed())
        restart()
        run.say("the broker is back")
    run.finish(120)


def no_fencing(run: Run, seconds: float = 30) -> None:
    """A broken engine, on purpose: transactional ids that fence nobody must be noticed under zombies."""
    run.options["broken"] = "fresh id"
    noticed(zombie, run, seconds)


def late_rows(run: Run, seconds: float = 30) -> None:
    """A broken engine, on purpose: order-sensitive rows that lag behind the offsets must be noticed under kills."""
    run.options["broken"] = "late rows"
    noticed(kill, run, seconds)


def noticed(fault: Callable[[Run, float], None], run: Run, seconds: float) -> None:
    """The comparison must fail."""
    try:
        fault(run, seconds)
    except AssertionError as difference:
        run.say("noticed, as it should:", str(difference)[:300])
    else:
        raise AssertionError("a broken engine passed")


FAULTS = {f.__name__: f for f in (plain, kill, scale, zombie, parts, broker, no_fencing, late_rows)}
