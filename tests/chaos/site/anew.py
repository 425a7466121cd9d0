"""A world made anew: topics deleted and made again, the changelog deleted, cut or reset, brokers back empty."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from confluent_kafka import Producer, TopicPartition

from agents.engine.recovery import changelog_topic
from deploy import admin, record, topics
from deploy.connections.clients import librdkafka
from services.assembly import redis_client
from services.views.keys import Keys
from streams.calendar import date_of
from tests.chaos.brokers import ChaosStack
from tests.chaos.given import Given
from tests.chaos.site.bank import Bank
from tests.chaos.site.health import configure
from tests.chaos.system import Result
from tests.cli.invocation import Called
from tidegauge.bootstrap import STANDING

JUNK = 2000  # records beyond the old offsets
VIEW_S = 90.0


def anew(given: Given) -> Result:
    """What a worker reads or keeps is another one: it ends with the line that says what to do, and that helps."""
    with given.bank("anew") as bank:
        bank.start()
        bank.load(100)  # so many that there are tier changes and alerts, which could be told twice
        _changelog_deleted(bank)
        _changelog_cut(bank)
        _group_reset(bank)
        bank.judge()
        _input_anew(bank)
        _brokers_empty(given, bank)
        return bank.result()


def _changelog_deleted(bank: Bank) -> None:
    name = changelog_topic(bank.settings, STANDING)
    bank.fault("the changelog deleted under the worker")
    delete(bank, [name])
    code, lines = bank.ended()
    bank.expect(
        "the last line", code in (1, 2) and name in lines[-1] and "world rebuild" in lines[-1], (code, lines[-1:])
    )
    line = bank.doctor()["changelog"]
    bank.expect("doctor: changelog", not line["good"] and "the state is lost" in line["found"], line)
    done, _ = bank.child(["worker", "--metrics-port", "0"])
    bank.expect(
        "a new worker begins no empty state", done.code in (1, 2) and "world rebuild" in done.out + done.err, done
    )
    _rebuild(bank)


def _rebuild(bank: Bank) -> None:
    """What the line says, and what it says itself of what is published again."""
    done = bank.tell("world", "rebuild", "--reason", "chaos", "--force")
    bank.expect("world rebuild", done.code == 0 and "again" in done.out, done)
    bank.start()
    bank.wait_closed()
    bank.wait_ready()


def _changelog_cut(bank: Bank) -> None:
    """Nothing is left of it: no RocksDB is spoken of, and the way out is named."""
    name = changelog_topic(bank.settings, STANDING)
    bank.fault("the changelog cut")
    bank.stop()
    configure(bank, name, {"cleanup.policy": "compact,delete"})  # else brokers refuse to cut it
    client = admin.client(bank.settings.kafka)  # must outlive its answers
    for done in client.delete_records([TopicPartition(name, p, -1) for p in range(bank.settings.partitions)]).values():
        done.result(20)
    configure(bank, name, {"cleanup.policy": "compact"})
    done, _ = bank.child(["worker", "--metrics-port", "0"])
    said = done.out + done.err
    bank.expect("the last line", done.code in (1, 2) and "world rebuild" in said and "RocksDB" not in said, said[-600:])
    _rebuild(bank)


def _group_reset(bank: Bank) -> None:
    """The group's offsets back to the beginning: the changelog says how far the workers are, so nothing is told twice."""
    bank.fault("the group's offsets reset")
    bank.stop()
    before = _told(bank)
    places = [
        bank._place(topic, p) for topic in ("transactions", "business-days") for p in range(bank.settings.partitions)
    ]
    for place in places:
        place.offset = 0
    bank._probe.commit(offsets=places, asynchronous=False)
    bank.start()
    bank.wait_ready()
    bank.load(3)
    more = _told(bank) - before
    twice = [one for one, times in more.items() if one in before or times > 1]
    bank.expect("nothing is told again", before and not twice, (before.total(), more.total(), twice[:3]))


