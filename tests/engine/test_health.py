"""A real worker on a real broker: what its health says of what goes wrong around it, and its last line."""

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as TP
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic

from agents.engine.changelog import FENCE, Fence
from agents.engine.recovery import read_state
from agents.engine.watch.brokers import append_times
from deploy.connections.clients import librdkafka
from deploy.settings import Settings
from tests.chaos.check import read
from tests.cli.invocation import call
from tests.engine.counter_job import CounterJob
from tests.engine.world import World, get, wait_for, write_rows
from tidegauge.checks import Grade, flow

pytestmark = pytest.mark.integration
Start = Callable[..., tuple[subprocess.Popen[bytes], int]]
ENDS_S = 60  # of a worker whose topic is gone


def open_transaction(world: World, topic: str, amounts: list[int]) -> Producer:
    """Of somebody else, who does not commit."""
    out = Producer({**librdkafka(world.settings.kafka), "transactional.id": f"foreign-{world.settings.group}"})
    out.init_transactions(20)
    out.begin_transaction()
    for amount in amounts:
        out.produce(world.settings.topic(topic), amount.to_bytes(8, "big", signed=True), (7).to_bytes(8, "big"), 0)
    out.flush(20)
    return out


def test_a_foreign_transaction_is_seen(world: World, worker: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left open on an input: not ready, by name and offset, in the metrics and in `doctor`; aborted, all is well again."""
    world.write("left", [600] * 3)
    _, port = worker(world, stuck_s=2.0)
    wait_for(lambda: get(port, "/readyz")[0] == 200)
    wait_for(lambda: 'tidegauge_events_total{partition="0"} 3.0' in get(port, "/metrics")[1])
    foreign = open_transaction(world, "left", [600] * 5)
    world.write("left", [600])
    wait_for(lambda: get(port, "/readyz")[0] == 503, 30)
    assert (
        "left/0: a producer has left a transaction open at offset 3, nothing behind it can be read"
        in get(port, "/readyz")[1]
    )
    assert get(port, "/livez")[0] == 200
    told = get(port, "/metrics")[1]
    assert 'tidegauge_lag_offsets{partition="0",topic="left"} 6.0' in told
    assert 'tidegauge_open_transaction_offset{partition="0",topic="left"} 3.0' in told
    seen = Settings(
        bootstrap_servers=world.settings.kafka, topic_prefix=f"{world.settings.group}-", group=world.settings.group
    )
    monkeypatch.setattr("schemas.topics.INPUTS", ("left", "right"))
    monkeypatch.setattr(flow, "OPEN_S_MAX", 0.5)
    (found,) = flow.open_transactions(seen)
    assert found.grade is Grade.WRONG
    assert f"{world.settings.topic('left')}/0: open at offset 3 for" in found.found
    assert f"abort --topic {world.settings.topic('left')} --partition 0 --start-offset 3" in found.hint
    foreign.abort_transaction(20)
    wait_for(lambda: get(port, "/readyz")[0] == 200, 30)
    assert next(iter(flow.open_transactions(seen))).good


def test_the_age_of_what_waits_is_that_of_its_record(world: World, worker: Start) -> None:
    """Found at the start behind an open transaction: as old as the brokers say, not as the worker."""
    foreign = open_transaction(world, "left", [600])
    appended = append_times(world.settings.kafka, [TP(world.settings.topic("left"), 0, 0)])
    (at_ms,) = appended.values()
    assert abs(time.time() - at_ms / 1000) < 30
    time.sleep(max(0.0, at_ms / 1000 + 3 - time.time()))
    _, port = worker(world, round_s=1.0)

    def age() -> float:
        name = 'tidegauge_oldest_waiting_seconds{partition="0",topic="left"} '
        told = [line for line in get(port, "/metrics")[1].splitlines() if line.startswith(name)]
        return float(told[0].split()[-1]) if told else 0.0

    wait_for(lambda: abs(age() - (time.time() - at_ms / 1000)) < 1.5, 30)
    foreign.abort_transaction(20)
    wait_for(lambda: age() == 0.0)


def test_a_mark_of_a_transaction_has_no_age(world: World) -> None:
    """At a commit's mark it is the next record that is as old as the brokers say, and nothing while there is none."""
    topic = world.settings.topic("left")
    open_transaction(world, "left", [600]).commit_transaction(20)
    assert append_times(world.settings.kafka, [TP(topic, 0, 1)]) == {}
    world.write("left", [600])
    mark, record = (append_times(world.settings.kafka, [TP(topic, 0, offset)]) for offset in (1, 2))
    assert mark == record != {}


# -- how a worker ends: what is done to it before it starts, what when it runs, its exit code and its last line


@dataclass
class Way:
    """One way to end."""

    said: tuple[str, ...]
    code: int = 1
    before: Callable[[World], object] = lambda world: world.write("left", [600] * 3)
    after: Callable[[World, subprocess.Popen[bytes]], object] | None = None
    options: dict[str, object] = field(default_factory=dict)


def _newer(world: World) -> None:
    write_rows(world.settings.kafka, world.changelog, [(FENCE, Fence(9, {}, b"").encode())])


def _set(world: World, topic: str, name: str, value: str) -> None:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    resource.add_incremental_config(ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET))
    for future in world.admin.incremental_alter_configs([resource]).values():
        future.result(20)


