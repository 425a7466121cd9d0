"""What operators of brokers and machines do: quotas, SIGTERM under load, wrong clocks, other settings, foreign records."""

from __future__ import annotations

import json
import signal
import struct
import tempfile
from dataclasses import replace
from pathlib import Path

from confluent_kafka import Producer

from agents.engine.recovery import changelog_topic
from deploy.connections.clients import librdkafka
from deploy.topics import WORLD
from streams.calendar import date_of
from tests.chaos.brokers import ChaosStack
from tests.chaos.given import Given
from tests.chaos.site.bank import GOOD, Bank
from tests.chaos.site.slips import is_refusal
from tests.chaos.surroundings import CLOCK, DAY_S
from tests.chaos.system import Result
from tidegauge.bootstrap import STANDING
from tidegauge.checks.flow import uncounted

QUOTA_BYTES_S = 20_000
FOREIGN, FOREIGN_BYTES = 200, 900_000
SHORT, SHORT_MS = "transaction.max.timeout.ms", 10_000
THROTTLED = "a quota of the brokers holds this worker"


def surprises(given: Given) -> Result:
    """A quota of 20 KB/s, SIGTERM under load, clocks wrong by a day, holidays after closes, foreign records, other brokers."""
    with given.bank("surprises") as bank:
        bank.start()
        bank.load(12)
        _quota(bank, given)
        _sigterm(bank)
        _clock(bank)
        _holidays(bank)
        _foreign(bank)
        bank.load(3)
        bank.judge()
        _other_brokers(given, bank)
        return bank.result()


def _quota(bank: Bank, given: Given) -> None:
    """Everything is slow, figures stay exact, a metric and the log name the quota; without it all is as before."""
    bank.fault(f"a quota of {QUOTA_BYTES_S} bytes a second")
    given.stack.quota(QUOTA_BYTES_S)
    try:
        bank.send(bank.last + 1, bank.last + 20)
        seconds = bank.until(lambda: bank.metric("tidegauge_throttled_seconds_total") > 1)
        bank.expect("tidegauge_throttled_seconds_total", seconds < 60, f"after {seconds:.0f} s")
    finally:
        given.stack.quota(None)
    said = [line for line in bank.lines() if THROTTLED in line]
    bank.expect("the log", said, said[:1] or bank.lines()[-1:])
    bank.wait_closed()
    bank.expect("readyz afterwards", bank.until(lambda: bank.readyz().code == GOOD) < 60, bank.readyz())


def _sigterm(bank: Bank) -> None:
    bank.fault("SIGTERM under load")
    worker = bank.workers[0]
    worker.send_signal(signal.SIGSTOP)  # else it may be done before anybody looks
    try:
        bank.send(bank.last + 1, bank.last + 20)
        waits = sum(uncounted(bank.settings).values())
        bank.expect("work waits for it", waits > 0, f"{waits} offsets")
    finally:
        worker.send_signal(signal.SIGCONT)
    worker.terminate()
    code, lines = bank.ended()
    bank.expect(
        "the last line", code == 0 and "stopped: 2 partitions held, everything is committed" in lines[-1], lines[-1:]
    )
    bank.start()
    bank.wait_closed()


def _clock(bank: Bank) -> None:
    """A worker whose clock is a day ahead, and one whose clock is a day behind."""
    for days in (1, -1):
        bank.fault(f"a worker's clock wrong by {days} day")
        bank.stop()
        with tempfile.NamedTemporaryFile(prefix="tidegauge-clock-") as file:
            file.write(struct.pack("<q", days * DAY_S))
            file.flush()
            bank.extra = {"PYTHONPATH": str(CLOCK), "CHAOS_CLOCK_FILE": file.name}
            bank.start()
            bank.extra = {}
            bank.wait_ready()
            bank.load(2)
            bank.expect("readyz", bank.readyz().code == GOOD, bank.readyz())
            bank.stop()
        bank.start()
        bank.wait_ready()


def _holidays(bank: Bank) -> None:
    """Told for days that are closed: those stay as they are."""
    bank.fault("holidays told after their closes")
    path = Path(bank.folder) / "holidays.csv"
    days = [date_of(bank.last - back) for back in (3, 2)]
    path.write_text("date,bank\n" + "".join(f"{day},closed\n" for day in days), encoding="utf-8")
    before = bank.standings()
    done = bank.tell("holidays", str(path))
    bank.expect("holidays", done.code == 0, done)
    bank.expect("standings as before", bank.standings() == before, len(before))


