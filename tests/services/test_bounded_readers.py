"""Batches that unpack to gigabytes in the topics that Tidegauge itself writes: no reader of them grows, neighbours are read."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from confluent_kafka import Producer
from redis import Redis

from agents.engine.reader import LogReader
from deploy.connections.clients import librdkafka
from deploy.settings import Settings
from schemas import bounds
from schemas.codec.blocks import log_entries
from schemas.codec.records import encode
from schemas.letters import Original, dead_letter
from schemas.registry import file_registry
from services.views.kafka_source import KafkaSource
from services.views.keys import Keys
from tests.outsized import CODECS, MIB, Outsized, Record, send
from tests.services.test_notices import ALERT
from tests.services.test_views_kafka import priority
from tidegauge.demo.processes import environment
from tidegauge.letters import letters
from tidegauge.world.check import begin_world

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ZEROS, COUNT = 16 * MIB, 18  # 288 MB a batch, of some kilobytes
FEWER = {"snappy": 1, "lz4": 15}  # what a batch of 1 MB can hold
MEMORY_MB_MAX = 700
WAIT_S = 240.0
LETTER = encode("dead-letters", dead_letter("facts", 0, 7, "truncated", Original.of(b"x")))
SECOND = file_registry(contracts=2)  # has all fields of an alert
NEIGHBOURS = {
    "queue-priority": [(b"a", priority("a", "gold", 1)), (b"b", priority("b", "diamond", 1))],
    "rm-alerts": [
        (b"C1", encode("rm-alerts", ALERT, SECOND)),
        (b"C1", encode("rm-alerts", ALERT | {"event_id": "second", "rule": "drip"}, SECOND)),
    ],
    "standings": [],
    "dead-letters": [(b"k", LETTER), (b"k", LETTER)],
}
PROGRAM = """
import sys
from tests.outsized import peak_kb
from tidegauge.cli.main import main
try:
    main()
finally:
    print("peak", peak_kb() >> 10, file=sys.stderr)
"""
PEAK = "from tests.outsized import peak_kb; print(peak_kb() >> 10)"


def bomb(topic: str, codec: str) -> Outsized:
    """Zeros between two good records."""
    first, last = NEIGHBOURS[topic] or [(b"C1", b""), (b"C1", b"")]
    zeros: list[Record] = [(b"C1", ZEROS)] * FEWER.get(codec, COUNT)
    return Outsized([first, *zeros, last], CODECS[codec])


@pytest.fixture
def settings_of_bombs(make_topics: Callable[..., Settings], redis_url: str, redis_client: Redis) -> Settings:
    """In each topic of outputs a bomb of every codec in partition 0, and good records behind them."""
    settings = make_topics().model_copy(update={"redis_url": redis_url})
    producer = Producer(librdkafka(settings.kafka))
    for topic, good in NEIGHBOURS.items():
        send(settings.kafka, settings.topic(topic), 0, [bomb(topic, codec) for codec in CODECS])
        for key, value in good:
            producer.produce(settings.topic(topic), value, key, 0)
        producer.flush(10)
    return settings


def called(settings: Settings, *words: str) -> tuple[int, str, int]:
    """A command's exit code, what it printed, and its memory at most in MB."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], env={**environment(settings), "TIDEGAUGE_REDIS_URL": settings.redis},
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert "peak" in done.stderr, done.stderr
    return done.returncode, done.stdout, int(done.stderr.partition("peak")[2])


def told(settings: Settings, topic: str) -> set[tuple[int, str]]:
    """Offset and reason of each letter about a topic."""
    return {(letter.record["offset"], letter.record["reason"]) for letter in letters(settings, topic)}


