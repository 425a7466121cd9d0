"""A wrong close that was counted: a shadow without it, a takeover, and kill -9 in the middle of both."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from typing import Any

from confluent_kafka import KafkaException

from agents.standing.publish.versions import epoch_of
from connectors.formats.events import Event
from schemas.topics import MARKED
from streams.calendar import date_of
from tests.chaos.given import Given
from tests.chaos.site.bank import Bank
from tests.chaos.system import Result
from tests.integration.live import doubled, listens
from tests.standing.partition import customer
from tests.twins.events import posting

WRONG_DAYS = 100  # ahead of the last right close: some month ends lie between
SHADOW = "second"
NEWCOMER, DEPOSIT = "C777", 5_000_000_000  # fen
ANEW = "2 of 2 partitions own the outputs, every customer was published anew"
ONCE = ("tier-changes", "rm-alerts", "restatements", "decisions")
TAKE = ("world", "takeover", SHADOW, "--reason", "a wrong close", "--json")


def takeover(given: Given) -> Result:
    """A forced close of months ahead; its shadow, the takeover and the new owner are killed; then all is as without it."""
    with given.bank("takeover") as bank:
        bank.start()
        bank.load(40)
        _newcomer(bank)
        wrong = str(date_of(bank.last + WRONG_DAYS))
        bank.fault("a forced close of months ahead")
        done = bank.tell("close", wrong, "--force", "--reason", "a slip")
        bank.expect("the forced close", done.code == 0, done)
        bank.wait_closed()
        _shadow(bank, wrong)
        planned = _taken(bank)
        told = {name: len(bank.outputs(name)) for name in ONCE}
        _new_owner(bank)
        bank.load(30)
        bank.judge()
        for topic in ONCE:
            records = bank.outputs(topic)
            bank.expect(f"{topic}: no id twice", not doubled(records), doubled(records)[:3])
        again = {name: len(bank.outputs(name)) - count for name, count in told.items()}
        bank.notes.append(
            f"withdrawn {planned['counts']}, of {planned['customers']} customers; told anew by the days {again}"
        )
        return bank.result()


def _newcomer(bank: Bank) -> None:
    """A customer whose averages rise from month to month: the wrong close gives him a tier, and the right one does again."""
    records = customer(NEWCOMER), posting(1, DEPOSIT, bank.last, customer=NEWCOMER, account="A777")
    bank.bring(
        [Event(bank.last, one["topic"], {k: v for k, v in one.items() if k != "topic"}) for one in records], bank.last
    )
    bank.wait_closed()


def _shadow(bank: Bank, wrong: str) -> None:
    """It is killed while it recovers and while it reads, begins again, and is stopped once it has caught up."""
    words = ("worker", "--metrics-port", "0", "--shadow", SHADOW, "--without-close", wrong)
    for number in range(2):
        shadow = bank.begin(*words)
        bank.until(lambda alive=shadow: listens(alive.pid), 60)
        bank.until(lambda again=number: not again and _read(bank) > 0, 3)
        bank.fault("kill -9 of the shadow")
        shadow.kill()
        shadow.wait(30)
    shadow = bank.begin(*words)
    waited = bank.until(
        lambda: "has not caught up" not in _speaks_against(bank) and _read(bank) >= bank.committed(), 120
    )
    bank.expect(f"the shadow has caught up after {waited:.0f} s", shadow.poll() is None, bank.lines()[-3:])
    shadow.terminate()
    bank.expect("the shadow is stopped", shadow.wait(60) == 0, bank.lines()[-1:])


def _read(bank: Bank) -> int:
    """How many offsets the shadow's group has committed."""
    consumer = bank.probe(SHADOW)
    try:
        places = [bank._place(name, p) for name in MARKED for p in range(bank.settings.partitions)]
        return sum(max(0, one.offset) for one in consumer.committed(places, 5))
    except KafkaException:
        return -1
    finally:
        consumer.close()


def _speaks_against(bank: Bank) -> str:
    done = bank.tell(*TAKE, "--dry-run")
    return done.out + done.err


def _taken(bank: Bank) -> Any:
    """The takeover is killed in the middle, and made again; the owner ends with a line."""
    planned = json.loads(_speaks_against(bank))
    counts = planned["withdrawn"]["counts"]
    bank.expect("what it withdraws", counts["tier-changes"] + counts["rm-alerts"] > 0, counts)
    listed = {one["event_id"] for one in planned["withdrawn"]["records"]}
    ids = {one["event_id"] for topic in ONCE for one in bank.outputs(topic)}
    bank.expect("each is there", listed <= ids and listed, len(listed))
    bank.fault("kill -9 of the takeover")
    half: subprocess.Popen[bytes] = bank.begin(*TAKE)
    bank.until(lambda: half.poll() is not None, 4)
    half.kill()
    half.wait(30)
    done = bank.tell(*TAKE)
    own = f"group {SHADOW} owns the outputs of this log already"
    bank.expect("the takeover, made again", done.code == 0 or own in done.err, done)
    code, lines = bank.ended()
    bank.expect("the old owner's last line", code in (1, 2) and SHADOW in lines[-1], (code, lines[-1:]))
    return planned["withdrawn"]


def _handover(bank: Bank) -> str:
    return str(bank.doctor().get("handover", {"found": "no word of it"})["found"])


def _new_owner(bank: Bank) -> None:
    """Killed while it publishes everybody anew; the next one goes on, and everybody is of the new epoch."""
    bank.follow(SHADOW)
    bank.start()
    bank.until(lambda: listens(bank.workers[0].pid), 60)
    bank.until(lambda: False, 3)
    bank.fault("kill -9 of the new owner")
    worker = bank.workers.pop()
    worker.kill()
    worker.wait(30)
    bank.start()
    bank.wait_ready()
    told = bank.until(lambda: ANEW in _handover(bank), 60)
    bank.expect(f"doctor: handover, after {told:.0f} s", ANEW in _handover(bank), _handover(bank))
    last = {record["customer_id"]: record["source_seq"] for record in bank.outputs("standings")}
    epochs = Counter(map(epoch_of, last.values()))
    bank.expect("all of one epoch", len(epochs) == 1, dict(epochs))