def _cut(world: World) -> None:
    rows = ((b"r" + bytes(8), bytes(32)), (b"@commit", b'{"left": 0, "right": 0}')) * 3
    write_rows(world.settings.kafka, world.changelog, rows)
    _set(world, world.changelog, "cleanup.policy", "delete")
    wait_for(lambda: _deleted(world, TP(world.changelog, 0, 3)))


def _deleted(world: World, below: TP) -> bool:
    """Whether the records went; the broker takes a moment to know that they may."""
    return all(future.exception(20) is None for future in world.admin.delete_records([below]).values())


def _narrow(world: World) -> None:
    _set(world, world.settings.topic("tiers"), "max.message.bytes", "50")
    world.write("left", [600] * 5)


def _delete(world: World, name: str) -> None:
    world.admin.delete_topics([name])[name].result(20)


def _make_anew(world: World, name: str) -> None:
    _delete(world, name)
    wait_for(lambda: name not in world.admin.list_topics(timeout=10).topics)
    world.admin.create_topics([NewTopic(name, 1, 1)])[name].result(20)


def _raise_partitions(world: World, name: str) -> None:
    world.admin.create_partitions([NewPartitions(name, 3)])[name].result(20)


SAFE = "stopped: 1 partitions held, everything is committed and flushed, the group is left; it is safe to go on"
GONE = "-{} is gone, deleted under the running worker: "
WAYS = {
    "SIGTERM": Way((SAFE,), 0, after=lambda _, process: process.send_signal(signal.SIGTERM)),
    "SIGHUP": Way((SAFE,), 0, after=lambda _, process: process.send_signal(signal.SIGHUP)),
    "SIGINT": Way((SAFE,), 0, after=lambda _, process: process.send_signal(signal.SIGINT)),
    "input gone": Way(
        ("-left", "`tidegauge topics --create`"), after=lambda world, _: _delete(world, world.settings.topic("left"))
    ),
    "changelog gone": Way(
        (GONE.format("changelog"), "the state is lost", "`tidegauge world rebuild`", "what is published again"),
        after=lambda world, _: _delete(world, world.changelog),
    ),
    "output gone": Way(
        (GONE.format("tiers"), "comes from a backup only"),
        after=lambda world, _: _delete(world, world.settings.topic("tiers")),
    ),
    "made anew": Way(
        ("-tiers was deleted and made anew under the running worker",),
        after=lambda world, _: _make_anew(world, world.settings.topic("tiers")),
    ),
    "partitions raised": Way(
        ("-left has 3 partitions now, not 1", "put it back as it was"),
        after=lambda world, _: _raise_partitions(world, world.settings.topic("left")),
    ),
    "bug": Way(
        ("partition 0: unexpected ZeroDivisionError: a bug at tests/engine/worker.py:", "report it"),
        options={"explode": True},
    ),
    "newer state": Way(
        ("was written by a newer version (state format 9, this one reads 1): run the newer version",), before=_newer
    ),
    "cut changelog": Way(
        ("holds rows but no fence: was it cut?", "`tidegauge world rebuild`", "what is published again"), before=_cut
    ),
    "size refused": Way(("-tiers refuses a batch of ", "max.message.bytes: set that to 4194304"), before=_narrow),
    "long transactions": Way(
        ("transaction.max.timeout.ms is below the 3600000 ms", "raise it to 3600000 or more"),
        options={"transaction_s": 3600.0},
    ),
    "damage": Way(
        ("left/0: batch at offset 0: wrong checksum, 5 times in a row", "disks"), options={"broken": "corrupt 1000000"}
    ),
    "no Kafka": Way(("Kafka failed:", "TIDEGAUGE_BOOTSTRAP_SERVERS"), options={"kafka": "127.0.0.1:1"}),
}