def _told(bank: Bank) -> Counter[str]:
    """How often each event was told; a state that was built anew has told them again."""
    return Counter(one["event_id"] for topic in ("tier-changes", "rm-alerts") for one in bank.outputs(topic))


def _input_anew(bank: Bank) -> None:
    """Another log under the old offsets: the worker ends, and nobody begins on it."""
    name = bank.settings.topic("transactions")
    bank.fault("transactions deleted, made anew and filled beyond the old offsets")
    delete(bank, [name])
    bank.until(lambda: name not in admin.client(bank.settings.kafka).list_topics(timeout=10).topics, 30)
    topics.create(bank.settings, ["transactions"])
    producer = Producer(librdkafka(bank.settings.kafka))
    for number in range(JUNK):
        producer.produce(name, b"another log", partition=number % bank.settings.partitions)
    producer.flush(30)
    code, lines = bank.ended()
    said = lines[-1]
    named = name in said or "transactions" in said
    bank.expect("the last line", code in (1, 2) and named, (code, lines[-1:]))
    line = bank.doctor()["identity"]
    bank.expect("doctor: identity", not line["good"] and "transactions" in line["found"] and line["hint"], line)
    done, seconds = bank.child(["worker", "--metrics-port", "0"])
    bank.expect(f"a new worker, after {seconds:.0f} s", _tells(done, "adopt"), done)
    done = bank.tell("standings", "--as-of", str(date_of(bank.last)))
    bank.expect("standings", _tells(done, "adopt"), done)


def _tells(done: Called, word: str) -> bool:
    return done.code in (1, 2) and word in done.out + done.err and "Traceback" not in done.out + done.err


def _brokers_empty(given: Given, around: Bank) -> None:
    """The same address with empty brokers of another cluster id: the view writer builds the view anew, and says so."""
    with tempfile.TemporaryDirectory(prefix="tidegauge-empty-") as folder, given.redis() as url:
        stack = ChaosStack(Path(folder), heap_mb=384)
        with stack, replace(given, stack=stack).bank("emptied", redis_url=url) as bank:
            bank.findings = around.findings
            bank.start()
            views = bank.begin("views")
            bank.load(5)
            with redis_client(bank.settings) as client:
                keys = Keys.of(bank.settings.topic_prefix).standings + "*"
                bank.until(lambda: list(client.scan_iter(keys)), VIEW_S)
                full = len(list(client.scan_iter(keys)))
                around.fault("brokers back empty, with another cluster id")
                bank.workers.pop().kill()
                stack.stop()
                for left in Path(folder).glob("kafka-*"):
                    shutil.rmtree(left)
                known = record.read_record(Path(folder))
                before = known.pop("cluster_id")
                record.write_record(Path(folder), known)  # the port stays
                stack.start()
                again = topics.survey(bank.settings).cluster_id
                bank.expect("another cluster at the same address", again != before, (before, again))
                topics.create(bank.settings, None)
                seconds = bank.until(lambda: not list(client.scan_iter(keys)), VIEW_S)
                bank.expect(f"{full} old rows are gone", seconds < VIEW_S and full, f"after {seconds:.0f} s")
            said = " ".join(bank.lines())
            bank.expect("the view writer says so", views.poll() is None and "built again" in said, (views.poll(), said))
            around.fault("the view writer stopped while the brokers are away")
            stack.stop()
            views.terminate()
            code, lines = views.wait(60), bank.lines()
            good = code == 0 and lines[-1].startswith("stopped: ") and not any("Traceback" in line for line in lines)
            bank.expect("its last line", good, (code, len(lines), lines[-1:]))


def delete(bank: Bank, names: Iterable[str]) -> None:
    """Delete topics."""
    client = admin.client(bank.settings.kafka)  # must outlive its answers
    for done in client.delete_topics(list(names)).values():
        done.result(20)