def expected(topic: str) -> set[tuple[int, str]]:
    """What has to be told of the bombs of a topic."""
    found, base = set(), 0
    for codec in CODECS:
        count = bomb(topic, codec).record_count()
        fitting = min((bounds.UNPACKED_BYTES_MAX - MIB) // ZEROS, count - 2)
        found |= {(base + i, "too large") for i in range(1, fitting + 1)}
        if fitting < count - 2:
            found.add((base + fitting + 1, "batch too large"))
        base += count
    return found


def test_readers_stay_small(settings_of_bombs: Settings, redis_client: Redis) -> None:
    """A rebuild of the view, the list of letters, and notices: small, with every neighbour and every letter."""
    settings = settings_of_bombs
    goes_on_where_it_was(settings, "queue-priority")
    code, out, size = called(settings, "rebuild", "--json")
    assert (code, size < MEMORY_MB_MAX) == (0, True), (out, size)
    assert redis_client.hget(Keys.of(settings.topic_prefix).priority("b"), "queue_class") == b"diamond"
    for topic in ("queue-priority", "rm-alerts"):
        assert told(settings, topic) == expected(topic)
    code, out, size = called(settings, "dead-letters", "count", "--topic", "facts", "--json")
    assert (code, size < MEMORY_MB_MAX) == (0, True), (out, size)
    # Two in a batch of their own, the first of each codec's, and the last where all of it unpacks.
    assert [row["letters"] for row in json.loads(out)] == [2 + len(CODECS) + len(FEWER)]
    notices_stay_small(settings)


GUARDED = {
    "business-days": (b"2026-01-30", {"business_day": 20483, "closed_at": 0, "cut": []}),
    "policies": (
        b"p/1",
        {"pack_id": "p", "version": 1, "effective_from": 20483, "body": "p", "customer_class": "personal"},
    ),
}


def test_commands_stay_small(make_topics: Callable[..., Settings]) -> None:
    """What commands and every process read of topics beside their work: bombs among the records, and those are read."""
    settings = make_topics()
    for topic, (key, record) in GUARDED.items():
        good = (key, encode(topic, record))
        bombs = [
            Outsized([good, *[(b"C1", ZEROS)] * FEWER.get(codec, COUNT), good], CODECS[codec])
            for codec in ("snappy", "zstd")
        ]
        send(settings.kafka, settings.topic(topic), 0, bombs)
        send(settings.kafka, settings.topic("world"), 0, bombs)
    for topic in ("standings", "transactions"):
        packed = Outsized([good, *[(b"C1", ZEROS)] * FEWER.get("gzip", COUNT)], CODECS["gzip"])
        send(settings.kafka, settings.topic(topic), 0, [packed])
    begin_world(settings)
    for words, wanted in (
        ("from connectors.loading.closer import history; print(history(settings).last)", "20483"),
        ("from connectors.loading.packs import sent; print(len(sent(settings)))", "3"),
        ("from tidegauge.world.log import read_entries; print(len(read_entries(settings)))", "1"),
        (
            (
                "from deploy import topics; from tidegauge.world.epochs import published_epoch; "
                "print(published_epoch(settings, topics.survey(settings)))"
            ),
            "0",
        ),
        (
            (
                "from confluent_kafka import TopicPartition; from agents.engine.watch.brokers import append_times; "
                "print(len(append_times(settings.kafka, [TopicPartition(settings.topic('transactions'), 0, 0)])))"
            ),
            "1",
        ),
    ):
        program = f"from deploy.settings import Settings; settings = Settings(); {words}\n" + PEAK
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment(settings), capture_output=True, text=True, check=False,
            timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found, size = done.stdout.split()
        assert (found, int(size) < MEMORY_MB_MAX) == (wanted, True), (words, size)


def goes_on_where_it_was(settings: Settings, topic: str) -> None:
    """From any offset, the middle of a batch too, the reader gives each offset once, in order, to the end."""
    place = (settings.topic(topic), 0)
    reader = LogReader(settings.kafka, [place[0]])
    [(_, end)] = reader.ends([place]).values()
    for start in (None, 7, end - 1, end):
        at = reader.begin({place: start})[place]
        assert at == (start or 0)
        while at < end:
            for block in reader.fetch(0.5):
                assert (block.tp, block.start) == (place, at)
                seen = [(one.offset, one.end) for one in log_entries(block.batches, block.start, block.end, block.lost)]
                assert all(at <= offset < stop <= block.end for offset, stop in seen)
                assert all(a[1] <= b[0] for a, b in pairwise(seen))
                at = block.end
        assert reader.fetch(0.2) == []
    reader.close()


def notices_stay_small(settings: Settings) -> None:
    """The notifier tells the alerts around the batches and writes its letters."""
    env = {**environment(settings), "TIDEGAUGE_REDIS_URL": settings.redis, "TIDEGAUGE_REFERENCE_KEY": "k" * 32}
    until, wanted = time.monotonic() + WAIT_S, 2 * len(expected("rm-alerts"))  # the view's writer has said it all too
    with subprocess.Popen(
        [sys.executable, "-m", "tidegauge.cli.main", "notices"], env=env, stdout=subprocess.DEVNULL
    ) as process:
        source, notices = KafkaSource(settings.kafka, ["notices"], LogReader, settings.topic_prefix), 0
        source.begin({})
        while time.monotonic() < until and (notices < 2 or counted(settings) < wanted):
            notices += sum(len(part.records) for part in source.fetch(0.5).values())
        source.close()
        size = int(Path(f"/proc/{process.pid}/status").read_text().split("VmHWM:")[1].split()[0]) >> 10
        alive = process.poll() is None
        process.kill()
    assert (alive, size < MEMORY_MB_MAX, notices >= 2, counted(settings)) == (True, True, True, wanted), (size, notices)


def counted(settings: Settings) -> int:
    """Letters about rm-alerts."""
    return sum(1 for _ in letters(settings, "rm-alerts"))