def _foreign(bank: Bank) -> None:
    """Records of somebody else on the workers' own topic, on `world`, on `business-days`, and large ones on an input."""
    bank.fault(f"{FOREIGN} foreign records of {FOREIGN_BYTES} bytes, and some on topics of Tidegauge's own")
    producer = Producer({**librdkafka(bank.settings.kafka), "message.max.bytes": 2 << 20, "linger.ms": 50})
    big = b"x" * FOREIGN_BYTES
    for number in range(FOREIGN):
        producer.produce(bank.settings.topic("transactions"), big, b"C000001", number % bank.settings.partitions)
        producer.poll(0)
        if number % 20 == 19:
            producer.flush(60)
    for name in (changelog_topic(bank.settings, STANDING), *map(bank.settings.topic, (WORLD, "business-days"))):
        producer.produce(name, b"foreign", b"foreign", 0)
    left = producer.flush(60)
    bank.expect("all are taken by the broker", left == 0, left)
    bank.until(lambda: bank.metric("tidegauge_dead_letters_total") >= FOREIGN)
    count = bank.metric("tidegauge_dead_letters_total")
    bank.expect("tidegauge_dead_letters_total", count >= FOREIGN, count)
    bank.expect("readyz", bank.until(lambda: bank.readyz().code == GOOD) < 60, bank.readyz())
    done = bank.tell("world", "show")
    bank.expect("world show", done.code == 0, (done.code, done.err))
    letters = bank.tell("dead-letters", "count", "--json")
    told = sum(one["letters"] for one in json.loads(letters.out))
    bank.expect("dead-letters count", told >= FOREIGN, letters)
    line = bank.doctor()["records"]
    bank.expect("doctor: records", line["good"], line)  # under a customer's key, where it belongs
    bank.stop()
    bank.start()
    bank.wait_ready()
    said: list[str] = []
    bank.until(lambda: said.extend(line for line in bank.lines() if "is not the workers' own" in line) or said, 10)
    bank.expect("the log of the next worker", said, said[:1])


def _other_brokers(given: Given, around: Bank) -> None:
    """Brokers that somebody set up otherwise: transactions too short for a worker, topics for whoever names one."""
    with tempfile.TemporaryDirectory(prefix="tidegauge-others-") as folder:
        stack = ChaosStack(Path(folder), heap_mb=384)
        stack.more = {SHORT: str(SHORT_MS), "auto.create.topics.enable": "true"}
        with stack, replace(given, stack=stack).bank("others") as bank:
            bank.findings = around.findings
            _short_transactions(stack, bank, around)
            _auto_created(stack, bank, around)


def _short_transactions(stack: ChaosStack, bank: Bank, around: Bank) -> None:
    """The brokers refuse a worker's transactions: it ends with the line that says what to set, and then it works."""
    around.fault(f"{SHORT} of {SHORT_MS}")
    line = bank.doctor()["brokers"]
    bank.expect("doctor: brokers", not line["good"] and f"{SHORT} is {SHORT_MS}" in line["found"], line)
    bank.start()
    code, lines = bank.ended()
    bank.expect("the last line", code in (1, 2) and SHORT in lines[-1] and "raise it to" in lines[-1], lines[-1:])
    stack.stop()
    del stack.more[SHORT]
    stack.start()
    bank.start()
    bank.load(3)
    bank.judge()
    line = bank.doctor()["brokers"]
    bank.expect("doctor: brokers afterwards", SHORT not in line["found"], line)


def _auto_created(stack: ChaosStack, bank: Bank, around: Bank) -> None:
    """A topic that the brokers made for whoever named it first: another number of partitions, kept for a week."""
    around.fault("a topic that the brokers made")
    prefix = f"{bank.settings.topic_prefix}auto."
    producer = Producer(librdkafka(bank.settings.kafka))
    producer.produce(f"{prefix}transactions", b"before anybody else", b"C000001")
    bank.expect("it is taken", producer.flush(60) == 0, prefix)
    name, parts = f"{prefix}transactions", stack.settings.partitions  # as the brokers give them
    done = bank.tell("topics", "--create", topic_prefix=prefix)
    wanted = f"{name} has {parts} partitions, not {bank.settings.partitions}"
    bank.expect("topics --create", is_refusal(done, wanted), done)
    done = bank.tell("topics", "--create", topic_prefix=prefix, partitions=str(parts))
    said = " ".join((done.out + done.err).split())
    bank.expect("topics --create, with as many partitions", f"{name}: retention.ms is" in said, said[-400:])