@pytest.mark.slow
def test_the_last_line(make_world: Callable[[], World], worker: Start, tmp_path: Path) -> None:
    """However a worker ends: one line says what, where and what to do; no framework's traceback, no cursor codes.

    A topic that is deleted ends it within a minute. Whoever is told to stop leaves the group, and its successor replays
    nothing.
    """
    worlds = {name: make_world() for name in WAYS}
    for name, way in WAYS.items():
        way.before(worlds[name])
    started = {name: worker(worlds[name], round_s=1.0, **way.options) for name, way in WAYS.items()}
    for name, way in WAYS.items():
        if way.after is not None:
            _, port = started[name]
            wait_for(lambda port=port: 'tidegauge_events_total{partition="0"} 3.0' in get(port, "/metrics")[1])
    time.sleep(2.5)  # a round or two: they know their topics
    for name, way in WAYS.items():
        if way.after is not None:
            way.after(worlds[name], started[name][0])
    for place, (name, way) in enumerate(WAYS.items()):
        code = started[name][0].wait(ENDS_S)
        text = (tmp_path / f"worker-{place}.log").read_text()
        line = text.strip().splitlines()[-1]
        assert code == way.code, (name, text)
        assert line.startswith("error: ") == bool(code), (name, text)
        for words in way.said:
            assert words in line, (name, text)
        for words in ("RocksDB", "\x1b", "Crashed reason", "/site-packages/"):
            assert words not in text, (name, text)
        assert text.count("Traceback") == (4 if name == "bug" else 0), (name, text)
    for name in ("bug", "damage"):  # neither passed over nor passed on
        assert read(worlds[name].settings.kafka, worlds[name].settings.topic("tiers"), 0) == []
    for name in ("SIGTERM", "SIGHUP", "SIGINT"):
        world = worlds[name]
        assert asyncio.run(read_state(world.settings, CounterJob, 0)).sums[7, 0] == 1800
        asked = world.admin.describe_consumer_groups([world.settings.group])[world.settings.group].result(10)
        assert asked.members == []


def test_drain(world: World, worker: Start) -> None:
    """A planned stop: the worker flushes and leaves, and only then it is said to be safe; without a worker it is an error."""
    world.write("left", [600] * 50)
    process, port = worker(world)
    wait_for(lambda: 'tidegauge_events_total{partition="0"} 50.0' in get(port, "/metrics")[1])
    told = json.loads(get(port, "/worker")[1])
    assert (told["pid"], told["group"], told["state"]) == (process.pid, world.settings.group, "working")
    asked = world.admin.describe_consumer_groups([world.settings.group])[world.settings.group].result(10)
    assert [member.member_id for member in asked.members] == [told["member"]]
    env = {"TIDEGAUGE_BOOTSTRAP_SERVERS": world.settings.kafka}
    done = call("drain", "--metrics-port", str(port), "--json", env=env)
    assert done.code == 0, done.err
    assert (json.loads(done.out)["state"], json.loads(done.out)["unflushed"]) == ("left", [])
    assert process.wait(240) == 0
    nobody = call("drain", "--metrics-port", str(port), env=env)
    assert nobody.code == 1
    assert f"no worker answers at port {port} of this machine" in nobody.err
