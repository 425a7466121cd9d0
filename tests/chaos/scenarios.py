"""The scenarios: each a story of faults on a running system, seeded. `System.finish` judges what came of it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from tests.chaos import surroundings
from tests.chaos.bounds import outsized
from tests.chaos.given import Given
from tests.chaos.load import POISON, TWICE
from tests.chaos.site.anew import anew
from tests.chaos.site.folders import folders
from tests.chaos.site.health import health
from tests.chaos.site.kept import kept
from tests.chaos.site.pairs import settings_pairs
from tests.chaos.site.slips import slips
from tests.chaos.site.surprises import surprises
from tests.chaos.site.takeover import takeover
from tests.chaos.system import Result, System

LARGE = 100_000  # customers, where the length of stops is to be measured
BROKER_STOP_S_MAX = surroundings.BROKER_STOP_S_MAX
WORKER_STOP_S_MAX = 15.0  # that a partition may stand still because of a worker
BEYOND_SESSION_S = (7.0, 12.0)  # a worker's session ends after 6 s


def plain(given: Given) -> Result:
    """No fault: the yardstick."""
    with given.system("plain", given.load(events=15_000, days=10)) as run:
        run.launch()
        return run.finish()


def kill(given: Given) -> Result:
    """kill -9 of one of two workers at random points, a new one at once: 40 in quick succession, 10 one by one."""
    quick, single = (3, 1) if given.short else (40, 10)
    with given.system("kill", given.load(customers=LARGE, events=200_000, rate=1000, days=20)) as run:
        run.launch(2)
        for number in range(quick):
            run.pause(*((0.3, 3.0) if number % 2 else (1.0, 4.0)))  # every other one meets a recovery
            run.kill(run.rng)
            run.fault("kill -9")
        run.settle()
        stop = run.stops.take()
        for _ in range(single):
            run.kill(run.rng)
            run.fault("kill -9")
            run.pause(2.0, 3.0)
            run.settle()
        run.feed.pace = 4.0
        result = run.finish(0.0 if given.short else WORKER_STOP_S_MAX)
        result.notes.append(
            f"the stop is that of the {single} single kills; while {quick} came every 2 s, a partition stood still for "
            f"{stop:.1f} s"
        )
        return result


def zombie(given: Given) -> Result:
    """SIGSTOP beyond the session timeout, then CONT: what the sleeper still holds must be refused."""
    with given.system("zombie", given.load(events=90_000, rate=1500, days=30)) as run:
        run.launch(2)
        for number in range(1 if given.short else 4):
            run.pause(0.5, 3.0)
            worker = run.workers[number % 2]
            worker.send_signal(signal.SIGSTOP)
            run.fault("SIGSTOP and CONT")
            time.sleep(run.rng.uniform(*BEYOND_SESSION_S))
            worker.send_signal(signal.SIGCONT)
            run.pause(1.0, 4.0)
        run.feed.pace = 4.0
        return run.finish(0.0 if given.short else WORKER_STOP_S_MAX)


def scale(given: Given) -> Result:
    """1 -> 3 -> 1 workers under load, by SIGTERM, twice over."""
    with given.system("scale", given.load(events=90_000, rate=2000, days=30)) as run:
        run.launch(1)
        for _ in range(1 if given.short else 2):
            for _ in range(2):
                run.pause(1.0, 3.0)
                run.start()
                run.fault("worker joins")
            run.pause(6.0, 8.0)
            for worker in list(run.workers)[:2]:
                run.pause(0.5, 2.0)
                run.leave(worker)
                run.fault("worker leaves")
        run.feed.pace = 4.0
        return run.finish(0.0 if given.short else WORKER_STOP_S_MAX)


def broker_kill(given: Given) -> Result:
    """kill -9 of the only broker and a restart, under load."""
    with given.system("broker-kill", given.load(customers=LARGE, events=60_000, rate=1500, days=20)) as run:
        run.launch(2)
        for _ in range(1 if given.short else 3):
            run.pause(1.0, 4.0)
            given.stack.kill_broker()
            run.fault("kill -9 of the broker")
            given.stack.start_broker()
            run.say("the broker is back")
            run.pause(4.0, 8.0)
        run.feed.pace = 4.0
        return run.finish(0.0 if given.short else BROKER_STOP_S_MAX)


def mischief(given: Given) -> Result:
    """1 % damaged records, 10 % doubled, 5 % a day and 1 % forty days late, all at once, and a kill."""
    load = given.load(events=40_000, rate=3000, days=70, poison=0.01, twice=0.1, late_1=0.05, late_40=0.01)
    with given.system("mischief", load) as run:
        run.launch(2)
        run.pause(1.0, 3.0)
        run.kill(run.rng)
        run.fault("kill -9")
        return _counted(run)


def poison(given: Given) -> Result:
    """1 % damaged records: all of them in dead-letters, nothing else lost."""
    with given.system("poison", given.load(events=40_000, rate=3000, days=20, poison=0.01)) as run:
        run.launch(1)
        return _counted(run)


def duplicates(given: Given) -> Result:
    """10 % of the events twice, at once or days later."""
    with given.system("duplicates", given.load(events=40_000, rate=3000, days=20, twice=0.1)) as run:
        run.launch(1)
        return _counted(run)


def late(given: Given) -> Result:
    """5 % a day late, 2 % forty days."""
    with given.system("late", given.load(events=40_000, rate=3000, days=70, late_1=0.05, late_40=0.02)) as run:
        run.launch(1)
        return _counted(run)


def _counted(run: System) -> Result:
    """Finish, with what was wrong with the load as the faults."""
    load = run.load
    run.faults |= {"damaged": run.timetable.count(POISON), "doubled": run.timetable.count(TWICE)}
    late = sum(
        arrived - (booked + 8 * 3_600_000) // 86_400_000 > 0
        for arrived, booked in zip(run.timetable.posted.arrived, run.timetable.posted.booked, strict=True)
    )
    run.faults["late"] = late - load.world.accounts  # the opening credits are of January, and come in March
    return run.finish()


SCENARIOS: dict[str, Callable[[Given], Result]] = {
    "plain": plain, "kill": kill, "zombie": zombie, "scale": scale, "broker-kill": broker_kill,
    "cluster": surroundings.cluster, "proxy": surroundings.proxy, "redis": surroundings.redis_view,
    "disk-full": surroundings.disk_full, "poison": poison, "duplicates": duplicates, "late": late,
    "mischief": mischief, "clock": surroundings.clock, "schemas": surroundings.schemas,
    "bounds": outsized, "settings": settings_pairs, "slips": slips, "health": health,
    "kept": kept, "anew": anew, "folders": folders, "takeover": takeover, "surprises": surprises,
}  # fmt: skip
