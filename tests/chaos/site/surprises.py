"""What comes to a bank from outside its data: foreign records, holidays told late, a quota, a clock, a stop under load."""

from __future__ import annotations

import random
import struct
import threading
import time

import psutil
from confluent_kafka import Producer

from agents.engine.recovery import changelog_topic
from streams.calendar import date_of
from tests.chaos.given import Given
from tests.chaos.site.bank import GOOD, START, Bank
from tests.chaos.surroundings import CLOCK, DAY_S
from tests.chaos.system import Result
from tidegauge.bootstrap import STANDING

FOREIGN, FOREIGN_BYTES = 200, 900_000
TAKEN = ("transactions", "business-days", "policies", "facts")  # of which each gives a letter
TOLD = ("world", "rm-alerts", "standings", "changelog")
MEMORY_MB_MAX = 700
QUOTA_BYTES_S = 20_480
STOP_S_MAX = 25.0


def foreign(given: Given) -> Result:
    """200 foreign records of 900 KB on inputs, on `world`, on outputs and on the workers' own topic."""
    number = 20 if given.short else FOREIGN
    with given.redis() as url, given.bank("foreign", redis_url=url) as bank:
        bank.start()
        bank.wait_ready()
        views = bank.begin("views")
        bank.load(10)
        for topic in (*TAKEN, *TOLD):
            _write(bank, topic, number)
            bank.fault(f"{number} records on {topic}")
        bank.until(lambda: bank.metric("tidegauge_dead_letters_total") >= number * len(TAKEN))
        letters = bank.metric("tidegauge_dead_letters_total")
        bank.expect("letters", letters == number * len(TAKEN), letters)
        largest = max(psutil.Process(one.pid).memory_info().rss >> 20 for one in (*bank.workers, views))
        bank.expect("memory of worker and views, MB", largest < MEMORY_MB_MAX, largest)
        bank.expect("readyz", bank.readyz().code == GOOD, bank.readyz())
        said, _ = bank.child(["standings", "--as-of", str(date_of(bank.last))])
        bank.expect(
            "a command says it in a line for each topic", said.code == 0 and len(said.err.splitlines()) <= 3, said.err
        )
        bank.kill(random.Random(given.seed))
        bank.wait_ready()
        own = [line for line in bank.lines() if "not the workers' own" in line]
        bank.expect("the next worker passes over what is not its own", own, own[:1])
        bank.load(2)
        bank.judge()
        return bank.result()


def _write(bank: Bank, topic: str, number: int) -> None:
    """Records that nobody can read, with keys of nobody."""
    name = changelog_topic(bank.settings, STANDING) if topic == "changelog" else bank.settings.topic(topic)
    out, rng = Producer({"bootstrap.servers": bank.settings.kafka, "message.max.bytes": 4 << 20}), random.Random(topic)
    for one in range(number):
        out.produce(name, rng.randbytes(FOREIGN_BYTES), b"foreign%d" % one, 0)
        out.flush(60)


def holidays(given: Given) -> Result:
    """Days told as holidays that are closed already: nothing that was decided changes, and all of it still holds."""
    with given.bank("holidays") as bank:
        bank.start()
        bank.wait_ready()
        bank.load(70)
        before = bank.standings()
        path = bank.folder / "holidays.csv"
        path.write_text("date,bank\n" + "".join(f"{date_of(START + day)},closed\n" for day in range(20, 75, 3)))
        said = bank.tell("holidays", str(path))
        bank.fault("holidays told for days that are closed")
        bank.expect("the command", said.code == 0, said)
        bank.wait(lambda: bank.metric("tidegauge_lag_offsets") < 1, "the holidays")
        bank.expect("standings", bank.standings() == before, "as they were")
        told = {
            name: bank.tell("explain", name).code
            for name in sorted({r["customer_id"] for r in bank.outputs("tier-changes")})
        }
        bank.expect("explain", set(told.values()) <= {0}, told)
        bank.kill(random.Random(given.seed))
        bank.wait_ready()
        bank.load(5)
        bank.judge()
        return bank.result()


def wrong_clock(given: Given) -> Result:
    """A worker whose clock is a day ahead, then one a day behind, with a backlog."""
    with given.bank("wrong-clock") as bank:
        clock = bank.folder / "clock"
        bank.extra = {"PYTHONPATH": str(CLOCK), "CHAOS_CLOCK_FILE": str(clock)}
        for offset in (DAY_S, -DAY_S):
            clock.write_bytes(struct.pack("<q", offset))
            bank.fault(f"a clock {offset} s wrong")
            if bank.files:
                bank.send(bank.last + 1, bank.last + 10)
            bank.start()
            bank.wait_ready()
            bank.load(5)
            bank.expect("readyz", bank.readyz().code == GOOD, bank.readyz())
            bank.judge()
            bank.stop()
        bank.extra = {}
        return bank.result()


def stop_under_load(given: Given) -> Result:
    """SIGTERM to worker, views, notices and look-up while an import goes on: each ends with 0 and a line that says it is safe."""
    with given.redis() as url, given.bank("stop", redis_url=url) as bank:
        bank.start()
        bank.wait_ready()
        others = [bank.begin(*words.split()) for words in ("views", "notices", "queue serve --port 0 --metrics-port 0")]
        bank.load(5, customers=300)
        loading = threading.Thread(target=lambda: bank.send(bank.last + 1, bank.last + 20, 300))
        loading.start()
        time.sleep(5.0)
        bank.fault("SIGTERM under load")
        logs = sorted(bank.logs.glob("*.log"))
        for process, log in zip([*bank.workers, *others], logs, strict=True):
            began = time.monotonic()
            process.terminate()
            code, last = process.wait(60), (log.read_text().strip().splitlines() or [""])[-1]
            good = code == 0 and "safe to go on" in last and time.monotonic() - began < STOP_S_MAX
            bank.expect(f"{process.args[3]} ends", good, (code, last))
        bank.workers.clear()
        loading.join()
        bank.start()
        bank.wait_ready()
        bank.wait_closed()
        bank.judge()
        return bank.result()


def quota(given: Given) -> Result:
    """A quota of 20 KB/s for every client while a worker has a backlog: slow, said, and exact."""
    with given.bank("quota") as bank:
        bank.start()
        bank.wait_ready()
        bank.load(3, customers=300 if given.short else 1500)
        bank.stop()
        bank.send(bank.last + 1, bank.last + 8, 300 if given.short else 1500)
        given.stack.quota(QUOTA_BYTES_S)
        bank.fault(f"a quota of {QUOTA_BYTES_S} bytes/s")
        try:
            bank.start()
            bank.until(lambda: bank.readyz().code == GOOD)
            at = bank.committed()
            bank.until(lambda: bank.committed() > at, 120)
            bank.expect("it moves on", bank.committed() > at, (at, bank.committed()))
            bank.expect("the worker lives", bank.workers[0].poll() is None, bank.lines()[-1:])
        finally:
            given.stack.quota(None)
        bank.wait_closed()
        bank.judge()
        return bank.result()


SURPRISES = {
    "foreign": foreign, "holidays": holidays, "wrong-clock": wrong_clock, "stop": stop_under_load, "quota": quota,
}  # fmt: skip
